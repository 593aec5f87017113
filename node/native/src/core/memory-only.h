// Makes sure that an event loop never reads a file.
//
// RocksDB has a read tier for that (kBlockCacheTier), but its MultiGet reads missing data blocks all the same. So our
// stores' files go through a file system that refuses, with Busy, on a thread that is inside a `MemoryOnly`.
#pragma once
#include <rocksdb/env.h>
#include <rocksdb/status.h>

namespace ilion {

class MemoryOnly {
 public:
  MemoryOnly();
  ~MemoryOnly();
  MemoryOnly(const MemoryOnly&) = delete;

 private:
  const bool outer_;
};

// The status of a read that memory alone could not answer.
inline bool needsDisk(const rocksdb::Status& status) {
  return status.IsIncomplete() || status.IsBusy();
}

// The environment for our stores; lives as long as the process.
rocksdb::Env* guardedEnv();

}  // namespace ilion
