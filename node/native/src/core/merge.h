// The merge of records, node/docs/storage-format.md (4): a join, so order and grouping do not matter, and no clock plays a
// part. Its reference is node/src/storage/merge.ts; merge.property.test.ts holds the two together.
#pragma once
#include <memory>
#include <string>

#include <rocksdb/merge_operator.h>

#include "policy.h"
#include "record.h"

namespace ilion {

// Collects records, then gives their join. Reused, so that merging allocates nothing once it has grown.
// The bytes of what was added must live until `finish` has returned.
class Merger {
 public:
  void clear();
  // False: not a record.
  bool add(const Slice& record);
  // Appends the canonical bytes of the join.
  void finish(std::string* out);

 private:
  void mergeRanges();
  void mergeCells();

  Record joined_;
  std::vector<Range> pending_;
  size_t added_ = 0;
  size_t withRanges_ = 0;
};

std::shared_ptr<rocksdb::MergeOperator> newRecordMergeOperator(std::shared_ptr<FamilyState> family);

}  // namespace ilion
