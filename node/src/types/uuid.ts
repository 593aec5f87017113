/** UUIDs: text, time-based generation, the cell paths of lists. Pure: clock and node are given. */
import { readInt32, writeInt32 } from '../common/bytes.ts';

const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

/** 16 bytes of a UUID in its usual form, or null. */
export function parseUuid(text: string): Buffer | null {
  return UUID.test(text) ? Buffer.from(text.replaceAll('-', ''), 'hex') : null;
}

/** The usual form, lower case, of 16 bytes from `at`. */
export function formatUuid(bytes: Uint8Array, at = 0): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + at, 16).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The version of a UUID: 1 for time-based, 4 for random. */
export function uuidVersion(bytes: Uint8Array): number {
  return bytes[6] >> 4;
}

/** 100 ns units between 1582-10-15 (where UUID time starts) and 1970-01-01. */
const EPOCH_OFFSET = 0x01b21dd213814000n;
const TICKS_PER_MILLI = 10_000n;
const TICKS_PER_MICRO = 10n;

/** Writes a version 1 UUID for a count of 100 ns units since 1970; `tail` gives the last 8 bytes. */
function writeTicks(ticks: bigint, tail: Uint8Array): Buffer {
  const time = BigInt.asUintN(60, ticks + EPOCH_OFFSET);
  const bytes = Buffer.allocUnsafe(16);
  writeInt32(bytes, Number(time & 0xffffffffn), 0);
  const high = Number(time >> 32n);
  bytes[4] = high >>> 8;
  bytes[5] = high;
  bytes[6] = 0x10 | (high >>> 24);
  bytes[7] = high >>> 16;
  bytes.set(tail.subarray(0, 8), 8);
  return bytes;
}

/**
 * A version 1 UUID.
 * @param micros wall clock, microseconds since 1970
 * @param clockSeqAndNode 8 bytes, the same for all UUIDs of one generator; see `clockSeqAndNode`
 * @param counter 0 to 9: tells UUIDs of one microsecond apart
 */
export function timeUuid(micros: bigint, clockSeqAndNode: Uint8Array, counter: number): Buffer {
  return writeTicks(micros * TICKS_PER_MICRO + BigInt(counter), clockSeqAndNode);
}

/** The last 8 bytes of time UUIDs from 8 random ones: sets the variant and the multicast bit. */
export function clockSeqAndNode(random: Uint8Array): Buffer {
  const bytes = Buffer.from(random.subarray(0, 8));
  bytes[0] = (bytes[0] & 0x3f) | 0x80;
  bytes[2] |= 0x01;
  return bytes;
}

/** A version 4 UUID from 16 random bytes. */
export function randomUuid(random: Uint8Array): Buffer {
  const bytes = Buffer.from(random.subarray(0, 16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes;
}

const MIN_TAIL = Buffer.alloc(8, 0x80);
const MAX_TAIL = Buffer.alloc(8, 0x7f);

/** CQL's minTimeuuid(): the least timeuuid of a millisecond since 1970. */
export function minTimeUuid(millis: bigint): Buffer {
  return writeTicks(millis * TICKS_PER_MILLI, MIN_TAIL);
}

/** CQL's maxTimeuuid(): the greatest timeuuid of a millisecond since 1970. */
export function maxTimeUuid(millis: bigint): Buffer {
  return writeTicks((millis + 1n) * TICKS_PER_MILLI - 1n, MAX_TAIL);
}

/** 100 ns units since 1970 of a version 1 UUID. */
export function timeUuidTicks(bytes: Uint8Array): bigint {
  const low = BigInt(readInt32(bytes, 0) >>> 0);
  const middle = BigInt((bytes[4] << 8) | bytes[5]);
  const high = BigInt(((bytes[6] & 0x0f) << 8) | bytes[7]);
  return ((high << 48n) | (middle << 32n) | low) - EPOCH_OFFSET;
}

/** Milliseconds since 1970 of a version 1 UUID, rounded towards the past. */
export function timeUuidMillis(bytes: Uint8Array): bigint {
  const ticks = timeUuidTicks(bytes);
  const millis = ticks / TICKS_PER_MILLI;
  return ticks % TICKS_PER_MILLI < 0n ? millis - 1n : millis;
}

/** Time UUIDs that are unique and ascend, also when the clock stands still or goes back. */
export interface TimeUuidGenerator {
  /** @param nowMicros wall clock, microseconds since 1970 */
  next(nowMicros: bigint): Buffer;
}

/** @param tail the generator's 8 bytes (`clockSeqAndNode`), not shared with another generator */
export function createTimeUuidGenerator(tail: Uint8Array): TimeUuidGenerator {
  let last = 0n;
  return {
    next(nowMicros) {
      const ticks = nowMicros * TICKS_PER_MICRO;
      last = ticks > last ? ticks : last + 1n;
      return writeTicks(last, tail);
    },
  };
}

/** The turning point of list prepends: 2010-01-01 in 100 ns units since 1970, as in Cassandra. */
const REFERENCE_TICKS = 1_262_304_000_000n * TICKS_PER_MILLI;

/** Cell paths of lists' elements: time UUIDs, in the order of the elements. */
export interface ListPaths {
  /** The path of an element put at the end. @param nowMicros wall clock, microseconds since 1970 */
  append(nowMicros: bigint): Buffer;
  /**
   * The paths, in list order, of `count` elements that one write puts before all others: their time
   * is mirrored at 2010, so that later prepends sort first.
   */
  prepend(nowMicros: bigint, count: number): Buffer[];
}

/** @param tail the generator's 8 bytes (`clockSeqAndNode`), not shared with another generator */
export function createListPaths(tail: Uint8Array): ListPaths {
  const appended = createTimeUuidGenerator(tail);
  let first = 2n * REFERENCE_TICKS;
  return {
    append: (nowMicros) => appended.next(nowMicros),
    prepend(nowMicros, count) {
      const mirrored = 2n * REFERENCE_TICKS - nowMicros * TICKS_PER_MICRO;
      const end = mirrored < first ? mirrored : first;
      first = end - BigInt(count);
      return Array.from({ length: count }, (_, i) => writeTicks(first + BigInt(i), tail));
    },
  };
}
