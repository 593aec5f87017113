/** A run of keys cut at the ring: each segment has the same replicas to read from. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { bucketOfKey, GRID_BUCKETS } from '../cluster/grid.ts';
import type { TokenRange } from '../cluster/ring.ts';
import type { CqlError } from '../common/errors.ts';
import { chooseContacts, contactsOf } from './contacts.ts';
import type { CoordinatorContext } from './context.ts';
import { isMonotonic } from './levels.ts';
import type { Move, Replicated } from './replicated.ts';

export interface Segment {
  /** Inclusive; null: from the start. */
  readonly lower: Uint8Array | null;
  /** Exclusive; null: to the end. */
  readonly upper: Uint8Array | null;
  readonly contacts: readonly NodeInfo[];
  readonly spares: readonly NodeInfo[];
  /** Why it cannot be read at the level. */
  readonly refused: CqlError | null;
  /** How it moves, if that matters at the level. */
  readonly move: Move | null;
}

type Readers = Pick<Segment, 'contacts' | 'spares' | 'refused' | 'move'>;

const NOWHERE: TokenRange = { first: 0, last: 0, replicas: [] };

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

function sameMove(a: Move | null, b: Move | null): boolean {
  if (a === null || b === null) return a === b;
  return sameNodes(a.kept, b.kept) && sameNodes(a.extras, b.extras);
}

/** Who stands in for a contact has to be a replica, too. */
function sameReaders(a: Readers, b: Readers): boolean {
  return (
    sameNodes(a.contacts, b.contacts) && sameNodes(a.spares, b.spares) && sameMove(a.move, b.move)
  );
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
  const { placement, writes } = replicated;
  // As far as somebody gets it who is not read yet.
  const owners = isMonotonic(level) ? writes : placement;
  const readersOf = ({ last, replicas }: TokenRange): Readers => {
    let readers = known.get(replicas);
    if (readers === undefined) {
      const live = context.live(owners === placement ? replicas : placement.ofBucket(last));
      const refused = replicated.refusal(level, live);
      const move = owners === placement ? null : replicated.moveAmong(replicas);
      const chosen =
        move === null
          ? contactsOf(context, replicated, level, live)
          : chooseContacts(context, replicated, level, live, move);
      readers = { ...chosen, refused, move };
      known.set(replicas, readers);
    }
    return readers;
  };
  const ranges = owners.ranges();
  if (ranges.length === 0) {
    yield { lower, upper, ...readersOf(NOWHERE) };
    return;
  }
  const padded = Buffer.alloc(2);
  padded.set((lower ?? padded).subarray(0, 2));
  let i = rangeOf(ranges, bucketOfKey(padded));
  let from = lower;
  while (i < ranges.length) {
    const readers = readersOf(ranges[i]);
    let { last } = ranges[i++];
    while (
      i < ranges.length &&
      readers.refused === null &&
      sameReaders(readersOf(ranges[i]), readers)
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
