#include "options.h"

#include <algorithm>

#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include "file-checksum.h"
#include "memory-only.h"
#include "memtable.h"
#include "merge.h"
#include "overwrites.h"
#include "partitioner.h"
#include "process.h"

namespace ilion {
namespace {

rocksdb::DBOptions databaseDefaults(Process& process) {
  rocksdb::DBOptions o;
  o.env = guardedEnv();
  o.create_if_missing = true;
  o.create_missing_column_families = true;
  o.paranoid_checks = true;
  // A log that ends in the middle of a record is what kill -9 or a power cut leaves, and nothing acknowledged by an
  // fsync is in that record: it is dropped. Anything else that is wrong in a log stands before data that may have been
  // acknowledged. kPointInTimeRecovery would stop there, and start with a silent loss of all that follows; this mode
  // refuses to open, so that somebody (or repair from another replica) decides.
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // A recycled log would make old records look like a bad tail.
  o.recycle_log_file_num = 0;
  o.max_total_wal_size = 256 << 20;
  o.write_buffer_manager = process.memtables;
  o.rate_limiter = process.limiter;
  o.max_background_jobs = std::max(2, process.options.backgroundThreads);
  o.bytes_per_sync = 1 << 20;
  // Iterators are closed, and dropped families let go, on event loops.
  o.avoid_unnecessary_blocking_io = true;
  o.skip_stats_update_on_db_open = true;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  o.file_checksum_gen_factory = fileChecksumFactory();
  // LOG files, in the store's directory.
  o.max_log_file_size = 4 << 20;
  o.keep_log_file_num = 4;
  // One thread writes; parallel memtable inserts would only cost.
  o.allow_concurrent_memtable_write = false;
  o.enable_write_thread_adaptive_yield = false;
  return o;
}

rocksdb::BlockBasedTableOptions tableDefaults(Process& process) {
  rocksdb::BlockBasedTableOptions t;
  t.block_cache = process.cache;
  t.block_size = 8 << 10;
  t.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  // Rows that were just flushed would otherwise have to be read from the disk again, on a thread.
  t.prepopulate_block_cache = rocksdb::BlockBasedTableOptions::PrepopulateBlockCache::kFlushOnly;
  t.format_version = 6;
  t.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  t.whole_key_filtering = true;
  t.optimize_filters_for_memory = true;
  t.cache_index_and_filter_blocks = true;
  t.pin_l0_filter_and_index_blocks_in_cache = true;
  return t;
}

rocksdb::ColumnFamilyOptions familyDefaults(Process& process) {
  rocksdb::ColumnFamilyOptions o;
  o.compaction_style = rocksdb::kCompactionStyleLevel;
  o.level_compaction_dynamic_level_bytes = true;
  o.compression = rocksdb::kLZ4Compression;
  size_t quarter = process.options.memtableBytes / 4;
  o.write_buffer_size = std::clamp<size_t>(quarter, 4 << 20, 64 << 20);
  o.max_write_buffer_number = 4;
  // Idle tables are many: their memtables must be small until used.
  o.arena_block_size = 256 << 10;
  // A key that is updated all the time: reads must not walk through all of its operands (measured, see bench.ts).
  o.max_successive_merges = 32;
  // Most reads of rows that are in files pass by the memtables in vain; eagerly allocated, so no more than 1 %.
  o.memtable_prefix_bloom_size_ratio = 0.01;
  o.memtable_whole_key_filtering = true;
  o.memtable_factory = treeMemtables();
  o.memtable_batch_lookup_optimization = true;  // or MultiGet makes an iterator for each key
  // Data that no write touches still meets the filter now and then, so that TTLs and tombstones end.
  o.periodic_compaction_seconds = 7 * 24 * 3600;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(tableDefaults(process)));
  return o;
}

Error badOptions(const std::string& text, const rocksdb::Status& status) {
  return Error{Code::badArgument, "options '" + text + "': " + status.ToString()};
}

}  // namespace

Error databaseOptions(Process& process, const std::string& user, rocksdb::DBOptions* out) {
  rocksdb::ConfigOptions config;
  config.ignore_unknown_options = false;
  rocksdb::Status status =
      rocksdb::GetDBOptionsFromString(config, databaseDefaults(process), user, out);
  if (!status.ok()) return badOptions(user, status);
  // The compaction filter must see a partition and its rows in one go.
  out->max_subcompactions = 1;
  return Error();
}

Error familyOptions(Process& process, const FamilyOptions& options,
                    const std::shared_ptr<FamilyState>& state,
                    rocksdb::ColumnFamilyOptions* out) {
  if (options.gridBits > 64) return Error{Code::badArgument, "gridBits is above 64"};
  if (options.policy.fixedPartitionKeyBytes > 255) {
    return Error{Code::badArgument, "fixedPartitionKeyBytes is above 255"};
  }
  rocksdb::ConfigOptions config;
  config.ignore_unknown_options = false;
  rocksdb::Status status = rocksdb::GetColumnFamilyOptionsFromString(
      config, familyDefaults(process), options.options, out);
  if (!status.ok()) return badOptions(options.options, status);
  if (auto* table = out->table_factory->GetOptions<rocksdb::BlockBasedTableOptions>()) {
    if (!table->no_block_cache) table->block_cache = process.cache;
  }
  if (options.described) state->setPolicy(options.policy);
  out->merge_operator = newRecordMergeOperator(state);
  out->compaction_filter_factory = newRecordFilterFactory(state);
  out->table_properties_collector_factories.push_back(boundsCollectorFactory());
  state->setGridBits(options.gridBits);
  out->sst_partitioner_factory = newTokenPartitionerFactory(state);
  return Error();
}

}  // namespace ilion
