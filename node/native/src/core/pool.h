// Threads of our own, so that libuv's four are never held by the engine. Pools live as long as the process.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "scheduling.h"

namespace ilion {

class Pool {
 public:
  // Threads start as work arrives, up to `threads`; `name` is at most 15 characters.
  Pool(std::string name, unsigned threads, Urgency urgency)
      : name_(std::move(name)), max_(threads), urgency_(urgency) {}

  void post(std::function<void()> work);

 private:
  void run();

  const std::string name_;
  const unsigned max_;
  const Urgency urgency_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> queue_;
  unsigned threads_ = 0;
  unsigned idle_ = 0;
};

// A thread for one piece of work, which may take as long as a peer wants.
void runOnOwnThread(const char* name, std::function<void()> work);

}  // namespace ilion
