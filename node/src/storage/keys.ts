/**
 * Keys of a table's records (node/docs/storage-format.md, 2): token | partition key | clustering, memcomparable.
 * @hot for tables with one fixed-length partition key column.
 */
import type { Writer } from '../common/bytes.ts';
import { Writer as BytesWriter, writeInt32 } from '../common/bytes.ts';
import { murmur3 } from '../common/murmur3.ts';
import { type ColumnDef, columnsOf, type TableDef } from '../schema/schema.ts';
import { decodeOrdered, encodeOrdered, skipOrdered } from '../types/ordered.ts';
import { fixedLength } from '../types/type-facts.ts';

export const TOKEN_BYTES = 8;
/** Sorts after every clustering that goes on at its place, before the next partition. */
export const AFTER = 0xff;

/** What the storage room must know of a table to build and read its keys. */
export interface KeyLayout {
  readonly partitionKey: readonly ColumnDef[];
  readonly clustering: readonly ColumnDef[];
  /** Bytes of the partition key in its fixed form; 0: stuffed form. */
  readonly fixedPartitionKeyBytes: number;
}

export function keyLayout(table: TableDef): KeyLayout {
  const partitionKey = columnsOf(table, 'partition_key');
  return {
    partitionKey,
    clustering: columnsOf(table, 'clustering'),
    fixedPartitionKeyBytes: partitionKey.length === 1 ? fixedLength(partitionKey[0].type) : 0,
  };
}

const TOKEN = new Int32Array(2);
const SERIAL = new BytesWriter(256);

/** What Cassandra hashes and sends as a partition key: the value, or for several `u16 length | value | 0` each. */
export function serializePartitionKey(values: readonly Uint8Array[], out: Writer): void {
  if (values.length === 1) {
    out.raw(values[0]);
    return;
  }
  for (const value of values) {
    out.u16(value.length);
    out.raw(value);
    out.u8(0);
  }
}

/** Appends the token of `bytes[start, end)`, sign flipped. */
function writeToken(out: Writer, bytes: Uint8Array, start: number, end: number): void {
  murmur3(bytes, start, end, TOKEN, 0);
  const at = out.reserve(TOKEN_BYTES);
  writeInt32(out.buffer, TOKEN[0] ^ 0x80000000, at);
  writeInt32(out.buffer, TOKEN[1], at + 4);
}

/** The flipped token as its first 32 bits, unsigned: enough to choose a shard or a file. */
export function tokenPrefix(key: Uint8Array, at = 0): number {
  return key[at] * 0x1000000 + ((key[at + 1] << 16) | (key[at + 2] << 8) | key[at + 3]);
}

/** Appends token and partition key: the key of the partition record, the prefix of its rows' keys. */
export function writePartitionKey(
  layout: KeyLayout,
  values: readonly Uint8Array[],
  out: Writer,
): void {
  if (layout.fixedPartitionKeyBytes > 0) {
    const value = values[0];
    writeToken(out, value, 0, value.length);
    out.raw(value);
    return;
  }
  SERIAL.reset();
  serializePartitionKey(values, SERIAL);
  const { buffer, length } = SERIAL;
  writeToken(out, buffer, 0, length);
  for (let i = 0; i < length; i++) {
    out.u8(buffer[i]);
    if (buffer[i] === 0) out.u8(0xff);
  }
  out.u16(0);
}

/** Appends the components of the first `values.length` clustering columns. */
export function writeClustering(
  layout: KeyLayout,
  values: readonly Uint8Array[],
  out: Writer,
): void {
  for (let i = 0; i < values.length; i++) {
    const column = layout.clustering[i];
    encodeOrdered(column.type, column.reversed, values[i], out);
  }
}

/** Bytes of token and partition key at the start of a key. */
export function partitionLength(layout: KeyLayout, key: Uint8Array, start = 0): number {
  if (layout.fixedPartitionKeyBytes > 0) return TOKEN_BYTES + layout.fixedPartitionKeyBytes;
  let at = start + TOKEN_BYTES;
  for (;;) {
    while (key[at] !== 0) at++;
    if (key[at + 1] === 0) return at + 2 - start;
    at += 2;
  }
}

/** The serialized partition key inside a key's partition part `key[start, start + length)`. */
export function decodeSerializedKey(
  layout: KeyLayout,
  key: Uint8Array,
  start: number,
  length: number,
): Uint8Array {
  const from = start + TOKEN_BYTES;
  const end = start + length;
  if (layout.fixedPartitionKeyBytes > 0) return key.slice(from, end);
  const out = Buffer.allocUnsafe(length);
  let used = 0;
  for (let at = from; at < end - 2; at++) {
    out[used++] = key[at];
    if (key[at] === 0) at++;
  }
  return out.subarray(0, used);
}

/** The partition key columns' values; copies. */
export function decodePartitionKey(
  layout: KeyLayout,
  key: Uint8Array,
  start: number,
  length: number,
): Uint8Array[] {
  const serialized = decodeSerializedKey(layout, key, start, length);
  if (layout.partitionKey.length === 1) return [serialized];
  const values: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < layout.partitionKey.length; i++) {
    const size = (serialized[at] << 8) | serialized[at + 1];
    values.push(serialized.subarray(at + 2, at + 2 + size));
    at += 3 + size;
  }
  return values;
}

/** The clustering columns' values of a row's key, from `at` on. */
export function decodeClustering(layout: KeyLayout, key: Uint8Array, at: number): Uint8Array[] {
  const values: Uint8Array[] = [];
  let next = at;
  for (const column of layout.clustering) {
    const decoded = decodeOrdered(column.type, column.reversed, key, next);
    values.push(decoded.value);
    next = decoded.next;
  }
  return values;
}

/** Where the clustering component after `count` components starts. */
export function skipClustering(
  layout: KeyLayout,
  key: Uint8Array,
  at: number,
  count: number,
): number {
  let next = at;
  for (let i = 0; i < count; i++) {
    const column = layout.clustering[i];
    next = skipOrdered(column.type, column.reversed, key, next);
  }
  return next;
}
