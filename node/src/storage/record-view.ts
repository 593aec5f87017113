/**
 * Looks at one record in place, without decoding what is not asked for (node/docs/storage-format.md, 3).
 * @hot One `RowView` serves many rows: `load` overwrites what the last one left.
 */
import {
  COMPLEX_DELETION,
  EXPIRING,
  HAS_DELETION,
  HAS_LIVENESS,
  HAS_PATH,
  HAS_RANGES,
  LIVENESS_EXPIRES,
  OWN_TIMESTAMP,
  RECORD_VERSION,
  RecordFormatError,
  ROW_TTL,
  TOMBSTONE,
} from './record.ts';

/** Offset that says "none". */
export const NONE = -1;

const HEAD_BYTES = 9;

/** A live cell of a non-frozen collection, UDT or counter; offsets into `RowView.bytes`. */
export interface ComplexCell {
  readonly pathStart: number;
  readonly pathEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Of the 8 bytes of the timestamp. */
  readonly stampAt: number;
  /** Of ttl and expiry (8 bytes), or NONE. */
  readonly ttlAt: number;
}

/** Which columns a view shall find: column id -> slot. */
export interface ViewShape {
  readonly slotCount: number;
  /** By column id; NONE (or beyond the end): not wanted. */
  readonly slotOfId: Int32Array;
  /** By slot: the column has many cells. */
  readonly isComplex: readonly boolean[];
}

export class RowView {
  readonly shape: ViewShape;
  bytes: Uint8Array = new Uint8Array(0);
  /** The row's own marker (INSERT) is alive. */
  marker = false;
  /** The row exists: its marker, or a cell of any column (wanted or not), is alive. */
  live = false;
  /**
   * Dead things in this record as Cassandra counts them: cells that are tombstones or expired, ranges, and the
   * row's deletion if nothing of it is alive.
   */
  tombstones = 0;
  /** By slot: the value's place, or NONE. */
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** By slot: the place of the timestamp's 8 bytes. */
  readonly stampAt: Int32Array;
  /** By slot: the place of ttl and expiry, or NONE. */
  readonly ttlAt: Int32Array;
  /** By slot: live cells in path order, of complex columns. */
  readonly complex: (ComplexCell[] | null)[];
  private position = 0;
  private end = 0;

  constructor(shape: ViewShape) {
    this.shape = shape;
    this.valueStart = new Int32Array(shape.slotCount);
    this.valueEnd = new Int32Array(shape.slotCount);
    this.stampAt = new Int32Array(shape.slotCount);
    this.ttlAt = new Int32Array(shape.slotCount);
    this.complex = new Array(shape.slotCount).fill(null);
  }

  /** Forgets the row: nothing is live. */
  clear(): void {
    this.live = false;
    this.marker = false;
    this.tombstones = 0;
    this.valueStart.fill(NONE);
    if (this.shape.slotCount > 0) this.complex.fill(null);
  }

  /**
   * Takes the record in `bytes[start, end)`, which must stay as it is while the view is used.
   * @param nowSeconds what has expired by then is not shown
   * @param coveredBy a deletion elsewhere (of the partition, or a range) that covers the row: cells of its timestamp
   *   or older are not shown
   * @throws RecordFormatError
   */
  load(
    bytes: Uint8Array,
    start: number,
    end: number,
    nowSeconds: number,
    coveredBy: bigint | null,
  ): void {
    this.clear();
    this.bytes = bytes;
    if (end - start < HEAD_BYTES) throw new RecordFormatError('cut short');
    this.end = end;
    const head = bytes[start];
    if (head >> 4 !== RECORD_VERSION) throw new RecordFormatError(`version ${head >> 4}`);
    const base = start + 1;
    let at = start + HEAD_BYTES;
    let rowTtlAt = NONE;
    let rowTtlAlive = true;
    if ((head & LIVENESS_EXPIRES) !== 0) {
      rowTtlAt = at;
      rowTtlAlive = readU32(bytes, at + 4) > nowSeconds;
      at += 8;
    }
    if ((head & HAS_LIVENESS) !== 0 && !isCovered(bytes, base, coveredBy)) {
      this.marker = rowTtlAlive;
    }
    if ((head & HAS_DELETION) !== 0) {
      at += 12;
    }
    if ((head & HAS_RANGES) !== 0) at = this.skipRanges(at);
    this.live = this.marker;
    while (at < end) at = this.cell(at, base, rowTtlAt, rowTtlAlive, nowSeconds, coveredBy);
    if (at !== end) throw new RecordFormatError('cut short');
    if (!this.live && (head & HAS_DELETION) !== 0 && this.tombstones === 0) this.tombstones = 1;
  }

  private cell(
    cellAt: number,
    base: number,
    rowTtlAt: number,
    rowTtlAlive: boolean,
    nowSeconds: number,
    coveredBy: bigint | null,
  ): number {
    const bytes = this.bytes;
    let at = cellAt;
    let column = bytes[at++];
    if (column > 0x7f) {
      column = this.varint(at - 1);
      at = this.position;
    }
    const flags = bytes[at++];
    let stampAt = base;
    if ((flags & OWN_TIMESTAMP) !== 0) {
      stampAt = at;
      at += 8;
    }
    let ttlAt = NONE;
    let alive = true;
    if ((flags & (EXPIRING | ROW_TTL | TOMBSTONE | COMPLEX_DELETION)) !== 0) {
      if ((flags & EXPIRING) !== 0) {
        ttlAt = at;
        alive = readU32(bytes, at + 4) > nowSeconds;
        at += 8;
      } else if ((flags & ROW_TTL) !== 0) {
        ttlAt = rowTtlAt;
        alive = rowTtlAlive;
      } else {
        alive = false;
        at += 4;
      }
    }
    let pathStart = at;
    let pathEnd = at;
    if ((flags & HAS_PATH) !== 0) {
      let length = bytes[at++];
      if (length > 0x7f) {
        length = this.varint(at - 1);
        at = this.position;
      }
      pathStart = at;
      at = pathEnd = at + length;
    }
    let valueStart = at;
    if ((flags & (TOMBSTONE | COMPLEX_DELETION)) === 0) {
      let length = bytes[at++];
      if (length > 0x7f) {
        length = this.varint(at - 1);
        at = this.position;
      }
      valueStart = at;
      at += length;
    }
    // Also true for NaN: a length that was read beyond the bytes.
    if (!(at <= this.end)) throw new RecordFormatError('cut short');
    if (!alive) {
      if ((flags & COMPLEX_DELETION) === 0) this.tombstones++;
      return at;
    }
    if (coveredBy !== null && isCovered(bytes, stampAt, coveredBy)) return at;
    this.live = true;
    const slot = column < this.shape.slotOfId.length ? this.shape.slotOfId[column] : NONE;
    if (slot === NONE) return at;
    if (this.shape.isComplex[slot]) {
      const cell = { pathStart, pathEnd, valueStart, valueEnd: at, stampAt, ttlAt };
      const cells = this.complex[slot];
      if (cells === null) this.complex[slot] = [cell];
      else cells.push(cell);
    } else {
      this.valueStart[slot] = valueStart;
      this.valueEnd[slot] = at;
      this.stampAt[slot] = stampAt;
      this.ttlAt[slot] = ttlAt;
    }
    return at;
  }

  /** Reads the varint at `at`; `position` is then after it. */
  private varint(start: number): number {
    const bytes = this.bytes;
    let at = start;
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RecordFormatError('cut short');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
    }
    this.position = at;
    return value;
  }

  private skipRanges(start: number): number {
    const count = this.varint(start);
    let at = this.position;
    for (let i = 0; i < count; i++) {
      let length = this.varint(at);
      at = this.position + length;
      length = this.varint(at);
      at = this.position + length + 12;
    }
    this.tombstones += count;
    return at;
  }
}

export function readU32(bytes: Uint8Array, at: number): number {
  return bytes[at] * 0x1000000 + ((bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]);
}

/** The int64 at `at`. */
export function readI64(bytes: Uint8Array, at: number): bigint {
  const high = readU32(bytes, at) | 0;
  return (BigInt(high) << 32n) | BigInt(readU32(bytes, at + 4));
}

function isCovered(bytes: Uint8Array, stampAt: number, coveredBy: bigint | null): boolean {
  return coveredBy !== null && readI64(bytes, stampAt) <= coveredBy;
}
