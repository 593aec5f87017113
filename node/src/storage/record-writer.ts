/**
 * Writes the record of one statement on one row straight into bytes.
 * @hot Cells must come in the record's order (column id); the caller's plan has sorted them.
 */
import {
  EXPIRING,
  HAS_DELETION,
  HAS_LIVENESS,
  LIVENESS_EXPIRES,
  RECORD_VERSION,
  ROW_TTL,
  TOMBSTONE,
} from './record.ts';

export class RecordWriter {
  bytes: Buffer = Buffer.allocUnsafe(4096);
  length = 0;
  private cellFlags = 0;
  private ttl = 0;
  private expiry = 0;

  /**
   * Starts a record whose cells all have one timestamp.
   * @param hi @param lo the int64 timestamp in microseconds, as two int32
   * @param marker the row exists by itself (INSERT)
   * @param ttl seconds; 0: none
   * @param expiry seconds since 1970 at which it ends
   */
  begin(hi: number, lo: number, marker: boolean, ttl: number, expiry: number): void {
    const bytes = this.bytes;
    const expires = ttl > 0;
    let head = RECORD_VERSION << 4;
    if (marker) head |= expires ? HAS_LIVENESS | LIVENESS_EXPIRES : HAS_LIVENESS;
    bytes[0] = head;
    writeInt32(bytes, 1, hi);
    writeInt32(bytes, 5, lo);
    this.length = 9;
    this.cellFlags = expires ? (marker ? ROW_TTL : EXPIRING) : 0;
    this.ttl = ttl;
    this.expiry = expiry;
    if (marker && expires) {
      writeInt32(bytes, 9, ttl);
      writeInt32(bytes, 13, expiry);
      this.length = 17;
    }
  }

  /** A record that deletes its row (or partition) at this timestamp. */
  deletion(hi: number, lo: number, nowSeconds: number): void {
    const bytes = this.bytes;
    bytes[0] = (RECORD_VERSION << 4) | HAS_DELETION;
    writeInt32(bytes, 1, hi);
    writeInt32(bytes, 5, lo);
    writeInt32(bytes, 9, hi);
    writeInt32(bytes, 13, lo);
    writeInt32(bytes, 17, nowSeconds);
    this.length = 21;
  }

  /** A value of a column with one cell. */
  value(column: number, value: Uint8Array): void {
    const length = value.length;
    this.room(length + 24);
    this.varint(column);
    const bytes = this.bytes;
    bytes[this.length++] = this.cellFlags;
    if (this.cellFlags === EXPIRING) {
      writeInt32(bytes, this.length, this.ttl);
      writeInt32(bytes, this.length + 4, this.expiry);
      this.length += 8;
    }
    this.varint(length);
    bytes.set(value, this.length);
    this.length += length;
  }

  /** The column's value is deleted. */
  tombstone(column: number, nowSeconds: number): void {
    this.room(24);
    this.varint(column);
    this.bytes[this.length++] = TOMBSTONE;
    writeInt32(this.bytes, this.length, nowSeconds);
    this.length += 4;
  }

  private varint(value: number): void {
    const bytes = this.bytes;
    let rest = value;
    while (rest > 0x7f) {
      bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.length++] = rest;
  }

  private room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + count));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
