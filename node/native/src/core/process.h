// What all stores of the process share, and the registry through which every worker finds the same instance.
//
// Everything here is leaked on purpose: RocksDB's and our own threads run until the process is gone, so no destructor of
// a global may run before.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <rocksdb/cache.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/write_buffer_manager.h>

#include "error.h"
#include "pool.h"

namespace ilion {

class Store;
struct StoreOptions;

struct ProcessOptions {
  size_t cacheBytes = 0;
  size_t memtableBytes = 0;
  int64_t backgroundBytesPerSecond = 0;  // 0: no limit
  int backgroundThreads = 1;
  int readThreads = 1;
};

class Process {
 public:
  // The first caller's options count.
  static Process& start(const ProcessOptions& options);

  const ProcessOptions options;
  const std::shared_ptr<rocksdb::Cache> cache;
  const std::shared_ptr<rocksdb::WriteBufferManager> memtables;
  const std::shared_ptr<rocksdb::RateLimiter> limiter;  // null: no limit
  Pool readers;
  Pool longJobs;

  // Opens the store of a directory, or joins the one that is open. Blocks; also while an earlier instance closes.
  Error open(const std::string& path, const StoreOptions& options, std::shared_ptr<Store>* out);
  // Gives one `open` back. The last one closes the instance, and returns when its directory is free. While the process
  // exits it does nothing: the log has everything.
  void release(const std::shared_ptr<Store>& store);
  // Of the stores that are open.
  size_t tableReaderBytes();

 private:
  explicit Process(const ProcessOptions& options);

  // Opening and closing are kept apart from the end of the process: they use statics of RocksDB that exit() destroys.
  bool enter();
  void leave();
  void exit();

  struct Entry {
    std::shared_ptr<Store> store;  // null while it opens or closes
    int users = 0;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> stores_;  // by canonical path
  int inside_ = 0;
  bool exiting_ = false;
};

}  // namespace ilion
