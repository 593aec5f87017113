#include "handle.h"

namespace ilion {
namespace {

std::atomic<uint32_t> nextId{1};

}  // namespace

SnapshotHandle::SnapshotHandle(std::shared_ptr<StoreHandle> handle,
                               const rocksdb::Snapshot* snapshot)
    : handle_(std::move(handle)), snapshot_(snapshot) {
  std::lock_guard<std::recursive_mutex> lock(handle_->mutex_);
  handle_->snapshots_.insert(this);
}

SnapshotHandle::~SnapshotHandle() {
  std::lock_guard<std::recursive_mutex> lock(handle_->mutex_);
  handle_->snapshots_.erase(this);
  dropLocked();
}

void SnapshotHandle::dropLocked() {
  if (snapshot_ != nullptr) handle_->store_->db().ReleaseSnapshot(snapshot_);
  snapshot_ = nullptr;
}

CursorHandle::CursorHandle(std::shared_ptr<StoreHandle> handle, std::shared_ptr<Family> family,
                           CursorOptions options, std::shared_ptr<SnapshotHandle> snapshot)
    : cacheOnly(options.cacheOnly),
      handle_(std::move(handle)),
      cursor_(std::make_unique<Cursor>(std::move(family), std::move(options))),
      snapshot_(std::move(snapshot)) {
  std::lock_guard<std::recursive_mutex> lock(handle_->mutex_);
  handle_->cursors_.insert(this);
}

CursorHandle::~CursorHandle() {
  std::lock_guard<std::recursive_mutex> lock(handle_->mutex_);
  handle_->cursors_.erase(this);
  dropLocked();
}

void CursorHandle::dropLocked() {
  cursor_.reset();
  snapshot_.reset();
}

void CursorHandle::close() {
  closed = true;
  if (busy) return;
  std::lock_guard<std::recursive_mutex> lock(handle_->mutex_);
  dropLocked();
}

void CursorHandle::settle() {
  busy = false;
  if (closed) close();
}

StoreHandle::StoreHandle(Worker& worker, std::shared_ptr<Store> store)
    : id(nextId.fetch_add(1)), worker_(worker.shared_from_this()), store_(std::move(store)) {}

void StoreHandle::release(int count) {
  if (uses_.fetch_sub(count) == count) endOnThread();
}

void StoreHandle::close(std::unique_ptr<Job> done) {
  if (closed_) return;
  closed_ = true;
  closing_ = std::move(done);
  release(1);
}

void StoreHandle::listen() {
  if (listening_) return;
  listening_ = true;
  store_->attach(this);
}

void StoreHandle::done(const double* tickets, size_t count, Code code) {
  worker_->finishTickets(tickets, count, code);
  release(static_cast<int>(count));
}

void StoreHandle::event(const Event& event) { worker_->publish(id, event); }

void StoreHandle::endOnThread() {
  worker_->process().longJobs.post([self = shared_from_this()] { self->end(); });
}

void StoreHandle::end() {
  if (listening_) store_->detach(this);
  {
    std::lock_guard<std::recursive_mutex> lock(mutex_);
    for (CursorHandle* cursor : cursors_) cursor->dropLocked();
    for (SnapshotHandle* snapshot : snapshots_) snapshot->dropLocked();
  }
  worker_->process().release(store_);
  store_.reset();
  worker_->forget(shared_from_this());
  if (closing_ != nullptr) worker_->finish(std::move(closing_));
}

}  // namespace ilion
