/** Rows as they are before a statement that depends on them. */
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { decodePartitionKey } from '../storage/keys.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';
import type { PriorRow } from './operations.ts';
import { RowReader } from './read.ts';
import { wholePartition } from './read-plan.ts';
import { readRecords } from './read-records.ts';
import { TableRow } from './row.ts';
import type { Binding } from './term-values.ts';

/** A row as it was before a statement. */
export interface FoundRow {
  readonly row: TableRow;
  /** The row, or for a statement on static columns alone the partition's static content, is alive. */
  readonly exists: boolean;
}

/** Reads the row at `point`, or with null the partition's static content alone. */
export async function findRow(
  store: RecordSource,
  handle: TableHandle,
  partition: Uint8Array,
  point: Uint8Array | null,
  wanted: readonly ColumnDef[],
  nowSeconds: number,
): Promise<FoundRow> {
  const row = new TableRow(handle, wanted, nowSeconds);
  row.startPartition(partition, 0, partition.length);
  const hasClustering = handle.keys.clustering.length > 0;
  const positions: Uint8Array[] = hasClustering ? [EMPTY] : [];
  if (point !== null) positions.push(point);
  const records = await readRecords(store, handle, partition, positions);
  if (hasClustering) {
    const own = records.shift();
    if (own) row.loadPartition(own, 0, own.length);
  }
  const record = point === null ? null : records[0];
  if (!record) {
    row.loadStaticOnly();
    return { row, exists: point === null && row.hasStatic };
  }
  const exists = row.loadRow(point ?? EMPTY, 0, point?.length ?? 0, record, 0, record.length);
  return { row, exists };
}

const EMPTY = new Uint8Array(0);

/** A found row as operations see it. */
export function priorOf({ row }: FoundRow, table: TableDef): PriorRow {
  return {
    value: (column) => {
      const value = row.value(table.columns.indexOf(column));
      return value === null ? null : Uint8Array.from(value);
    },
    paths: (column) =>
      row
        .stamps(table.columns.indexOf(column))
        .map((stamp) => Uint8Array.from(stamp.path ?? EMPTY)),
  };
}

/** What rows are read with. */
export interface ReadContext {
  readonly store: RecordSource;
  readonly handle: TableHandle;
  readonly binding: Binding;
  readonly nowSeconds: number;
}

/**
 * The rows of a partition at `points`, or if none is alive or `points` is null the first one, which may be the
 * static content alone.
 */
export async function firstRows(
  { store, handle, binding, nowSeconds }: ReadContext,
  partition: Uint8Array,
  points: readonly Uint8Array[] | null,
  columns: readonly ColumnDef[],
): Promise<(Uint8Array | null)[][]> {
  const found: (Uint8Array | null)[][] = [];
  const indexes = columns.map((column) => handle.table.columns.indexOf(column));
  const keep = (row: TableRow) => {
    found.push(
      indexes.map((index) => {
        const value = row.value(index);
        return value === null ? null : Uint8Array.from(value);
      }),
    );
  };
  for (const point of points ?? []) {
    const { row, exists } = await findRow(store, handle, partition, point, columns, nowSeconds);
    if (exists) keep(row);
  }
  if (found.length > 0) return found;
  if (points !== null) {
    if (handle.keys.clustering.length === 0) return found;
    const { row } = await findRow(store, handle, partition, null, columns, nowSeconds);
    if (row.hasStatic) keep(row);
    return found;
  }
  const visitor = {
    row: (row: TableRow): 'stop' => {
      keep(row);
      return 'stop';
    },
  };
  const keys = decodePartitionKey(handle.keys, partition, 0, partition.length);
  const plan = wholePartition(keys, columns);
  await new RowReader(store, handle, plan, binding, nowSeconds, visitor).read(binding, null);
  return found;
}
