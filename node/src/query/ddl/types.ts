/** CREATE, ALTER and DROP TYPE. Source: the statements of the same names of Cassandra 5. */
import { invalidRequest } from '../../common/errors.ts';
import type {
  AlterTypeStatement,
  CreateTypeStatement,
  DropTypeStatement,
  FieldDefinition,
  Rename,
  TypeAst,
} from '../../cql/ast.ts';
import { printType } from '../../cql/print.ts';
import {
  type KeyspaceDef,
  type Schema,
  type TableDef,
  usesUserType,
  withoutUserType,
  withUserType,
} from '../../schema/schema.ts';
import type { CqlType, UserType } from '../../types/cql-type.ts';
import { isMultiCell } from '../../types/type-facts.ts';
import {
  type ChangeContext,
  changed,
  keyspaceOf,
  refuseSystemKeyspace,
  requireKeyspace,
  type SchemaOutcome,
  unchanged,
} from './change.ts';
import { columnType } from './columns.ts';

export function createType(statement: CreateTypeStatement, context: ChangeContext): SchemaOutcome {
  const { schema } = context;
  const { name } = statement.type;
  const keyspaceName = keyspaceOf(statement.type, context);
  refuseSystemKeyspace(keyspaceName);
  const keyspace = requireKeyspace(schema, keyspaceName);
  if (keyspace.types.has(name)) {
    if (statement.ifNotExists) return unchanged(context);
    throw invalidRequest(`A user type with name '${name}' already exists`);
  }
  const seen = new Set<string>();
  for (const field of statement.fields) {
    if (seen.has(field.name)) {
      throw invalidRequest(`Duplicate field name '${field.name}' in type '${name}'`);
    }
    seen.add(field.name);
  }
  for (const field of statement.fields) checkFieldType(field.type);
  const type: UserType = {
    kind: 'udt',
    keyspace: keyspaceName,
    name,
    fieldNames: statement.fields.map((field) => field.name),
    fieldTypes: statement.fields.map((field) => columnType(field.type, schema, keyspaceName)),
    frozen: false,
  };
  return changed(context, withUserType(schema, type), {
    change: 'CREATED',
    target: 'TYPE',
    keyspace: keyspaceName,
    name,
  });
}

function checkFieldType(type: TypeAst): void {
  if (type.kind === 'native' && type.name === 'counter') {
    throw invalidRequest('A user type cannot contain counters');
  }
  if (type.kind === 'udt') throw invalidRequest('A user type cannot contain non-frozen UDTs');
}

export function alterType(statement: AlterTypeStatement, context: ChangeContext): SchemaOutcome {
  const { schema } = context;
  const { alteration } = statement;
  const { name } = statement.type;
  const keyspaceName = keyspaceOf(statement.type, context);
  refuseSystemKeyspace(keyspaceName);
  const keyspace = schema.keyspaces.get(keyspaceName);
  const type = keyspace?.types.get(name);
  if (keyspace === undefined || type === undefined) {
    if (statement.ifExists) return unchanged(context);
    throw invalidRequest(`Type ${keyspaceName}.${name} doesn't exist`);
  }
  let next: UserType;
  switch (alteration.kind) {
    case 'alterField':
      throw invalidRequest('Altering field types is no longer supported');
    case 'addField':
      next = addField(type, alteration.field, alteration.ifNotExists, keyspace, schema);
      break;
    case 'renameFields':
      next = renameFields(type, alteration.renames, alteration.ifExists);
      break;
  }
  if (next === type) return unchanged(context);
  const users = tablesWith(keyspace, type);
  const after = withUserType(schema, next);
  const altered = users.map(
    (table) => after.keyspaces.get(keyspaceName)?.tables.get(table.name) ?? table,
  );
  return changed(
    context,
    after,
    { change: 'UPDATED', target: 'TYPE', keyspace: keyspaceName, name },
    { altered },
  );
}

function isUserOf(type: CqlType, { keyspace, name }: UserType): boolean {
  return usesUserType(type, keyspace, name);
}

function tablesWith({ tables }: KeyspaceDef, type: UserType): TableDef[] {
  return [...tables.values()].filter((table) =>
    table.columns.some((column) => isUserOf(column.type, type)),
  );
}

function addField(
  type: UserType,
  field: FieldDefinition,
  ifNotExists: boolean,
  keyspace: KeyspaceDef,
  schema: Schema,
): UserType {
  const shown = `${type.keyspace}.${type.name}`;
  if (type.fieldNames.includes(field.name)) {
    if (ifNotExists) return type;
    throw invalidRequest(
      `Cannot add field ${field.name} to type ${shown}: a field with name ${field.name} already exists`,
    );
  }
  checkFieldType(field.type);
  const fieldType = columnType(field.type, schema, keyspace.name);
  const written = `field ${field.name} of type ${printType(field.type)} to user type ${shown}`;
  if (isUserOf(fieldType, type)) {
    throw invalidRequest(`Cannot add new ${written} as it would create a circular reference`);
  }
  refuseInOrderedPlaces(type, written, keyspace);
  if (isMultiCell(fieldType)) refuseBesideNonFrozen(type, written, keyspace);
  return {
    ...type,
    fieldNames: [...type.fieldNames, field.name],
    fieldTypes: [...type.fieldTypes, fieldType],
  };
}

/**
 * Keys are stored in an ordered form that does not tell how many fields a value has: a type that is in one cannot grow.
 * Cassandra forbids it only for partition keys.
 */
function refuseInOrderedPlaces(type: UserType, written: string, keyspace: KeyspaceDef): void {
  const where = (isMet: (table: TableDef) => boolean) =>
    [...keyspace.tables.values()].filter(isMet).map((table) => `${keyspace.name}.${table.name}`);
  const inKey = (kind: 'partition_key' | 'clustering') =>
    where((table) =>
      table.columns.some((column) => column.kind === kind && isUserOf(column.type, type)),
    );
  const places: readonly (readonly [string, readonly string[]])[] = [
    ['partition key', inKey('partition_key')],
    ['clustering key', inKey('clustering')],
    [
      'an element or key of a non-frozen set or map',
      where((table) => table.columns.some((column) => isInCellPath(column.type, type))),
    ],
  ];
  for (const [place, tables] of places) {
    if (tables.length === 0) continue;
    throw invalidRequest(
      `Cannot add new ${written} as the type is being used in ${place} by the following tables: ${tables.join(', ')}`,
    );
  }
}

function isInCellPath(of: CqlType, type: UserType): boolean {
  if (!isMultiCell(of)) return false;
  if (of.kind === 'set') return isUserOf(of.element, type);
  return of.kind === 'map' && isUserOf(of.key, type);
}

function refuseBesideNonFrozen(type: UserType, written: string, keyspace: KeyspaceDef): void {
  const isPlain = (of: CqlType) => of.kind === 'udt' && !of.frozen && of.name === type.name;
  const users = [...keyspace.tables.values()].filter((table) =>
    table.columns.some((column) => isPlain(column.type)),
  );
  if (users.length === 0) return;
  throw invalidRequest(
    `Cannot add new ${written}: non-frozen UDTs with nested non-frozen collections are not supported, and it is used by the following tables: ${users.map((table) => `${keyspace.name}.${table.name}`).join(', ')}`,
  );
}

function renameFields(type: UserType, renames: readonly Rename[], ifExists: boolean): UserType {
  const fieldNames = [...type.fieldNames];
  for (const { from, to } of renames) {
    const index = type.fieldNames.indexOf(from);
    if (index < 0) {
      if (ifExists) continue;
      throw invalidRequest(`Unkown field ${from} in user type ${type.keyspace}.${type.name}`);
    }
    fieldNames[index] = to;
  }
  const twice = fieldNames.find((name, i) => fieldNames.indexOf(name) !== i);
  if (twice !== undefined) {
    throw invalidRequest(`Duplicate field name ${twice} in type ${type.keyspace}.${type.name}`);
  }
  const isSame = fieldNames.every((name, i) => name === type.fieldNames[i]);
  return isSame ? type : { ...type, fieldNames };
}

export function dropType(statement: DropTypeStatement, context: ChangeContext): SchemaOutcome {
  const { schema } = context;
  const { name } = statement.type;
  const keyspaceName = keyspaceOf(statement.type, context);
  refuseSystemKeyspace(keyspaceName);
  const keyspace = schema.keyspaces.get(keyspaceName);
  const type = keyspace?.types.get(name);
  if (keyspace === undefined || type === undefined) {
    if (statement.ifExists) return unchanged(context);
    throw invalidRequest(`Type '${keyspaceName}.${name}' doesn't exist`);
  }
  const types = [...keyspace.types.values()].filter(
    (other) => other.name !== name && isUserOf(other, type),
  );
  refuseUsed(type, 'user types', types);
  refuseUsed(type, 'tables', tablesWith(keyspace, type));
  return changed(context, withoutUserType(schema, keyspaceName, name), {
    change: 'DROPPED',
    target: 'TYPE',
    keyspace: keyspaceName,
    name,
  });
}

function refuseUsed(
  { keyspace, name }: UserType,
  what: string,
  users: readonly { readonly name: string }[],
): void {
  if (users.length === 0) return;
  throw invalidRequest(
    `Cannot drop user type '${keyspace}.${name}' as it is still used by ${what} ${users.map((user) => user.name).join(', ')}`,
  );
}
