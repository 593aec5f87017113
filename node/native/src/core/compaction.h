// The compaction filter: TTLs end, what a partition's tombstones cover goes, old tombstones are purged where nothing
// older can be left (node/docs/storage-format.md, 5).
//
// RocksDB shows its filter every plain value that is the newest of its key, and every merge operand, but not the result
// of merging operands with a plain value. A row that a partition tombstone covers could hide there while the tombstone
// is purged, so the merge operator hands such results to the filter of the compaction that runs on its thread.
//
// With snapshots alive RocksDB also keeps older versions of a key without showing them, and keeps operands whatever the
// filter says: then nothing is dropped or purged on account of another key.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/compaction_filter.h>
#include <rocksdb/listener.h>

#include "policy.h"
#include "record.h"

namespace ilion {

// Snapshots that a store has ever given out.
using SnapshotCounter = std::atomic<uint64_t>;

// Called by the store's event listener, on the thread that will run the compaction.
void rememberCompaction(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job,
                        std::shared_ptr<SnapshotCounter> snapshotsTaken);
void forgetCompaction();

// Where the key ranges of the files outside a compaction are looked up.
class OutsideFiles {
 public:
  // Those of a level from `levelMin` on.
  void load(rocksdb::DB* db, const std::string& family, const std::vector<uint64_t>& inputs,
            int levelMin);
  // Does any file hold keys in [lower, upper]?
  bool overlaps(const Slice& lower, const Slice& upper) const;

 private:
  struct File {
    std::string smallest;
    std::string largest;
    size_t furthest;  // index of the file with the greatest largest key among this and those before it
  };
  std::vector<File> files_;
};

// One running compaction of one family; lives on the compaction's thread.
class CompactionScope {
 public:
  CompactionScope(std::shared_ptr<FamilyState> family, uint32_t familyId);
  ~CompactionScope();
  CompactionScope(const CompactionScope&) = delete;

  // The scope of the compaction that runs on this thread, if it is of this family.
  static CompactionScope* current(const FamilyState* family);

  enum class Outcome { keep, change, remove };

  // `plain`: the stored value is not a merge operand.
  Outcome filter(const Slice& key, const Slice& value, bool plain, std::string* changed);

  // For the result of a merge, which will be a plain value; it cannot be removed here, only emptied.
  void filterMerged(const Slice& key, std::string* value);

 private:
  void enterPartition(const Slice& prefix);
  void learnTombstones(const Record& record);
  int64_t coverOf(const Slice& clustering) const;
  bool dropCovered(int64_t cover);
  bool expire(bool nothingOlder);
  bool mayPurge() const;
  bool isOldest(const Slice& key);
  bool purge();
  bool mayPurgePartition(const Slice& prefix);

  std::shared_ptr<FamilyState> family_;
  const bool described_;
  const FamilyPolicy policy_;
  const uint32_t now_;
  CompactionScope* const outer_;

  rocksdb::DB* db_ = nullptr;
  std::string familyName_;
  std::vector<uint64_t> inputs_;
  int outputLevel_ = 0;
  bool alone_ = false;  // no snapshot, one thread: this scope sees every version of every key
  bool outsideLoaded_ = false;
  OutsideFiles outside_;
  bool olderLoaded_ = false;
  OutsideFiles older_;  // may have an older version of a key

  // The tombstones seen of the partition that is being passed.
  struct Cover {
    std::string start;
    std::string end;
    int64_t timestamp;
  };
  std::string partition_;
  Deletion partitionDeletion_;
  std::vector<Cover> covers_;

  Record record_;  // scratch
};

std::shared_ptr<rocksdb::CompactionFilterFactory> newRecordFilterFactory(
    std::shared_ptr<FamilyState> family);

}  // namespace ilion
