// Our defaults for RocksDB, and the option strings of users on top of them.
#pragma once
#include <memory>

#include <rocksdb/options.h>

#include "error.h"
#include "store.h"

namespace ilion {

class Process;

Error databaseOptions(Process& process, const std::string& user, rocksdb::DBOptions* out);

// `state` gets the policy, if there is one.
Error familyOptions(Process& process, const FamilyOptions& options,
                    const std::shared_ptr<FamilyState>& state,
                    rocksdb::ColumnFamilyOptions* out);

}  // namespace ilion
