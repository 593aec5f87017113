// The one thread that writes to a store. Workers leave batches here; the thread takes all that waits, writes it as one
// batch, syncs once for all of them (durability `group`), and reports each ticket. Only this thread feels a write stall.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bytes.h"
#include "error.h"

namespace rocksdb {
class DB;
}

namespace ilion {

class Store;

// Where tickets are reported, from the writer's thread.
class TicketSink {
 public:
  virtual void done(const double* tickets, size_t count, Code code) = 0;

 protected:
  ~TicketSink() = default;
};

struct WriterOptions {
  bool group = true;
  uint32_t syncPeriodMs = 0;
  size_t queueBytesMax = 0;
};

class Writer {
 public:
  Writer(Store& store, const WriterOptions& options);
  // Writes what waits, then ends the threads.
  ~Writer();

  // Copies a checked batch. `sink` must live until the ticket is reported. False: the queue is full.
  bool submit(const Slice& batch, TicketSink* sink, double ticket);
  size_t queuedBytes() const { return queued_.load(std::memory_order_relaxed); }

  // Makes all that was applied before durable.
  Error sync();

 private:
  // Batches that become one: RocksDB's own form, whose header is completed when it is written.
  struct Group {
    std::string batch;
    uint32_t count = 0;
    struct Ticket {
      TicketSink* sink;
      double number;
    };
    std::vector<Ticket> tickets;
  };

  void run();
  void writeAll(std::deque<Group>* groups);
  void report(const Group& group, Code code);
  void keepHouse();
  void recover();

  Store& store_;
  const WriterOptions options_;

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Group> waiting_;
  bool closing_ = false;
  bool crowded_ = false;  // the last group had many writes
  std::chrono::steady_clock::time_point lastStart_;
  std::atomic<size_t> queued_{0};
  std::vector<double> numbers_;  // the writer thread's scratch

  std::mutex houseMutex_;
  std::condition_variable houseWake_;
  bool houseClosing_ = false;
  std::atomic<bool> unsynced_{false};
  std::atomic<bool> stuck_{false};  // the last write failed; may pass

  std::thread thread_;
  std::thread house_;
};

}  // namespace ilion
