/** A page of this node's own records over all of its shards, in the order of keys. */
import type { TableHandle } from '../storage/record-source.ts';
import { mayHideDeletion, withoutHiddenDeletion } from '../storage/whole-row.ts';
import type { Page, PageRequest } from './messages.ts';
import type { LocalRecords } from './ports.ts';

/**
 * The first entries from `lower` on (from `upper` down in reverse, within one partition).
 * @throws KvError
 */
export async function localPage(
  store: LocalRecords,
  handle: TableHandle,
  request: PageRequest,
): Promise<Page> {
  const { lower, upper, reverse, bytesMax, entriesMax } = request;
  const first = lower === null ? 0 : store.shardOf(lower);
  const last = upper === null ? store.shardCount - 1 : shardBefore(store, upper);
  const parts: Buffer[] = [];
  let count = 0;
  let bytes = 0;
  for (let i = 0; i <= last - first; i++) {
    const shard = reverse ? last - i : first + i;
    const expected = entriesMax - count;
    const scan = store.scan(handle, shard, { lower, upper, reverse, expected });
    try {
      for (;;) {
        const step = scan.next();
        const found = typeof step === 'number' ? step : await step;
        if (found === 0) break;
        const { buffer } = scan;
        let from = 0;
        let at = 0;
        for (let k = 0; k < found && count < entriesMax && bytes < bytesMax; k++) {
          const record = at + 8 + buffer.readUInt32LE(at);
          const end = record + buffer.readUInt32LE(at + 4);
          if (mayHideDeletion(buffer[record])) {
            parts.push(Buffer.from(buffer.subarray(from, at)));
            parts.push(
              shownEntry(buffer.subarray(at, record), buffer.subarray(record, end), handle),
            );
            from = end;
          }
          bytes += end - at;
          at = end;
          count++;
        }
        parts.push(Buffer.from(buffer.subarray(from, at)));
        if (count >= entriesMax || bytes >= bytesMax) {
          return { entries: Buffer.concat(parts), count, isLast: false };
        }
      }
    } finally {
      scan.close();
    }
  }
  return { entries: Buffer.concat(parts), count, isLast: true };
}

/** An entry with its record as replicas show it. @param keyed the entry up to its record */
function shownEntry(keyed: Buffer, record: Buffer, { table }: TableHandle): Buffer {
  const shown = withoutHiddenDeletion(record, table);
  const entry = Buffer.concat([keyed, shown]);
  entry.writeUInt32LE(shown.length, 4);
  return entry;
}

/** The shard of the last key before `upper`, which is short: its missing bytes are zeros. */
function shardBefore(store: LocalRecords, upper: Uint8Array): number {
  const padded = Buffer.alloc(8);
  padded.set(upper.subarray(0, 8));
  return Math.min(store.shardOf(padded), store.shardCount - 1);
}
