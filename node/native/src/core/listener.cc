#include "listener.h"

#include "scheduling.h"
#include "store.h"

namespace ilion {
namespace {

const char* stallState(rocksdb::WriteStallCondition condition) {
  switch (condition) {
    case rocksdb::WriteStallCondition::kDelayed:
      return "delayed";
    case rocksdb::WriteStallCondition::kStopped:
      return "stopped";
    default:
      return "normal";
  }
}

// RocksDB's threads are made and kept by its Env, which cannot set what we want: each asks when it is first at work.
void becomeOnce(Urgency urgency) {
  thread_local bool done = false;
  if (!done) setUrgency(urgency);
  done = true;
}

}  // namespace

void StoreListener::OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) {
  becomeOnce(Urgency::flush);
}

void StoreListener::OnCompactionBegin(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) {
  becomeOnce(Urgency::compaction);
  rememberCompaction(db, job, snapshotsTaken_);
}

void StoreListener::OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& job) {
  forgetCompaction();
  store_.publish(Event{Event::Kind::compaction, job.cf_name, "", Code::ok,
                       static_cast<double>(job.stats.total_output_bytes),
                       static_cast<double>(job.stats.elapsed_micros)});
}

void StoreListener::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& job) {
  // RocksDB does not say how long a flush took.
  store_.publish(Event{Event::Kind::flush, job.cf_name, "", Code::ok,
                       static_cast<double>(job.table_properties.data_size), 0});
}

void StoreListener::OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& info) {
  store_.publish(Event{Event::Kind::fileDeleted, "", info.file_path});
}

void StoreListener::OnExternalFileIngested(rocksdb::DB*,
                                           const rocksdb::ExternalFileIngestionInfo& info) {
  store_.publish(Event{Event::Kind::ingest, info.cf_name, info.internal_file_path});
}

void StoreListener::OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) {
  Error failure = errorOf(*error);
  store_.publish(Event{Event::Kind::error, "", failure.message, failure.code});
}

void StoreListener::OnStallConditionsChanged(const rocksdb::WriteStallInfo& info) {
  store_.publish(Event{Event::Kind::stall, info.cf_name, stallState(info.condition.cur)});
}

}  // namespace ilion
