#include "batch-check.h"

#include "record.h"

namespace ilion {
const char* checkBatch(const Slice& batch, const FamilySet& families) {
  if (batch.size() < kBatchHeaderBytes) return "cut short in its header";
  uint32_t expected = loadU32Le(batch.data() + 8);
  ByteReader in(Slice(batch.data() + kBatchHeaderBytes, batch.size() - kBatchHeaderBytes));
  static thread_local Record scratch;
  uint32_t count = 0;
  uint32_t lastFamily = UINT32_MAX;
  for (; in.ok && !in.done(); count++) {
    uint8_t tag = in.u8();
    bool named = tag >= kFamilyDeletion && tag <= kFamilyRangeDeletion;
    uint32_t family = named ? in.varint() : 0;
    if (family != lastFamily && !families.has(family)) return "unknown column family";
    lastFamily = family;
    in.chunk();
    switch (tag) {
      case kDeletion:
      case kFamilyDeletion:
        break;
      case kMerge:
      case kFamilyMerge: {
        Slice record = in.chunk();
        scratch.clear();
        if (in.ok && !parseRecord(record, &scratch)) return "a merge operand is not a record";
        break;
      }
      case kValue:
      case kFamilyValue:
      case kRangeDeletion:
      case kFamilyRangeDeletion:
        in.chunk();
        break;
      default:
        return "unknown operation";
    }
  }
  if (!in.ok) return "cut short";
  return count == expected ? nullptr : "its count is not that of its operations";
}

}  // namespace ilion
