// Failures as the port names them (KvErrorCode in node/src/storage/kv.ts).
#pragma once
#include <cstdint>
#include <string>

#include <rocksdb/status.h>

namespace ilion {

// In the order of KV_STATUS.
enum class Code : uint8_t {
  ok,
  closed,
  badBatch,
  badArgument,
  corruption,
  locked,
  noSpace,
  io,
  stalled,
  aborted,
};

struct Error {
  Code code = Code::ok;
  std::string message;

  bool failed() const { return code != Code::ok; }
};

const char* codeName(Code code);
Code codeOf(const rocksdb::Status& status);
Error errorOf(const rocksdb::Status& status);
// Of errno, after `action` on `path`.
Error systemError(const std::string& action, const std::string& path, int number);

}  // namespace ilion
