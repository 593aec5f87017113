/** A run of keys cut at the ring: each segment has the same replicas to read from. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { bucketOfKey, GRID_BUCKETS } from '../cluster/grid.ts';
import type { TokenRange } from '../cluster/ring.ts';
import type { CqlError } from '../common/errors.ts';
import { contactsOf } from './contacts.ts';
import type { CoordinatorContext } from './context.ts';
import type { Replicated } from './replicated.ts';

export interface Segment {
  /** Inclusive; null: from the start. */
  readonly lower: Uint8Array | null;
  /** Exclusive; null: to the end. */
  readonly upper: Uint8Array | null;
  readonly contacts: readonly NodeInfo[];
  readonly spares: readonly NodeInfo[];
  /** Why it cannot be read at the level. */
  readonly refused: CqlError | null;
}

type Readers = Pick<Segment, 'contacts' | 'spares' | 'refused'>;

const NOBODY: readonly NodeInfo[] = [];

/** Index of the range with the bucket. */
function rangeOf(ranges: readonly TokenRange[], bucket: number): number {
  let low = 0;
  let high = ranges.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle].last < bucket) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first key of a bucket; null: there is no such bucket. */
function keyOfBucket(bucket: number): Uint8Array | null {
  return bucket >= GRID_BUCKETS ? null : Uint8Array.of(bucket >> 8, bucket & 0xff);
}

function sameNodes(a: readonly NodeInfo[], b: readonly NodeInfo[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

/** Who stands in for a contact has to be a replica, too. */
function sameReaders(a: Readers, b: Readers): boolean {
  return sameNodes(a.contacts, b.contacts) && sameNodes(a.spares, b.spares);
}

/** Found one after another, as they are asked for: a scan may end after the first. Neighbours with the same readers are one. */
export function* segmentsOf(
  context: CoordinatorContext,
  replicated: Replicated,
  level: number,
  lower: Uint8Array | null,
  upper: Uint8Array | null,
): Generator<Segment> {
  const known = new Map<readonly NodeInfo[], Readers>();
  const readersOf = (replicas: readonly NodeInfo[]): Readers => {
    let readers = known.get(replicas);
    if (readers === undefined) {
      const live = context.live(replicas);
      const refused = replicated.refusal(level, live);
      readers = { ...contactsOf(context, replicated, level, live), refused };
      known.set(replicas, readers);
    }
    return readers;
  };
  const ranges = replicated.placement.ranges();
  if (ranges.length === 0) {
    yield { lower, upper, ...readersOf(NOBODY) };
    return;
  }
  const padded = Buffer.alloc(2);
  padded.set((lower ?? padded).subarray(0, 2));
  let i = rangeOf(ranges, bucketOfKey(padded));
  let from = lower;
  while (i < ranges.length) {
    const readers = readersOf(ranges[i].replicas);
    let { last } = ranges[i++];
    while (
      i < ranges.length &&
      readers.refused === null &&
      sameReaders(readersOf(ranges[i].replicas), readers)
    ) {
      ({ last } = ranges[i++]);
    }
    const end = keyOfBucket(last + 1);
    const isLast = end === null || (upper !== null && Buffer.compare(end, upper) >= 0);
    yield { lower: from, upper: isLast ? upper : end, ...readers };
    if (isLast) return;
    from = end;
  }
}
