/** Write batches in RocksDB's form, read back (storage/write-batch.ts writes them) and checked as the binding does. */
import { KvError } from '../storage/kv.ts';
import { decodeRecord, RecordFormatError } from '../storage/record.ts';
import { keyText } from './memory-table.ts';

const HEADER_BYTES = 12;

export type BatchOperation =
  | { readonly kind: 'put' | 'merge'; readonly family: number; key: string; value: Uint8Array }
  | { readonly kind: 'delete'; readonly family: number; key: string }
  | { readonly kind: 'delete-range'; readonly family: number; key: string; upper: string };

/** By tag: what it is, and whether a family's number follows. Source: RocksDB's db/dbformat.h, ValueType. */
const TAGS: ReadonlyMap<number, readonly [BatchOperation['kind'], boolean]> = new Map([
  [0x0, ['delete', false]],
  [0x1, ['put', false]],
  [0x2, ['merge', false]],
  [0xf, ['delete-range', false]],
  [0x4, ['delete', true]],
  [0x5, ['put', true]],
  [0x6, ['merge', true]],
  [0xe, ['delete-range', true]],
] as const);

function bad(reason: string): KvError {
  return new KvError('BAD_BATCH', `a write batch was refused: ${reason}`);
}

class Fields {
  private readonly bytes: Uint8Array;
  private at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  byte(): number {
    if (this.done) throw bad('cut short');
    return this.bytes[this.at++];
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw bad('cut short');
  }

  chunk(): Uint8Array {
    const length = this.varint();
    if (length > this.bytes.length - this.at) throw bad('cut short');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function checkRecord(record: Uint8Array): void {
  try {
    decodeRecord(record);
  } catch (error) {
    if (error instanceof RecordFormatError) throw bad('a merge operand is not a record');
    throw error;
  }
}

function readOperation(fields: Fields, hasFamily: (family: number) => boolean): BatchOperation {
  const tag = TAGS.get(fields.byte());
  if (tag === undefined) throw bad('unknown operation');
  const [kind, named] = tag;
  const family = named ? fields.varint() : 0;
  if (!hasFamily(family)) throw bad('unknown column family');
  const key = keyText(fields.chunk());
  if (kind === 'delete') return { kind, family, key };
  if (kind === 'delete-range') return { kind, family, key, upper: keyText(fields.chunk()) };
  const value = Uint8Array.from(fields.chunk());
  if (kind === 'merge') checkRecord(value);
  return { kind, family, key, value };
}

/** The operations of `batch[0, length)`, copied. @throws KvError BAD_BATCH */
export function readBatch(
  batch: Uint8Array,
  length: number,
  hasFamily: (family: number) => boolean,
): BatchOperation[] {
  if (length > batch.length || length < HEADER_BYTES) throw bad('cut short in its header');
  const fields = new Fields(batch.subarray(0, length), HEADER_BYTES);
  const expected = Buffer.from(batch.buffer, batch.byteOffset + 8, 4).readUInt32LE(0);
  const operations: BatchOperation[] = [];
  while (!fields.done) operations.push(readOperation(fields, hasFamily));
  if (operations.length !== expected) throw bad('its count is not that of its operations');
  return operations;
}
