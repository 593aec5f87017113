#include "reader.h"

#include <algorithm>
#include <vector>

#include "cursor.h"
#include "memory-only.h"

namespace ilion {
namespace {

// RocksDB's MultiGet costs two thirds of as many single Gets, also when everything is in the cache (measured with
// bench.ts); from this number of keys on.
constexpr uint32_t kMultiGetMin = 2;
// Blocks of the answers stay pinned until a part is done.
constexpr uint32_t kPartMax = 128;

struct Part {
  std::vector<Slice> keys;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<rocksdb::Status> statuses;

  void resize(size_t count) {
    keys.resize(count);
    families.resize(count);
    if (values.size() < count) values.resize(count);
    if (statuses.size() < count) statuses.resize(count);
  }
};

// With kBlockCacheTier, RocksDB 11.8.1's MultiGet answers OK with a wrong value for a key whose merge operands go on in a
// block that the cache does not hold. (BlockBasedTable::MultiGet calls MarkKeyMayExist there and leaves the status as it
// is; it also reads the first block from the disk.) So it always gets the tier that reads everything: within MemoryOnly
// a missing block is then an ordinary failed read, with the status of its key.
void get(rocksdb::DB& db, rocksdb::ReadOptions read, Part* part) {
  size_t count = part->keys.size();
  if (count >= kMultiGetMin) {
    read.read_tier = rocksdb::kReadAllTier;
    db.MultiGet(read, count, part->families.data(), part->keys.data(), part->values.data(),
                part->statuses.data(), false);
    return;
  }
  for (size_t i = 0; i < count; i++) {
    part->statuses[i] = db.Get(read, part->families[i], part->keys[i], &part->values[i]);
  }
}

// The length of an answer as multiGet gives it; `error` is set for a failed one.
int32_t answerOf(const rocksdb::Status& status, const Slice& value, Error* error) {
  if (status.ok()) return static_cast<int32_t>(value.size());
  if (status.IsNotFound()) return kAbsent;
  if (needsDisk(status)) return kNeedsDisk;
  *error = errorOf(status);
  return kAbsent;
}

// Calls `take(index, length or code, value)` for each request.
template <typename Take>
void forEachRequest(Store& store, const FamilyTable& families, rocksdb::ReadTier tier,
                    const char* requests, uint32_t count, Error* error, Take take) {
  static thread_local Part part;
  rocksdb::ReadOptions read;
  read.read_tier = tier;
  const char* p = requests;
  for (uint32_t first = 0; first < count && !error->failed(); first += kPartMax) {
    uint32_t size = std::min(kPartMax, count - first);
    part.resize(size);
    for (uint32_t i = 0; i < size; i++) {
      const Family* family = families.find(loadU32Le(p));
      if (family == nullptr) {
        *error = Error{Code::badArgument, "unknown column family"};
        return;
      }
      part.families[i] = family->handle;
      part.keys[i] = Slice(p + 8, loadU32Le(p + 4));
      p += 8 + part.keys[i].size();
    }
    get(store.db(), read, &part);
    for (uint32_t i = 0; i < size; i++) {
      int32_t length = answerOf(part.statuses[i], part.values[i], error);
      take(first + i, length, length > 0 ? Slice(part.values[i]) : Slice());
      part.values[i].Reset();
    }
  }
}

}  // namespace

size_t requestsLength(const Slice& bytes, uint32_t count) {
  size_t at = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (bytes.size() - at < 8) return 0;
    uint32_t length = loadU32Le(bytes.data() + at + 4);
    at += 8;
    if (bytes.size() - at < length) return 0;
    at += length;
  }
  return at;
}

int64_t readFromMemory(Store& store, const FamilyTable& families, const char* requests,
                       uint32_t count, char* out, size_t size, Error* error) {
  size_t used = 4ull * count;
  const bool fits = used <= size;
  MemoryOnly guard;
  forEachRequest(store, families, rocksdb::kBlockCacheTier, requests, count, error,
                 [&](uint32_t i, int32_t length, const Slice& value) {
                   if (fits) storeU32Le(out + 4ull * i, static_cast<uint32_t>(length));
                   if (used + value.size() <= size) {
                     memcpy(out + used, value.data(), value.size());
                   }
                   used += value.size();
                 });
  return used <= size ? static_cast<int64_t>(used) : -static_cast<int64_t>(used);
}

void readAll(Store& store, const FamilyTable& families, const char* requests, uint32_t count,
             std::string* out, Error* error) {
  out->assign(4ull * count, '\0');
  forEachRequest(store, families, rocksdb::kReadAllTier, requests, count, error,
                 [&](uint32_t i, int32_t length, const Slice& value) {
                   storeU32Le(out->data() + 4ull * i, static_cast<uint32_t>(length));
                   out->append(value.data(), value.size());
                 });
}

}  // namespace ilion
