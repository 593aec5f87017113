/**
 * Which files of a table go as they are. A file is sent whole if all that it has is wanted, of one range and for one shard
 * of the target, and if its keys have sequence numbers of their own; of others the wanted part is copied into a file of its own.
 */
import type { LiveFile } from '../storage/kv.ts';
import type { BucketRange } from './ports.ts';

/** A range of one shard of the target: what is ingested in one go. */
export interface Part {
  readonly range: BucketRange;
  /** Of the target. */
  readonly shard: number;
}

export interface WholeFile {
  readonly file: LiveFile;
  /** Index into the parts. */
  readonly part: number;
}

export interface FilePlan {
  /** In the order in which they are ingested: the oldest first. */
  readonly whole: readonly WholeFile[];
  /** Have something that is wanted and something that is not. */
  readonly edges: readonly LiveFile[];
}

const BUCKETS = 0x10000;

/** Ranges without overlaps or neighbours, ascending. */
export function normalized(ranges: readonly BucketRange[]): readonly BucketRange[] {
  const sorted = [...ranges].sort((a, b) => a.first - b.first);
  const result: BucketRange[] = [];
  for (const { first, last } of sorted) {
    const before = result.at(-1);
    if (before !== undefined && first <= before.last + 1) {
      result[result.length - 1] = { first: before.first, last: Math.max(before.last, last) };
    } else result.push({ first, last });
  }
  return result;
}

/** The ranges cut at the ends of the target's shards, ascending. @param shards a power of two */
export function partsOf(ranges: readonly BucketRange[], shards: number): readonly Part[] {
  const perShard = BUCKETS / shards;
  const parts: Part[] = [];
  for (const { first, last } of normalized(ranges)) {
    for (let from = first; from <= last; ) {
      const shard = Math.floor(from / perShard);
      const to = Math.min(last, (shard + 1) * perShard - 1);
      parts.push({ range: { first: from, last: to }, shard });
      from = to + 1;
    }
  }
  return parts;
}

/** The keys of a range: from `lower` to before `upper`; null: to the end. */
export function keysOf({ first, last }: BucketRange): {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array | null;
} {
  const bound = (bucket: number) => Uint8Array.of(bucket >> 8, bucket & 0xff);
  return { lower: bound(first), upper: last === BUCKETS - 1 ? null : bound(last + 1) };
}

function bucketAt(key: Uint8Array): number {
  return ((key[0] ?? 0) << 8) | (key[1] ?? 0);
}

/** The bounds of what a file has, as buckets. */
export function bucketsOf({ smallestKey, largestKey }: LiveFile): BucketRange {
  return { first: bucketAt(smallestKey), last: bucketAt(largestKey) };
}

export function overlaps(a: BucketRange, b: BucketRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function isWithin(inner: BucketRange, outer: BucketRange): boolean {
  return inner.first >= outer.first && inner.last <= outer.last;
}

/**
 * Was written outside of the store and ingested, as what is kept aside is: its keys count as written then, but only the
 * store knows that. Taken elsewhere as it is they would be older than all else, and a value (the engine makes one of many
 * merges of a key) would hide them.
 */
function wasIngested({ smallestSequence, largestSequence }: LiveFile): boolean {
  return largestSequence > 0 && smallestSequence === largestSequence;
}

/** @param files of one family of one shard of the source */
export function planFiles(files: readonly LiveFile[], parts: readonly Part[]): FilePlan {
  const whole: WholeFile[] = [];
  const edges: LiveFile[] = [];
  for (const file of files) {
    const buckets = bucketsOf(file);
    const part = parts.findIndex(({ range }) => overlaps(range, buckets));
    if (part < 0) continue;
    const isWhole = isWithin(buckets, parts[part].range) && !wasIngested(file);
    if (isWhole) whole.push({ file, part });
    else edges.push(file);
  }
  whole.sort(
    (a, b) => b.file.level - a.file.level || a.file.largestSequence - b.file.largestSequence,
  );
  return { whole, edges };
}
