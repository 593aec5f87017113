// The description of an exported family, as bytes that can travel with its files.
#pragma once
#include <string>

#include <rocksdb/metadata.h>

namespace ilion {

void encodeExport(const rocksdb::ExportImportFilesMetaData& files, std::string* out);

// `directory` is where the files are now. False: not the bytes of an export.
bool decodeExport(const std::string& bytes, const std::string& directory,
                  rocksdb::ExportImportFilesMetaData* files);

}  // namespace ilion
