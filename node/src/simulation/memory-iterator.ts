/** `KvIterator` over a view of a table. */
import { KvError, type KvIterator, NEEDS_DISK, TOO_SMALL } from '../storage/kv.ts';
import type { MemoryEngine } from './memory-kv.ts';
import { lowerBound, type TableView, UNMERGEABLE } from './memory-table.ts';

export interface CursorOptions {
  /** Inclusive; null: open. */
  readonly lower: string | null;
  /** Exclusive; null: open. */
  readonly upper: string | null;
  readonly reverse: boolean;
  readonly cacheOnly: boolean;
}

export class MemoryIterator implements KvIterator {
  private readonly engine: MemoryEngine;
  private readonly takeView: () => TableView;
  private readonly options: CursorOptions;
  /** Taken with the first read. */
  private view: TableView | null = null;
  /** Keys [low, high) of the view are within the bounds; the next is `at`. */
  private low = 0;
  private high = 0;
  private at = 0;
  private sought: string | null = null;
  /** Went to the disk: only the disk goes on. */
  private onDisk = false;
  private busy = false;
  private closed = false;

  constructor(engine: MemoryEngine, takeView: () => TableView, options: CursorOptions) {
    this.engine = engine;
    this.takeView = takeView;
    this.options = options;
  }

  next(out: Uint8Array, maxEntries: number): number {
    this.check();
    const { faults, random } = this.engine.disk;
    if (this.options.cacheOnly) {
      this.onDisk ||= random.chance(faults.missRate);
      if (this.onDisk) return NEEDS_DISK;
    }
    return this.fill(out, maxEntries);
  }

  async nextAsync(out: Uint8Array, maxEntries: number): Promise<number> {
    this.check();
    this.busy = true;
    const { faults } = this.engine.disk;
    try {
      return await this.engine.later(faults.readMillis, () => {
        if (faults.readFailure !== null) throw new KvError(faults.readFailure, 'the disk fails');
        return this.fill(out, maxEntries);
      });
    } finally {
      this.busy = false;
    }
  }

  seek(key: Uint8Array): void {
    this.check();
    this.sought = Buffer.from(key).toString('latin1');
    if (this.view !== null) this.place(this.view);
  }

  close(): void {
    this.closed = true;
  }

  private check(): void {
    if (this.closed) throw new KvError('CLOSED', 'the iterator is closed');
    if (this.busy) throw new KvError('BAD_ARGUMENT', 'the iterator is being read');
  }

  private current(): TableView {
    if (this.view !== null) return this.view;
    const view = this.takeView();
    const { lower, upper } = this.options;
    this.view = view;
    this.low = lower === null ? 0 : lowerBound(view.keys, lower);
    this.high = upper === null ? view.keys.length : lowerBound(view.keys, upper);
    this.place(view);
    return view;
  }

  private place({ keys }: TableView): void {
    const { sought, low, high } = this;
    const { reverse } = this.options;
    if (sought === null) {
      this.at = reverse ? high - 1 : low;
      return;
    }
    const from = lowerBound(keys, sought);
    if (!reverse) this.at = Math.max(low, from);
    else this.at = Math.min(high - 1, keys[from] === sought ? from : from - 1);
  }

  private fill(out: Uint8Array, maxEntries: number): number {
    const { keys, values } = this.current();
    const target = Buffer.from(out.buffer, out.byteOffset, out.byteLength);
    let used = 0;
    let count = 0;
    while (count < maxEntries && this.at >= this.low && this.at < this.high) {
      const key = keys[this.at];
      const value = values.get(key);
      if (value === undefined || value === UNMERGEABLE) {
        throw new KvError('CORRUPTION', 'a value is no record');
      }
      const end = used + 8 + key.length + value.length;
      if (end > target.length) return count > 0 ? count : TOO_SMALL;
      target.writeUInt32LE(key.length, used);
      target.writeUInt32LE(value.length, used + 4);
      target.write(key, used + 8, 'latin1');
      target.set(value, used + 8 + key.length);
      used = end;
      count++;
      this.at += this.options.reverse ? -1 : 1;
    }
    return count;
  }
}
