// OrderedTree against std::set, and with readers beside the one who inserts. ordered-tree.test.ts compiles and runs it.
//   ordered-tree SEED ROUNDS
// Silent and 0 if all is right; else says what is not, with the seed.
#include "../core/ordered-tree.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

// Entries are zero-terminated. Prefixes are of two bytes, so that many are alike.
struct Keys {
  std::vector<std::unique_ptr<char[]>>* memory;

  uint64_t prefix(const char* entry) const {
    if (entry[0] == '\0') return 0;
    return static_cast<uint64_t>(static_cast<uint8_t>(entry[0])) << 8 | static_cast<uint8_t>(entry[1]);
  }
  int compare(const char* a, const char* b) const { return strcmp(a, b); }
  char* allocate(size_t bytes) {
    memory->push_back(std::make_unique<char[]>(bytes));
    return memory->back().get();
  }
};

using Tree = ilion::OrderedTree<Keys>;

[[noreturn]] void fail(const char* what, unsigned seed) {
  fprintf(stderr, "%s (seed %u)\n", what, seed);
  exit(1);
}

// Keys in one of the ways in which tables are written: at random, in order, backwards, in some partitions each in order.
std::vector<std::string> keysOf(std::mt19937& random, size_t count) {
  std::set<std::string> seen;
  std::vector<std::string> keys;
  unsigned kind = random() % 4;
  unsigned partitions = 1 + random() % 20;
  for (size_t i = 0; keys.size() < count; i++) {
    char text[32];
    unsigned wide = random();
    switch (kind) {
      case 0: snprintf(text, sizeof text, "%x", wide % 0xffffff); break;
      case 1: snprintf(text, sizeof text, "k%08zu", i); break;
      case 2: snprintf(text, sizeof text, "k%08zu", 99999999 - i); break;
      default: snprintf(text, sizeof text, "%c%c%08zu", 'a' + wide % partitions, 'x', i);
    }
    if (seen.insert(text).second) keys.push_back(text);
  }
  return keys;
}

const char* textOf(const Tree::Cursor& cursor) { return cursor.valid() ? cursor.entry() : nullptr; }

using Model = std::set<std::string>;

bool same(const Tree::Cursor& cursor, const Model& model, Model::const_iterator at) {
  const char* text = textOf(cursor);
  return at == model.end() ? text == nullptr : text != nullptr && *at == text;
}

void againstModel(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::unique_ptr<char[]>> memory;
  Tree tree(Keys{&memory});
  Model model;
  Tree::Cursor cursor(tree);
  std::vector<std::string> keys = keysOf(random, random() % 3000);
  auto look = [&] {
    std::string key = keys.empty() ? "x" : keys[random() % keys.size()];
    if (random() % 3 == 0) key += "~";
    if (random() % 20 == 0) key.clear();
    auto from = model.lower_bound(key);
    cursor.seek(key.c_str());
    if (!same(cursor, model, from)) fail("seek", seed);
    for (auto at = from; at != model.end() && random() % 40 != 0;) {
      cursor.next();
      if (!same(cursor, model, ++at)) fail("next", seed);
    }
    auto after = model.upper_bound(key);
    cursor.seekForPrev(key.c_str());
    for (;;) {
      after = after == model.begin() ? model.end() : std::prev(after);
      if (!same(cursor, model, after)) fail("seekForPrev, prev", seed);
      if (!cursor.valid() || random() % 20 == 0) break;
      cursor.prev();
    }
    cursor.seekToFirst();
    if (!same(cursor, model, model.begin())) fail("seekToFirst", seed);
    cursor.seekToLast();
    if (!same(cursor, model, model.empty() ? model.end() : std::prev(model.end()))) fail("seekToLast", seed);
  };
  look();
  for (const std::string& key : keys) {
    tree.insert(key.c_str());
    model.insert(key);
    if (random() % 50 == 0) look();
  }
  cursor.seekToFirst();
  for (auto at = model.begin(); at != model.end(); ++at, cursor.next()) {
    if (!same(cursor, model, at)) fail("all in order", seed);
  }
  if (cursor.valid()) fail("more than there is", seed);
}

std::atomic<size_t> passes{0};

// Readers know how many were inserted before they began: all of these they must see, in order, each once.
void besideReaders(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::unique_ptr<char[]>> memory;
  std::vector<std::string> keys = keysOf(random, 500 + random() % 5000);
  Tree tree(Keys{&memory});
  std::unordered_map<const char*, size_t> numbers;
  for (size_t i = 0; i < keys.size(); i++) numbers[keys[i].c_str()] = i;
  std::atomic<size_t> inserted{0};
  auto reader = [&](unsigned number) {
    std::mt19937 own(seed * 31 + number);
    Tree::Cursor cursor(tree);
    while (inserted.load(std::memory_order_acquire) < keys.size()) {
      size_t before = inserted.load(std::memory_order_acquire);
      if (before == 0) continue;
      for (int i = 0; i < 50; i++) {
        const char* key = keys[own() % before].c_str();
        cursor.seek(key);
        if (textOf(cursor) != key) fail("a reader does not find what was inserted", seed);
        cursor.seekForPrev(key);
        if (textOf(cursor) != key) fail("a reader does not find backwards what was inserted", seed);
      }
      bool forwards = own() % 2 == 0;
      if (forwards) {
        cursor.seekToFirst();
      } else {
        cursor.seekToLast();
      }
      size_t found = 0;
      for (const char* last = nullptr; cursor.valid();) {
        const char* now = cursor.entry();
        int order = last == nullptr ? 0 : strcmp(now, last);
        if (last != nullptr && (forwards ? order <= 0 : order >= 0)) fail("a reader sees no order", seed);
        last = now;
        found += numbers.at(now) < before;
        if (forwards) {
          cursor.next();
        } else {
          cursor.prev();
        }
      }
      passes++;
      if (found != before) fail(forwards ? "a reader misses entries" : "a reader misses entries backwards", seed);
    }
  };
  std::thread one(reader, 1), two(reader, 2);
  for (const std::string& key : keys) {
    tree.insert(key.c_str());
    size_t now = inserted.fetch_add(1, std::memory_order_release);
    if (now % 16 == 0) std::this_thread::yield();
  }
  one.join();
  two.join();
}

}  // namespace

int main(int count, char** arguments) {
  unsigned seed = count > 1 ? static_cast<unsigned>(atoi(arguments[1])) : 1;
  unsigned rounds = count > 2 ? static_cast<unsigned>(atoi(arguments[2])) : 20;
  for (unsigned round = 0; round < rounds; round++) {
    againstModel(seed + round);
    besideReaders(seed + round);
  }
  if (passes < rounds) fail("readers hardly ran beside the one who inserts", seed);
}
