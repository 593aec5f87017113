#include "export-metadata.h"

#include "bytes.h"

namespace ilion {
namespace {

constexpr uint32_t kVersion = 1;

void putNumber(std::string* out, uint64_t v) { putI64(out, static_cast<int64_t>(v)); }
uint64_t number(ByteReader& in) { return static_cast<uint64_t>(in.i64()); }

}  // namespace

void encodeExport(const rocksdb::ExportImportFilesMetaData& files, std::string* out) {
  putVarint(out, kVersion);
  putChunk(out, files.db_comparator_name);
  putVarint(out, static_cast<uint32_t>(files.files.size()));
  for (const auto& file : files.files) {
    putChunk(out, file.name);
    putVarint(out, static_cast<uint32_t>(file.level));
    for (uint64_t v : {file.size, file.file_number, file.smallest_seqno, file.largest_seqno,
                       file.epoch_number}) {
      putNumber(out, v);
    }
    for (const std::string* key : {&file.smallestkey, &file.largestkey, &file.smallest, &file.largest}) {
      putChunk(out, *key);
    }
  }
}

bool decodeExport(const std::string& bytes, const std::string& directory,
                  rocksdb::ExportImportFilesMetaData* files) {
  ByteReader in{Slice(bytes)};
  if (in.varint() != kVersion) return false;
  files->db_comparator_name = in.chunk().ToString();
  uint32_t count = in.varint();
  for (uint32_t i = 0; in.ok && i < count; i++) {
    rocksdb::LiveFileMetaData file;
    file.name = in.chunk().ToString();
    file.level = static_cast<int>(in.varint());
    file.size = number(in);
    file.file_number = number(in);
    file.smallest_seqno = number(in);
    file.largest_seqno = number(in);
    file.epoch_number = number(in);
    for (std::string* key : {&file.smallestkey, &file.largestkey, &file.smallest, &file.largest}) {
      *key = in.chunk().ToString();
    }
    file.db_path = directory;
    files->files.push_back(std::move(file));
  }
  return in.ok && in.done();
}

}  // namespace ilion
