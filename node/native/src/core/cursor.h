// An iterator that packs many entries into one buffer, and that can start in memory and go on from the disk.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include <rocksdb/iterator.h>

#include "error.h"
#include "store.h"

namespace ilion {

// As KvIterator.next returns them.
constexpr int kNeedsDisk = -2;
constexpr int kTooSmall = -3;

struct CursorOptions {
  bool reverse = false;
  bool cacheOnly = false;
  bool noFill = false;
  const rocksdb::Snapshot* snapshot = nullptr;
  std::optional<std::string> lower;  // inclusive
  std::optional<std::string> upper;  // exclusive
};

// Not thread-safe: one call at a time. Touches neither memory nor disk of RocksDB before the first `fill`.
class Cursor {
 public:
  Cursor(std::shared_ptr<Family> family, CursorOptions options);

  // Packs entries as `u32le key length | u32le value length | key | value`. @returns their number, 0 at the end,
  // kNeedsDisk (only if `memoryOnly`) or kTooSmall.
  //
  // A cache-only cursor that meets a missing block in its first call forgets what that call found, so that the view from
  // the disk is the only one. Later it goes on after the last entry it gave, in a newer view unless it has a snapshot.
  int fill(char* out, size_t size, uint32_t maxEntries, bool memoryOnly, Error* error);
  void seek(const rocksdb::Slice& key);
  void release() { iterator_.reset(); }

 private:
  void create(bool memoryOnly);
  void place();
  void step() { options_.reverse ? iterator_->Prev() : iterator_->Next(); }
  int leaveMemory();

  const std::shared_ptr<Family> family_;
  const CursorOptions options_;
  rocksdb::Slice lower_;
  rocksdb::Slice upper_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool inMemory_ = false;      // what iterator_ reads
  bool memoryFailed_ = false;  // only threads go on
  bool placed_ = false;        // iterator_ is where from_ says
  bool stepDue_ = false;       // iterator_ is on an entry that was given
  std::optional<std::string> from_;  // where to start; none: at the end where iteration begins
  bool afterFrom_ = false;           // from_ itself was given already
};

}  // namespace ilion
