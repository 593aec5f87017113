#include "memtable.h"

#include <new>
#include <string>

#include "bytes.h"
#include "ordered-tree.h"

namespace rocksdb {

// Exported by the library, but in none of its public headers: iterators have to be made in it.
class Arena {
 public:
  char* AllocateAligned(size_t bytes, size_t hugePageSize, Logger* logger);
};

}  // namespace rocksdb

namespace ilion {
namespace {

constexpr size_t kSequenceBytes = 8;  // behind the user's key

// Entries are as RocksDB makes them: varint32 length, key, sequence number and type; then the value.
class EntryKeys {
 public:
  EntryKeys(const rocksdb::MemTableRep::KeyComparator& order, rocksdb::MemTableRep& memory)
      : order_(&order), memory_(&memory) {}

  // The first eight bytes, of our tables' keys the token; shorter ones with zeros behind.
  uint64_t prefix(const char* entry) const {
    Slice key = rocksdb::GetLengthPrefixedSlice(entry);
    size_t length = key.size() - kSequenceBytes;
    if (length >= 8) return loadU64(key.data());
    char padded[8] = {};
    memcpy(padded, key.data(), length);
    return loadU64(padded);
  }

  int compare(const char* a, const char* b) const { return (*order_)(a, b); }

  char* allocate(size_t bytes) {
    char* memory = nullptr;
    memory_->rocksdb::MemTableRep::Allocate(bytes, &memory);
    return memory;
  }

 private:
  const rocksdb::MemTableRep::KeyComparator* order_;
  rocksdb::MemTableRep* memory_;
};

using Tree = OrderedTree<EntryKeys>;

class TreeIterator : public rocksdb::MemTableRep::Iterator {
 public:
  explicit TreeIterator(const Tree& tree) : cursor_(tree) {}

  bool Valid() const override { return cursor_.valid(); }
  const char* key() const override { return cursor_.entry(); }
  void Next() override { cursor_.next(); }
  void Prev() override { cursor_.prev(); }
  void SeekToFirst() override { cursor_.seekToFirst(); }
  void SeekToLast() override { cursor_.seekToLast(); }

  void Seek(const Slice& key, const char* entry) override {
    cursor_.seek(entry != nullptr ? entry : encode(key));
  }

  void SeekForPrev(const Slice& key, const char* entry) override {
    cursor_.seekForPrev(entry != nullptr ? entry : encode(key));
  }

 private:
  const char* encode(const Slice& key) {
    encoded_.clear();
    putVarint(&encoded_, static_cast<uint32_t>(key.size()));
    encoded_.append(key.data(), key.size());
    return encoded_.data();
  }

  Tree::Cursor cursor_;
  std::string encoded_;
};

class TreeMemtable : public rocksdb::MemTableRep {
 public:
  TreeMemtable(const KeyComparator& order, rocksdb::Allocator* allocator)
      : MemTableRep(allocator), order_(order), tree_(EntryKeys(order, *this)) {}

  void Insert(rocksdb::KeyHandle entry) override { tree_.insert(static_cast<const char*>(entry)); }

  bool Contains(const char* key) const override {
    Tree::Cursor cursor(tree_);
    cursor.seek(key);
    return cursor.valid() && order_(cursor.entry(), key) == 0;
  }

  size_t ApproximateMemoryUsage() override { return 0; }  // all of it is the allocator's

  rocksdb::Status MultiGet(size_t count, const char* const* keys, void** arguments,
                           bool (*callback)(void*, const char*), bool, bool,
                           const std::function<rocksdb::Status(const char*, bool)>&) override {
    Tree::Cursor cursor(tree_);
    for (size_t i = 0; i < count; i++) {
      cursor.seek(keys[i]);
      while (cursor.valid() && callback(arguments[i], cursor.entry())) cursor.next();
    }
    return rocksdb::Status::OK();
  }

  Iterator* GetIterator(rocksdb::Arena* arena) override {
    if (arena == nullptr) return new TreeIterator(tree_);
    return new (arena->AllocateAligned(sizeof(TreeIterator), 0, nullptr)) TreeIterator(tree_);
  }

 private:
  const KeyComparator& order_;
  Tree tree_;
};

class TreeMemtableFactory : public rocksdb::MemTableRepFactory {
 public:
  const char* Name() const override { return "ilion.TreeMemtable.1"; }

  using rocksdb::MemTableRepFactory::CreateMemTableRep;
  rocksdb::MemTableRep* CreateMemTableRep(const rocksdb::MemTableRep::KeyComparator& order,
                                          rocksdb::Allocator* allocator,
                                          const rocksdb::SliceTransform*,
                                          rocksdb::Logger*) override {
    return new TreeMemtable(order, allocator);
  }
};

}  // namespace

std::shared_ptr<rocksdb::MemTableRepFactory> treeMemtables() {
  static const auto factory = std::make_shared<TreeMemtableFactory>();
  return factory;
}

}  // namespace ilion
