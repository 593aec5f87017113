/** Which tables have records in the shards, and how the engine is to keep them. */
import type { Schema, TableDef } from '../schema/schema.ts';
import { keyLayout } from './keys.ts';
import type { FamilyOptions } from './kv.ts';
import { rowColumnsOf } from './whole-row.ts';

/** Of a small table: files are cut at 2^6 points of the token space at least. */
const GRID_BITS_MIN = 6;
const GRID_BITS_MAX = 12;
/** What there is between two cuts of a large one: small enough that few are cut by a node's token, large enough to be a file. */
const CELL_BYTES = 8 << 20;

/** Cuts of a table's files. @param bytes that all nodes together would have if each had as much as this one for its part */
export function gridBitsOf(bytes: number): number {
  const cells = Math.floor(Math.log2(Math.max(1, bytes / CELL_BYTES)));
  return Math.max(GRID_BITS_MIN, Math.min(GRID_BITS_MAX, cells));
}

/** The family in which a node keeps what is written into ranges of a table that it has not got yet. @param family of the table */
export function asideName(family: string): string {
  return `aside:${family}`;
}

export function familyOptions(table: TableDef): FamilyOptions {
  const keys = keyLayout(table);
  const compressed =
    table.options.compression['class'] !== undefined &&
    table.options.compression['enabled'] !== 'false';
  return {
    policy: {
      clustering: keys.clustering.length > 0,
      fixedPartitionKeyBytes: keys.fixedPartitionKeyBytes,
      gcGraceSeconds: table.options.gc_grace_seconds,
      rowColumns: rowColumnsOf(table),
      columnsKnown: table.nextColumnId,
    },
    gridBits: GRID_BITS_MIN,
    ...(compressed ? {} : { options: 'compression=kNoCompression' }),
  };
}

/** Every table that has records in the shards. */
export function storedTables(schema: Schema, isVirtual: (table: TableDef) => boolean): TableDef[] {
  return [...schema.keyspaces.values()]
    .flatMap((keyspace) => [...keyspace.tables.values()])
    .filter((table) => !isVirtual(table));
}
