/**
 * Records: the mergeable state of one row or partition, as stored (node/docs/storage-format.md, 3).
 *
 * This is the plain form, for merging, tests and tools. The read path looks at records in place
 * (`record-view.ts`), the write path writes them in place (`record-writer.ts`).
 */

import { compareBytes } from '../common/bytes.ts';

export const RECORD_VERSION = 1;

export const HAS_LIVENESS = 1;
export const HAS_DELETION = 2;
export const LIVENESS_EXPIRES = 4;
export const HAS_RANGES = 8;

export const OWN_TIMESTAMP = 0x01;
export const TOMBSTONE = 0x02;
export const EXPIRING = 0x04;
export const ROW_TTL = 0x08;
export const HAS_PATH = 0x10;
export const COMPLEX_DELETION = 0x20;

/** Seconds are since 1970, unsigned 32 bits; timestamps are microseconds, signed 64 bits. */
export interface Deletion {
  readonly timestamp: bigint;
  readonly localSeconds: number;
}

/** `ttl` 0: does not expire (and `expiry` is 0). */
export interface Liveness {
  readonly timestamp: bigint;
  readonly ttl: number;
  readonly expiry: number;
}

export type CellKind = 'live' | 'expiring' | 'tombstone' | 'complex-deletion';

export interface Cell {
  readonly column: number;
  readonly kind: CellKind;
  readonly timestamp: bigint;
  /** Seconds; 0 unless expiring. */
  readonly ttl: number;
  /** Expiry of an expiring cell, local deletion time of a tombstone or complex deletion, else 0. */
  readonly localSeconds: number;
  readonly path: Uint8Array | null;
  /** Null in tombstones and complex deletions. */
  readonly value: Uint8Array | null;
}

/** Covers the rows whose clustering bytes c have start <= c < end. */
export interface RangeTombstone {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly timestamp: bigint;
  readonly localSeconds: number;
}

export interface RecordState {
  readonly liveness: Liveness | null;
  readonly deletion: Deletion | null;
  /** Sorted, disjoint. */
  readonly ranges: readonly RangeTombstone[];
  /** Sorted by column, complex deletion first, then path. */
  readonly cells: readonly Cell[];
}

/** The stored bytes are not a record. Never to be skipped: it means a bug or a damaged disk. */
export class RecordFormatError extends Error {
  readonly code = 'RECORD_FORMAT';
  constructor(message: string) {
    super(`malformed record: ${message}`);
    this.name = 'RecordFormatError';
  }
}

/** Order of cells in a record; 0 means the same cell. */
export function compareCellPlaces(a: Cell, b: Cell): number {
  if (a.column !== b.column) return a.column - b.column;
  const aFirst = a.kind === 'complex-deletion';
  const bFirst = b.kind === 'complex-deletion';
  if (aFirst || bFirst) return aFirst && bFirst ? 0 : aFirst ? -1 : 1;
  if (a.path === null || b.path === null) return a.path === b.path ? 0 : a.path === null ? -1 : 1;
  return compareBytes(a.path, b.path);
}

class Decoder {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.offset === this.bytes.length;
  }

  private take(count: number): number {
    const at = this.offset;
    if (at + count > this.bytes.length) throw new RecordFormatError(`cut short at byte ${at}`);
    this.offset = at + count;
    return at;
  }

  u8(): number {
    return this.bytes[this.take(1)];
  }

  u32(): number {
    return this.view.getUint32(this.take(4));
  }

  i64(): bigint {
    return this.view.getBigInt64(this.take(8));
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw new RecordFormatError('varint not in its shortest form');
        if (value > 0xffffffff) throw new RecordFormatError('varint above 32 bits');
        return value;
      }
    }
    throw new RecordFormatError('varint above 5 bytes');
  }

  chunk(): Uint8Array {
    const length = this.varint();
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }
}

function decodeRanges(decoder: Decoder): RangeTombstone[] {
  const count = decoder.varint();
  if (count === 0) throw new RecordFormatError('no ranges');
  const ranges: RangeTombstone[] = [];
  for (let i = 0; i < count; i++) {
    const start = decoder.chunk();
    const end = decoder.chunk();
    const range = { start, end, timestamp: decoder.i64(), localSeconds: decoder.u32() };
    const previous = ranges[i - 1];
    if (compareBytes(start, end) >= 0) throw new RecordFormatError('empty range');
    if (previous !== undefined) {
      const order = compareBytes(previous.end, start);
      if (order > 0) throw new RecordFormatError('ranges overlap');
      if (order === 0 && sameDeletion(previous, range)) {
        throw new RecordFormatError('ranges not joined');
      }
    }
    ranges.push(range);
  }
  return ranges;
}

function sameDeletion(a: Deletion, b: Deletion): boolean {
  return a.timestamp === b.timestamp && a.localSeconds === b.localSeconds;
}

function decodeCell(decoder: Decoder, base: bigint, liveness: Liveness | null): Cell {
  const column = decoder.varint();
  const flags = decoder.u8();
  if ((flags & 0xc0) !== 0) throw new RecordFormatError(`unknown cell flags ${flags}`);
  const kindBits = flags & (TOMBSTONE | EXPIRING | ROW_TTL | COMPLEX_DELETION);
  if ((kindBits & (kindBits - 1)) !== 0)
    throw new RecordFormatError(`cell flags ${flags} exclude each other`);
  if (kindBits === COMPLEX_DELETION && (flags & HAS_PATH) !== 0) {
    throw new RecordFormatError('complex deletion with a path');
  }
  const timestamp = (flags & OWN_TIMESTAMP) !== 0 ? decoder.i64() : base;
  let ttl = 0;
  let localSeconds = 0;
  let kind: CellKind = 'live';
  if (kindBits === TOMBSTONE || kindBits === COMPLEX_DELETION) {
    kind = kindBits === TOMBSTONE ? 'tombstone' : 'complex-deletion';
    localSeconds = decoder.u32();
  } else if (kindBits === EXPIRING) {
    kind = 'expiring';
    ttl = decoder.u32();
    localSeconds = decoder.u32();
  } else if (kindBits === ROW_TTL) {
    if (liveness === null || liveness.ttl === 0)
      throw new RecordFormatError('ROW_TTL without a row TTL');
    kind = 'expiring';
    ttl = liveness.ttl;
    localSeconds = liveness.expiry;
  }
  if (kind === 'expiring' && ttl === 0) throw new RecordFormatError('expiring cell with ttl 0');
  const path = (flags & HAS_PATH) !== 0 ? decoder.chunk() : null;
  const hasValue = kind === 'live' || kind === 'expiring';
  const value = hasValue ? decoder.chunk() : null;
  return { column, kind, timestamp, ttl, localSeconds, path, value };
}

/**
 * Parses stored bytes; byte arrays in the result are views on `bytes`.
 * @throws RecordFormatError if they are not a record, in every way in which they may not be.
 */
export function decodeRecord(bytes: Uint8Array): RecordState {
  const decoder = new Decoder(bytes);
  const head = decoder.u8();
  if (head >> 4 !== RECORD_VERSION) throw new RecordFormatError(`version ${head >> 4}`);
  const base = decoder.i64();
  let liveness: Liveness | null = null;
  if ((head & HAS_LIVENESS) !== 0) {
    const expires = (head & LIVENESS_EXPIRES) !== 0;
    const ttl = expires ? decoder.u32() : 0;
    if (expires && ttl === 0) throw new RecordFormatError('expiring liveness with ttl 0');
    liveness = { timestamp: base, ttl, expiry: expires ? decoder.u32() : 0 };
  } else if ((head & LIVENESS_EXPIRES) !== 0) {
    throw new RecordFormatError('row TTL without liveness');
  }
  const deletion =
    (head & HAS_DELETION) !== 0 ? { timestamp: decoder.i64(), localSeconds: decoder.u32() } : null;
  const ranges = (head & HAS_RANGES) !== 0 ? decodeRanges(decoder) : [];
  const cells: Cell[] = [];
  while (!decoder.done) {
    const cell = decodeCell(decoder, base, liveness);
    const previous = cells[cells.length - 1];
    if (previous !== undefined && compareCellPlaces(previous, cell) >= 0) {
      throw new RecordFormatError('cells out of order');
    }
    cells.push(cell);
  }
  return { liveness, deletion, ranges, cells };
}

class Encoder {
  private buffer = Buffer.allocUnsafe(256);
  private length = 0;

  /** May replace `buffer`: take the place first, the buffer after. */
  private room(count: number): number {
    const at = this.length;
    if (at + count > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, at + count));
      this.buffer.copy(grown, 0, 0, at);
      this.buffer = grown;
    }
    this.length = at + count;
    return at;
  }

  u8(value: number): void {
    const at = this.room(1);
    this.buffer[at] = value;
  }

  u32(value: number): void {
    const at = this.room(4);
    this.buffer.writeUInt32BE(value, at);
  }

  i64(value: bigint): void {
    const at = this.room(8);
    this.buffer.writeBigInt64BE(value, at);
  }

  varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  chunk(bytes: Uint8Array): void {
    this.varint(bytes.length);
    const at = this.room(bytes.length);
    this.buffer.set(bytes, at);
  }

  finish(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
}

function baseTimestamp(state: RecordState): bigint {
  if (state.liveness !== null) return state.liveness.timestamp;
  if (state.cells.length > 0) return state.cells[0].timestamp;
  if (state.deletion !== null) return state.deletion.timestamp;
  return state.ranges.length > 0 ? state.ranges[0].timestamp : 0n;
}

function encodeCell(encoder: Encoder, cell: Cell, base: bigint, liveness: Liveness | null): void {
  let flags = cell.timestamp !== base ? OWN_TIMESTAMP : 0;
  const rowTtl =
    liveness !== null && liveness.ttl === cell.ttl && liveness.expiry === cell.localSeconds;
  if (cell.kind === 'tombstone') flags |= TOMBSTONE;
  else if (cell.kind === 'complex-deletion') flags |= COMPLEX_DELETION;
  else if (cell.kind === 'expiring') flags |= rowTtl ? ROW_TTL : EXPIRING;
  if (cell.path !== null) flags |= HAS_PATH;
  encoder.varint(cell.column);
  encoder.u8(flags);
  if ((flags & OWN_TIMESTAMP) !== 0) encoder.i64(cell.timestamp);
  if ((flags & EXPIRING) !== 0) encoder.u32(cell.ttl);
  if ((flags & (EXPIRING | TOMBSTONE | COMPLEX_DELETION)) !== 0) encoder.u32(cell.localSeconds);
  if (cell.path !== null) encoder.chunk(cell.path);
  if (cell.value !== null) encoder.chunk(cell.value);
}

/** Writes the canonical bytes. `state` must be sorted as `RecordState` says. */
export function encodeRecord(state: RecordState): Uint8Array {
  const { liveness, deletion, ranges, cells } = state;
  const base = baseTimestamp(state);
  let head = RECORD_VERSION << 4;
  if (liveness !== null) head |= HAS_LIVENESS | (liveness.ttl > 0 ? LIVENESS_EXPIRES : 0);
  if (deletion !== null) head |= HAS_DELETION;
  if (ranges.length > 0) head |= HAS_RANGES;
  const encoder = new Encoder();
  encoder.u8(head);
  encoder.i64(base);
  if (liveness !== null && liveness.ttl > 0) {
    encoder.u32(liveness.ttl);
    encoder.u32(liveness.expiry);
  }
  if (deletion !== null) {
    encoder.i64(deletion.timestamp);
    encoder.u32(deletion.localSeconds);
  }
  if (ranges.length > 0) {
    encoder.varint(ranges.length);
    for (const range of ranges) {
      encoder.chunk(range.start);
      encoder.chunk(range.end);
      encoder.i64(range.timestamp);
      encoder.u32(range.localSeconds);
    }
  }
  for (const cell of cells) encodeCell(encoder, cell, base, liveness);
  return encoder.finish();
}
