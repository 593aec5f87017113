/** Records read by their keys, as a promise: for what is not on a fast path. */
import { Writer } from '../common/bytes.ts';
import { ABSENT } from '../storage/kv.ts';
import type { PointReader, RecordSource, TableHandle } from '../storage/record-source.ts';

/** Records read by key, copied. */
class RecordPromise implements PointReader {
  readonly promise: Promise<(Buffer | null)[]>;
  private resolve!: (records: (Buffer | null)[]) => void;
  private reject!: (error: Error) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  records(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    first: number,
    count: number,
  ): void {
    const found: (Buffer | null)[] = [];
    for (let i = first; i < first + count; i++) {
      found.push(starts[i] === ABSENT ? null : Buffer.from(buffer.subarray(starts[i], ends[i])));
    }
    this.resolve(found);
  }

  failed(error: Error): void {
    this.reject(error);
  }
}

/** @param positions clustering bytes; empty for the partition record */
export function readRecords(
  store: RecordSource,
  handle: TableHandle,
  partition: Uint8Array,
  positions: readonly Uint8Array[],
): Promise<(Buffer | null)[]> {
  const reader = new RecordPromise();
  const shard = store.shardOf(partition);
  const key = new Writer(64);
  for (const position of positions) {
    key.reset();
    key.raw(partition);
    key.raw(position);
    store.get(handle, shard, key.buffer, key.length);
  }
  store.addReader(shard, reader, positions.length);
  return reader.promise;
}
