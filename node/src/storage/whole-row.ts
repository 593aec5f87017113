/**
 * Rows that are written as a whole, liveness and a cell of each column of one timestamp: where one is later than all that a
 * store has of its key, it takes the place of that (node/docs/storage-format.md, 6), and so do row deletions before it.
 */
import { columnsOf, type TableDef } from '../schema/schema.ts';
import { isMultiCell } from '../types/type-facts.ts';
import {
  decodeRecord,
  encodeRecord,
  HAS_DELETION,
  HAS_LIVENESS,
  HAS_RANGES,
  RecordFormatError,
  type RecordState,
} from './record.ts';

const byTable = new WeakMap<TableDef, readonly number[] | null>();

/** Ids of the columns of which a whole row has one cell each, ascending; null: some of them are many cells. */
export function rowColumnsOf(table: TableDef): readonly number[] | null {
  let ids = byTable.get(table);
  if (ids === undefined) {
    const regular = columnsOf(table, 'regular');
    const isSimple = !table.isCounter && !regular.some(({ type }) => isMultiCell(type));
    ids = isSimple ? regular.map(({ id }) => id).sort((a, b) => a - b) : null;
    byTable.set(table, ids);
  }
  return ids;
}

/** Microseconds: the greatest timestamp in a record; null: there is none. */
export function latestOf({ liveness, deletion, ranges, cells }: RecordState): bigint | null {
  const all = [liveness, deletion, ...ranges, ...cells].map((part) => part?.timestamp ?? null);
  return all.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a), null);
}

/** @param rowColumns ascending */
export function isWholeRow(row: RecordState, rowColumns: readonly number[]): boolean {
  const { liveness, deletion, ranges, cells } = row;
  if (liveness === null || deletion !== null || ranges.length > 0) return false;
  return (
    cells.length === rowColumns.length &&
    cells.every(
      ({ column, kind, timestamp, ttl, localSeconds, path }, i) =>
        column === rowColumns[i] &&
        timestamp === liveness.timestamp &&
        path === null &&
        (kind !== 'expiring' || (ttl === liveness.ttl && localSeconds === liveness.expiry)),
    )
  );
}

const HEAD_BITS = HAS_LIVENESS | HAS_DELETION | HAS_RANGES;

/** Whether `withoutHiddenDeletion` may change what begins with this byte. */
export function mayHideDeletion(head: number): boolean {
  return (head & HEAD_BITS) === (HAS_LIVENESS | HAS_DELETION);
}

/**
 * A merged record as replicas show it to each other: without a row deletion under a row that has all of its cells. It
 * deletes nothing any more, and one replica may have it and another not, by the order in which the two arrived there.
 * What is no record is left as it is: who reads it says so.
 */
export function withoutHiddenDeletion(record: Uint8Array, table: TableDef): Uint8Array {
  const rowColumns = rowColumnsOf(table);
  if (rowColumns === null || !mayHideDeletion(record[0])) return record;
  const row = decodedOrNull(record);
  if (row === null) return record;
  const has = new Set(row.cells.map(({ column }) => column));
  if (!rowColumns.every((column) => has.has(column))) return record;
  return encodeRecord({ ...row, deletion: null });
}

function decodedOrNull(record: Uint8Array): RecordState | null {
  try {
    return decodeRecord(record);
  } catch (error) {
    if (error instanceof RecordFormatError) return null;
    throw error;
  }
}
