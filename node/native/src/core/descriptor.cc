#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

namespace ilion {
namespace {

constexpr int64_t kWriteBackBytes = 2 << 20;

}  // namespace

bool waitFor(int socket, short events, int timeoutMs, Error* error) {
  pollfd waited{socket, events, 0};
  for (;;) {
    int ready = poll(&waited, 1, timeoutMs > 0 ? timeoutMs : -1);
    if (ready > 0) return true;
    if (ready == 0) {
      *error = Error{Code::io, "timeout: the peer took or gave nothing"};
      return false;
    }
    if (errno != EINTR) {
      *error = systemError("poll", "socket", errno);
      return false;
    }
  }
}

void WriteBack::reached(int64_t end) {
  if (end - begun_ < kWriteBackBytes) return;
  sync_file_range(file_, begun_, end - begun_, SYNC_FILE_RANGE_WRITE);
  begun_ = end;
}

}  // namespace ilion
