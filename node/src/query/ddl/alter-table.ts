/** ALTER TABLE and DROP TABLE. Source: AlterTableStatement, DropTableStatement of Cassandra 5. */
import { configError, invalidRequest } from '../../common/errors.ts';
import type {
  AlterTableStatement,
  ColumnDefinition,
  DropTableStatement,
  Property,
  Rename,
} from '../../cql/ast.ts';
import {
  type ColumnDef,
  type DroppedColumn,
  findTable,
  sortColumns,
  type TableDef,
  withoutTable,
  withTable,
} from '../../schema/schema.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { freeze, isMultiCell, sameType } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import {
  type ChangeContext,
  changed,
  keyspaceOf,
  notSupported,
  refuseSystemKeyspace,
  type SchemaOutcome,
  unchanged,
} from './change.ts';
import {
  checkCounters,
  columnType,
  refuseNestedMultiCell,
  refuseUselessStatic,
} from './columns.ts';
import { PropertyReader } from './properties.ts';
import {
  checkCounterOptions,
  checkTableOptions,
  noProperties,
  readTableOptions,
} from './table-options.ts';

export function alterTable(statement: AlterTableStatement, context: ChangeContext): SchemaOutcome {
  const { schema } = context;
  const { name } = statement.table;
  const keyspace = keyspaceOf(statement.table, context);
  refuseSystemKeyspace(keyspace);
  const table = findTable(schema, keyspace, name);
  if (table === undefined) {
    if (statement.ifExists) return unchanged(context);
    throw invalidRequest(`Table '${keyspace}.${name}' doesn't exist`);
  }
  const next = altered(table, statement, context);
  if (next === table) return unchanged(context);
  return changed(
    context,
    withTable(schema, next),
    { change: 'UPDATED', target: 'TABLE', keyspace, name },
    { altered: [next] },
  );
}

function altered(
  table: TableDef,
  { alteration }: AlterTableStatement,
  context: ChangeContext,
): TableDef {
  switch (alteration.kind) {
    case 'alterColumnType':
      throw invalidRequest('Altering column types is no longer supported');
    case 'maskColumn':
      throw notSupported('Column masks are');
    case 'dropCompactStorage':
      throw invalidRequest('DROP COMPACT STORAGE is disabled. Ilion has no compact storage.');
    case 'addColumns':
      return addColumns(table, alteration.columns, alteration.ifNotExists, context);
    case 'dropColumns':
      return dropColumns(
        table,
        alteration.columns,
        alteration.ifExists,
        dropTime(alteration.timestamp, context.env.nowMicros),
      );
    case 'renameColumns':
      return renameColumns(table, alteration.renames, alteration.ifExists);
    case 'setProperties':
      return setProperties(table, alteration.properties);
  }
}

function fullName({ keyspace, name }: TableDef): string {
  return `${keyspace}.${name}`;
}

function addColumns(
  table: TableDef,
  definitions: readonly ColumnDefinition[],
  ifNotExists: boolean,
  { schema }: ChangeContext,
): TableDef {
  const columns = [...table.columns];
  for (const definition of definitions) {
    const { name } = definition;
    if (definition.mask !== undefined) throw notSupported('Column masks are');
    const type = columnType(definition.type, schema, table.keyspace);
    if (columns.some((column) => column.name === name)) {
      if (ifNotExists) continue;
      throw invalidRequest(`Column with name '${name}' already exists`);
    }
    const hasClustering = table.columns.some((column) => column.kind === 'clustering');
    refuseUselessStatic(definition.static, hasClustering);
    refuseNestedMultiCell(type, ` for column ${name}`);
    checkDropped(table, definition, type);
    const id = table.nextColumnId + columns.length - table.columns.length;
    const kind = definition.static ? 'static' : 'regular';
    columns.push({ name, id, type, kind, position: -1, reversed: false });
  }
  if (columns.length === table.columns.length) return table;
  checkCounters(fullName(table), table.isCounter, columns);
  const nextColumnId = table.nextColumnId + columns.length - table.columns.length;
  return { ...table, columns: sortColumns(columns), nextColumnId };
}

/** A column of this name was there before: it comes back as it was. */
function checkDropped(
  table: TableDef,
  { name, static: isStatic }: ColumnDefinition,
  type: CqlType,
) {
  const dropped = table.droppedColumns.find((column) => column.name === name);
  if (dropped === undefined) return;
  if (!isCompatible(type, dropped.type)) {
    throw invalidRequest(
      `Cannot add a column '${name}' of type ${typeName(type)}, incompatible with previously dropped column '${name}' of type ${typeName(dropped.type)}`,
    );
  }
  if (dropped.isStatic !== isStatic) {
    const kind = (one: boolean) => (one ? 'STATIC' : 'REGULAR');
    throw invalidRequest(
      `Cannot re-add previously dropped column '${name}' of kind ${kind(isStatic)}, incompatible with previous kind ${kind(dropped.isStatic)}`,
    );
  }
  if (table.isCounter) {
    throw invalidRequest(`Cannot re-add previously dropped counter column ${name}`);
  }
}

/** Dropped columns remember user types as tuples: their values look alike. */
function isCompatible(type: CqlType, dropped: CqlType): boolean {
  return isMultiCell(type) === isMultiCell(dropped) && sameType(expandUserTypes(type), dropped);
}

/** The type with tuples in the place of user types, which may be dropped or altered later. */
function expandUserTypes(type: CqlType): CqlType {
  switch (type.kind) {
    case 'udt':
      return {
        kind: 'tuple',
        fields: type.fieldTypes.map((field) => freeze(expandUserTypes(field))),
      };
    case 'list':
    case 'set':
    case 'vector':
      return { ...type, element: expandUserTypes(type.element) };
    case 'map':
      return { ...type, key: expandUserTypes(type.key), value: expandUserTypes(type.value) };
    case 'tuple':
      return { ...type, fields: type.fields.map(expandUserTypes) };
    default:
      return type;
  }
}

function dropTime(written: string | undefined, nowMicros: number): number {
  return written === undefined ? nowMicros : Number(written);
}

function dropColumns(
  table: TableDef,
  names: readonly string[],
  ifExists: boolean,
  droppedTime: number,
): TableDef {
  const dropped: ColumnDef[] = [];
  for (const name of new Set(names)) {
    const column = table.columns.find((one) => one.name === name);
    if (column === undefined) {
      if (ifExists) continue;
      throw invalidRequest(`Column ${name} was not found in table '${fullName(table)}'`);
    }
    if (column.kind === 'partition_key' || column.kind === 'clustering') {
      throw invalidRequest(`Cannot drop PRIMARY KEY column ${name}`);
    }
    if (column.type.kind === 'udt' && !column.type.frozen) {
      throw invalidRequest(
        `Cannot drop non-frozen column ${name} of user type ${column.type.name}`,
      );
    }
    dropped.push(column);
  }
  if (dropped.length === 0) return table;
  const remembered = dropped.map(({ name, type, kind }): DroppedColumn => {
    const isStatic = kind === 'static';
    return { name, type: expandUserTypes(type), isStatic, droppedTime };
  });
  const isGone = ({ name }: { readonly name: string }) => dropped.some((one) => one.name === name);
  return {
    ...table,
    columns: table.columns.filter((column) => !isGone(column)),
    droppedColumns: [...table.droppedColumns.filter((one) => !isGone(one)), ...remembered],
  };
}

function renameColumns(table: TableDef, renames: readonly Rename[], ifExists: boolean): TableDef {
  let { columns } = table;
  for (const { from, to } of renames) {
    const column = columns.find((one) => one.name === from);
    if (column === undefined) {
      if (ifExists) continue;
      throw invalidRequest(`Undefined column name ${from} in table ${fullName(table)}`);
    }
    if (column.kind !== 'partition_key' && column.kind !== 'clustering') {
      throw invalidRequest(`Cannot rename non PRIMARY KEY column ${from}`);
    }
    if (columns.some((one) => one.name === to)) {
      throw invalidRequest(
        `Cannot rename column ${from} to ${to} in table '${fullName(table)}'; another column with that name already exists`,
      );
    }
    columns = columns.map((one) => (one === column ? { ...one, name: to } : one));
  }
  return columns === table.columns ? table : { ...table, columns };
}

function setProperties(table: TableDef, written: readonly Property[]): TableDef {
  if (written.length === 0) throw noProperties();
  const properties = new PropertyReader(written);
  if (properties.has('id')) throw configError('Cannot alter table id.');
  const options = readTableOptions(table.options, properties);
  checkTableOptions(options, properties);
  checkCounterOptions(options, table.isCounter);
  return { ...table, options };
}

export function dropTable(statement: DropTableStatement, context: ChangeContext): SchemaOutcome {
  const { schema } = context;
  const { name } = statement.table;
  const keyspace = keyspaceOf(statement.table, context);
  refuseSystemKeyspace(keyspace);
  const table = findTable(schema, keyspace, name);
  if (table === undefined) {
    if (statement.ifExists) return unchanged(context);
    throw invalidRequest(`Table '${keyspace}.${name}' doesn't exist`);
  }
  return changed(
    context,
    withoutTable(schema, keyspace, name),
    { change: 'DROPPED', target: 'TABLE', keyspace, name },
    { dropped: [table] },
  );
}
