#include "partitioner.h"


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
  explicit TokenPartitionerFactory(std::shared_ptr<FamilyState> state) : state_(std::move(state)) {}

  const char* Name() const override { return "ilion.TokenPartitionerFactory.1"; }

  std::unique_ptr<rocksdb::SstPartitioner> CreatePartitioner(
      const rocksdb::SstPartitioner::Context&) const override {
    const uint32_t bits = state_->gridBits();
    return bits == 0 ? nullptr : std::make_unique<TokenPartitioner>(bits);
  }

 private:
  std::shared_ptr<FamilyState> state_;
};

}  // namespace

std::shared_ptr<rocksdb::SstPartitionerFactory> newTokenPartitionerFactory(
    std::shared_ptr<FamilyState> state) {
  return std::make_shared<TokenPartitionerFactory>(std::move(state));
}

}  // namespace ilion
