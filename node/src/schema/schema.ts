/**
 * Keyspaces, tables and types as immutable values. A change makes a new `Schema`; whoever holds an old one goes on with it.
 */
import type { CqlType, UserType } from '../types/cql-type.ts';
import { freeze } from '../types/type-facts.ts';

export type ColumnKind = 'partition_key' | 'clustering' | 'static' | 'regular';

export interface ColumnDef {
  readonly name: string;
  /** Of cells in records; given once in a table's life, so a dropped column's cells never come back. */
  readonly id: number;
  readonly type: CqlType;
  readonly kind: ColumnKind;
  /** Place in the partition key or clustering; -1 for other columns. */
  readonly position: number;
  /** Clustering columns: DESC. */
  readonly reversed: boolean;
}

export interface DroppedColumn {
  readonly name: string;
  readonly type: CqlType;
  readonly isStatic: boolean;
  /** Microseconds since 1970. */
  readonly droppedTime: number;
}

/** Values as CQL shows them in system_schema.tables. */
export interface TableOptions {
  readonly additional_write_policy: string;
  readonly allow_auto_snapshot: boolean;
  readonly bloom_filter_fp_chance: number;
  readonly caching: Readonly<Record<string, string>>;
  readonly cdc: boolean;
  readonly comment: string;
  readonly compaction: Readonly<Record<string, string>>;
  readonly compression: Readonly<Record<string, string>>;
  readonly crc_check_chance: number;
  readonly default_time_to_live: number;
  readonly extensions: Readonly<Record<string, string>>;
  readonly gc_grace_seconds: number;
  readonly incremental_backups: boolean;
  readonly max_index_interval: number;
  readonly memtable: string;
  readonly memtable_flush_period_in_ms: number;
  readonly min_index_interval: number;
  readonly read_repair: string;
  readonly speculative_retry: string;
}

/** Cassandra 5's defaults. */
export const DEFAULT_TABLE_OPTIONS: TableOptions = {
  additional_write_policy: '99p',
  allow_auto_snapshot: true,
  bloom_filter_fp_chance: 0.01,
  caching: { keys: 'ALL', rows_per_partition: 'NONE' },
  cdc: false,
  comment: '',
  compaction: {
    class: 'org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy',
    max_threshold: '32',
    min_threshold: '4',
  },
  compression: {
    chunk_length_in_kb: '16',
    class: 'org.apache.cassandra.io.compress.LZ4Compressor',
  },
  crc_check_chance: 1,
  default_time_to_live: 0,
  extensions: {},
  gc_grace_seconds: 864000,
  incremental_backups: true,
  max_index_interval: 2048,
  memtable: 'default',
  memtable_flush_period_in_ms: 0,
  min_index_interval: 128,
  read_repair: 'BLOCKING',
  speculative_retry: '99p',
};

export interface TableDef {
  readonly keyspace: string;
  readonly name: string;
  /** UUID text. */
  readonly id: string;
  /** Grows with each TRUNCATE; part of the column family's name. */
  readonly generation: number;
  readonly nextColumnId: number;
  /** Partition key, clustering, then static and regular columns by name. */
  readonly columns: readonly ColumnDef[];
  readonly options: TableOptions;
  readonly droppedColumns: readonly DroppedColumn[];
  /** A column of type counter: all of its regular columns are. */
  readonly isCounter: boolean;
}

export interface KeyspaceDef {
  readonly name: string;
  /** `class` (full Java name) and its options. */
  readonly replication: Readonly<Record<string, string>>;
  readonly durableWrites: boolean;
  readonly tables: ReadonlyMap<string, TableDef>;
  readonly types: ReadonlyMap<string, UserType>;
}

export interface Schema {
  /** Counts the changes made. */
  readonly epoch: number;
  /** UUID text; drivers compare it between nodes. */
  readonly version: string;
  readonly keyspaces: ReadonlyMap<string, KeyspaceDef>;
}

export const EMPTY_SCHEMA: Schema = {
  epoch: 0,
  version: '00000000-0000-0000-0000-000000000000',
  keyspaces: new Map(),
};

export function findKeyspace(schema: Schema, name: string): KeyspaceDef | undefined {
  return schema.keyspaces.get(name);
}

export function findTable(schema: Schema, keyspace: string, name: string): TableDef | undefined {
  return schema.keyspaces.get(keyspace)?.tables.get(name);
}

export function columnsOf(table: TableDef, kind: ColumnKind): readonly ColumnDef[] {
  return table.columns.filter((column) => column.kind === kind);
}

/** Name of the table's column family in every shard. */
export function familyName(table: TableDef): string {
  return `${table.id.replaceAll('-', '')}.${table.generation}`;
}

const KIND_ORDER: Record<ColumnKind, number> = {
  partition_key: 0,
  clustering: 1,
  static: 2,
  regular: 3,
};

/** The order in which `SELECT *` shows columns. */
export function sortColumns(columns: readonly ColumnDef[]): readonly ColumnDef[] {
  return [...columns].sort(
    (a, b) =>
      KIND_ORDER[a.kind] - KIND_ORDER[b.kind] ||
      a.position - b.position ||
      (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
}

/** @returns a schema in which `keyspace` stands in the place of its namesake. */
export function withKeyspace(schema: Schema, keyspace: KeyspaceDef): Schema {
  const keyspaces = new Map(schema.keyspaces);
  keyspaces.set(keyspace.name, keyspace);
  return { ...schema, keyspaces };
}

export function withoutKeyspace(schema: Schema, name: string): Schema {
  const keyspaces = new Map(schema.keyspaces);
  keyspaces.delete(name);
  return { ...schema, keyspaces };
}

export function withTable(schema: Schema, table: TableDef): Schema {
  const keyspace = schema.keyspaces.get(table.keyspace);
  if (keyspace === undefined) return schema;
  const tables = new Map(keyspace.tables);
  tables.set(table.name, table);
  return withKeyspace(schema, { ...keyspace, tables });
}

export function withoutTable(schema: Schema, keyspaceName: string, name: string): Schema {
  const keyspace = schema.keyspaces.get(keyspaceName);
  if (keyspace === undefined) return schema;
  const tables = new Map(keyspace.tables);
  tables.delete(name);
  return withKeyspace(schema, { ...keyspace, tables });
}

/** Calls `change` on every user type inside `type`, innermost first, and rebuilds what changed. */
export function mapUserTypes(type: CqlType, change: (type: UserType) => UserType): CqlType {
  switch (type.kind) {
    case 'native':
    case 'custom':
      return type;
    case 'list':
    case 'set':
    case 'vector':
      return { ...type, element: mapUserTypes(type.element, change) };
    case 'map':
      return {
        ...type,
        key: mapUserTypes(type.key, change),
        value: mapUserTypes(type.value, change),
      };
    case 'tuple':
      return { ...type, fields: type.fields.map((field) => mapUserTypes(field, change)) };
    case 'udt':
      return change({
        ...type,
        fieldTypes: type.fieldTypes.map((field) => mapUserTypes(field, change)),
      });
  }
}

/** True if `type` holds the user type of this name. */
export function usesUserType(type: CqlType, keyspace: string, name: string): boolean {
  let found = false;
  mapUserTypes(type, (user) => {
    if (user.keyspace === keyspace && user.name === name) found = true;
    return user;
  });
  return found;
}

/** Puts `user` in the place of its namesake: in the keyspace's types, in other types and in every table. */
export function withUserType(schema: Schema, user: UserType): Schema {
  const keyspace = schema.keyspaces.get(user.keyspace);
  if (keyspace === undefined) return schema;
  const replace = (old: UserType): UserType =>
    old.keyspace === user.keyspace && old.name === user.name
      ? {
          ...old,
          fieldNames: user.fieldNames,
          // Everything inside a frozen type is frozen.
          fieldTypes: old.frozen ? user.fieldTypes.map(freeze) : user.fieldTypes,
        }
      : old;
  const types = new Map<string, UserType>();
  for (const [name, type] of keyspace.types)
    types.set(name, mapUserTypes(type, replace) as UserType);
  types.set(user.name, user);
  const tables = new Map<string, TableDef>();
  for (const [name, table] of keyspace.tables) {
    const columns = table.columns.map((column) => ({
      ...column,
      type: mapUserTypes(column.type, replace),
    }));
    tables.set(name, { ...table, columns });
  }
  return withKeyspace(schema, { ...keyspace, types, tables });
}

export function withoutUserType(schema: Schema, keyspaceName: string, name: string): Schema {
  const keyspace = schema.keyspaces.get(keyspaceName);
  if (keyspace === undefined) return schema;
  const types = new Map(keyspace.types);
  types.delete(name);
  return withKeyspace(schema, { ...keyspace, types });
}
