#include "pool.h"

#include <pthread.h>

#include <thread>

namespace ilion {

void Pool::post(std::function<void()> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(work));
  if (idle_ >= queue_.size() || threads_ == max_) {
    arrived_.notify_one();
    return;
  }
  threads_++;
  std::thread([this] { run(); }).detach();
}

void Pool::run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  setUrgency(urgency_);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    while (queue_.empty()) {
      idle_++;
      arrived_.wait(lock);
      idle_--;
    }
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds must not be freed under the lock
    lock.lock();
  }
}

void runOnOwnThread(const char* name, std::function<void()> work) {
  std::thread([name, work = std::move(work)] {
    pthread_setname_np(pthread_self(), name);
    work();
  }).detach();
}

}  // namespace ilion
