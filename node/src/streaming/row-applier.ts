/** Applies rows that come one by one, beside the workers. */
import type { TableDef } from '../schema/schema.ts';
import type { KvEngine, KvStore } from '../storage/kv.ts';
import { LocalStore } from '../storage/local-store.ts';
import { decodeRecord, encodeRecord } from '../storage/record.ts';

/**
 * @param engine whose completions nobody else waits for
 * @param scheduleFlush runs at the end of this turn of the event loop
 * @returns takes entries, each u32le key length, u32le record length, key, record; each record is checked by being read
 *   and written again
 */
export function createRowApplier(
  engine: KvEngine,
  stores: readonly KvStore[],
  scheduleFlush: (flush: () => void) => void,
): (table: TableDef, entries: Buffer) => Promise<void> {
  const store = new LocalStore(engine, stores, { scheduleFlush, afterAnswers: () => {} });
  return (table, entries) => {
    const handle = store.handle(table);
    const shards = new Set<number>();
    for (let at = 0; at < entries.length; ) {
      const keyEnd = at + 8 + entries.readUInt32LE(at);
      const end = keyEnd + entries.readUInt32LE(at + 4);
      const key = entries.subarray(at + 8, keyEnd);
      const record = encodeRecord(decodeRecord(entries.subarray(keyEnd, end)));
      shards.add(store.merge(handle, key, key.length, record, record.length));
      at = end;
    }
    return new Promise((resolve, reject) => {
      let left = shards.size;
      let failure: Error | null = null;
      const written = (error: Error | null) => {
        failure ??= error;
        if (--left > 0) return;
        if (failure === null) resolve();
        else reject(failure);
      };
      for (const shard of shards) store.addSink(shard, { written });
      if (shards.size === 0) resolve();
    });
  };
}
