/** Records held in memory, in key order: how virtual tables are read by the same code as real ones. */
import { compareBytes } from '../common/bytes.ts';
import type {
  PointReader,
  RecordScan,
  RecordSource,
  ScanOptions,
  TableHandle,
} from './record-source.ts';

export interface MemoryRecord {
  readonly key: Uint8Array;
  readonly record: Uint8Array;
}

const NOTHING = Buffer.alloc(0);

export class MemoryRecords implements RecordSource {
  readonly shardCount = 1;
  private readonly entries: readonly MemoryRecord[];
  private asked: Uint8Array[] = [];

  /** @param records in any order, keys distinct */
  constructor(records: readonly MemoryRecord[]) {
    this.entries = [...records].sort((a, b) => compareBytes(a.key, b.key));
  }

  shardOf(): number {
    return 0;
  }

  get(_handle: TableHandle, _shard: number, key: Uint8Array, keyLength: number): void {
    this.asked.push(Uint8Array.from(key.subarray(0, keyLength)));
  }

  addReader(_shard: number, reader: PointReader, keyCount: number): void {
    const keys = this.asked;
    this.asked = [];
    const starts = new Int32Array(keyCount).fill(-1);
    const ends = new Int32Array(keyCount).fill(-1);
    const found: Uint8Array[] = [];
    let length = 0;
    for (const [i, key] of keys.entries()) {
      const entry = this.entries[this.indexOf(key)];
      if (entry === undefined || compareBytes(entry.key, key) !== 0) continue;
      starts[i] = length;
      length += entry.record.length;
      ends[i] = length;
      found.push(entry.record);
    }
    const buffer = Buffer.concat(found);
    // Like a store, never before the caller has gone on.
    queueMicrotask(() => reader.records(buffer, starts, ends, 0, keyCount));
  }

  scan(_handle: TableHandle, _shard: number, options: ScanOptions): RecordScan {
    const from = options.lower === null ? 0 : this.indexOf(options.lower);
    const to = options.upper === null ? this.entries.length : this.indexOf(options.upper);
    const entries = this.entries.slice(from, to);
    if (options.reverse) entries.reverse();
    return new MemoryScan(entries);
  }

  /** The first entry whose key is not less. */
  private indexOf(key: Uint8Array): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(this.entries[middle].key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class MemoryScan implements RecordScan {
  buffer = NOTHING;
  private readonly entries: readonly MemoryRecord[];
  private done = false;

  constructor(entries: readonly MemoryRecord[]) {
    this.entries = entries;
  }

  next(): number {
    if (this.done) return 0;
    this.done = true;
    const parts = this.entries.flatMap(({ key, record }) => {
      const lengths = Buffer.allocUnsafe(8);
      lengths.writeUInt32LE(key.length, 0);
      lengths.writeUInt32LE(record.length, 4);
      return [lengths, key, record];
    });
    this.buffer = Buffer.concat(parts);
    return this.entries.length;
  }

  close(): void {
    this.done = true;
  }
}
