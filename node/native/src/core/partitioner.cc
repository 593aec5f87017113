#include "partitioner.h"

#include "policy.h"

namespace ilion {
namespace {

class TokenPartitioner : public rocksdb::SstPartitioner {
 public:
  explicit TokenPartitioner(uint32_t gridBits) : shift_(64 - gridBits) {}

  const char* Name() const override { return "ilion.TokenPartitioner.1"; }

  rocksdb::PartitionerResult ShouldPartition(const rocksdb::PartitionerRequest& request) override {
    return cell(*request.prev_user_key) == cell(*request.current_user_key) ? rocksdb::kNotRequired
                                                                           : rocksdb::kRequired;
  }

  bool CanDoTrivialMove(const Slice& smallest, const Slice& largest) override {
    return cell(smallest) == cell(largest);
  }

 private:
  uint64_t cell(const Slice& key) const {
    return key.size() < kTokenBytes ? 0 : loadU64(key.data()) >> shift_;
  }

  uint32_t shift_;
};

class TokenPartitionerFactory : public rocksdb::SstPartitionerFactory {
 public:
  explicit TokenPartitionerFactory(uint32_t gridBits) : gridBits_(gridBits) {}

  const char* Name() const override { return "ilion.TokenPartitionerFactory.1"; }

  std::unique_ptr<rocksdb::SstPartitioner> CreatePartitioner(
      const rocksdb::SstPartitioner::Context&) const override {
    return std::make_unique<TokenPartitioner>(gridBits_);
  }

 private:
  uint32_t gridBits_;
};

}  // namespace

std::shared_ptr<rocksdb::SstPartitionerFactory> newTokenPartitionerFactory(uint32_t gridBits) {
  return std::make_shared<TokenPartitionerFactory>(gridBits);
}

}  // namespace ilion
