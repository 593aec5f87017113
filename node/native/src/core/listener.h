// What RocksDB tells about its background work: to the compaction filter of its thread, and to those who listen to a store.
#pragma once
#include <memory>

#include <rocksdb/listener.h>

#include "compaction.h"

namespace ilion {

class Store;

class StoreListener : public rocksdb::EventListener {
 public:
  StoreListener(Store& store, std::shared_ptr<SnapshotCounter> snapshotsTaken)
      : store_(store), snapshotsTaken_(std::move(snapshotsTaken)) {}

  void OnFlushBegin(rocksdb::DB* db, const rocksdb::FlushJobInfo& job) override;
  void OnCompactionBegin(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override;
  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override;
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& job) override;
  void OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& info) override;
  void OnExternalFileIngested(rocksdb::DB* db,
                              const rocksdb::ExternalFileIngestionInfo& info) override;
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;
  void OnStallConditionsChanged(const rocksdb::WriteStallInfo& info) override;

 private:
  Store& store_;
  std::shared_ptr<SnapshotCounter> snapshotsTaken_;
};

}  // namespace ilion
