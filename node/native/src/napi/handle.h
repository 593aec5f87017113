// One worker's handle on a store, with the iterators and snapshots made through it.
//
// `uses_` counts what is under way (jobs, tickets) plus one until `close`. Whoever brings it to zero sends the handle to
// its end, on a thread: iterators and snapshots go, then this handle's share of the store.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <set>

#include "../core/cursor.h"
#include "../core/store.h"
#include "worker.h"

namespace ilion {

class StoreHandle;

class SnapshotHandle {
 public:
  SnapshotHandle(std::shared_ptr<StoreHandle> handle, const rocksdb::Snapshot* snapshot);
  ~SnapshotHandle();
  const rocksdb::Snapshot* get() const { return snapshot_; }
  StoreHandle& handle() { return *handle_; }

 private:
  friend class StoreHandle;
  void dropLocked();
  const std::shared_ptr<StoreHandle> handle_;
  const rocksdb::Snapshot* snapshot_;  // null once released
};

class CursorHandle {
 public:
  CursorHandle(std::shared_ptr<StoreHandle> handle, std::shared_ptr<Family> family,
               CursorOptions options, std::shared_ptr<SnapshotHandle> snapshot);
  ~CursorHandle();

  StoreHandle& handle() { return *handle_; }
  const std::shared_ptr<StoreHandle>& sharedHandle() { return handle_; }
  Cursor& cursor() { return *cursor_; }
  // A busy cursor is closed when its job has settled.
  void close();
  void settle();

  // These, as all calls here, are the loop's.
  const bool cacheOnly;
  bool busy = false;  // nextAsync is under way
  bool closed = false;

 private:
  friend class StoreHandle;
  void dropLocked();
  const std::shared_ptr<StoreHandle> handle_;
  std::unique_ptr<Cursor> cursor_;
  std::shared_ptr<SnapshotHandle> snapshot_;  // lives as long as it may be read
};

class StoreHandle : public TicketSink,
                    public EventSink,
                    public std::enable_shared_from_this<StoreHandle> {
 public:
  StoreHandle(Worker& worker, std::shared_ptr<Store> store);

  const uint32_t id;
  bool closed() const { return closed_; }
  Store& store() { return *store_; }
  const std::shared_ptr<Worker>& worker() { return worker_; }

  void acquire() { uses_.fetch_add(1); }
  void release(int count);
  // On the loop, once. `done` is finished when the handle is gone; may be null.
  void close(std::unique_ptr<Job> done);
  // On the loop: events go to its worker from now on.
  void listen();

  void done(const double* tickets, size_t count, Code code) override;
  void event(const Event& event) override;

 private:
  friend class CursorHandle;
  friend class SnapshotHandle;
  void endOnThread();
  void end();

  const std::shared_ptr<Worker> worker_;
  std::shared_ptr<Store> store_;
  bool closed_ = false;
  bool listening_ = false;
  std::atomic<int> uses_{1};
  std::unique_ptr<Job> closing_;

  // RocksDB's iterators and snapshots are released under it: by the garbage collector's thread or by `end`.
  std::recursive_mutex mutex_;
  std::set<CursorHandle*> cursors_;
  std::set<SnapshotHandle*> snapshots_;
};

}  // namespace ilion
