/** One column family in memory: keys in order, merged values, views that later writes do not change. */
import type { FamilyPolicy } from '../storage/kv.ts';
import { mergeRecords } from '../storage/merge.ts';
import { decodeRecord, RecordFormatError } from '../storage/record.ts';
import { isWholeRow, latestOf } from '../storage/whole-row.ts';

/** A value that merged records could not be joined with: reading it fails, as RocksDB's does. */
export const UNMERGEABLE = Symbol('unmergeable');
export type StoredValue = Uint8Array | typeof UNMERGEABLE;

/** A change taken back by being done in reverse order. */
export interface Undo {
  readonly table: MemoryTable;
  /** Bytes as latin1, whose order is that of the bytes. */
  readonly key: string;
  /** Undefined: there was none. */
  readonly before: StoredValue | undefined;
}

/** What a table was at one time; never changes. */
export interface TableView {
  readonly keys: readonly string[];
  readonly values: ReadonlyMap<string, StoredValue>;
}

/** Index of the first key that is not less. */
export function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function keyText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function joined(before: StoredValue | undefined, record: Uint8Array): StoredValue {
  if (before === UNMERGEABLE) return UNMERGEABLE;
  try {
    return mergeRecords(before === undefined ? [record] : [before, record]);
  } catch (error) {
    if (error instanceof RecordFormatError) return UNMERGEABLE;
    throw error;
  }
}

/** Whether a record may take the place of what there is of its key; else it is merged. */
function replaces(
  before: StoredValue | undefined,
  record: Uint8Array,
  { rowColumns, columnsKnown }: FamilyPolicy,
): boolean {
  if (rowColumns === null || before === undefined || before === UNMERGEABLE) return false;
  try {
    const row = decodeRecord(record);
    const old = decodeRecord(before);
    const latest = latestOf(old);
    return (
      isWholeRow(row, rowColumns) &&
      (latest === null || latest < (row.liveness?.timestamp ?? 0n)) &&
      old.cells.every(({ column }) => column < columnsKnown)
    );
  } catch (error) {
    // A bit of it was flipped: merging says so.
    if (error instanceof RecordFormatError) return false;
    throw error;
  }
}

export class MemoryTable {
  policy: FamilyPolicy | null = null;
  private keys: string[] = [];
  private values = new Map<string, StoredValue>();
  /** A view has them: they are copied before the next change. */
  private shared = false;

  get size(): number {
    return this.keys.length;
  }

  get(key: string): StoredValue | undefined {
    return this.values.get(key);
  }

  view(): TableView {
    this.shared = true;
    return { keys: this.keys, values: this.values };
  }

  /** @param undo gets what takes the change back */
  put(key: string, value: StoredValue, undo: Undo[]): void {
    undo.push({ table: this, key, before: this.values.get(key) });
    this.set(key, value);
  }

  merge(key: string, record: Uint8Array, undo: Undo[]): void {
    this.put(key, joined(this.values.get(key), record), undo);
  }

  /** As `merge`, but where that is the same the record may take the place of what there was, as in the native engine. */
  write(key: string, record: Uint8Array, undo: Undo[]): void {
    const { policy } = this;
    const before = this.values.get(key);
    const isReplaced = policy !== null && replaces(before, record, policy);
    this.put(key, joined(isReplaced ? undefined : before, record), undo);
  }

  delete(key: string, undo: Undo[]): void {
    const before = this.values.get(key);
    if (before === undefined) return;
    undo.push({ table: this, key, before });
    this.set(key, undefined);
  }

  /** Keys in [lower, upper). */
  deleteRange(lower: string, upper: string, undo: Undo[]): void {
    const from = lowerBound(this.keys, lower);
    const to = lowerBound(this.keys, upper);
    for (const key of this.keys.slice(from, Math.max(from, to))) this.delete(key, undo);
  }

  /** A table of its own with the same content. */
  copy(): MemoryTable {
    const copy = new MemoryTable();
    copy.policy = this.policy;
    copy.keys = [...this.keys];
    copy.values = new Map(this.values);
    return copy;
  }

  /** @param value undefined: none */
  set(key: string, value: StoredValue | undefined): void {
    if (this.shared) {
      this.keys = [...this.keys];
      this.values = new Map(this.values);
      this.shared = false;
    }
    const known = this.values.has(key);
    if (value === undefined) {
      if (!known) return;
      this.values.delete(key);
      this.keys.splice(lowerBound(this.keys, key), 1);
      return;
    }
    this.values.set(key, value);
    if (!known) this.keys.splice(lowerBound(this.keys, key), 0, key);
  }
}
