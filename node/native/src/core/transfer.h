// File ranges to sockets and back without passing through user space. They block: give each a thread of its own.
#pragma once
#include <cstdint>
#include <string>

#include "error.h"

namespace ilion {

// `socket` is a descriptor of the callee's own (a dup), closed at the end. Both give up when nothing moved for
// `timeoutMs` (0: never), and return how much moved.
int64_t sendFileRange(int socket, const std::string& path, int64_t offset, int64_t length,
                      int timeoutMs, Error* error);

// Writes from `offset` on; what the file had behind it goes. Makes the file for offset 0; `sync`: the bytes are on disk
// when it returns.
int64_t receiveToFile(int socket, const std::string& path, int64_t offset, int64_t length,
                      int timeoutMs, bool sync, Error* error);

}  // namespace ilion
