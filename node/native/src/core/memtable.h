// Where rows are before they are in files: an OrderedTree in the place of RocksDB's skip list. An insert into the list
// touches some twenty entries that are far apart in memory, which was a quarter of all CPU time of a write.
#pragma once
#include <memory>

#include <rocksdb/memtablerep.h>

namespace ilion {

// For families of which keys are ordered by their bytes and one thread inserts (no allow_concurrent_memtable_write).
std::shared_ptr<rocksdb::MemTableRepFactory> treeMemtables();

}  // namespace ilion
