#include "file-checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace ilion {

const char* const kFileChecksumName = "ilion.crc32c.1";

namespace {

// Fits into a core's own cache.
constexpr size_t kReadBytes = 128 << 10;

std::array<uint32_t, 256> makeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}

uint32_t extendPortable(uint32_t crc, const char* data, size_t length) {
  static const std::array<uint32_t, 256> table = makeTable();
  for (size_t i = 0; i < length; i++) {
    crc = table[(crc ^ static_cast<uint8_t>(data[i])) & 0xff] ^ (crc >> 8);
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t extendFast(uint32_t crc, const char* data, size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; data += 8, length -= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; length > 0; data++, length--) crc = _mm_crc32_u8(crc, static_cast<uint8_t>(*data));
  return crc;
}
#endif

uint32_t extend(uint32_t crc, const char* data, size_t length) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return extendFast(crc, data, length);
#endif
  return extendPortable(crc, data, length);
}

std::string finished(uint32_t crc) {
  crc = ~crc;
  return std::string{static_cast<char>(crc >> 24), static_cast<char>(crc >> 16),
                     static_cast<char>(crc >> 8), static_cast<char>(crc)};
}

class Generator : public rocksdb::FileChecksumGenerator {
 public:
  void Update(const char* data, size_t n) override { crc_ = extend(crc_, data, n); }
  void Finalize() override { result_ = finished(crc_); }
  std::string GetChecksum() const override { return result_; }
  const char* Name() const override { return kFileChecksumName; }

 private:
  uint32_t crc_ = ~0u;
  std::string result_;
};

class Factory : public rocksdb::FileChecksumGenFactory {
 public:
  std::unique_ptr<rocksdb::FileChecksumGenerator> CreateFileChecksumGenerator(
      const rocksdb::FileChecksumGenContext& context) override {
    const std::string& name = context.requested_checksum_func_name;
    if (!name.empty() && name != kFileChecksumName) return nullptr;
    return std::make_unique<Generator>();
  }
  const char* Name() const override { return "ilion.FileChecksumFactory.1"; }
};

}  // namespace

std::shared_ptr<rocksdb::FileChecksumGenFactory> fileChecksumFactory() {
  static const auto factory = std::make_shared<Factory>();
  return factory;
}

std::string checksumOfFile(const std::string& path, Error* error) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    *error = systemError("cannot open", path, errno);
    return "";
  }
  posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<char> buffer(kReadBytes);
  uint32_t crc = ~0u;
  for (;;) {
    ssize_t count = read(file, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) *error = systemError("cannot read", path, errno);
    if (count <= 0) break;
    crc = extend(crc, buffer.data(), static_cast<size_t>(count));
  }
  close(file);
  return finished(crc);
}

}  // namespace ilion
