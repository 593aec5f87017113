#include "process.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include <rocksdb/convenience.h>
#include <rocksdb/env.h>

#include "store.h"

namespace ilion {
namespace {

Process* instance = nullptr;

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
  static std::once_flag once;
  std::call_once(once, [&] { instance = new Process(options); });
  return *instance;
}

Process::Process(const ProcessOptions& o)
    : options(o),
      cache(newCache(o.cacheBytes)),
      memtables(std::make_shared<rocksdb::WriteBufferManager>(o.memtableBytes)),
      limiter(o.backgroundBytesPerSecond > 0
                  ? rocksdb::NewGenericRateLimiter(o.backgroundBytesPerSecond)
                  : nullptr),
      readers("ilion-read", std::max(1, o.readThreads), Urgency::prompt),
      longJobs("ilion-job", 4, Urgency::ordinary) {
  sizeBackgroundThreads(std::max(1, o.backgroundThreads));
}

bool Process::enter() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!exiting_) inside_++;
  return !exiting_;
}

void Process::leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  inside_--;
  changed_.notify_all();
}

// Background work is told to stop, as exit() joins RocksDB's threads.
void Process::exit() {
  std::unique_lock<std::mutex> lock(mutex_);
  exiting_ = true;
  changed_.wait(lock, [this] { return inside_ == 0; });
  for (auto& [path, entry] : stores_) {
    if (entry.store != nullptr) rocksdb::CancelAllBackgroundWork(&entry.store->db(), false);
  }
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
  if (!enter()) return Error{Code::aborted, "the process is exiting"};
  std::shared_ptr<Store> store;
  error = Store::open(*this, real, storeOptions, &store);
  // After RocksDB has made its statics, so that it runs before they are destroyed.
  atexit([] { instance->exit(); });
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (error.failed()) {
      stores_.erase(real);
    } else {
      stores_[real] = Entry{store, 1};
      *out = store;
    }
  }
  leave();
  return error;
}

void Process::release(const std::shared_ptr<Store>& store) {
  if (!enter()) return;
  bool last = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = stores_[store->path()];
    last = --entry.users == 0;
    if (last) entry.store = nullptr;
  }
  if (last) {
    store->close();
    std::lock_guard<std::mutex> lock(mutex_);
    stores_.erase(store->path());
  }
  leave();
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
