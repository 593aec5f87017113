/** Records that have been read already, and for all others the replicas. */
import { ABSENT } from '../storage/kv.ts';
import type {
  PointReader,
  RecordScan,
  RecordSource,
  ScanOptions,
  TableHandle,
} from '../storage/record-source.ts';

export class PrefetchedSource implements RecordSource {
  readonly shardCount = 1;
  private readonly rest: RecordSource;
  /** By key, latin1. */
  private readonly records: ReadonlyMap<string, Uint8Array | null>;
  private asked: Uint8Array[] = [];
  private handle: TableHandle | null = null;

  /** @param rest has one shard as well */
  constructor(records: ReadonlyMap<string, Uint8Array | null>, rest: RecordSource) {
    this.records = records;
    this.rest = rest;
  }

  shardOf(): number {
    return 0;
  }

  get(handle: TableHandle, _shard: number, key: Uint8Array, keyLength: number): void {
    this.handle = handle;
    this.asked.push(Buffer.from(key.subarray(0, keyLength)));
  }

  addReader(shard: number, reader: PointReader, keyCount: number): void {
    const { handle, rest } = this;
    const keys = this.asked;
    this.asked = [];
    if (handle === null) return;
    const found = keys.map((key) => this.records.get(Buffer.from(key).toString('latin1')));
    if (found.includes(undefined)) {
      for (const key of keys) rest.get(handle, shard, key, key.length);
      rest.addReader(shard, reader, keyCount);
      return;
    }
    const starts = new Int32Array(keyCount).fill(ABSENT);
    const ends = new Int32Array(keyCount).fill(ABSENT);
    const parts: Uint8Array[] = [];
    let length = 0;
    for (const [i, record] of found.entries()) {
      if (record === null || record === undefined) continue;
      starts[i] = length;
      length += record.length;
      ends[i] = length;
      parts.push(record);
    }
    const buffer = Buffer.concat(parts);
    // Like a store, never before the caller has gone on.
    queueMicrotask(() => reader.records(buffer, starts, ends, 0, keyCount));
  }

  scan(handle: TableHandle, shard: number, options: ScanOptions): RecordScan {
    return this.rest.scan(handle, shard, options);
  }
}
