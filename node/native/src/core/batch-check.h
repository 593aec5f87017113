// Checks a write batch before RocksDB sees it. A batch that does not parse, or that names an unknown family, would reach
// the log before RocksDB notices, and then put the whole instance into a fatal state; a merge operand that is no record
// would make its key unreadable for ever.
#pragma once
#include <string>

#include "bytes.h"

namespace ilion {

constexpr size_t kBatchHeaderBytes = 12;

// What may be in a batch: tags of db/dbformat.h (ValueType), for the default family and with a family's number.
enum BatchTag : uint8_t {
  kDeletion = 0x0,
  kValue = 0x1,
  kMerge = 0x2,
  kFamilyDeletion = 0x4,
  kFamilyValue = 0x5,
  kFamilyMerge = 0x6,
  kFamilyRangeDeletion = 0xE,
  kRangeDeletion = 0xF,
};

// Says which families a batch may name.
class FamilySet {
 public:
  virtual bool has(uint32_t family) const = 0;

 protected:
  ~FamilySet() = default;
};

// `batch` is RocksDB's own form: u64le sequence (ignored), u32le count, then records. Null: it is fine, else the reason.
const char* checkBatch(const Slice& batch, const FamilySet& families);

}  // namespace ilion
