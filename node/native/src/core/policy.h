// What the merge operator, the compaction filter and the partitioner know about one column family.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
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
  bool described() const { return packed_.load(std::memory_order_acquire) != 0; }

  void setPolicy(const FamilyPolicy& policy) {
    uint64_t packed = kDescribed | (policy.clustering ? kClustering : 0) |
                      static_cast<uint64_t>(policy.fixedPartitionKeyBytes & 0xff) << 32 |
                      policy.gcGraceSeconds;
    std::lock_guard<std::mutex> lock(columnsMutex_);
    rowColumns_ = policy.rowColumns;
    columnsKnown_ = policy.columnsKnown;
    packed_.store(packed, std::memory_order_release);
  }

  FamilyPolicy policy() const {
    std::lock_guard<std::mutex> lock(columnsMutex_);
    uint64_t packed = packed_.load(std::memory_order_acquire);
    return FamilyPolicy{(packed & kClustering) != 0, static_cast<uint32_t>(packed >> 32 & 0xff),
                        static_cast<uint32_t>(packed), rowColumns_, columnsKnown_};
  }

  // 0: files are not cut.
  void setGridBits(uint32_t bits) { gridBits_.store(bits, std::memory_order_release); }
  uint32_t gridBits() const { return gridBits_.load(std::memory_order_acquire); }

 private:
  static constexpr uint64_t kDescribed = 1ull << 63;
  static constexpr uint64_t kClustering = 1ull << 62;
  std::atomic<uint64_t> packed_{0};
  std::atomic<uint32_t> gridBits_{0};
  mutable std::mutex columnsMutex_;
  std::shared_ptr<const std::vector<uint32_t>> rowColumns_;
  uint64_t columnsKnown_ = 0;
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
