#include "reader.h"

#include "cursor.h"

namespace ilion {
namespace {

// A loop of single Gets: for rows in the cache it costs no more than RocksDB's MultiGet, which sorts and batches for the
// sake of the disk (measured in bench.ts), and each value is copied while it is still in the CPU's cache.
template <typename Take>
bool forEachRequest(Store& store, const FamilyTable& families, rocksdb::ReadTier tier,
                    const char* requests, uint32_t count, Error* error, Take take) {
  rocksdb::ReadOptions read;
  read.read_tier = tier;
  rocksdb::PinnableSlice value;
  const char* p = requests;
  for (uint32_t i = 0; i < count; i++) {
    const Family* family = families.find(loadU32Le(p));
    Slice key(p + 8, loadU32Le(p + 4));
    p += 8 + key.size();
    if (family == nullptr) {
      *error = Error{Code::badArgument, "unknown column family"};
      return false;
    }
    value.Reset();
    rocksdb::Status status = store.db().Get(read, family->handle, key, &value);
    if (status.ok()) {
      take(i, static_cast<int32_t>(value.size()), value);
    } else if (status.IsNotFound()) {
      take(i, kAbsent, Slice());
    } else if (status.IsIncomplete()) {
      take(i, kNeedsDisk, Slice());
    } else {
      *error = errorOf(status);
      return false;
    }
  }
  return true;
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
