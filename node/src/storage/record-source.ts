/** Where records are read from: this worker's shards, or rows made up for a virtual table. */
import type { CqlError } from '../common/errors.ts';
import type { TableDef } from '../schema/schema.ts';
import type { KeyLayout } from './keys.ts';
import type { FamilyId } from './kv.ts';

/** A table's place in the shards. */
export interface TableHandle {
  readonly table: TableDef;
  readonly keys: KeyLayout;
  /** By shard. */
  readonly families: readonly FamilyId[];
}

/** Waits for the records of its keys. */
export interface PointReader {
  /**
   * @param buffer holds the records, and is only lent for the call
   * @param starts @param ends by key, `count` from `first` on; start `ABSENT`: no record
   */
  records(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    first: number,
    count: number,
  ): void;
  failed(error: CqlError): void;
}

export interface ScanOptions {
  /** Inclusive; null: from the start. */
  readonly lower: Uint8Array | null;
  /** Exclusive; null: to the end. */
  readonly upper: Uint8Array | null;
  readonly reverse: boolean;
  /** Entries that the reader expects to need in all; a hint for the first chunk. */
  readonly expected: number;
}

/** A run of keys, chunk by chunk. */
export interface RecordScan {
  /** The last chunk's entries, each `u32le key length | u32le value length | key | value`; lent until the next call. */
  readonly buffer: Buffer;
  /**
   * Fills `buffer` with the next entries.
   * @returns their number, 0 at the end; a promise if a thread has to read
   * @throws KvError
   */
  next(): number | Promise<number>;
  close(): void;
}

export interface RecordSource {
  readonly shardCount: number;
  shardOf(key: Uint8Array): number;
  /** Adds the record of one key to this turn's reads; `addReader` follows after the reader's last key. */
  get(handle: TableHandle, shard: number, key: Uint8Array, keyLength: number): void;
  addReader(shard: number, reader: PointReader, keyCount: number): void;
  /** Reads a run of keys of one shard. */
  scan(handle: TableHandle, shard: number, options: ScanOptions): RecordScan;
}
