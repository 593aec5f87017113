#include "compaction.h"

#include <time.h>

#include <algorithm>

#include <rocksdb/db.h>

namespace ilion {
namespace {

// What the listener knew when the compaction of this thread began.
struct Beginning {
  rocksdb::DB* db = nullptr;
  uint32_t familyId = 0;
  std::string familyName;
  std::vector<uint64_t> inputs;
  int outputLevel = 0;
  bool snapshots = true;
  uint64_t snapshotsTaken = 0;
  std::shared_ptr<SnapshotCounter> counter;
};

thread_local std::unique_ptr<Beginning> beginning;
thread_local CompactionScope* currentScope = nullptr;

bool hasSnapshots(rocksdb::DB* db) {
  uint64_t count = 0;
  return !db->GetIntProperty(rocksdb::DB::Properties::kNumSnapshots, &count) || count > 0;
}

}  // namespace

void rememberCompaction(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job,
                        std::shared_ptr<SnapshotCounter> snapshotsTaken) {
  auto begun = std::make_unique<Beginning>();
  begun->db = db;
  begun->familyId = job.cf_id;
  begun->familyName = job.cf_name;
  for (const auto& file : job.input_file_infos) begun->inputs.push_back(file.file_number);
  begun->outputLevel = job.output_level;
  begun->snapshotsTaken = snapshotsTaken->load();
  begun->snapshots = hasSnapshots(db);
  begun->counter = std::move(snapshotsTaken);
  beginning = std::move(begun);
}

void forgetCompaction() { beginning.reset(); }

void OutsideFiles::load(rocksdb::DB* db, const std::string& family,
                        const std::vector<uint64_t>& inputs, int levelMin) {
  std::vector<rocksdb::LiveFileMetaData> live;
  db->GetLiveFilesMetaData(&live);
  for (const auto& file : live) {
    if (file.column_family_name != family || file.level < levelMin) continue;
    if (std::find(inputs.begin(), inputs.end(), file.file_number) != inputs.end()) continue;
    files_.push_back(File{file.smallestkey, file.largestkey, 0});
  }
  std::sort(files_.begin(), files_.end(),
            [](const File& a, const File& b) { return a.smallest < b.smallest; });
  for (size_t i = 0; i < files_.size(); i++) {
    size_t before = i == 0 ? 0 : files_[i - 1].furthest;
    files_[i].furthest = files_[before].largest > files_[i].largest ? before : i;
  }
}

bool OutsideFiles::overlaps(const Slice& lower, const Slice& upper) const {
  auto beyond = std::partition_point(files_.begin(), files_.end(), [&](const File& file) {
    return Slice(file.smallest).compare(upper) <= 0;
  });
  if (beyond == files_.begin()) return false;
  const File& furthest = files_[(beyond - 1)->furthest];
  return Slice(furthest.largest).compare(lower) >= 0;
}

CompactionScope::CompactionScope(std::shared_ptr<FamilyState> family, uint32_t familyId)
    : family_(std::move(family)),
      described_(family_->described()),
      policy_(family_->policy()),
      now_(static_cast<uint32_t>(time(nullptr))),
      outer_(currentScope) {
  currentScope = this;
  if (beginning == nullptr || beginning->familyId != familyId) return;
  db_ = beginning->db;
  familyName_ = beginning->familyName;
  inputs_ = beginning->inputs;
  outputLevel_ = beginning->outputLevel;
  // The compaction's list of snapshots was made between its beginning and now.
  alone_ = !beginning->snapshots && !hasSnapshots(db_) &&
           beginning->counter->load() == beginning->snapshotsTaken;
}

CompactionScope::~CompactionScope() { currentScope = outer_; }

CompactionScope* CompactionScope::current(const FamilyState* family) {
  CompactionScope* scope = currentScope;
  return scope != nullptr && scope->family_.get() == family ? scope : nullptr;
}

CompactionScope::Outcome CompactionScope::filter(const Slice& key, const Slice& value, bool plain,
                                                 std::string* changed) {
  if (!described_) return Outcome::keep;
  size_t prefixLength = partitionPrefixLength(key, policy_.fixedPartitionKeyBytes);
  record_.clear();
  // What cannot be read is never dropped: readers and merges report it.
  if (prefixLength == 0 || !parseRecord(value, &record_)) return Outcome::keep;
  Slice prefix(key.data(), prefixLength);
  bool isPartition = policy_.clustering && key.size() == prefixLength;
  bool touched = false;
  if (policy_.clustering && alone_) {
    if (Slice(partition_) != prefix) enterPartition(prefix);
    if (isPartition) {
      learnTombstones(record_);
    } else {
      touched = dropCovered(coverOf(Slice(key.data() + prefixLength, key.size() - prefixLength)));
    }
  }
  bool nothingOlder = plain && mayPurge() && isOldest(key);
  touched |= expire(nothingOlder);
  if (nothingOlder && (!isPartition || mayPurgePartition(prefix))) touched |= purge();
  if (record_.empty()) return Outcome::remove;
  if (!touched) return Outcome::keep;
  changed->clear();
  encodeRecord(record_, changed);
  return Outcome::change;
}

void CompactionScope::filterMerged(const Slice& key, std::string* value) {
  std::string changed;
  switch (filter(key, *value, true, &changed)) {
    case Outcome::keep:
      return;
    case Outcome::change:
      *value = std::move(changed);
      return;
    case Outcome::remove:
      value->clear();
      encodeRecord(record_, value);
  }
}

void CompactionScope::enterPartition(const Slice& prefix) {
  partition_.assign(prefix.data(), prefix.size());
  partitionDeletion_ = Deletion();
  covers_.clear();
}

void CompactionScope::learnTombstones(const Record& record) {
  if (record.deletion.supersedes(partitionDeletion_)) partitionDeletion_ = record.deletion;
  for (const Range& range : record.ranges) {
    covers_.push_back(Cover{range.start.ToString(), range.end.ToString(), range.timestamp});
  }
}

int64_t CompactionScope::coverOf(const Slice& clustering) const {
  int64_t cover = partitionDeletion_.present ? partitionDeletion_.timestamp : INT64_MIN;
  for (const Cover& c : covers_) {
    if (c.timestamp > cover && clustering.compare(c.start) >= 0 && clustering.compare(c.end) < 0) {
      cover = c.timestamp;
    }
  }
  return cover;
}

// Rule 2. A timestamp of INT64_MIN covers nothing that anyone writes.
bool CompactionScope::dropCovered(int64_t cover) {
  if (cover == INT64_MIN) return false;
  bool touched = std::erase_if(record_.cells,
                               [&](const Cell& cell) { return cell.timestamp <= cover; }) > 0;
  if (record_.liveness.present && record_.liveness.timestamp <= cover) {
    record_.liveness = Liveness();
    touched = true;
  }
  if (record_.deletion.present && record_.deletion.timestamp <= cover) {
    record_.deletion = Deletion();
    touched = true;
  }
  return touched;
}

// Seconds at which what expires was written; Cassandra counts gc_grace from there.
static uint32_t writtenAt(uint32_t expiry, uint32_t ttl) { return expiry > ttl ? expiry - ttl : 0; }

// Rule 1.
bool CompactionScope::expire(bool nothingOlder) {
  bool touched = false;
  for (Cell& cell : record_.cells) {
    if (cell.kind != CellKind::expiring || cell.localSeconds > now_) continue;
    cell.kind = CellKind::tombstone;
    cell.localSeconds = writtenAt(cell.localSeconds, cell.ttl);
    cell.ttl = 0;
    cell.value = Slice();
    touched = true;
  }
  Liveness& liveness = record_.liveness;
  if (nothingOlder && liveness.present && liveness.ttl > 0 && liveness.expiry <= now_) {
    uint64_t written = writtenAt(liveness.expiry, liveness.ttl);
    if (written + policy_.gcGraceSeconds < now_) {
      liveness = Liveness();
      touched = true;
    }
  }
  return touched;
}

// Is there anything in the record that rules 1 and 3 take from it where nothing older is left?
bool CompactionScope::mayPurge() const {
  return record_.deletion.present || !record_.ranges.empty() || record_.liveness.ttl > 0 ||
         std::any_of(record_.cells.begin(), record_.cells.end(),
                     [](const Cell& cell) { return cell.kind != CellKind::live; });
}

// A value hides what is older (node/docs/storage-format.md, 6), but only here: where its file goes to another node in
// parts, they are merged.
bool CompactionScope::isOldest(const Slice& key) {
  if (db_ == nullptr) return false;
  if (!olderLoaded_) {
    // Without what it compacts, its own level has other keys; level 0 has any.
    older_.load(db_, familyName_, inputs_, outputLevel_ == 0 ? 0 : outputLevel_ + 1);
    olderLoaded_ = true;
  }
  return !older_.overlaps(key, key);
}

// Rule 3, for a record where it is allowed.
bool CompactionScope::purge() {
  auto old = [&](uint32_t localSeconds) {
    return static_cast<uint64_t>(localSeconds) + policy_.gcGraceSeconds < now_;
  };
  size_t dropped = std::erase_if(record_.cells, [&](const Cell& cell) {
    bool dead = cell.kind == CellKind::tombstone || cell.kind == CellKind::complexDeletion;
    return dead && old(cell.localSeconds);
  });
  dropped += std::erase_if(record_.ranges, [&](const Range& r) { return old(r.localSeconds); });
  if (record_.deletion.present && old(record_.deletion.localSeconds)) {
    record_.deletion = Deletion();
    dropped++;
  }
  return dropped > 0;
}

bool CompactionScope::mayPurgePartition(const Slice& prefix) {
  if (!alone_) return false;
  if (!outsideLoaded_) {
    outside_.load(db_, familyName_, inputs_, 0);
    outsideLoaded_ = true;
  }
  // 0xFF never begins a clustering component.
  return !outside_.overlaps(prefix, prefix.ToString() + '\xff');
}

namespace {

class RecordFilter : public rocksdb::CompactionFilter {
 public:
  RecordFilter(std::shared_ptr<FamilyState> family, uint32_t familyId)
      : scope_(std::move(family), familyId) {}

  const char* Name() const override { return "ilion.RecordFilter.1"; }

  Decision FilterV2(int, const Slice& key, ValueType type, const Slice& value,
                    std::string* changed, std::string*) const override {
    if (type != ValueType::kValue && type != ValueType::kMergeOperand) return Decision::kKeep;
    switch (scope_.filter(key, value, type == ValueType::kValue, changed)) {
      case CompactionScope::Outcome::remove:
        return Decision::kRemove;
      case CompactionScope::Outcome::change:
        return Decision::kChangeValue;
      default:
        return Decision::kKeep;
    }
  }

 private:
  mutable CompactionScope scope_;  // RocksDB calls a filter from one thread
};

class RecordFilterFactory : public rocksdb::CompactionFilterFactory {
 public:
  explicit RecordFilterFactory(std::shared_ptr<FamilyState> family) : family_(std::move(family)) {}

  const char* Name() const override { return "ilion.RecordFilterFactory.1"; }

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override {
    return std::make_unique<RecordFilter>(family_, context.column_family_id);
  }

 private:
  std::shared_ptr<FamilyState> family_;
};

}  // namespace

std::shared_ptr<rocksdb::CompactionFilterFactory> newRecordFilterFactory(
    std::shared_ptr<FamilyState> family) {
  return std::make_shared<RecordFilterFactory>(std::move(family));
}

}  // namespace ilion
