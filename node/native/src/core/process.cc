#include "process.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include <rocksdb/env.h>

#include "store.h"

namespace ilion {
namespace {

// Flushes have threads of their own: they must not wait behind compactions, or writes stall.
void sizeBackgroundThreads(int threads) {
  int flush = std::max(1, threads / 4);
  rocksdb::Env* env = rocksdb::Env::Default();
  env->SetBackgroundThreads(flush, rocksdb::Env::Priority::HIGH);
  env->SetBackgroundThreads(std::max(1, threads - flush), rocksdb::Env::Priority::LOW);
}

std::shared_ptr<rocksdb::Cache> newCache(size_t bytes) {
  rocksdb::HyperClockCacheOptions options(bytes, 0);
  return options.MakeSharedCache();
}

Error canonicalPath(const std::string& path, std::string* out) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return systemError("cannot open directory", path, errno);
  *out = real;
  free(real);
  return Error();
}

}  // namespace

Process& Process::start(const ProcessOptions& options) {
  static Process& process = *new Process(options);
  return process;
}

Process::Process(const ProcessOptions& o)
    : options(o),
      cache(newCache(o.cacheBytes)),
      memtables(std::make_shared<rocksdb::WriteBufferManager>(o.memtableBytes)),
      limiter(o.backgroundBytesPerSecond > 0
                  ? rocksdb::NewGenericRateLimiter(o.backgroundBytesPerSecond)
                  : nullptr),
      readers("ilion-read", std::max(1, o.readThreads)),
      longJobs("ilion-job", 4) {
  sizeBackgroundThreads(std::max(1, o.backgroundThreads));
}

Error Process::open(const std::string& path, const StoreOptions& storeOptions,
                    std::shared_ptr<Store>* out) {
  std::string real;
  Error error = canonicalPath(path, &real);
  if (error.failed()) return error;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      auto found = stores_.find(real);
      if (found == stores_.end()) break;
      if (found->second.store != nullptr) {
        found->second.users++;
        *out = found->second.store;
        return Error();
      }
      changed_.wait(lock);
    }
    stores_[real];
  }
  std::shared_ptr<Store> store;
  error = Store::open(*this, real, storeOptions, &store);
  std::lock_guard<std::mutex> lock(mutex_);
  if (error.failed()) {
    stores_.erase(real);
  } else {
    stores_[real] = Entry{store, 1};
    *out = store;
  }
  changed_.notify_all();
  return error;
}

void Process::release(const std::shared_ptr<Store>& store) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = stores_[store->path()];
    if (--entry.users > 0) return;
    entry.store = nullptr;
  }
  store->close();
  std::lock_guard<std::mutex> lock(mutex_);
  stores_.erase(store->path());
  changed_.notify_all();
}

size_t Process::tableReaderBytes() {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t bytes = 0;
  for (auto& [path, entry] : stores_) {
    if (entry.store != nullptr) bytes += entry.store->tableReaderBytes();
  }
  return bytes;
}

}  // namespace ilion
