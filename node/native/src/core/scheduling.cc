#include "scheduling.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace ilion {
namespace {

// The kernel's struct sched_attr, first version; glibc has none before 2.41.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = 0;  // SCHED_OTHER
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // nanoseconds; of SCHED_OTHER the slice, since Linux 6.12; 0: the kernel's default
  uint64_t deadline = 0;
  uint64_t period = 0;
};

// A short slice means an early deadline: the thread runs soon after it wakes, at no greater share of the core.
constexpr uint64_t kPromptSliceNanos = 200'000;
// Shares against a thread at 0 are 1:3 and 1:9. No less: starved compactions end in write stalls.
constexpr int kFlushNice = 5;
constexpr int kCompactionNice = 10;
constexpr int kNiceMax = 19;

}  // namespace

void setUrgency(Urgency urgency) {
  // Whoever runs the process at another policy has reasons.
  if (urgency == Urgency::ordinary || sched_getscheduler(0) != SCHED_OTHER) return;
  SchedulingAttributes attributes;
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  if (urgency == Urgency::prompt) {
    attributes.runtime = kPromptSliceNanos;
  } else {
    int more = urgency == Urgency::flush ? kFlushNice : kCompactionNice;
    attributes.nice = std::min(attributes.nice + more, kNiceMax);
  }
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace ilion
