#include "worker.h"

#include <algorithm>

#include "handle.h"
#include "values.h"

namespace ilion {
namespace {

napi_ref reference(napi_env env, napi_value value) {
  napi_ref ref = nullptr;
  napi_create_reference(env, value, 1, &ref);
  return ref;
}

const char* eventKind(Event::Kind kind) {
  static const char* const names[] = {"flush", "compaction", "stall", "error", "ingest", "file-deleted"};
  return names[static_cast<uint8_t>(kind)];
}

napi_value eventObject(napi_env env, const Event& event) {
  napi_value object = newObject(env);
  set(env, object, "kind", toString(env, eventKind(event.kind)));
  switch (event.kind) {
    case Event::Kind::error:
      set(env, object, "code", toString(env, codeName(event.code)));
      set(env, object, "message", toString(env, event.name));
      return object;
    case Event::Kind::stall:
      set(env, object, "state", toString(env, event.name));
      break;
    case Event::Kind::ingest:
    case Event::Kind::fileDeleted:
      set(env, object, "name", toString(env, event.name));
      break;
    default:
      set(env, object, "bytes", toNumber(env, event.bytes));
      set(env, object, "micros", toNumber(env, event.micros));
  }
  set(env, object, "family", toString(env, event.family));
  return object;
}

}  // namespace

// callbacks: KvError, numbers: Float64Array, codes: Uint8Array, onTickets(count), onEvent(handle, event)
bool Worker::attach(napi_env env, const ProcessOptions& options, const napi_value* callbacks) {
  std::shared_ptr<Worker> worker(new Worker(Process::start(options), env));
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  napi_get_typedarray_info(env, callbacks[1], &type, &length, &data, nullptr, nullptr);
  worker->numbers_ = static_cast<double*>(data);
  napi_get_typedarray_info(env, callbacks[2], &type, &worker->arrayLength_, &data, nullptr, nullptr);
  worker->codes_ = static_cast<uint8_t*>(data);
  worker->arrayLength_ = std::min(worker->arrayLength_, length);
  worker->errorClass_ = reference(env, callbacks[0]);
  worker->arrays_[0] = reference(env, callbacks[1]);
  worker->arrays_[1] = reference(env, callbacks[2]);
  worker->onTickets_ = reference(env, callbacks[3]);
  worker->onEvent_ = reference(env, callbacks[4]);
  napi_value name = toString(env, "ilion");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                      worker.get(), drainCallback, &worker->waker_) != napi_ok) {
    napi_throw_error(env, nullptr, "cannot attach to the event loop");
    return false;
  }
  napi_unref_threadsafe_function(env, worker->waker_);
  setUrgency(Urgency::prompt);
  auto* held = new std::shared_ptr<Worker>(worker);
  napi_set_instance_data(env, held, nullptr, nullptr);
  // After the waker's own hook was added, so that ours runs before it.
  napi_add_env_cleanup_hook(env, endCallback, held);
  return true;
}

Worker* Worker::of(napi_env env) {
  void* held = nullptr;
  napi_get_instance_data(env, &held);
  return held == nullptr ? nullptr : static_cast<std::shared_ptr<Worker>*>(held)->get();
}

void Worker::endCallback(void* shared) {
  auto* held = static_cast<std::shared_ptr<Worker>*>(shared);
  napi_set_instance_data((*held)->env_, nullptr, nullptr, nullptr);
  (*held)->end();
  delete held;
}

void Worker::end() {
  ending_.store(true);
  std::set<std::shared_ptr<StoreHandle>> handles;
  std::vector<std::unique_ptr<Job>> jobs;  // freed without the lock: they may hold iterators
  {
    std::unique_lock<std::mutex> lock(mutex_);
    handles = handles_;
    returned_.wait(lock, [this] { return borrowing_ == 0; });
    ended_ = true;
    tickets_.clear();
    jobs.swap(jobs_);
    events_.clear();
  }
  for (const auto& handle : handles) handle->close(nullptr);
  napi_release_threadsafe_function(waker_, napi_tsfn_abort);
}

void Worker::adopt(std::shared_ptr<StoreHandle> handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  handles_.insert(std::move(handle));
}

void Worker::forget(const std::shared_ptr<StoreHandle>& handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  handles_.erase(handle);
}

napi_value Worker::promise(napi_env env, std::unique_ptr<Job>* job) {
  *job = std::make_unique<Job>();
  napi_value promise = nullptr;
  // Fails while a worker is being terminated: no JavaScript may run any more.
  if (napi_create_promise(env, &(*job)->deferred, &promise) != napi_ok) {
    job->reset();
    return nullptr;
  }
  keepAlive(env, 1);
  return promise;
}

napi_value Worker::start(napi_env env, const JobOptions& options, std::function<void(Job&)> work,
                         std::function<napi_value(napi_env)> result) {
  std::unique_ptr<Job> job;
  napi_value promised = promise(env, &job);
  if (promised == nullptr) return nullptr;
  job->work = std::move(work);
  job->result = std::move(result);
  job->settled = options.settled;
  job->handle = options.handle;
  if (job->handle != nullptr) job->handle->acquire();
  const bool borrows = options.borrowed != nullptr;
  if (borrows) {
    job->borrowed = reference(env, options.borrowed);
    std::lock_guard<std::mutex> lock(mutex_);
    borrowing_++;
  }
  // std::function wants copies, which a unique_ptr has none of.
  auto run = [self = shared_from_this(), raw = job.release(), borrows] {
    self->run(std::unique_ptr<Job>(raw), borrows);
  };
  if (options.pool != nullptr) {
    options.pool->post(std::move(run));
  } else {
    runOnOwnThread("ilion-transfer", std::move(run));
  }
  return promised;
}

void Worker::run(std::unique_ptr<Job> job, bool borrows) {
  if (borrows && ending_.load()) {
    job->error = Error{Code::aborted, "the worker has ended"};
  } else {
    job->work(*job);
  }
  job->work = nullptr;
  if (borrows) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--borrowing_ == 0) returned_.notify_all();
  }
  std::shared_ptr<StoreHandle> handle = std::move(job->handle);
  finish(std::move(job));
  if (handle != nullptr) handle->release(1);
}

void Worker::wake() {
  if (woken_) return;
  woken_ = true;
  napi_call_threadsafe_function(waker_, nullptr, napi_tsfn_nonblocking);
}

void Worker::finish(std::unique_ptr<Job> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_) return;
  jobs_.push_back(std::move(job));
  wake();
}

void Worker::finishTickets(const double* tickets, size_t count, Code code) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_) return;
  for (size_t i = 0; i < count; i++) tickets_.push_back(Ticket{tickets[i], code});
  wake();
}

void Worker::publish(uint32_t handle, const Event& event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_) return;
  events_.push_back(Published{handle, event});
  wake();
}

void Worker::keepAlive(napi_env env, int change) {
  bool was = pending_ > 0;
  pending_ += change;
  bool is = pending_ > 0;
  if (was == is) return;
  is ? napi_ref_threadsafe_function(env, waker_) : napi_unref_threadsafe_function(env, waker_);
}

void Worker::drainCallback(napi_env env, napi_value, void* context, void*) {
  if (env != nullptr) static_cast<Worker*>(context)->drain(env);
}

void Worker::drain(napi_env env) {
  std::shared_ptr<Worker> self = shared_from_this();
  for (;;) {
    std::vector<Ticket> tickets;
    std::vector<std::unique_ptr<Job>> jobs;
    std::vector<Published> events;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tickets.swap(tickets_);
      jobs.swap(jobs_);
      events.swap(events_);
      if (tickets.empty() && jobs.empty() && events.empty()) {
        woken_ = false;
        return;
      }
    }
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    if (!tickets.empty()) deliverTickets(env, tickets);
    for (auto& job : jobs) deliverJob(env, std::move(job));
    for (const Published& event : events) deliverEvent(env, event);
    napi_close_handle_scope(env, scope);
  }
}

void Worker::deliverTickets(napi_env env, const std::vector<Ticket>& tickets) {
  keepAlive(env, -static_cast<int>(tickets.size()));
  for (size_t at = 0; at < tickets.size(); at += arrayLength_) {
    size_t count = std::min(arrayLength_, tickets.size() - at);
    for (size_t i = 0; i < count; i++) {
      numbers_[i] = tickets[at + i].number;
      codes_[i] = static_cast<uint8_t>(tickets[at + i].code);
    }
    napi_value argument = toNumber(env, static_cast<double>(count));
    call(env, onTickets_, &argument, 1);
  }
}

void Worker::deliverJob(napi_env env, std::unique_ptr<Job> job) {
  keepAlive(env, -1);
  if (job->settled) job->settled();
  if (job->error.failed()) {
    if (napi_value reason = failure(env, job->error)) napi_reject_deferred(env, job->deferred, reason);
  } else {
    napi_value value = job->result ? job->result(env) : undefined(env);
    if (value != nullptr) napi_resolve_deferred(env, job->deferred, value);
  }
  if (job->borrowed != nullptr) napi_delete_reference(env, job->borrowed);
}

void Worker::deliverEvent(napi_env env, const Published& published) {
  napi_value arguments[] = {toNumber(env, published.handle), eventObject(env, published.event)};
  call(env, onEvent_, arguments, 2);
}

void Worker::call(napi_env env, napi_ref function, const napi_value* arguments, size_t count) {
  napi_value callee = nullptr, receiver = undefined(env), ignored = nullptr;
  napi_get_reference_value(env, function, &callee);
  if (callee == nullptr || receiver == nullptr) return;
  if (napi_call_function(env, receiver, callee, count, arguments, &ignored) != napi_pending_exception) {
    return;
  }
  // A handler that throws is a bug of its owner; the other results still must arrive.
  napi_value exception = nullptr;
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
}

napi_value Worker::failure(napi_env env, const Error& error) {
  napi_value constructor = nullptr, result = nullptr;
  napi_get_reference_value(env, errorClass_, &constructor);
  napi_value arguments[] = {toString(env, codeName(error.code)), toString(env, error.message)};
  if (constructor == nullptr || arguments[1] == nullptr) return nullptr;
  napi_new_instance(env, constructor, 2, arguments, &result);
  return result;
}

void Worker::throwFailure(napi_env env, const Error& error) {
  if (napi_value thrown = failure(env, error)) napi_throw(env, thrown);
}

}  // namespace ilion
