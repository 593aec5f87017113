#include "merge.h"

#include <algorithm>

#include "compaction.h"

namespace ilion {
namespace {

bool livenessWins(const Liveness& a, const Liveness& b) {
  if (a.present != b.present) return a.present;
  if (a.timestamp != b.timestamp) return a.timestamp > b.timestamp;
  if ((a.ttl > 0) != (b.ttl > 0)) return a.ttl > 0;
  if (a.expiry != b.expiry) return a.expiry > b.expiry;
  return a.ttl > b.ttl;
}

// Of two writes of the same cell, does `a` win? Cassandra's Cells.resolveRegular, made total by the ttl.
bool cellWins(const Cell& a, const Cell& b) {
  if (a.timestamp != b.timestamp) return a.timestamp > b.timestamp;
  bool aMortal = a.kind != CellKind::live;
  if (aMortal != (b.kind != CellKind::live)) return aMortal;
  bool aDead = a.kind == CellKind::tombstone;
  if (aDead != (b.kind == CellKind::tombstone)) return aDead;
  if (a.localSeconds != b.localSeconds) return a.localSeconds > b.localSeconds;
  if (a.ttl != b.ttl) return a.ttl > b.ttl;
  return a.value.compare(b.value) > 0;
}

bool rangeWins(const Range& a, const Range& b) {
  if (a.timestamp != b.timestamp) return a.timestamp > b.timestamp;
  return a.localSeconds > b.localSeconds;
}

// Appends [start, end) with the deletion of `over`, joined to its neighbour where they touch and say the same.
void pushRange(const Slice& start, const Slice& end, const Range& over, std::vector<Range>* out) {
  if (start.compare(end) >= 0) return;
  if (!out->empty()) {
    Range& last = out->back();
    if (last.end == start && !rangeWins(last, over) && !rangeWins(over, last)) {
      last.end = end;
      return;
    }
  }
  out->push_back(Range{start, end, over.timestamp, over.localSeconds});
}

}  // namespace

void Merger::clear() {
  joined_.clear();
  added_ = 0;
  withRanges_ = 0;
}

bool Merger::add(const Slice& bytes) {
  Liveness liveness = joined_.liveness;
  Deletion deletion = joined_.deletion;
  size_t ranges = joined_.ranges.size();
  joined_.liveness = Liveness();
  joined_.deletion = Deletion();
  if (!parseRecord(bytes, &joined_)) return false;
  if (livenessWins(liveness, joined_.liveness)) joined_.liveness = liveness;
  if (deletion.supersedes(joined_.deletion)) joined_.deletion = deletion;
  added_++;
  if (joined_.ranges.size() > ranges) withRanges_++;
  return true;
}

void Merger::mergeCells() {
  std::vector<Cell>& cells = joined_.cells;
  if (added_ > 1) {
    std::sort(cells.begin(), cells.end(), [](const Cell& a, const Cell& b) {
      int order = comparePlaces(a, b);
      return order != 0 ? order < 0 : cellWins(a, b);
    });
  }
  const Deletion& deletion = joined_.deletion;
  const Cell* complex = nullptr;
  const Cell* previous = nullptr;
  size_t kept = 0;
  // `complex` and `previous` may be overwritten in place by what is kept after them, so they are copies.
  Cell complexCopy, previousCopy;
  for (size_t i = 0; i < cells.size(); i++) {
    Cell cell = cells[i];
    if (previous != nullptr && comparePlaces(*previous, cell) == 0) continue;
    previousCopy = cell;
    previous = &previousCopy;
    if (cell.kind == CellKind::complexDeletion) {
      complexCopy = cell;
      complex = &complexCopy;
    } else if (complex != nullptr && complex->column == cell.column &&
               cell.timestamp <= complex->timestamp) {
      continue;
    }
    if (deletion.present && cell.timestamp <= deletion.timestamp) continue;
    cells[kept++] = cell;
  }
  cells.resize(kept);
}

// A sweep over the starts in order, with a heap of the ranges over the current position, best on top.
void Merger::mergeRanges() {
  std::vector<Range>& ranges = joined_.ranges;
  const Deletion& deletion = joined_.deletion;
  if (deletion.present) {
    std::erase_if(ranges, [&](const Range& r) { return r.timestamp <= deletion.timestamp; });
  }
  if (withRanges_ < 2 || ranges.size() < 2) return;
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.start.compare(b.start) < 0; });
  auto worse = [](const Range& a, const Range& b) { return rangeWins(b, a); };
  std::vector<Range> result;
  std::vector<Range>& over = pending_;
  over.clear();
  Slice position;
  // Emits everything that is open up to `limit` (null: to the end).
  auto advance = [&](const Slice* limit) {
    while (!over.empty()) {
      const Range top = over.front();
      if (top.end.compare(position) <= 0) {
        std::pop_heap(over.begin(), over.end(), worse);
        over.pop_back();
        continue;
      }
      bool beyond = limit != nullptr && limit->compare(top.end) < 0;
      Slice end = beyond ? *limit : top.end;
      pushRange(position, end, top, &result);
      position = end;
      if (beyond) return;
    }
  };
  for (const Range& range : ranges) {
    advance(&range.start);
    position = range.start;
    over.push_back(range);
    std::push_heap(over.begin(), over.end(), worse);
  }
  advance(nullptr);
  ranges = std::move(result);
}

void Merger::finish(std::string* out) {
  if (joined_.liveness.present && joined_.deletion.present &&
      joined_.liveness.timestamp <= joined_.deletion.timestamp) {
    joined_.liveness = Liveness();
  }
  if (!joined_.ranges.empty()) mergeRanges();
  mergeCells();
  encodeRecord(joined_, out);
}

namespace {

class RecordMergeOperator : public rocksdb::MergeOperator {
 public:
  explicit RecordMergeOperator(std::shared_ptr<FamilyState> family) : family_(std::move(family)) {}

  const char* Name() const override { return "ilion.RecordMerge.1"; }

  bool FullMergeV3(const MergeOperationInputV3& in, MergeOperationOutputV3* out) const override {
    const Slice* base = std::get_if<Slice>(&in.existing_value);
    if (base == nullptr && !std::holds_alternative<std::monostate>(in.existing_value)) return false;
    Merger& merger = scratch();
    if (base != nullptr && !merger.add(*base)) return false;
    for (const Slice& operand : in.operand_list) {
      if (!merger.add(operand)) return false;
    }
    std::string merged;
    merger.finish(&merged);
    // RocksDB does not show what a compaction merges to its filter, so that is done here (see compaction.h).
    if (CompactionScope* scope = CompactionScope::current(family_.get())) {
      scope->filterMerged(in.key, &merged);
    } else if (base == nullptr && in.operand_list.size() == 1 && in.operand_list[0] == merged) {
      out->new_value = in.operand_list[0];
      return true;
    }
    out->new_value = std::move(merged);
    return true;
  }

  bool PartialMergeMulti(const Slice&, const std::deque<Slice>& operands, std::string* out,
                         rocksdb::Logger*) const override {
    Merger& merger = scratch();
    for (const Slice& operand : operands) {
      if (!merger.add(operand)) return false;
    }
    merger.finish(out);
    return true;
  }

 private:
  static Merger& scratch() {
    static thread_local Merger merger;
    merger.clear();
    return merger;
  }

  std::shared_ptr<FamilyState> family_;
};

}  // namespace

std::shared_ptr<rocksdb::MergeOperator> newRecordMergeOperator(std::shared_ptr<FamilyState> family) {
  return std::make_shared<RecordMergeOperator>(std::move(family));
}

}  // namespace ilion
