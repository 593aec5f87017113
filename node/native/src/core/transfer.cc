#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>

#include "descriptor.h"

namespace ilion {
namespace {

constexpr int64_t kChunkBytes = 8 << 20;
constexpr int kPipeBytes = 1 << 20;

// Moves all of a pipe's `count` bytes to the file.
bool drainPipe(int pipe, int file, int64_t count, const std::string& path, Error* error) {
  while (count > 0) {
    ssize_t moved = splice(pipe, nullptr, file, nullptr, static_cast<size_t>(count), SPLICE_F_MOVE);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) {
      *error = systemError("cannot write", path, moved == 0 ? EIO : errno);
      return false;
    }
    count -= moved;
  }
  return true;
}

}  // namespace

int64_t sendFileRange(int socket, const std::string& path, int64_t offset, int64_t length,
                      int timeoutMs, Error* error) {
  Descriptor out(socket);
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (*file < 0) {
    *error = systemError("cannot open", path, errno);
    return 0;
  }
  posix_fadvise(*file, offset, length, POSIX_FADV_SEQUENTIAL);
  off_t at = offset;
  const off_t end = offset + length;
  while (at < end) {
    ssize_t moved = sendfile(*out, *file, &at, static_cast<size_t>(std::min<int64_t>(kChunkBytes, end - at)));
    if (moved > 0) continue;
    if (moved == 0) {
      *error = Error{Code::io, path + " ended early"};
      break;
    }
    if (errno == EAGAIN) {
      if (!waitFor(*out, POLLOUT, timeoutMs, error)) break;
    } else if (errno != EINTR) {
      *error = systemError("cannot send", path, errno);
      break;
    }
  }
  return at - offset;
}

int64_t receiveToFile(int socket, const std::string& path, int64_t offset, int64_t length,
                      int timeoutMs, bool sync, Error* error) {
  Descriptor in(socket);
  const int create = offset == 0 ? O_CREAT : 0;
  Descriptor file(open(path.c_str(), O_WRONLY | create | O_CLOEXEC, 0644));
  int ends[2] = {-1, -1};
  if (*file < 0 || ftruncate(*file, offset) != 0 || lseek(*file, offset, SEEK_SET) < 0 ||
      pipe2(ends, O_CLOEXEC) < 0) {
    *error = systemError("cannot open", path, errno);
    return 0;
  }
  Descriptor readEnd(ends[0]), writeEnd(ends[1]);
  fcntl(*writeEnd, F_SETPIPE_SZ, kPipeBytes);
  int64_t received = 0;
  WriteBack writeBack(*file, offset);
  while (received < length) {
    size_t want = static_cast<size_t>(std::min<int64_t>(kPipeBytes, length - received));
    ssize_t moved = splice(*in, nullptr, *writeEnd, nullptr, want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved > 0) {
      if (!drainPipe(*readEnd, *file, moved, path, error)) return received;
      received += moved;
      if (sync) writeBack.reached(offset + received);
    } else if (moved == 0) {
      *error = Error{Code::io, "the peer closed after " + std::to_string(received) + " bytes"};
      return received;
    } else if (errno == EAGAIN) {
      if (!waitFor(*in, POLLIN, timeoutMs, error)) return received;
    } else if (errno != EINTR) {
      *error = systemError("cannot receive", path, errno);
      return received;
    }
  }
  if (sync && fsync(*file) != 0) *error = systemError("cannot sync", path, errno);
  return received;
}

}  // namespace ilion
