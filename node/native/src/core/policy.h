// What the merge operator, the compaction filter and the partitioner know about one column family.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "bytes.h"

namespace ilion {

struct FamilyPolicy {
  bool clustering = false;
  uint32_t fixedPartitionKeyBytes = 0;  // 0: stuffed form
  uint32_t gcGraceSeconds = 0;
  // Ids of the regular columns, ascending, where each of them is one cell; nothing: one of them is not.
  std::shared_ptr<const std::vector<uint32_t>> rowColumns;
  uint64_t columnsKnown = 0;  // ids below it have been given
};

// Shared by everything that works on a family; the policy may change while a compaction runs, which sees one whole policy.
class FamilyState {
 public:
  // Off until a policy is set: a family that nobody described is stored as it is.
  bool described() const { return described_.load(std::memory_order_acquire); }

  void setPolicy(const FamilyPolicy& policy) {
    std::lock_guard<std::mutex> lock(mutex_);
    policy_ = policy;
    described_.store(true, std::memory_order_release);
  }

  FamilyPolicy policy() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return policy_;
  }

  // 0: files are not cut.
  void setGridBits(uint32_t bits) { gridBits_.store(bits, std::memory_order_release); }
  uint32_t gridBits() const { return gridBits_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  FamilyPolicy policy_;
  std::atomic<bool> described_{false};
  std::atomic<uint32_t> gridBits_{0};
};

constexpr size_t kTokenBytes = 8;

// Length of the token and partition key in front of a key; 0 if the key is not one of ours.
inline size_t partitionPrefixLength(const Slice& key, uint32_t fixedPartitionKeyBytes) {
  if (fixedPartitionKeyBytes != 0) {
    size_t length = kTokenBytes + fixedPartitionKeyBytes;
    return key.size() >= length ? length : 0;
  }
  for (size_t i = kTokenBytes; i + 1 < key.size(); i++) {
    if (key[i] != 0) continue;
    if (key[i + 1] == 0) return i + 2;
    i++;  // 0x00 0xFF: a stuffed zero
  }
  return 0;
}

}  // namespace ilion
