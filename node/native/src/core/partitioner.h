// Cuts SST files at the points of the token grid, so that a token range is made of whole files.
#pragma once
#include <memory>

#include <rocksdb/sst_partitioner.h>

namespace ilion {

// A new file begins where the top `gridBits` (1 to 64) bits of the keys' tokens change.
std::shared_ptr<rocksdb::SstPartitionerFactory> newTokenPartitionerFactory(uint32_t gridBits);

}  // namespace ilion
