// One JavaScript thread (napi_env) that uses the engine: what comes back to it from other threads, and its end.
//
// Other threads leave results in a queue; its loop is woken only when the queue was empty, and then takes everything.
// A worker may be terminated at any moment: then its buffers and promises are gone while threads still work for it. So
//   * threads never touch N-API; they leave results at `Worker`, which drops them once the worker has ended;
//   * the worker's end waits for the jobs that write into its buffers, and for nothing else.
#pragma once
#include <node_api.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "../core/process.h"
#include "../core/store.h"

namespace ilion {

class StoreHandle;

// A promise and the work behind it.
struct Job {
  std::function<void(Job&)> work;                // on a thread; fails by setting `error`
  std::function<napi_value(napi_env)> result;    // on the loop; none: undefined
  std::function<void()> settled;                 // on the loop, however it ended; may be none
  Error error;
  napi_deferred deferred = nullptr;
  napi_ref borrowed = nullptr;
  std::shared_ptr<StoreHandle> handle;
};

// How a job runs.
struct JobOptions {
  Pool* pool = nullptr;                 // none: a thread of its own
  std::shared_ptr<StoreHandle> handle = nullptr;  // stays open until the work is done
  napi_value borrowed = nullptr;        // a buffer that the work reads or writes
  std::function<void()> settled = nullptr;
};

class Worker : public std::enable_shared_from_this<Worker> {
 public:
  // Makes the worker of this env. Throws into JavaScript and returns false if that fails.
  static bool attach(napi_env env, const ProcessOptions& options, const napi_value* callbacks);
  // Null before `attach`, and while the env ends.
  static Worker* of(napi_env env);

  Process& process() { return process_; }

  // On the loop: returns the promise, or null if the env is ending.
  napi_value start(napi_env env, const JobOptions& options, std::function<void(Job&)> work,
                   std::function<napi_value(napi_env)> result = nullptr);
  // A promise whose job others finish; for StoreHandle::close.
  napi_value promise(napi_env env, std::unique_ptr<Job>* job);

  // On the loop.
  void ticketTaken(napi_env env) { keepAlive(env, 1); }
  void ticketRefused(napi_env env) { keepAlive(env, -1); }
  void adopt(std::shared_ptr<StoreHandle> handle);
  napi_value failure(napi_env env, const Error& error);
  void throwFailure(napi_env env, const Error& error);

  // From any thread.
  void finish(std::unique_ptr<Job> job);
  void finishTickets(const double* tickets, size_t count, Code code);
  void publish(uint32_t handle, const Event& event);
  void forget(const std::shared_ptr<StoreHandle>& handle);

 private:
  Worker(Process& process, napi_env env) : process_(process), env_(env) {}
  static void drainCallback(napi_env env, napi_value, void* context, void*);
  static void endCallback(void* shared);

  struct Ticket {
    double number;
    Code code;
  };
  struct Published {
    uint32_t handle;
    Event event;
  };

  void run(std::unique_ptr<Job> job, bool borrows);
  void wake();  // with mutex_
  void drain(napi_env env);
  void deliverTickets(napi_env env, const std::vector<Ticket>& tickets);
  void deliverJob(napi_env env, std::unique_ptr<Job> job);
  void deliverEvent(napi_env env, const Published& published);
  void call(napi_env env, napi_ref function, const napi_value* arguments, size_t count);
  void keepAlive(napi_env env, int change);
  void end();

  Process& process_;
  const napi_env env_;
  napi_threadsafe_function waker_ = nullptr;
  napi_ref errorClass_ = nullptr;
  napi_ref onTickets_ = nullptr;
  napi_ref onEvent_ = nullptr;
  // Memory shared with JavaScript, by which tickets are handed over.
  napi_ref arrays_[2] = {nullptr, nullptr};
  double* numbers_ = nullptr;
  uint8_t* codes_ = nullptr;
  size_t arrayLength_ = 0;
  size_t pending_ = 0;  // results that the loop waits for

  std::mutex mutex_;
  bool woken_ = false;
  bool ended_ = false;
  std::vector<Ticket> tickets_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Published> events_;
  std::set<std::shared_ptr<StoreHandle>> handles_;
  std::atomic<bool> ending_{false};
  size_t borrowing_ = 0;  // jobs that use buffers of this env
  std::condition_variable returned_;
};

}  // namespace ilion
