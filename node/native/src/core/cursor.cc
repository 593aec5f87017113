#include "cursor.h"

#include "memory-only.h"

namespace ilion {

Cursor::Cursor(std::shared_ptr<Family> family, CursorOptions options)
    : family_(std::move(family)), options_(std::move(options)) {
  if (options_.lower) lower_ = *options_.lower;
  if (options_.upper) upper_ = *options_.upper;
}

void Cursor::create(bool memoryOnly) {
  rocksdb::ReadOptions read;
  read.snapshot = options_.snapshot;
  read.fill_cache = !options_.noFill;
  read.auto_readahead_size = true;
  read.background_purge_on_iterator_cleanup = true;
  if (options_.lower) read.iterate_lower_bound = &lower_;
  if (options_.upper) read.iterate_upper_bound = &upper_;
  if (memoryOnly) read.read_tier = rocksdb::kBlockCacheTier;
  iterator_.reset(family_->db->NewIterator(read, family_->handle));
  inMemory_ = memoryOnly;
  placed_ = false;
}

void Cursor::place() {
  rocksdb::Iterator& it = *iterator_;
  stepDue_ = false;
  placed_ = true;
  if (!from_) {
    options_.reverse ? it.SeekToLast() : it.SeekToFirst();
    return;
  }
  options_.reverse ? it.SeekForPrev(*from_) : it.Seek(*from_);
  if (afterFrom_ && it.Valid() && it.key() == rocksdb::Slice(*from_)) step();
}

int Cursor::leaveMemory() {
  iterator_.reset();
  memoryFailed_ = true;
  return kNeedsDisk;
}

int Cursor::fill(char* out, size_t size, uint32_t maxEntries, bool memoryOnly, Error* error) {
  if (memoryOnly && memoryFailed_) return kNeedsDisk;
  std::optional<MemoryOnly> guard;
  if (memoryOnly) guard.emplace();
  if (!memoryOnly && options_.cacheOnly) memoryFailed_ = true;
  if (iterator_ == nullptr || inMemory_ != memoryOnly) create(memoryOnly);
  if (!placed_) place();
  rocksdb::Iterator& it = *iterator_;
  char* p = out;
  char* const end = out + size;
  uint32_t count = 0;
  rocksdb::Slice lastKey;  // only a cursor that may have to go on from the disk needs it
  while (count < maxEntries) {
    if (stepDue_) {
      step();
      stepDue_ = false;
    }
    if (!it.Valid()) break;
    rocksdb::Slice key = it.key(), value = it.value();
    size_t need = 8 + key.size() + value.size();
    if (need > static_cast<size_t>(end - p)) {
      if (count == 0) return kTooSmall;
      break;
    }
    storeU32Le(p, static_cast<uint32_t>(key.size()));
    storeU32Le(p + 4, static_cast<uint32_t>(value.size()));
    memcpy(p + 8, key.data(), key.size());
    memcpy(p + 8 + key.size(), value.data(), value.size());
    lastKey = rocksdb::Slice(p + 8, key.size());
    p += need;
    count++;
    stepDue_ = true;
  }
  if (!it.Valid()) {
    rocksdb::Status status = it.status();
    if (inMemory_ && needsDisk(status) && (count == 0 || !afterFrom_)) return leaveMemory();
    if (!status.ok() && count == 0) *error = errorOf(status);
  }
  if (inMemory_ && count > 0) {
    from_.emplace(lastKey.data(), lastKey.size());
    afterFrom_ = true;
  }
  return static_cast<int>(count);
}

void Cursor::seek(const rocksdb::Slice& key) {
  from_.emplace(key.data(), key.size());
  afterFrom_ = false;
  placed_ = false;
  memoryFailed_ = false;
}

}  // namespace ilion
