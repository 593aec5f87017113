// Records, as node/docs/storage-format.md (3) lays them out: parsed into views on the stored bytes, and written again.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bytes.h"

namespace ilion {

struct Deletion {
  int64_t timestamp = INT64_MIN;
  uint32_t localSeconds = 0;
  bool present = false;

  // Cassandra's DeletionTime.supersedes.
  bool supersedes(const Deletion& other) const {
    if (present != other.present) return present;
    if (timestamp != other.timestamp) return timestamp > other.timestamp;
    return localSeconds > other.localSeconds;
  }
};

struct Liveness {
  int64_t timestamp = 0;
  uint32_t ttl = 0;  // 0: does not expire, and expiry is 0
  uint32_t expiry = 0;
  bool present = false;
};

enum class CellKind : uint8_t { live, expiring, tombstone, complexDeletion };

struct Cell {
  uint32_t column;
  CellKind kind;
  bool hasPath;
  uint32_t ttl;           // 0 unless expiring
  uint32_t localSeconds;  // expiry, or local deletion time; 0 if live
  int64_t timestamp;
  Slice path;
  Slice value;
};

struct Range {
  Slice start;  // inclusive
  Slice end;    // exclusive
  int64_t timestamp;
  uint32_t localSeconds;
};

// Slices point into the bytes that were parsed.
struct Record {
  Liveness liveness;
  Deletion deletion;
  std::vector<Range> ranges;
  std::vector<Cell> cells;

  void clear();
  bool empty() const {
    return !liveness.present && !deletion.present && ranges.empty() && cells.empty();
  }
};

// Order of cells in a record: negative, 0 (the same cell), positive.
int comparePlaces(const Cell& a, const Cell& b);

// Appends what `bytes` hold to `record` (whose liveness and deletion must be absent). False: not a record.
// Cells and ranges are in order as far as they come from one call.
bool parseRecord(const Slice& bytes, Record* record);

// What there is to know of a record without its cells.
struct RecordOutline {
  int64_t latest = INT64_MIN;  // the greatest of its timestamps
  uint64_t columns = 0;        // one more than the greatest id of a column in it
  // A row that was written as a whole: liveness and a cell of each column of `rowColumns`, all of one timestamp.
  bool whole = false;
};

// Without memory of its own. `rowColumns` may be null. False: not a record (not all that parseRecord finds is found here).
bool outlineRecord(const Slice& bytes, const std::vector<uint32_t>* rowColumns, RecordOutline* out);

// Appends the canonical bytes of a record whose cells and ranges are in order.
void encodeRecord(const Record& record, std::string* out);

}  // namespace ilion
