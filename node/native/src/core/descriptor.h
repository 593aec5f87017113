// Descriptors that close themselves, and waiting for sockets.
#pragma once
#include <unistd.h>

#include "error.h"

namespace ilion {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  int operator*() const { return number_; }

 private:
  int number_;
};

// Until the (non-blocking) socket is ready for `events`, or is broken, which shows in the next call on it.
// timeoutMs 0: for ever.
bool waitFor(int socket, short events, int timeoutMs, Error* error);

// Has the disk write what was appended to a file while the rest comes: what is left for the sync is little.
class WriteBack {
 public:
  WriteBack(int file, int64_t offset) : file_(file), begun_(offset) {}
  // The file has everything up to `end`.
  void reached(int64_t end);

 private:
  const int file_;
  int64_t begun_;
};

}  // namespace ilion
