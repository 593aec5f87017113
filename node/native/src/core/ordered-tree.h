// A B+ tree of pointers to entries: one thread inserts, any number of others read meanwhile, without locks. Nothing is
// ever removed, and nodes live until the tree does.
//
// How readers can do without locks:
// - A node's slots are in no order; one word, its ranks, says which are in use and in what order. An entry is put into a
//   free slot and appears with the store of another word (as in Masstree: Mao, Kohler, Morris, EuroSys 2012).
// - A full node is split: its upper half is copied to a new node, of which the node on its left and its parent are told,
//   and then goes from the old one. So for a moment an entry is in both, never in none, and never left of where parents
//   say: who does not find it goes on to the right.
// - Slots that a split has freed are used again while a reader may still read them by ranks of before. So the split
//   counts the node's version up first; who finds it changed after reading begins again.
// A cursor sees all entries that were there when it was positioned, and some of those that came later.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace ilion {

// Keys has
//   uint64_t prefix(const char* entry) const   never less for a later entry; most comparisons end with it
//   int compare(const char* a, const char* b) const
//   char* allocate(size_t bytes)               lives as long as the tree, not aligned
template <typename Keys>
class OrderedTree {
  static constexpr int kSlots = 14;  // a leaf then has 248 of 256 bytes
  static constexpr int kHalf = kSlots / 2;
  static constexpr int kDepthMax = 32;
  static constexpr size_t kLine = 64;
  static constexpr size_t kSlabMax = 8 << 10;

  struct Target {
    uint64_t prefix;
    const char* key;
  };

  // 4 bits: how many; then for each rank the 4 bits of its slot.
  struct Ranks {
    uint64_t bits = 0;

    int count() const { return static_cast<int>(bits & 15); }
    int slot(int rank) const { return static_cast<int>(bits >> (4 + 4 * rank) & 15); }

    Ranks first(int count) const { return Ranks{(bits & below(count) & ~15ull) | static_cast<uint64_t>(count)}; }

    Ranks with(int rank, int slot) const {
      uint64_t low = below(rank);
      return Ranks{((bits & low) + 1) | static_cast<uint64_t>(slot) << (4 + 4 * rank) |
                   (bits & ~low) << 4};
    }

    int freeSlot() const {
      unsigned used = 0;
      for (int rank = 0; rank < count(); rank++) used |= 1u << slot(rank);
      return __builtin_ctz(~used);
    }

    // Of the count and the ranks below this one.
    static uint64_t below(int rank) { return (1ull << (4 + 4 * rank)) - 1; }
  };

  struct Node {
    explicit Node(uint32_t level) : level(level) {}

    Ranks order() const { return Ranks{ranks.load(std::memory_order_acquire)}; }
    uint32_t changes() const { return version.load(std::memory_order_acquire); }
    uint64_t prefix(int slot) const { return prefixes[slot].load(std::memory_order_acquire); }
    const char* entry(int slot) const { return entries[slot].load(std::memory_order_acquire); }

    // Seen once it is in the ranks.
    void fill(int slot, const Target& target) {
      prefixes[slot].store(target.prefix, std::memory_order_release);
      entries[slot].store(target.key, std::memory_order_release);
    }

    void show(Ranks now) { ranks.store(now.bits, std::memory_order_release); }

    // From now on the slots of the others are free.
    void keepFirst(int count) {
      show(order().first(count));
      version.store(version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }

    std::atomic<uint64_t> ranks{0};
    std::atomic<uint32_t> version{0};
    const uint32_t level;  // 0: a leaf
    std::atomic<uint64_t> prefixes[kSlots];
    std::atomic<const char*> entries[kSlots];  // of an inner node: the first one below each child
  };

  struct alignas(kLine) Leaf : Node {
    Leaf() : Node(0) {}

    Leaf* follower() const { return next.load(std::memory_order_acquire); }

    void put(int rank, const Target& target) {
      Ranks now = this->order();
      int slot = now.freeSlot();
      this->fill(slot, target);
      this->show(now.with(rank, slot));
    }

    std::atomic<Leaf*> next{nullptr};
  };

  struct alignas(kLine) Inner : Node {
    explicit Inner(uint32_t level) : Node(level) {}

    Node* child(int slot) const { return children[slot].load(std::memory_order_acquire); }

    void put(int rank, const Target& target, Node* child) {
      Ranks now = this->order();
      int slot = now.freeSlot();
      this->fill(slot, target);
      children[slot].store(child, std::memory_order_release);
      this->show(now.with(rank, slot));
    }

    std::atomic<Node*> children[kSlots];
  };

  struct Path {
    struct Step {
      Inner* inner;
      int rank;
    };
    Step steps[kDepthMax];
    int depth = 0;
  };

 public:
  explicit OrderedTree(const Keys& keys)
      : keys_(keys), first_(make<Leaf>()), root_(static_cast<Node*>(first_)) {}
  OrderedTree(const OrderedTree&) = delete;
  OrderedTree& operator=(const OrderedTree&) = delete;

  // By one thread at a time. Nothing that compares equal may be there.
  void insert(const char* entry) {
    Target target{keys_.prefix(entry), entry};
    Path path;
    Node* node = root_.load(std::memory_order_relaxed);
    while (node->level > 0) {
      Inner* inner = static_cast<Inner*>(node);
      int rank = childRank(*inner, inner->order(), target, true);
      path.steps[path.depth++] = {inner, rank};
      node = inner->child(inner->order().slot(rank));
    }
    Leaf* leaf = static_cast<Leaf*>(node);
    int rank = bound(*leaf, leaf->order(), 0, target, false);
    if (leaf->order().count() < kSlots) {
      leaf->put(rank, target);
    } else {
      split(leaf, rank, target, &path);
    }
  }

  class Cursor {
   public:
    explicit Cursor(const OrderedTree& tree) : tree_(&tree) {}

    bool valid() const { return entry_ != nullptr; }
    const char* entry() const { return entry_; }

    // To the first entry that is not before `key`.
    void seek(const char* key) {
      Target target{tree_->keys_.prefix(key), key};
      forward(tree_->leafOf(target, true), target, false);
    }

    // To the last entry that is not after `key`.
    void seekForPrev(const char* key) {
      backward(Target{tree_->keys_.prefix(key), key}, true);
    }

    void seekToFirst() {
      read(tree_->first_, [](const Leaf&, Ranks) { return 0; });
    }

    void seekToLast() {
      // Who follows is asked after reading: what a split has taken from the one read is in there.
      for (const Leaf* leaf = tree_->lastLeaf(); leaf != nullptr; leaf = leaf->follower()) {
        read(leaf, [](const Leaf&, Ranks ranks) { return ranks.count() - 1; });
      }
    }

    void next() {
      const Leaf* leaf = leaf_;
      if (rank_ + 1 < ranks_.count()) {
        const char* entry = leaf->entry(ranks_.slot(rank_ + 1));
        if (leaf->changes() == version_) {
          rank_++;
          entry_ = entry;
          return;
        }
      } else {
        leaf = leaf->follower();
      }
      forward(leaf, Target{tree_->keys_.prefix(entry_), entry_}, true);
    }

    void prev() { backward(Target{tree_->keys_.prefix(entry_), entry_}, false); }

   private:
    // Takes the entry of the rank that `choose` names, if there is one; if not, it is not valid.
    template <typename Choose>
    void read(const Leaf* leaf, Choose choose) {
      for (;;) {
        version_ = leaf->changes();
        ranks_ = leaf->order();
        rank_ = choose(*leaf, ranks_);
        bool found = rank_ >= 0 && rank_ < ranks_.count();
        entry_ = found ? leaf->entry(ranks_.slot(rank_)) : nullptr;
        if (leaf->changes() == version_) break;
      }
      leaf_ = leaf;
    }

    // To the first entry that is not before the target, or is after it.
    void forward(const Leaf* leaf, const Target& target, bool after) {
      for (entry_ = nullptr; leaf != nullptr && entry_ == nullptr; leaf = leaf->follower()) {
        read(leaf, [&](const Leaf& one, Ranks ranks) {
          return tree_->bound(one, ranks, 0, target, after);
        });
      }
    }

    // To the last entry that is before the target, or not after it.
    void backward(const Target& target, bool orEqual) {
      const Leaf* leaf = tree_->leafOf(target, orEqual);
      for (;;) {
        bool toTheEnd = false;
        read(leaf, [&](const Leaf& one, Ranks ranks) {
          int rank = tree_->bound(one, ranks, 0, target, orEqual);
          toTheEnd = rank == ranks.count();
          return rank - 1;
        });
        const Leaf* next = leaf->follower();
        if (!toTheEnd || next == nullptr) return;
        Cursor right(*tree_);
        right.read(next, [](const Leaf&, Ranks) { return 0; });
        int order = tree_->keys_.compare(right.entry_, target.key);
        if (order > 0 || (order == 0 && !orEqual)) return;
        leaf = next;
      }
    }

    const OrderedTree* tree_;
    const Leaf* leaf_ = nullptr;
    Ranks ranks_;
    uint32_t version_ = 0;
    int rank_ = 0;
    const char* entry_ = nullptr;
  };

 private:
  // The first rank, of those not below `from`, whose entry is not before the target, or is after it.
  int bound(const Node& node, Ranks ranks, int from, const Target& target, bool after) const {
    int low = from;
    int ties = 0;
    for (int rank = from; rank < ranks.count(); rank++) {
      uint64_t prefix = node.prefix(ranks.slot(rank));
      low += prefix < target.prefix;
      ties += prefix == target.prefix;
    }
    for (int high = low + ties; low < high;) {
      int middle = (low + high) / 2;
      int order = keys_.compare(node.entry(ranks.slot(middle)), target.key);
      if (order < 0 || (after && order == 0)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  // Of the last child that begins before the target, or with it. What is before all others is in the first.
  int childRank(const Inner& inner, Ranks ranks, const Target& target, bool orEqual) const {
    return bound(inner, ranks, 1, target, orEqual) - 1;
  }

  // For readers. What is looked for is in there, or further right.
  template <typename Choose>
  const Leaf* descend(Choose choose) const {
    const Node* node = root_.load(std::memory_order_acquire);
    while (node->level > 0) {
      const Inner& inner = *static_cast<const Inner*>(node);
      uint32_t version = inner.changes();
      Ranks ranks = inner.order();
      const Node* child = inner.child(ranks.slot(choose(inner, ranks)));
      if (inner.changes() == version) node = child;
    }
    return static_cast<const Leaf*>(node);
  }

  const Leaf* leafOf(const Target& target, bool orEqual) const {
    return descend([&](const Inner& inner, Ranks ranks) {
      return childRank(inner, ranks, target, orEqual);
    });
  }

  const Leaf* lastLeaf() const {
    return descend([](const Inner&, Ranks ranks) { return ranks.count() - 1; });
  }

  Target targetAt(const Node& node, int rank) const {
    int slot = node.order().slot(rank);
    return Target{node.prefix(slot), node.entry(slot)};
  }

  // An entry that comes last goes into a node of its own, so that what is inserted in order leaves full nodes behind.
  void split(Leaf* leaf, int rank, const Target& target, Path* path) {
    Leaf* right = make<Leaf>();
    int kept = rank == kSlots ? kSlots : kHalf;
    for (int i = kept; i < kSlots; i++) right->put(i - kept, targetAt(*leaf, i));
    if (rank > kHalf) right->put(rank - kept, target);
    right->next.store(leaf->follower(), std::memory_order_relaxed);
    leaf->next.store(right, std::memory_order_release);
    addChild(targetAt(*right, 0), right, path);
    if (kept < kSlots) leaf->keepFirst(kept);
    if (rank <= kHalf) leaf->put(rank, target);
  }

  // To the last node of the path, after the child by which the path goes on.
  void addChild(const Target& target, Node* child, Path* path) {
    if (path->depth == 0) {
      Node* old = root_.load(std::memory_order_relaxed);
      Inner* root = make<Inner>(old->level + 1);
      root->put(0, targetAt(*old, 0), old);
      root->put(1, target, child);
      root_.store(root, std::memory_order_release);
      return;
    }
    auto [inner, before] = path->steps[--path->depth];
    int rank = before + 1;
    if (inner->order().count() < kSlots) {
      inner->put(rank, target, child);
      return;
    }
    Inner* right = make<Inner>(inner->level);
    int kept = rank == kSlots ? kSlots : kHalf;
    for (int i = kept; i < kSlots; i++) {
      right->put(i - kept, targetAt(*inner, i), inner->child(inner->order().slot(i)));
    }
    if (rank > kHalf) right->put(rank - kept, target, child);
    addChild(targetAt(*right, 0), right, path);
    if (kept < kSlots) inner->keepFirst(kept);
    if (rank <= kHalf) inner->put(rank, target, child);
  }

  // From slabs that begin small, as many trees stay empty.
  template <typename Kind, typename... Arguments>
  Kind* make(Arguments... arguments) {
    if (slabLeft_ < sizeof(Kind)) {
      slabBytes_ = slabBytes_ == 0 ? sizeof(Kind) : slabBytes_ * 4 < kSlabMax ? slabBytes_ * 4 : kSlabMax;
      uintptr_t raw = reinterpret_cast<uintptr_t>(keys_.allocate(slabBytes_ + kLine - 1));
      slab_ = reinterpret_cast<char*>((raw + kLine - 1) & ~static_cast<uintptr_t>(kLine - 1));
      slabLeft_ = slabBytes_;
    }
    char* place = slab_;
    slab_ += sizeof(Kind);
    slabLeft_ -= sizeof(Kind);
    return new (place) Kind(arguments...);
  }

  Keys keys_;
  char* slab_ = nullptr;
  size_t slabLeft_ = 0;
  size_t slabBytes_ = 0;
  Leaf* const first_;
  std::atomic<Node*> root_;
};

}  // namespace ilion
