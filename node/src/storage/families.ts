/** Which tables have records in the shards, and how the engine is to keep them. */
import type { Schema, TableDef } from '../schema/schema.ts';
import { keyLayout } from './keys.ts';
import type { FamilyOptions } from './kv.ts';

/** Cuts of a table's files: 2^6 points in each shard's token space and above. */
const GRID_BITS = 6;

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
    },
    gridBits: GRID_BITS,
    ...(compressed ? {} : { options: 'compression=kNoCompression' }),
  };
}

/** Every table that has records in the shards. */
export function storedTables(schema: Schema, isVirtual: (table: TableDef) => boolean): TableDef[] {
  return [...schema.keyspaces.values()]
    .flatMap((keyspace) => [...keyspace.tables.values()])
    .filter((table) => !isVirtual(table));
}
