/** CREATE TABLE, with its LIKE form. Source: CreateTableStatement of Cassandra 5. */
import { alreadyExists, invalidRequest } from '../../common/errors.ts';
import type {
  ColumnDefinition,
  CreateTableLikeStatement,
  CreateTableStatement,
  PrimaryKey,
} from '../../cql/ast.ts';
import {
  type ColumnDef,
  type ColumnKind,
  findTable,
  type KeyspaceDef,
  type Schema,
  sortColumns,
  type TableDef,
  withTable,
} from '../../schema/schema.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { containsNative, isCollection, isMultiCell } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import {
  type ChangeContext,
  changed,
  checkTableName,
  keyspaceOf,
  notSupported,
  refuseSystemKeyspace,
  requireKeyspace,
  type SchemaOutcome,
  unchanged,
} from './change.ts';
import {
  columnType,
  isCounterType,
  refuseNestedMultiCell,
  refuseUselessStatic,
} from './columns.ts';
import { PropertyReader } from './properties.ts';
import {
  checkCounterOptions,
  checkTableOptions,
  newTableOptions,
  readTableOptions,
  tableIdOf,
} from './table-options.ts';

export function createTable(
  statement: CreateTableStatement,
  context: ChangeContext,
): SchemaOutcome {
  const { schema } = context;
  const { name } = statement.table;
  const keyspaceName = keyspaceOf(statement.table, context);
  refuseSystemKeyspace(keyspaceName);
  const key = onlyPrimaryKey(statement, `${keyspaceName}.${name}`);
  const keyspace = requireKeyspace(schema, keyspaceName);
  const properties = new PropertyReader(statement.properties);
  const options = newTableOptions(properties);
  const existing = keyspace.tables.get(name);
  if (existing !== undefined) return existingTable(existing, statement.ifNotExists, context);
  if (statement.compactStorage) {
    throw invalidRequest(
      'COMPACT STORAGE tables are not allowed: Ilion has no compact storage, leave COMPACT STORAGE out',
    );
  }
  checkTableOptions(options, properties);
  const types = columnTypes(statement, schema, keyspace);
  checkPrimaryKey(statement, key, types);
  const reversed = reversedColumns(statement, key);
  const isCounter = checkColumns(statement, key, types);
  checkCounterOptions(options, isCounter);
  checkTableName(keyspaceName, name);
  const columns = placeColumns(statement.columns, key, types, reversed);
  const table: TableDef = {
    keyspace: keyspaceName,
    name,
    id: newTableId(tableIdOf(properties), context),
    generation: 0,
    nextColumnId: columns.length,
    columns: sortColumns(columns),
    options,
    droppedColumns: [],
    isCounter,
  };
  return created(table, context);
}

function created(table: TableDef, context: ChangeContext): SchemaOutcome {
  const { keyspace, name } = table;
  return changed(
    context,
    withTable(context.schema, table),
    { change: 'CREATED', target: 'TABLE', keyspace, name },
    { created: [table] },
  );
}

function existingTable(
  { keyspace, name }: TableDef,
  ifNotExists: boolean,
  context: ChangeContext,
): SchemaOutcome {
  if (ifNotExists) return unchanged(context);
  throw alreadyExists(keyspace, name);
}

function newTableId(wanted: string | undefined, { schema, env }: ChangeContext): string {
  if (wanted === undefined) return env.newId();
  for (const keyspace of schema.keyspaces.values()) {
    for (const table of keyspace.tables.values()) {
      if (table.id !== wanted) continue;
      throw invalidRequest(`Table id ${wanted} is in use by ${table.keyspace}.${table.name}`);
    }
  }
  return wanted;
}

function onlyPrimaryKey(statement: CreateTableStatement, name: string): PrimaryKey {
  const names = new Set<string>();
  for (const column of statement.columns) {
    if (names.has(column.name)) {
      throw invalidRequest(`Duplicate column '${column.name}' declaration for table '${name}'`);
    }
    names.add(column.name);
    if (column.mask !== undefined) throw notSupported('Column masks are');
  }
  if (statement.primaryKeys.length === 0) {
    throw invalidRequest(`No PRIMARY KEY specifed for table '${name}' (exactly one required)`);
  }
  if (statement.primaryKeys.length > 1) {
    throw invalidRequest(
      `Multiple PRIMARY KEY specified for table '${name}' (exactly one required)`,
    );
  }
  const [key] = statement.primaryKeys;
  checkOrderNames(statement, key, name);
  return key;
}

function checkOrderNames(statement: CreateTableStatement, key: PrimaryKey, name: string): void {
  const seen = new Set<string>();
  for (const { column } of statement.clusteringOrder) {
    if (seen.has(column)) {
      throw invalidRequest(
        `Duplicate column '${column}' in CLUSTERING ORDER BY clause for table '${name}'`,
      );
    }
    seen.add(column);
  }
  const strangers = [...seen].filter((column) => !key.clustering.includes(column));
  if (strangers.length > 0) {
    throw invalidRequest(
      `Only clustering key columns can be defined in CLUSTERING ORDER directive: [${strangers.join(', ')}] are not clustering columns`,
    );
  }
}

function columnTypes(
  { columns }: CreateTableStatement,
  schema: Schema,
  { name }: KeyspaceDef,
): ReadonlyMap<string, CqlType> {
  const types = new Map(
    columns.map((column) => [column.name, columnType(column.type, schema, name)]),
  );
  for (const type of types.values()) refuseNestedMultiCell(type);
  return types;
}

function checkPrimaryKey(
  statement: CreateTableStatement,
  key: PrimaryKey,
  types: ReadonlyMap<string, CqlType>,
): void {
  const { name: table } = statement.table;
  const seen = new Set<string>();
  for (const column of [...key.partition, ...key.clustering]) {
    const type = types.get(column);
    if (type === undefined) {
      throw invalidRequest(
        `Unknown column '${column}' referenced in PRIMARY KEY for table '${table}'`,
      );
    }
    if (seen.has(column)) {
      throw invalidRequest(
        `Duplicate column '${column}' in PRIMARY KEY clause for table '${table}'`,
      );
    }
    seen.add(column);
    checkKeyType(column, type);
    if (statement.columns.some((one) => one.name === column && one.static)) {
      throw invalidRequest(`Static column '${column}' cannot be part of the PRIMARY KEY`);
    }
  }
}

function checkKeyType(column: string, type: CqlType): void {
  if (isMultiCell(type)) {
    const shown = type.kind === 'udt' ? `"${type.keyspace}.${type.name}"` : typeName(type);
    const what = isCollection(type) ? 'collection' : 'user-defined';
    throw invalidRequest(
      `Invalid non-frozen ${what} type ${shown} for PRIMARY KEY column '${column}'`,
    );
  }
  if (isCounterType(type)) {
    throw invalidRequest(`counter type is not supported for PRIMARY KEY column '${column}'`);
  }
  if (containsNative(type, 'duration')) {
    throw invalidRequest(`duration type is not supported for PRIMARY KEY column '${column}'`);
  }
}

function reversedColumns(
  { clusteringOrder }: CreateTableStatement,
  { clustering }: PrimaryKey,
): ReadonlySet<string> {
  const ordered = clusteringOrder.map((order) => order.column);
  for (const [i, column] of ordered.entries()) {
    const expected = clustering[i];
    if (column === expected) continue;
    throw invalidRequest(
      ordered.includes(expected)
        ? `The order of columns in the CLUSTERING ORDER directive must match that of the clustering columns (${expected} must appear before ${column})`
        : `Missing CLUSTERING ORDER for column ${expected}`,
    );
  }
  return new Set(
    clusteringOrder.filter((order) => order.direction === 'desc').map((order) => order.column),
  );
}

/** @returns whether it is a counter table */
function checkColumns(
  statement: CreateTableStatement,
  key: PrimaryKey,
  types: ReadonlyMap<string, CqlType>,
): boolean {
  const hasStatic = statement.columns.some((column) => column.static);
  refuseUselessStatic(hasStatic, key.clustering.length > 0);
  const isKey = (name: string) => key.partition.includes(name) || key.clustering.includes(name);
  const others = [...types].filter(([name]) => !isKey(name)).map(([, type]) => type);
  const isCounter = others.some(isCounterType);
  if (isCounter && !others.every(isCounterType)) {
    throw invalidRequest('Cannot mix counter and non counter columns in the same table');
  }
  return isCounter;
}

function placeColumns(
  definitions: readonly ColumnDefinition[],
  { partition, clustering }: PrimaryKey,
  types: ReadonlyMap<string, CqlType>,
  reversed: ReadonlySet<string>,
): ColumnDef[] {
  const isKey = (name: string) => partition.includes(name) || clustering.includes(name);
  const others = definitions.filter(({ name }) => !isKey(name));
  const place = (name: string, kind: ColumnKind, position: number) => ({ name, kind, position });
  const places = [
    ...partition.map((name, i) => place(name, 'partition_key', i)),
    ...clustering.map((name, i) => place(name, 'clustering', i)),
    ...others.map((column) => place(column.name, column.static ? 'static' : 'regular', -1)),
  ];
  return places.map(
    (at, id): ColumnDef => ({
      ...at,
      id,
      type: types.get(at.name) as CqlType,
      reversed: reversed.has(at.name),
    }),
  );
}

/** CREATE TABLE … LIKE …: the columns and options of another table, without its data. */
export function createTableLike(
  statement: CreateTableLikeStatement,
  context: ChangeContext,
): SchemaOutcome {
  const { schema } = context;
  const { name } = statement.table;
  const keyspaceName = keyspaceOf(statement.table, context);
  const sourceKeyspace = keyspaceOf(statement.source, context);
  refuseSystemKeyspace(keyspaceName);
  refuseSystemKeyspace(sourceKeyspace);
  const properties = new PropertyReader(statement.properties);
  if (properties.has('id')) throw invalidRequest('Cannot alter table id.');
  const source = findTable(schema, sourceKeyspace, statement.source.name);
  if (source === undefined) {
    throw invalidRequest(`Source Table '${sourceKeyspace}.${statement.source.name}' doesn't exist`);
  }
  const existing = requireKeyspace(schema, keyspaceName).tables.get(name);
  if (existing !== undefined) return existingTable(existing, statement.ifNotExists, context);
  if (keyspaceName !== sourceKeyspace && source.columns.some(({ type }) => holdsUserType(type))) {
    throw invalidRequest(
      `Cannot use CREATE TABLE LIKE across different keyspace when source table has UDTs not defined in the target keyspace '${keyspaceName}'.`,
    );
  }
  checkTableName(keyspaceName, name);
  const options = readTableOptions(source.options, properties);
  checkTableOptions(options, properties);
  checkCounterOptions(options, source.isCounter);
  const table: TableDef = {
    ...source,
    keyspace: keyspaceName,
    name,
    id: context.env.newId(),
    generation: 0,
    options,
    droppedColumns: [],
  };
  return created(table, context);
}

function holdsUserType(type: CqlType): boolean {
  switch (type.kind) {
    case 'udt':
      return true;
    case 'list':
    case 'set':
    case 'vector':
      return holdsUserType(type.element);
    case 'map':
      return holdsUserType(type.key) || holdsUserType(type.value);
    case 'tuple':
      return type.fields.some(holdsUserType);
    default:
      return false;
  }
}
