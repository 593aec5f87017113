#include "error.h"

#include <errno.h>
#include <string.h>

namespace ilion {

const char* codeName(Code code) {
  static const char* const names[] = {"OK",       "CLOSED",   "BAD_BATCH", "BAD_ARGUMENT", "CORRUPTION",
                                      "LOCKED",   "NO_SPACE", "IO",        "STALLED",      "ABORTED"};
  return names[static_cast<uint8_t>(code)];
}

namespace {

/** RocksDB puts some errors into the text of others ("Unable to persist options.: IO error: No space left ..."). */
bool isFull(const rocksdb::Status& status) {
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit) return true;
  const char* text = status.getState();
  return text != nullptr && strstr(text, "No space left on device") != nullptr;
}

}  // namespace

Code codeOf(const rocksdb::Status& status) {
  if (status.ok()) return Code::ok;
  if (isFull(status)) return Code::noSpace;
  if (status.IsCorruption()) return Code::corruption;
  if (status.IsInvalidArgument() || status.IsNotSupported() || status.IsNotFound()) {
    return Code::badArgument;
  }
  if (status.IsShutdownInProgress() || status.IsAborted()) return Code::aborted;
  return Code::io;
}

Error errorOf(const rocksdb::Status& status) { return Error{codeOf(status), status.ToString()}; }

Error systemError(const std::string& action, const std::string& path, int number) {
  Code code = number == ENOSPC || number == EDQUOT ? Code::noSpace : Code::io;
  return Error{code, action + " " + path + ": " + strerror(number)};
}

}  // namespace ilion
