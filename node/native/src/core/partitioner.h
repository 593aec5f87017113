// Cuts SST files at the points of the token grid, so that a token range is made of whole files.
#pragma once
#include <memory>

#include <rocksdb/sst_partitioner.h>

#include "policy.h"

namespace ilion {

// A new file begins where the top `state.gridBits()` bits of the keys' tokens change; asked for at the start of each
// compaction.
std::shared_ptr<rocksdb::SstPartitionerFactory> newTokenPartitionerFactory(
    std::shared_ptr<FamilyState> state);

}  // namespace ilion
