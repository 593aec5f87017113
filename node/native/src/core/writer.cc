#include "writer.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>

#include <rocksdb/db.h>

#include "batch-check.h"
#include "scheduling.h"
#include "store.h"

namespace ilion {
namespace {

// A group is closed at this size: what follows waits less, and RocksDB's own copies stay small.
constexpr size_t kGroupBytesMax = 1 << 20;
constexpr std::chrono::milliseconds kRecoverEvery(500);
// Durability `group`: an fsync costs as much CPU as some ten writes, so while many writes come, they share one. A group
// of fewer writes than this is not waited for: then latency counts.
constexpr uint32_t kCrowd = 16;
constexpr std::chrono::microseconds kGather(2000);

}  // namespace

Writer::Writer(Store& store, const WriterOptions& options) : store_(store), options_(options) {
  thread_ = std::thread([this] { run(); });
  house_ = std::thread([this] { keepHouse(); });
}

Writer::~Writer() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  arrived_.notify_all();
  thread_.join();
  {
    std::lock_guard<std::mutex> lock(houseMutex_);
    houseClosing_ = true;
  }
  houseWake_.notify_all();
  house_.join();
}

bool Writer::submit(const Slice& batch, TicketSink* sink, double ticket) {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t queued = queued_.load(std::memory_order_relaxed);
  // A batch above the limit still goes through, alone.
  if (queued > 0 && queued + batch.size() > options_.queueBytesMax) return false;
  if (waiting_.empty() || waiting_.back().batch.size() > kGroupBytesMax) {
    waiting_.emplace_back();
    waiting_.back().batch.assign(kBatchHeaderBytes, '\0');
  }
  Group& group = waiting_.back();
  group.batch.append(batch.data() + kBatchHeaderBytes, batch.size() - kBatchHeaderBytes);
  group.count += loadU32Le(batch.data() + 8);
  group.tickets.push_back(Group::Ticket{sink, ticket});
  queued_.store(queued + batch.size(), std::memory_order_relaxed);
  if (queued == 0) arrived_.notify_one();
  return true;
}

void Writer::run() {
  pthread_setname_np(pthread_self(), "ilion-write");
  setUrgency(Urgency::prompt);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    arrived_.wait(lock, [this] { return !waiting_.empty() || closing_; });
    if (waiting_.empty()) return;
    // Submitters signal only an empty queue, so this sleeps on.
    if (crowded_) arrived_.wait_until(lock, lastStart_ + kGather, [this] { return closing_; });
    lastStart_ = std::chrono::steady_clock::now();
    std::deque<Group> taken = std::move(waiting_);
    waiting_.clear();
    // What was taken still counts as queued: it is memory that waits for the disk.
    size_t bytes = 0;
    uint32_t writes = 0;
    for (const Group& group : taken) {
      writes += group.count;
      bytes += group.batch.size() + (group.tickets.size() - 1) * kBatchHeaderBytes;
    }
    crowded_ = options_.group && writes >= kCrowd;
    lock.unlock();
    writeAll(&taken);
    lock.lock();
    queued_.fetch_sub(bytes, std::memory_order_relaxed);
    // Submitters only signal when nothing is queued, which the loop's own check makes good.
  }
}

void Writer::writeAll(std::deque<Group>* groups) {
  rocksdb::WriteOptions write;
  // A family may be dropped between submit, which checks that it is there, and now. Without this its records would fail
  // after they are in the log, which RocksDB takes for a broken database.
  write.ignore_missing_column_families = true;
  std::vector<Code> codes;
  for (Group& group : *groups) {
    storeU32Le(group.batch.data() + 8, group.count);
    // The last one's sync also covers those before it.
    write.sync = options_.group && &group == &groups->back();
    rocksdb::Status status = store_.overwrites().write(store_, write, std::move(group.batch));
    if (!status.ok() && !stuck_.exchange(true)) {
      Error error = errorOf(status);
      store_.publish(Event{Event::Kind::error, "", error.message, error.code});
      std::lock_guard<std::mutex> lock(houseMutex_);
      houseWake_.notify_one();
    }
    codes.push_back(codeOf(status));
    if (options_.group) continue;
    unsynced_.store(true, std::memory_order_relaxed);
    report(group, codes.back());
  }
  if (!options_.group) return;
  // Without the sync at the end none of them is durable.
  Code last = codes.back();
  for (size_t i = 0; i < groups->size(); i++) {
    report((*groups)[i], last != Code::ok ? last : codes[i]);
  }
}

void Writer::report(const Group& group, Code code) {
  for (size_t i = 0; i < group.tickets.size();) {
    TicketSink* sink = group.tickets[i].sink;
    numbers_.clear();
    for (; i < group.tickets.size() && group.tickets[i].sink == sink; i++) {
      numbers_.push_back(group.tickets[i].number);
    }
    sink->done(numbers_.data(), numbers_.size(), code);
  }
}

Error Writer::sync() {
  rocksdb::Status status = store_.db().SyncWAL();
  return errorOf(status);
}

// Syncs now and then (durability `periodic`), and tries to get going again after a failed write. Not the writer's own
// thread: an fsync of a second must not delay acknowledgements that do not wait for it.
void Writer::keepHouse() {
  pthread_setname_np(pthread_self(), "ilion-house");
  auto period = options_.group || options_.syncPeriodMs == 0
                    ? std::chrono::milliseconds(3600 * 1000)
                    : std::chrono::milliseconds(options_.syncPeriodMs);
  std::unique_lock<std::mutex> lock(houseMutex_);
  while (!houseClosing_) {
    auto wait = stuck_.load() ? std::min(period, kRecoverEvery) : period;
    houseWake_.wait_for(lock, wait);
    if (houseClosing_) break;
    lock.unlock();
    // First, as a sync of a log that could not be written fails again, which RocksDB takes for the end of the database.
    if (stuck_.load()) recover();
    if (!stuck_.load() && unsynced_.exchange(false)) {
      Error error = sync();
      if (error.failed()) {
        store_.publish(Event{Event::Kind::error, "", error.message, error.code});
        unsynced_.store(true);
      }
    }
    lock.lock();
  }
}

void Writer::recover() {
  if (store_.resume().ok()) stuck_.store(false);
}

}  // namespace ilion
