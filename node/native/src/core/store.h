// One RocksDB instance (a shard): its families, its writer, what it tells. Used from any thread.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/statistics.h>

#include "batch-check.h"
#include "compaction.h"
#include "error.h"
#include "overwrites.h"
#include "policy.h"
#include "writer.h"

namespace ilion {

class Process;

struct FamilyOptions {
  bool described = false;  // false: found on disk, nobody said what it is
  FamilyPolicy policy;
  uint32_t gridBits = 0;
  std::string options;
};

struct StoreOptions {
  bool groupDurability = true;
  uint32_t syncPeriodMs = 0;
  size_t queueBytesMax = 0;
  std::string options;
  std::map<std::string, FamilyOptions> families;
};

// A column family; lives until the last user of a table that held it is gone, also after it was dropped.
struct Family {
  std::string name;
  std::shared_ptr<FamilyState> state;
  std::shared_ptr<rocksdb::DB> db;
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  FamilyBounds bounds;  // Overwrites' own
  ~Family();
};

// The families at one moment, by number.
class FamilyTable : public FamilySet {
 public:
  bool has(uint32_t id) const override { return find(id) != nullptr; }
  Family* find(uint32_t id) const { return id < byId.size() ? byId[id].get() : nullptr; }

  std::vector<std::shared_ptr<Family>> byId;  // null: no such family
};

struct Event {
  enum class Kind : uint8_t { flush, compaction, stall, error, ingest, fileDeleted };
  Kind kind;
  std::string family;
  std::string name;   // ingest, fileDeleted: the file; stall: the state; error: the message
  Code code = Code::ok;
  double bytes = 0;
  double micros = 0;
};

class EventSink {
 public:
  virtual void event(const Event& event) = 0;

 protected:
  ~EventSink() = default;
};

class StoreListener;

class Store {
 public:
  static Error open(Process& process, const std::string& path, const StoreOptions& options,
                    std::shared_ptr<Store>* out);
  ~Store();

  const std::string& path() const { return path_; }
  rocksdb::DB& db() { return *db_; }
  Writer& writer() { return *writer_; }
  Overwrites& overwrites() { return overwrites_; }
  std::shared_ptr<const FamilyTable> families() const;
  std::shared_ptr<Family> family(uint32_t id) const;

  // All or, after an error, the first of them. RocksDB writes and reads back the options of all families each time.
  Error createFamilies(const std::vector<std::pair<std::string, FamilyOptions>>& wanted,
                       std::vector<uint32_t>* ids);
  Error importFamily(const std::string& name, const FamilyOptions& options,
                     const std::string& directory, const std::string& metadata,
                     const std::vector<std::string>& names, bool move, uint32_t* id);
  Error exportFamily(uint32_t id, const std::string& directory, std::string* metadata,
                     std::vector<rocksdb::LiveFileMetaData>* files);
  Error dropFamily(const std::string& name);

  const rocksdb::Snapshot* takeSnapshot();
  const std::map<std::string, double> statistics() const;
  size_t tableReaderBytes();
  // Tries to write again after an error that may have passed, such as a full disk.
  rocksdb::Status resume() { return db_->Resume(); }

  void attach(EventSink* sink);
  // When it returns, `sink` is not called any more.
  void detach(EventSink* sink);
  void publish(const Event& event);

  // Ends the writer, then the instance. Nothing may use the store any more but its destructor.
  void close();

 private:
  Store(Process& process, std::string path, const StoreOptions& options);
  Error openDatabase(const StoreOptions& options);
  void addFamily(rocksdb::ColumnFamilyHandle* handle, std::shared_ptr<FamilyState> state);

  Process& process_;
  const std::string path_;
  std::shared_ptr<rocksdb::DB> db_;
  std::shared_ptr<rocksdb::Statistics> statistics_;
  std::shared_ptr<StoreListener> listener_;
  std::shared_ptr<SnapshotCounter> snapshotsTaken_ = std::make_shared<SnapshotCounter>(0);
  Overwrites overwrites_;
  std::unique_ptr<Writer> writer_;

  mutable std::mutex familiesMutex_;
  std::shared_ptr<const FamilyTable> families_ = std::make_shared<FamilyTable>();
  std::mutex alterMutex_;  // one family is made or dropped at a time

  std::mutex sinksMutex_;
  std::vector<EventSink*> sinks_;
};

}  // namespace ilion
