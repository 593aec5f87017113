/**
 * How concurrent writes become one state (node/docs/storage-format.md, 4): the reference that the native merge operator is
 * held to, and the merge of the simulation. A join: associative, commutative, idempotent; no clock.
 */
import { compareBytes } from '../common/bytes.ts';
import {
  type Cell,
  compareCellPlaces,
  type Deletion,
  decodeRecord,
  encodeRecord,
  type Liveness,
  type RangeTombstone,
  type RecordState,
} from './record.ts';

/** > 0 if `a` wins. Source: Cassandra's DeletionTime.supersedes. */
export function compareDeletions(a: Deletion, b: Deletion): number {
  if (a.timestamp !== b.timestamp) return a.timestamp > b.timestamp ? 1 : -1;
  return a.localSeconds - b.localSeconds;
}

function compareLiveness(a: Liveness, b: Liveness): number {
  if (a.timestamp !== b.timestamp) return a.timestamp > b.timestamp ? 1 : -1;
  if (a.ttl > 0 !== b.ttl > 0) return a.ttl > 0 ? 1 : -1;
  return a.expiry - b.expiry || a.ttl - b.ttl;
}

/** > 0 if `a` wins. Source: Cassandra's Cells.resolveRegular (with CASSANDRA-14592), made total by the ttl. */
function compareCells(a: Cell, b: Cell): number {
  if (a.timestamp !== b.timestamp) return a.timestamp > b.timestamp ? 1 : -1;
  const aMortal = a.kind !== 'live';
  const bMortal = b.kind !== 'live';
  if (aMortal !== bMortal) return aMortal ? 1 : -1;
  const aDead = a.kind === 'tombstone';
  const bDead = b.kind === 'tombstone';
  if (aDead !== bDead) return aDead ? 1 : -1;
  if (a.localSeconds !== b.localSeconds) return a.localSeconds - b.localSeconds;
  if (a.ttl !== b.ttl) return a.ttl - b.ttl;
  return a.value !== null && b.value !== null ? compareBytes(a.value, b.value) : 0;
}

function greater<T>(a: T | null, b: T | null, compare: (a: T, b: T) => number): T | null {
  if (a === null || b === null) return a ?? b;
  return compare(a, b) >= 0 ? a : b;
}

/** The later of two deletions of the same thing. */
export function mergeDeletions(a: Deletion | null, b: Deletion | null): Deletion | null {
  return greater(a, b, compareDeletions);
}

/** Every position takes the greatest deletion over it; neighbours with equal deletions are joined. */
export function mergeRanges(
  a: readonly RangeTombstone[],
  b: readonly RangeTombstone[],
): readonly RangeTombstone[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const points = [...a, ...b].flatMap((range) => [range.start, range.end]).sort(compareBytes);
  const merged: RangeTombstone[] = [];
  let ai = 0;
  let bi = 0;
  for (let i = 0; i + 1 < points.length; i++) {
    const start = points[i];
    const end = points[i + 1];
    if (compareBytes(start, end) === 0) continue;
    while (ai < a.length && compareBytes(a[ai].end, start) <= 0) ai++;
    while (bi < b.length && compareBytes(b[bi].end, start) <= 0) bi++;
    const overA = ai < a.length && compareBytes(a[ai].start, start) <= 0 ? a[ai] : null;
    const overB = bi < b.length && compareBytes(b[bi].start, start) <= 0 ? b[bi] : null;
    const over = greater<Deletion>(overA, overB, compareDeletions);
    if (over === null) continue;
    const last = merged[merged.length - 1];
    if (
      last !== undefined &&
      compareBytes(last.end, start) === 0 &&
      compareDeletions(last, over) === 0
    ) {
      merged[merged.length - 1] = { ...last, end };
    } else {
      merged.push({ start, end, timestamp: over.timestamp, localSeconds: over.localSeconds });
    }
  }
  return merged;
}

function mergeCells(a: readonly Cell[], b: readonly Cell[]): Cell[] {
  const merged: Cell[] = [];
  let ai = 0;
  let bi = 0;
  while (ai < a.length || bi < b.length) {
    const order = ai === a.length ? 1 : bi === b.length ? -1 : compareCellPlaces(a[ai], b[bi]);
    if (order < 0) merged.push(a[ai++]);
    else if (order > 0) merged.push(b[bi++]);
    else {
      merged.push(compareCells(a[ai], b[bi]) >= 0 ? a[ai] : b[bi]);
      ai++;
      bi++;
    }
  }
  return merged;
}

/** Drops what the record's own deletions cover. */
function withoutCovered(state: RecordState): RecordState {
  const { deletion } = state;
  const covered = (timestamp: bigint) => deletion !== null && timestamp <= deletion.timestamp;
  const cells: Cell[] = [];
  let complex: Cell | null = null;
  for (const cell of state.cells) {
    if (cell.kind === 'complex-deletion') complex = cell;
    else if (complex !== null && complex.column === cell.column) {
      if (cell.timestamp <= complex.timestamp) continue;
    }
    if (!covered(cell.timestamp)) cells.push(cell);
  }
  const { liveness } = state;
  return {
    liveness: liveness !== null && covered(liveness.timestamp) ? null : liveness,
    deletion,
    ranges: state.ranges.filter((range) => !covered(range.timestamp)),
    cells,
  };
}

/** The join of two states. */
export function mergeStates(a: RecordState, b: RecordState): RecordState {
  return withoutCovered({
    liveness: greater(a.liveness, b.liveness, compareLiveness),
    deletion: mergeDeletions(a.deletion, b.deletion),
    ranges: mergeRanges(a.ranges, b.ranges),
    cells: mergeCells(a.cells, b.cells),
  });
}

const NOTHING: RecordState = { liveness: null, deletion: null, ranges: [], cells: [] };

/**
 * The canonical record of what all of `records` say, in any order.
 * @throws RecordFormatError if one of them is not a record
 */
export function mergeRecords(records: readonly Uint8Array[]): Uint8Array {
  return encodeRecord(records.map(decodeRecord).reduce(mergeStates, NOTHING));
}
