// CRC-32C of whole files: made by the engine when it writes an SST and kept in its manifest, checked wherever one arrives.
#pragma once
#include <memory>
#include <string>

#include <rocksdb/file_checksum.h>

#include "error.h"

namespace ilion {

// The engine's own is in software in the libraries we use; this takes the processor's instruction where there is one.
std::shared_ptr<rocksdb::FileChecksumGenFactory> fileChecksumFactory();

extern const char* const kFileChecksumName;

// Of a file on disk, in the form in which the engine keeps it: 4 bytes, big-endian.
std::string checksumOfFile(const std::string& path, Error* error);

}  // namespace ilion
