// Which records are written as values, not as what is merged (node/docs/storage-format.md, 6).
//
// A merge is never wrong, but reads have to go on to what is below it, down to the oldest file, and compactions have to
// merge it. A row that is written as a whole, later than all that there can be of its key, replaces that: as a value
// it ends reads, and compactions only drop what is under it.
//
// "All that there can be" has two bounds: the latest timestamp in the files of the family, which each file says of itself,
// and, since the store was opened, the latest that was written to any key of the same hash.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include <rocksdb/db.h>
#include <rocksdb/table_properties.h>

namespace ilion {

class Store;
struct Family;

// What there can be in a family at most.
struct FamilyBounds {
  // In its files, without those that were flushed since the store was opened. Until it is known: everything.
  int64_t filesLatest = INT64_MAX;
  uint64_t filesColumns = UINT64_MAX;
  uint64_t writtenColumns = 0;  // since the store was opened
  uint32_t adding = 0;          // calls that add files now
  uint64_t added = 0;           // calls that ever did
};

class Overwrites {
 public:
  Overwrites();
  ~Overwrites();
  Overwrites(const Overwrites&) = delete;

  // Writes a checked batch, in which merges have become values where that is the same. For the store's one writer.
  rocksdb::Status write(Store& store, const rocksdb::WriteOptions& options, std::string batch);

  // A family that is new here, with the files that it has.
  void added(Family& family);

 private:
  friend class AddingFiles;
  void beginAdding(Family& family);
  void endAdding(Family& family);
  void turn(Store& store, std::string* batch);

  // Held while a batch is looked through and written: what is found there must still be so when the batch is in.
  std::mutex mutex_;
  // By hash of family and key: the latest timestamp written, with the sign bit flipped, so that pages that nobody has
  // used are not resident.
  uint64_t* const latest_;
};

// While files are added to a family from outside, nothing of it is written as a value.
class AddingFiles {
 public:
  AddingFiles(Overwrites& overwrites, Family& family) : overwrites_(overwrites), family_(family) {
    overwrites_.beginAdding(family_);
  }
  ~AddingFiles() { overwrites_.endAdding(family_); }
  AddingFiles(const AddingFiles&) = delete;

 private:
  Overwrites& overwrites_;
  Family& family_;
};

// Has each file say what is the latest in it.
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> boundsCollectorFactory();

}  // namespace ilion
