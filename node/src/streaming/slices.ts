/** Parts of a family copied into SSTs that can be merged with what is anywhere. */
import { type FamilyId, type KvStore, TOO_SMALL } from '../storage/kv.ts';
import { keysOf } from './file-plan.ts';
import type { BucketRange } from './ports.ts';

const BUFFER_BYTES = 1 << 20;
const BUFFER_BYTES_MAX = 512 << 20;

export interface Slice {
  readonly store: KvStore;
  /** What is read. */
  readonly family: FamilyId;
  /** Whose options the file is made with. */
  readonly target: FamilyId;
  readonly range: BucketRange;
  /** Of the file that is made. */
  readonly path: string;
}

/** Of so many packed entries. */
export function usedBytes(buffer: Buffer, count: number): number {
  let at = 0;
  for (let i = 0; i < count; i++) at += 8 + buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4);
  return at;
}

/** @returns bytes of the file; 0: there was nothing and no file was made @throws KvError */
export async function copySlice({ store, family, target, range, path }: Slice): Promise<number> {
  const { lower, upper } = keysOf(range);
  const iterator = store.iterator(family, lower, upper, { noFill: true });
  const writer = store.sstWriter(target, path);
  let buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let isEmpty = true;
  try {
    for (;;) {
      const count = await iterator.nextAsync(buffer, Number.MAX_SAFE_INTEGER);
      if (count === 0) break;
      if (count === TOO_SMALL && buffer.length < BUFFER_BYTES_MAX) {
        buffer = Buffer.allocUnsafe(buffer.length * 4);
        continue;
      }
      await writer.put(buffer, usedBytes(buffer, count));
      isEmpty = false;
    }
    if (isEmpty) return 0;
    return await writer.finish();
  } finally {
    iterator.close();
    writer.abort();
  }
}
