// Point reads, many in one call. The layout of requests and answers is KvStore.multiGet's.
#pragma once
#include <string>

#include "error.h"
#include "store.h"

namespace ilion {

constexpr int kAbsent = -1;

// Length of `count` requests at the front of `bytes`; 0 if they are malformed (or there are none).
size_t requestsLength(const Slice& bytes, uint32_t count);

// From memory only. @returns bytes used of `out`, or the negative of what would be needed. `requests` were checked.
int64_t readFromMemory(Store& store, const FamilyTable& families, const char* requests,
                       uint32_t count, char* out, size_t size, Error* error);

// Reads the disk too; `out` gets exactly the answer.
void readAll(Store& store, const FamilyTable& families, const char* requests, uint32_t count,
             std::string* out, Error* error);

}  // namespace ilion
