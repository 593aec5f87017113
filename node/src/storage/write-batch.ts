/**
 * Write batches in RocksDB's own form, which is also that of its log:
 *
 *   0   u64le sequence (0, the engine's business)
 *   8   u32le number of operations
 *   12  operations: tag | varint family (not for the default family) | varint length, key | varint length, value
 *
 * @hot No allocation an operation: the buffer grows, and stays when the batch is cleared.
 */
import type { FamilyId } from './kv.ts';

const HEADER_BYTES = 12;
/** Tag and three varints of 32 bits. */
const OVERHEAD_BYTES = 1 + 3 * 5;
/** Up to here a loop is quicker than the call of `set`. */
const LOOP_BYTES_MAX = 32;

/** Tags with a family; those of the default family follow. Source: RocksDB's db/dbformat.h, ValueType. */
const TAG = { delete: 0x4, put: 0x5, merge: 0x6, deleteRange: 0xe } as const;
const DEFAULT_TAG = { delete: 0x0, put: 0x1, merge: 0x2, deleteRange: 0xf } as const;
type Operation = keyof typeof TAG;

/** Builds one batch after the other. Keys and values are copied. */
export class WriteBatchBuilder {
  private buffer: Buffer;
  private end = HEADER_BYTES;
  private operations = 0;

  /** @param bytesExpected what the buffer holds before it must grow */
  constructor(bytesExpected = 1 << 16) {
    this.buffer = Buffer.alloc(Math.max(bytesExpected, HEADER_BYTES));
  }

  /** The batch is `bytes[0, length)`. A view: the next call may overwrite or leave it. */
  get bytes(): Uint8Array {
    this.buffer.writeUInt32LE(this.operations, 8);
    return this.buffer;
  }

  /** Bytes of the batch with its header. */
  get length(): number {
    return this.end;
  }

  /** Operations in the batch. */
  get count(): number {
    return this.operations;
  }

  /** Starts the next batch. */
  clear(): void {
    this.end = HEADER_BYTES;
    this.operations = 0;
  }

  /** Adds a record to what the key holds. `key[0, keyLength)`, `record[0, recordLength)`. */
  merge(
    family: FamilyId,
    key: Uint8Array,
    keyLength: number,
    record: Uint8Array,
    recordLength: number,
  ): void {
    this.begin('merge', family, keyLength + recordLength);
    this.chunk(key, keyLength);
    this.chunk(record, recordLength);
  }

  /** Replaces what the key holds: only where nothing older may count. */
  put(
    family: FamilyId,
    key: Uint8Array,
    keyLength: number,
    value: Uint8Array,
    valueLength: number,
  ): void {
    this.begin('put', family, keyLength + valueLength);
    this.chunk(key, keyLength);
    this.chunk(value, valueLength);
  }

  /** Removes a key, whatever was written to it before. */
  delete(family: FamilyId, key: Uint8Array, keyLength: number): void {
    this.begin('delete', family, keyLength);
    this.chunk(key, keyLength);
  }

  /** Removes all keys with lower <= key < upper. */
  deleteRange(
    family: FamilyId,
    lower: Uint8Array,
    lowerLength: number,
    upper: Uint8Array,
    upperLength: number,
  ): void {
    this.begin('deleteRange', family, lowerLength + upperLength);
    this.chunk(lower, lowerLength);
    this.chunk(upper, upperLength);
  }

  private begin(operation: Operation, family: FamilyId, payloadBytes: number): void {
    this.reserve(payloadBytes + OVERHEAD_BYTES);
    if (family === 0) {
      this.buffer[this.end++] = DEFAULT_TAG[operation];
    } else {
      this.buffer[this.end++] = TAG[operation];
      this.varint(family);
    }
    this.operations++;
  }

  private reserve(bytes: number): void {
    const needed = this.end + bytes;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.alloc(Math.max(this.buffer.length * 2, needed));
    grown.set(this.buffer.subarray(0, this.end));
    this.buffer = grown;
  }

  private varint(value: number): void {
    const buffer = this.buffer;
    let rest = value;
    while (rest > 0x7f) {
      buffer[this.end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[this.end++] = rest;
  }

  private chunk(source: Uint8Array, length: number): void {
    this.varint(length);
    const buffer = this.buffer;
    const at = this.end;
    if (length <= LOOP_BYTES_MAX) {
      for (let i = 0; i < length; i++) buffer[at + i] = source[i];
    } else {
      buffer.set(length === source.length ? source : source.subarray(0, length), at);
    }
    this.end = at + length;
  }
}
