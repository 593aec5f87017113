// Reading and writing of the integers in records: big-endian, and varints in their shortest form.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>

#include <rocksdb/slice.h>

namespace ilion {

using rocksdb::Slice;

inline uint32_t loadU32(const char* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return __builtin_bswap32(v);
}

inline uint64_t loadU64(const char* p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}

inline uint32_t loadU32Le(const char* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

inline void storeU32Le(char* p, uint32_t v) { memcpy(p, &v, 4); }

// Takes values from the front of a slice; after a failed call `ok` stays false and the values are 0.
class ByteReader {
 public:
  explicit ByteReader(const Slice& bytes) : p_(bytes.data()), end_(p_ + bytes.size()) {}

  bool ok = true;
  bool done() const { return p_ == end_; }
  const char* at() const { return p_; }

  void skip(size_t count) {
    if (need(count)) p_ += count;
  }

  uint8_t u8() { return need(1) ? static_cast<uint8_t>(*p_++) : 0; }

  uint32_t u32() {
    if (!need(4)) return 0;
    p_ += 4;
    return loadU32(p_ - 4);
  }

  int64_t i64() {
    if (!need(8)) return 0;
    p_ += 8;
    return static_cast<int64_t>(loadU64(p_ - 8));
  }

  uint32_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      uint8_t byte = u8();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        ok = ok && !(byte == 0 && shift > 0) && value <= UINT32_MAX;
        return ok ? static_cast<uint32_t>(value) : 0;
      }
    }
    ok = false;
    return 0;
  }

  Slice chunk() {
    uint32_t length = varint();
    if (!need(length)) return Slice();
    p_ += length;
    return Slice(p_ - length, length);
  }

 private:
  bool need(size_t count) {
    if (static_cast<size_t>(end_ - p_) < count) ok = false;
    return ok;
  }

  const char* p_;
  const char* end_;
};

inline void putU32(std::string* out, uint32_t v) {
  v = __builtin_bswap32(v);
  out->append(reinterpret_cast<const char*>(&v), 4);
}

inline void putI64(std::string* out, int64_t v) {
  uint64_t u = __builtin_bswap64(static_cast<uint64_t>(v));
  out->append(reinterpret_cast<const char*>(&u), 8);
}

inline void putVarint(std::string* out, uint32_t v) {
  while (v > 0x7f) {
    out->push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out->push_back(static_cast<char>(v));
}

inline void putChunk(std::string* out, const Slice& s) {
  putVarint(out, static_cast<uint32_t>(s.size()));
  out->append(s.data(), s.size());
}

}  // namespace ilion
