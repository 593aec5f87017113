/**
 * Reads a run of keys of one shard in chunks: the first from memory, at once, if memory has it; what
 * follows on a thread of the engine, so that no scan holds the event loop for long.
 */
import { type FamilyId, type KvIterator, type KvStore, NEEDS_DISK, TOO_SMALL } from './kv.ts';
import type { RecordScan, ScanOptions } from './record-source.ts';

const CHUNK_BYTES = 1 << 16;
const FIRST_ENTRIES_MAX = 512;

export class Scan implements RecordScan {
  buffer: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  private readonly store: KvStore;
  private readonly family: FamilyId;
  private readonly options: ScanOptions;
  private iterator: KvIterator | null;
  private fromMemory = true;
  /** Entries of the chunk that memory gave; the thread goes on after them. */
  private firstCount = 0;
  private closed = false;

  constructor(store: KvStore, family: FamilyId, options: ScanOptions) {
    this.store = store;
    this.family = family;
    this.options = options;
    const { lower, upper, reverse } = options;
    this.iterator = store.iterator(family, lower, upper, { reverse, cacheOnly: true });
  }

  next(): number | Promise<number> {
    if (this.closed || this.iterator === null) return 0;
    if (this.fromMemory) {
      const count = this.iterator.next(
        this.buffer,
        Math.min(FIRST_ENTRIES_MAX, this.options.expected + 1),
      );
      if (count > 0) {
        this.fromMemory = false;
        this.firstCount = count;
        return count;
      }
      if (count === 0) {
        this.close();
        return 0;
      }
      if (count !== NEEDS_DISK) this.grow();
      this.fromMemory = false;
      this.leaveMemory(null);
    } else if (this.firstCount > 0) {
      this.leaveMemory(this.lastKey(this.firstCount));
      this.firstCount = 0;
    }
    return this.fromThread(this.iterator);
  }

  close(): void {
    this.closed = true;
    this.iterator?.close();
    this.iterator = null;
  }

  /** Goes on with an iterator that may read the disk, after the key `after`. */
  private leaveMemory(after: Uint8Array | null): void {
    const { lower, upper, reverse } = this.options;
    this.iterator?.close();
    const from = after === null || reverse ? lower : Buffer.concat([after, Buffer.of(0)]);
    const to = after !== null && reverse ? after : upper;
    this.iterator = this.store.iterator(this.family, from, to, { reverse });
  }

  private async fromThread(iterator: KvIterator): Promise<number> {
    for (;;) {
      const count = await iterator.nextAsync(this.buffer, CHUNK_BYTES);
      if (this.closed) return 0;
      if (count !== TOO_SMALL) {
        if (count === 0) this.close();
        return count;
      }
      this.grow();
    }
  }

  private grow(): void {
    this.buffer = Buffer.allocUnsafe(this.buffer.length * 4);
  }

  private lastKey(count: number): Uint8Array {
    let at = 0;
    for (let i = 1; i < count; i++) {
      at += 8 + this.buffer.readUInt32LE(at) + this.buffer.readUInt32LE(at + 4);
    }
    return Buffer.from(this.buffer.subarray(at + 8, at + 8 + this.buffer.readUInt32LE(at)));
  }
}
