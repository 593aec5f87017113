#include "record.h"

#include <algorithm>

namespace ilion {
namespace {

constexpr uint8_t kVersion = 1;

constexpr uint8_t kHasLiveness = 1;
constexpr uint8_t kHasDeletion = 2;
constexpr uint8_t kLivenessExpires = 4;
constexpr uint8_t kHasRanges = 8;

constexpr uint8_t kOwnTimestamp = 0x01;
constexpr uint8_t kTombstone = 0x02;
constexpr uint8_t kExpiring = 0x04;
constexpr uint8_t kRowTtl = 0x08;
constexpr uint8_t kHasPath = 0x10;
constexpr uint8_t kComplexDeletion = 0x20;
constexpr uint8_t kKindBits = kTombstone | kExpiring | kRowTtl | kComplexDeletion;

bool parseRanges(ByteReader& in, std::vector<Range>* ranges) {
  uint32_t count = in.varint();
  if (!in.ok || count == 0) return false;
  size_t first = ranges->size();
  for (uint32_t i = 0; i < count; i++) {
    Range range{in.chunk(), in.chunk(), in.i64(), in.u32()};
    if (!in.ok || range.start.compare(range.end) >= 0) return false;
    if (ranges->size() > first) {
      const Range& previous = ranges->back();
      int order = previous.end.compare(range.start);
      bool same =
          previous.timestamp == range.timestamp && previous.localSeconds == range.localSeconds;
      if (order > 0 || (order == 0 && same)) return false;
    }
    ranges->push_back(range);
  }
  return true;
}

bool parseKind(ByteReader& in, uint8_t flags, const Liveness& liveness, Cell* cell) {
  switch (flags & kKindBits) {
    case 0:
      cell->kind = CellKind::live;
      return true;
    case kTombstone:
    case kComplexDeletion:
      cell->kind = flags & kTombstone ? CellKind::tombstone : CellKind::complexDeletion;
      cell->localSeconds = in.u32();
      return cell->kind == CellKind::tombstone || !(flags & kHasPath);
    case kExpiring:
      cell->kind = CellKind::expiring;
      cell->ttl = in.u32();
      cell->localSeconds = in.u32();
      return cell->ttl != 0;
    case kRowTtl:
      cell->kind = CellKind::expiring;
      cell->ttl = liveness.ttl;
      cell->localSeconds = liveness.expiry;
      return liveness.present && liveness.ttl != 0;
    default:
      return false;
  }
}

bool parseCell(ByteReader& in, int64_t base, const Liveness& liveness, Cell* cell) {
  cell->column = in.varint();
  uint8_t flags = in.u8();
  if (flags & 0xc0) return false;
  cell->timestamp = flags & kOwnTimestamp ? in.i64() : base;
  cell->ttl = 0;
  cell->localSeconds = 0;
  if (!parseKind(in, flags, liveness, cell)) return false;
  cell->hasPath = flags & kHasPath;
  if (cell->hasPath) cell->path = in.chunk();
  if (cell->kind == CellKind::live || cell->kind == CellKind::expiring) cell->value = in.chunk();
  return in.ok;
}

int64_t baseTimestamp(const Record& record) {
  if (record.liveness.present) return record.liveness.timestamp;
  if (!record.cells.empty()) return record.cells[0].timestamp;
  if (record.deletion.present) return record.deletion.timestamp;
  return record.ranges.empty() ? 0 : record.ranges[0].timestamp;
}

void encodeCell(const Cell& cell, int64_t base, const Liveness& liveness, std::string* out) {
  uint8_t flags = cell.timestamp != base ? kOwnTimestamp : 0;
  if (cell.kind == CellKind::tombstone) flags |= kTombstone;
  if (cell.kind == CellKind::complexDeletion) flags |= kComplexDeletion;
  if (cell.kind == CellKind::expiring) {
    bool rowTtl = liveness.present && liveness.ttl == cell.ttl && liveness.expiry == cell.localSeconds;
    flags |= rowTtl ? kRowTtl : kExpiring;
  }
  if (cell.hasPath) flags |= kHasPath;
  putVarint(out, cell.column);
  out->push_back(static_cast<char>(flags));
  if (flags & kOwnTimestamp) putI64(out, cell.timestamp);
  if (flags & kExpiring) putU32(out, cell.ttl);
  if (flags & (kExpiring | kTombstone | kComplexDeletion)) putU32(out, cell.localSeconds);
  if (cell.hasPath) putChunk(out, cell.path);
  if (cell.kind == CellKind::live || cell.kind == CellKind::expiring) putChunk(out, cell.value);
}

}  // namespace

void Record::clear() {
  liveness = Liveness();
  deletion = Deletion();
  ranges.clear();
  cells.clear();
}

int comparePlaces(const Cell& a, const Cell& b) {
  if (a.column != b.column) return a.column < b.column ? -1 : 1;
  bool aFirst = a.kind == CellKind::complexDeletion;
  bool bFirst = b.kind == CellKind::complexDeletion;
  if (aFirst || bFirst) return aFirst == bFirst ? 0 : aFirst ? -1 : 1;
  if (!a.hasPath || !b.hasPath) return a.hasPath == b.hasPath ? 0 : a.hasPath ? 1 : -1;
  return a.path.compare(b.path);
}

bool parseRecord(const Slice& bytes, Record* record) {
  ByteReader in(bytes);
  uint8_t head = in.u8();
  if (!in.ok || head >> 4 != kVersion) return false;
  int64_t base = in.i64();
  if (head & kHasLiveness) {
    bool expires = head & kLivenessExpires;
    uint32_t ttl = expires ? in.u32() : 0;
    record->liveness = Liveness{base, ttl, expires ? in.u32() : 0, true};
    if (expires && ttl == 0) return false;
  } else if (head & kLivenessExpires) {
    return false;
  }
  if (head & kHasDeletion) {
    int64_t timestamp = in.i64();
    record->deletion = Deletion{timestamp, in.u32(), true};
  }
  if ((head & kHasRanges) && !parseRanges(in, &record->ranges)) return false;
  size_t first = record->cells.size();
  while (in.ok && !in.done()) {
    Cell& cell = record->cells.emplace_back();
    if (!parseCell(in, base, record->liveness, &cell)) return false;
    if (record->cells.size() > first + 1 && comparePlaces((&cell)[-1], cell) >= 0) return false;
  }
  return in.ok;
}

bool outlineRecord(const Slice& bytes, const std::vector<uint32_t>* rowColumns,
                   RecordOutline* out) {
  *out = RecordOutline();
  ByteReader in(bytes);
  uint8_t head = in.u8();
  if (!in.ok || head >> 4 != kVersion) return false;
  int64_t base = in.i64();
  if (head & kHasLiveness) out->latest = base;
  if (head & kLivenessExpires) in.skip(8);
  if (head & kHasDeletion) {
    out->latest = std::max(out->latest, in.i64());
    in.skip(4);
  }
  uint32_t ranges = head & kHasRanges ? in.varint() : 0;
  for (uint32_t i = 0; in.ok && i < ranges; i++) {
    in.chunk();
    in.chunk();
    out->latest = std::max(out->latest, in.i64());
    in.skip(4);
  }
  bool whole = rowColumns != nullptr &&
               (head & (kHasLiveness | kHasDeletion | kHasRanges)) == kHasLiveness;
  size_t next = 0;
  while (in.ok && !in.done()) {
    uint32_t column = in.varint();
    uint8_t flags = in.u8();
    out->columns = std::max(out->columns, uint64_t{column} + 1);
    out->latest = std::max(out->latest, flags & kOwnTimestamp ? in.i64() : base);
    if (flags & (kTombstone | kComplexDeletion)) in.skip(4);
    if (flags & kExpiring) in.skip(8);
    if (flags & kHasPath) in.chunk();
    if (!(flags & (kTombstone | kComplexDeletion))) in.chunk();
    whole = whole && (flags & ~(kTombstone | kRowTtl)) == 0 && next < rowColumns->size() &&
            (*rowColumns)[next++] == column;
  }
  out->whole = whole && next == rowColumns->size();
  return in.ok;
}

void encodeRecord(const Record& record, std::string* out) {
  int64_t base = baseTimestamp(record);
  const Liveness& liveness = record.liveness;
  bool expires = liveness.present && liveness.ttl > 0;
  uint8_t head = kVersion << 4;
  if (liveness.present) head |= kHasLiveness;
  if (expires) head |= kLivenessExpires;
  if (record.deletion.present) head |= kHasDeletion;
  if (!record.ranges.empty()) head |= kHasRanges;
  out->push_back(static_cast<char>(head));
  putI64(out, base);
  if (expires) {
    putU32(out, liveness.ttl);
    putU32(out, liveness.expiry);
  }
  if (record.deletion.present) {
    putI64(out, record.deletion.timestamp);
    putU32(out, record.deletion.localSeconds);
  }
  if (!record.ranges.empty()) {
    putVarint(out, static_cast<uint32_t>(record.ranges.size()));
    for (const Range& range : record.ranges) {
      putChunk(out, range.start);
      putChunk(out, range.end);
      putI64(out, range.timestamp);
      putU32(out, range.localSeconds);
    }
  }
  for (const Cell& cell : record.cells) encodeCell(cell, base, liveness, out);
}

}  // namespace ilion
