#include "overwrites.h"

#include <algorithm>
#include <new>

#include <rocksdb/write_batch.h>

#include "batch-check.h"
#include "bytes.h"
#include "record.h"
#include "store.h"

namespace ilion {
namespace {

constexpr size_t kBuckets = 1 << 16;  // 512 KiB
constexpr uint64_t kSign = 1ull << 63;

// A property of each file: version 1, i64 latest timestamp, u64 one more than the greatest column id.
const char* const kBoundsProperty = "ilion.bounds";
constexpr char kBoundsVersion = 1;
constexpr size_t kBoundsBytes = 17;

struct Bounds {
  int64_t latest = INT64_MIN;
  uint64_t columns = 0;

  void add(const Bounds& other) {
    latest = std::max(latest, other.latest);
    columns = std::max(columns, other.columns);
  }
};

constexpr Bounds kUnknown{INT64_MAX, UINT64_MAX};

Bounds boundsOf(const rocksdb::TableProperties& file) {
  auto found = file.user_collected_properties.find(kBoundsProperty);
  if (found == file.user_collected_properties.end()) return kUnknown;
  const std::string& bytes = found->second;
  if (bytes.size() != kBoundsBytes || bytes[0] != kBoundsVersion) return kUnknown;
  return Bounds{static_cast<int64_t>(loadU64(bytes.data() + 1)), loadU64(bytes.data() + 9)};
}

Bounds boundsOfFiles(const Family& family) {
  rocksdb::TablePropertiesCollection files;
  if (!family.db->GetPropertiesOfAllTables(family.handle, &files).ok()) return kUnknown;
  Bounds all;
  for (const auto& [name, properties] : files) all.add(boundsOf(*properties));
  return all;
}

uint64_t hashOf(uint32_t family, const Slice& key) {
  uint64_t hash = (family + 1) * 0x9e3779b97f4a7c15ull;
  const char* p = key.data();
  const char* end = p + key.size();
  for (; end - p >= 8; p += 8) {
    hash = (hash ^ loadU64(p)) * 0xff51afd7ed558ccdull;
    hash ^= hash >> 32;
  }
  for (; p < end; p++) hash = (hash ^ static_cast<uint8_t>(*p)) * 0xff51afd7ed558ccdull;
  return hash ^ hash >> 29;
}

class BoundsCollector : public rocksdb::TablePropertiesCollector {
 public:
  const char* Name() const override { return "ilion.BoundsCollector.1"; }

  rocksdb::Status AddUserKey(const Slice&, const Slice& value, rocksdb::EntryType type,
                             rocksdb::SequenceNumber, uint64_t) override {
    if (type != rocksdb::kEntryPut && type != rocksdb::kEntryMerge) return rocksdb::Status::OK();
    RecordOutline outline;
    bool known = outlineRecord(value, nullptr, &outline);
    bounds_.add(known ? Bounds{outline.latest, outline.columns} : kUnknown);
    return rocksdb::Status::OK();
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* out) override {
    std::string bytes(1, kBoundsVersion);
    putI64(&bytes, bounds_.latest);
    putI64(&bytes, static_cast<int64_t>(bounds_.columns));
    (*out)[kBoundsProperty] = bytes;
    return rocksdb::Status::OK();
  }

  rocksdb::UserCollectedProperties GetReadableProperties() const override {
    return {{kBoundsProperty, std::to_string(bounds_.latest)}};
  }

 private:
  Bounds bounds_;
};

class BoundsCollectorFactory : public rocksdb::TablePropertiesCollectorFactory {
 public:
  const char* Name() const override { return "ilion.BoundsCollectorFactory.1"; }

  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(
      rocksdb::TablePropertiesCollectorFactory::Context) override {
    return new BoundsCollector();
  }
};

}  // namespace

Overwrites::Overwrites() : latest_(static_cast<uint64_t*>(calloc(kBuckets, sizeof(uint64_t)))) {
  if (latest_ == nullptr) throw std::bad_alloc();
}

Overwrites::~Overwrites() { free(latest_); }

rocksdb::Status Overwrites::write(Store& store, const rocksdb::WriteOptions& options,
                                  std::string batch) {
  std::lock_guard<std::mutex> lock(mutex_);
  turn(store, &batch);
  rocksdb::WriteBatch turned(std::move(batch));
  return store.db().Write(options, &turned);
}

void Overwrites::turn(Store& store, std::string* batch) {
  std::shared_ptr<const FamilyTable> families = store.families();
  Slice bytes(batch->data() + kBatchHeaderBytes, batch->size() - kBatchHeaderBytes);
  ByteReader in(bytes);
  Family* family = nullptr;
  uint32_t familyId = UINT32_MAX;
  FamilyPolicy policy;
  while (in.ok && !in.done()) {
    size_t tagAt = kBatchHeaderBytes + static_cast<size_t>(in.at() - bytes.data());
    uint8_t tag = in.u8();
    bool named = tag >= kFamilyDeletion && tag <= kFamilyRangeDeletion;
    uint32_t id = named ? in.varint() : 0;
    Slice key = in.chunk();
    if (tag == kDeletion || tag == kFamilyDeletion) continue;
    Slice value = in.chunk();
    if (tag != kFamilyMerge && tag != kFamilyValue) continue;
    if (id != familyId) {
      familyId = id;
      family = families->find(id);
      // What is not described has values of any kind.
      if (family != nullptr && !family->state->described()) family = nullptr;
      if (family != nullptr) policy = family->state->policy();
    }
    if (family == nullptr) continue;
    RecordOutline outline;
    FamilyBounds& bounds = family->bounds;
    if (!outlineRecord(value, policy.rowColumns.get(), &outline)) {
      // A plain value that is no record: nothing is known of its key any more, nor of columns.
      outline = RecordOutline{INT64_MAX, UINT64_MAX, false};
    }
    uint64_t& bucket = latest_[hashOf(id, key) % kBuckets];
    uint64_t latest = static_cast<uint64_t>(outline.latest) ^ kSign;
    bounds.writtenColumns = std::max(bounds.writtenColumns, outline.columns);
    // A column that the policy does not know: this record, or one below it, is of a newer schema.
    bool columnsKnown =
        std::max(bounds.filesColumns, bounds.writtenColumns) <= policy.columnsKnown;
    if (outline.whole && columnsKnown && latest > bucket && outline.latest > bounds.filesLatest) {
      (*batch)[tagAt] = static_cast<char>(kFamilyValue);
    }
    bucket = std::max(bucket, latest);
  }
}

void Overwrites::added(Family& family) {
  Bounds files = boundsOfFiles(family);
  // What a log gave back is flushed when a store is opened; if not, nobody has looked at it.
  uint64_t inMemory = 0;
  bool told = family.db->GetIntProperty(
      family.handle, rocksdb::DB::Properties::kNumEntriesActiveMemTable, &inMemory);
  if (!told || inMemory > 0) files = kUnknown;
  std::lock_guard<std::mutex> lock(mutex_);
  family.bounds.filesLatest = files.latest;
  family.bounds.filesColumns = files.columns;
}

void Overwrites::beginAdding(Family& family) {
  std::lock_guard<std::mutex> lock(mutex_);
  family.bounds.adding++;
  family.bounds.added++;
  family.bounds.filesLatest = INT64_MAX;
}

void Overwrites::endAdding(Family& family) {
  uint64_t added = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--family.bounds.adding > 0) return;
    added = family.bounds.added;
  }
  Bounds files = boundsOfFiles(family);
  std::lock_guard<std::mutex> lock(mutex_);
  // Another call has begun since: it will look again.
  if (family.bounds.added != added) return;
  family.bounds.filesLatest = files.latest;
  family.bounds.filesColumns = files.columns;
}

std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> boundsCollectorFactory() {
  static const auto factory = std::make_shared<BoundsCollectorFactory>();
  return factory;
}

}  // namespace ilion
