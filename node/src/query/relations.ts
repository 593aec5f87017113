/** One relation of a WHERE clause, its columns found and its terms compiled. */

import { Reader, Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { murmur3Token } from '../common/murmur3.ts';
import type { InRelation, Relation, Term } from '../cql/ast.ts';
import { printRelation, printTerm } from '../cql/print.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { serializePartitionKey } from '../storage/keys.ts';
import { compareValues } from '../types/codec.ts';
import { splitCollection, splitTuple } from '../types/collections.ts';
import type { CqlType, MapType } from '../types/cql-type.ts';
import { quoteName } from '../types/identifiers.ts';
import { containsNative, isMultiCell, nativeType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import type { SliceOperator } from './ranges.ts';
import type { Binding, CompiledTerm, TermScope, Value } from './term-values.ts';
import { compileTerm } from './terms.ts';

/** Values for the columns of a restriction, in their order. */
type TupleTerm = (binding: Binding) => Uint8Array[];
type TupleListTerm = (binding: Binding) => Uint8Array[][];

/** Compares whole values of one or several (clustering) columns. */
export type KeyRestriction =
  | { readonly kind: 'eq'; readonly columns: readonly ColumnDef[]; readonly values: TupleTerm }
  | { readonly kind: 'in'; readonly columns: readonly ColumnDef[]; readonly values: TupleListTerm }
  | {
      readonly kind: 'slice';
      readonly columns: readonly ColumnDef[];
      readonly operator: SliceOperator;
      readonly values: TupleTerm;
    };

/** Anything else about one column: only for filtering. */
export interface ColumnTest {
  readonly kind: 'test';
  readonly columns: readonly [ColumnDef];
  readonly operator: string;
  prepare(binding: Binding): (value: Uint8Array | null) => boolean;
}

export interface TokenRestriction {
  readonly kind: 'token';
  readonly operator: '=' | SliceOperator;
  readonly value: (binding: Binding) => bigint;
}

export type Restriction = KeyRestriction | ColumnTest | TokenRestriction;

export function findColumn(table: TableDef, name: string): ColumnDef {
  const column = table.columns.find((candidate) => candidate.name === name);
  if (column === undefined) {
    throw invalidRequest(
      `Undefined column name ${quoteName(name)} in table ${table.keyspace}.${table.name}`,
    );
  }
  return column;
}

function keyValue(value: Value, column: ColumnDef): Uint8Array {
  if (value !== null && value !== undefined) return value;
  const isKey = column.kind === 'partition_key' || column.kind === 'clustering';
  if (!isKey) {
    throw invalidRequest(
      `Unsupported ${value === null ? 'null' : 'unset'} value for column ${column.name}`,
    );
  }
  if (value === null)
    throw invalidRequest(`Invalid null value in condition for column ${column.name}`);
  throw invalidRequest(`Invalid unset value for column ${column.name}`);
}

function columnTerm(term: Term, column: ColumnDef, scope: TermScope): TupleTerm {
  const compiled = compileTerm(term, column, scope);
  return (binding) => [keyValue(compiled.evaluate(binding), column)];
}

/** The right side of a relation on several columns. */
function tupleTerm(term: Term, columns: readonly ColumnDef[], scope: TermScope): TupleTerm {
  if (term.kind === 'tuple') {
    if (term.elements.length !== columns.length) {
      throw invalidRequest(
        `Expected ${columns.length} elements in value tuple, but got ${term.elements.length}: ${printTerm(term)}`,
      );
    }
    const parts = term.elements.map((element, i) => compileTerm(element, columns[i], scope));
    return (binding) =>
      parts.map((part, i) => {
        const value = part.evaluate(binding);
        if (value === undefined) {
          throw invalidRequest(`Invalid unset value for tuple field number ${i}`);
        }
        return keyValue(value, columns[i]);
      });
  }
  const type: CqlType = { kind: 'tuple', fields: columns.map((column) => column.type) };
  const compiled = compileTerm(term, { name: `(${names(columns)})`, type }, scope);
  return (binding) => tupleValues(compiled.evaluate(binding), columns);
}

function tupleValues(value: Value, columns: readonly ColumnDef[]): Uint8Array[] {
  if (value === null || value === undefined) {
    throw invalidRequest(
      `Invalid ${value === null ? 'null' : 'unset'} value for tuple (${names(columns)})`,
    );
  }
  const fields = splitTuple(columns.length, value);
  return columns.map((column, i) => keyValue(fields[i] ?? null, column));
}

function names(columns: readonly ColumnDef[]): string {
  return columns.map((column) => column.name).join(',');
}

function listTerm(
  values: readonly Term[] | Term,
  columns: readonly ColumnDef[],
  isTuple: boolean,
  scope: TermScope,
): TupleListTerm {
  if (Array.isArray(values)) {
    const parts = (values as readonly Term[]).map((value) =>
      isTuple ? tupleTerm(value, columns, scope) : columnTerm(value, { ...columns[0] }, scope),
    );
    return (binding) => parts.map((part) => part(binding));
  }
  const element: CqlType = isTuple
    ? { kind: 'tuple', fields: columns.map((column) => column.type) }
    : columns[0].type;
  const name = isTuple ? `in(${names(columns)})` : `in(${columns[0].name})`;
  const type: CqlType = { kind: 'list', element, frozen: false };
  const compiled = compileTerm(values as Term, { name, type }, scope);
  return (binding) => {
    const value = compiled.evaluate(binding);
    if (value === null || value === undefined) {
      const what = value === null ? 'null' : 'unset';
      throw invalidRequest(
        isTuple && value === null
          ? 'Invalid null value for IN restriction'
          : `Invalid ${what} value for column ${columns[0].name}`,
      );
    }
    return listItems(value).map((item) =>
      isTuple ? tupleValues(item, columns) : [keyValue(item, columns[0])],
    );
  };
}

/** Elements of a list, of which clients may send null ones where Cassandra checks them later. */
export function listItems(list: Uint8Array): (Uint8Array | null)[] {
  const reader = new Reader(list);
  return Array.from({ length: reader.i32() }, () => reader.bytes());
}

function clusteringColumns(
  table: TableDef,
  written: readonly string[],
  text: string,
): readonly ColumnDef[] {
  const columns = written.map((name) => findColumn(table, name));
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i];
    if (column.kind !== 'clustering') {
      throw invalidRequest(
        `Multi-column relations can only be applied to clustering columns but was applied to: ${column.name}`,
      );
    }
    if (columns.indexOf(column) !== i) {
      throw invalidRequest(`Column "${column.name}" appeared twice in a relation: ${text}`);
    }
    if (i > 0 && column.position !== columns[i - 1].position + 1) {
      throw invalidRequest(
        `Clustering columns must appear in the PRIMARY KEY order in multi-column relations: ${text}`,
      );
    }
  }
  return columns;
}

function tokenTerm(term: Term, table: TableDef, scope: TermScope): (binding: Binding) => bigint {
  if (term.kind === 'function' && term.name.name === 'token') {
    const columns = table.columns.filter((column) => column.kind === 'partition_key');
    if (term.args.length !== columns.length) {
      throw invalidRequest(
        `Invalid number of arguments in call to function system.token: ${columns.length} required but ${term.args.length} provided`,
      );
    }
    const parts = term.args.map((arg, i) =>
      compileTerm(arg, { name: `arg${i}(system.token)`, type: columns[i].type }, scope),
    );
    return (binding) => {
      const out = new Writer(64);
      const values = parts.map((part, i) => keyValue(part.evaluate(binding), columns[i]));
      serializePartitionKey(values, out);
      return murmur3Token(out.view());
    };
  }
  const receiver = { name: 'partition key token', type: nativeType('bigint') };
  const compiled: CompiledTerm = compileTerm(term, receiver, scope);
  return (binding) => {
    const value = compiled.evaluate(binding);
    if (value === null || value === undefined || value.length !== 8) {
      throw invalidRequest('Invalid null token value');
    }
    return Buffer.from(value.buffer, value.byteOffset, 8).readBigInt64BE();
  };
}

function checkTokenColumns(table: TableDef, written: readonly string[]): void {
  const columns = written.map((name) => findColumn(table, name));
  const key = table.columns.filter((column) => column.kind === 'partition_key');
  if (columns.length !== key.length || columns.some((column) => column.kind !== 'partition_key')) {
    throw invalidRequest(
      'The token() function must be applied to all partition key components or none of them',
    );
  }
  if (columns.some((column, i) => column !== key[i])) {
    throw invalidRequest(
      `The token function arguments must be in the partition key order: ${key.map((c) => c.name).join(', ')}`,
    );
  }
}

function containsTest(
  column: ColumnDef,
  operator: 'CONTAINS' | 'CONTAINS KEY',
  term: Term,
  scope: TermScope,
): ColumnTest {
  const { type } = column;
  const ofKey = operator === 'CONTAINS KEY';
  const element = containedType(type, ofKey);
  if (element === null) {
    const what = ofKey ? 'map' : 'collection';
    throw invalidRequest(`Cannot use ${operator} on non-${what} column ${column.name}`);
  }
  const name = `${ofKey ? 'key' : 'value'}(${column.name})`;
  const compiled = compileTerm(term, { name, type: element }, scope);
  return {
    kind: 'test',
    columns: [column],
    operator,
    prepare: (binding) => {
      const wanted = filterValue(compiled.evaluate(binding), `value for column ${column.name}`);
      return (value) =>
        value !== null &&
        collectionItems(type, value, ofKey).some(
          (item) => compareValues(element, item, wanted) === 0,
        );
    },
  };
}

/** What CONTAINS [KEY] looks for in values of `type`; null: nothing, they are no collections. */
export function containedType(type: CqlType, ofKey: boolean): CqlType | null {
  if (type.kind === 'map') return ofKey ? type.key : type.value;
  if (ofKey) return null;
  return type.kind === 'list' || type.kind === 'set' ? type.element : null;
}

function filterValue(value: Value, what: string): Uint8Array {
  if (value === null || value === undefined) {
    throw invalidRequest(`Unsupported ${value === null ? 'null' : 'unset'} ${what}`);
  }
  return value;
}

/** The elements, keys or values of a collection. */
export function collectionItems(type: CqlType, value: Uint8Array, ofKey: boolean): Uint8Array[] {
  if (type.kind !== 'map') return splitCollection(type.kind === 'set' ? 'set' : 'list', value);
  return splitCollection('map', value).filter((_, i) => (i % 2 === 0) === ofKey);
}

function mapHolds(type: MapType, map: Uint8Array, key: Uint8Array, value: Uint8Array): boolean {
  const parts = splitCollection('map', map);
  for (let i = 0; i < parts.length; i += 2) {
    if (compareValues(type.key, parts[i], key) !== 0) continue;
    return compareValues(type.value, parts[i + 1], value) === 0;
  }
  return false;
}

function requireMapEntry(column: ColumnDef, operator: string): MapType {
  const { type, name } = column;
  if (type.kind === 'list') {
    throw invalidRequest(
      `Indexes on list entries (${name}[index] = value) are not currently supported.`,
    );
  }
  if (type.kind !== 'map') throw invalidRequest(`Column ${name} cannot be used as a map`);
  if (!isMultiCell(type)) {
    throw invalidRequest(
      `Map-entry equality predicates on frozen map column ${name} are not supported`,
    );
  }
  if (operator !== '=') throw invalidRequest('Only EQ relations are supported on map entries');
  return type;
}

function elementTest(
  column: ColumnDef,
  keyTerm: Term,
  operator: string,
  term: Term,
  scope: TermScope,
): ColumnTest {
  const type = requireMapEntry(column, operator);
  const key = compileTerm(keyTerm, { name: `key(${column.name})`, type: type.key }, scope);
  const wanted = compileTerm(term, { name: `value(${column.name})`, type: type.value }, scope);
  return {
    kind: 'test',
    columns: [column],
    operator,
    prepare: (binding) => {
      const k = filterValue(key.evaluate(binding), `map key for column ${column.name}`);
      const v = filterValue(wanted.evaluate(binding), `map value for column ${column.name}`);
      return (value) => value !== null && mapHolds(type, value, k, v);
    },
  };
}

function requireComparable(column: ColumnDef, operator: string): void {
  const { type, name } = column;
  if (isMultiCell(type)) {
    throw invalidRequest(
      type.kind === 'udt'
        ? `Non-frozen UDT column '${name}' (${typeName(type)}) cannot be restricted by any relation`
        : `Collection column '${name}' (${typeName(type)}) cannot be restricted by a '${operator}' relation`,
    );
  }
}

function requireOrdered({ type }: ColumnDef): void {
  if (!containsNative(type, 'duration')) return;
  const kinds: Readonly<Record<string, string>> = {
    list: 'collections containing durations',
    set: 'collections containing durations',
    map: 'collections containing durations',
    tuple: 'tuples containing durations',
    udt: 'UDTs containing durations',
  };
  const what = kinds[type.kind] ?? 'duration columns';
  throw invalidRequest(`Slice restrictions are not supported on ${what}`);
}

function inRestriction(
  relation: InRelation,
  columns: readonly ColumnDef[],
  isTuple: boolean,
  scope: TermScope,
): Restriction {
  const { values } = relation;
  if (!('kind' in values) && values.length === 1) {
    // As in Cassandra, IN with one value is an equality.
    return { kind: 'eq', columns, values: valuesTerm(values[0], columns, isTuple, scope) };
  }
  return { kind: 'in', columns, values: listTerm(values, columns, isTuple, scope) };
}

function valuesTerm(
  term: Term,
  columns: readonly ColumnDef[],
  isTuple: boolean,
  scope: TermScope,
): TupleTerm {
  return isTuple ? tupleTerm(term, columns, scope) : columnTerm(term, columns[0], scope);
}

/** @throws CqlError Invalid */
export function analyzeRelation(
  relation: Relation,
  table: TableDef,
  scope: TermScope,
): Restriction {
  if (relation.kind === 'indexExpression') {
    throw invalidRequest(`Invalid index expression: index ${relation.index.name} was not found`);
  }
  const text = printRelation(relation);
  if (relation.kind === 'isNotNull') throw invalidRequest(`Unsupported restriction: ${text}`);
  const { target } = relation;
  if (relation.kind === 'comparison' && relation.operator === '!=') throw notEqual(text);
  if (target.kind === 'field') {
    throw invalidRequest(`Unsupported relation on field ${target.column}.${target.field}`);
  }
  if (target.kind === 'token') return tokenRelation(relation, target.columns, table, scope);
  if (target.kind === 'element') {
    const column = findColumn(table, target.column);
    if (relation.kind === 'in') throw notOfEntry(column);
    return elementTest(column, target.key, relation.operator, relation.value, scope);
  }
  const isTuple = target.kind === 'columns';
  const columns = isTuple
    ? clusteringColumns(table, target.columns, text)
    : [findColumn(table, target.column)];
  if (relation.kind === 'in') {
    if (!isTuple) requireComparable(columns[0], 'IN');
    return inRestriction(relation, columns, isTuple, scope);
  }
  const { operator, value } = relation;
  switch (operator) {
    case '=':
      if (!isTuple) requireComparable(columns[0], '=');
      return { kind: 'eq', columns, values: valuesTerm(value, columns, isTuple, scope) };
    case '<':
    case '<=':
    case '>':
    case '>=':
      for (const column of columns) requireOrdered(column);
      if (!isTuple) requireComparable(columns[0], operator);
      return {
        kind: 'slice',
        columns,
        operator,
        values: valuesTerm(value, columns, isTuple, scope),
      };
    case 'LIKE':
      requireComparable(columns[0], 'LIKE');
      compileTerm(value, columns[0], scope);
      throw invalidRequest(
        `LIKE restriction is only supported on properly indexed columns. ${text} is not valid.`,
      );
    case '!=':
      throw notEqual(text);
    default:
      return containsTest(columns[0], operator, value, scope);
  }
}

function notEqual(text: string): Error {
  return invalidRequest(`Unsupported "!=" relation: ${text}`);
}

function notOfEntry(column: ColumnDef): Error {
  requireMapEntry(column, 'IN');
  return invalidRequest('Only EQ relations are supported on map entries');
}

function tokenRelation(
  relation: Exclude<Relation, { kind: 'indexExpression' | 'isNotNull' }>,
  written: readonly string[],
  table: TableDef,
  scope: TermScope,
): TokenRestriction {
  const operator = relation.kind === 'in' ? 'IN' : relation.operator;
  if (relation.kind === 'in' || !isOrdering(operator)) {
    throw invalidRequest(`${operator} cannot be used with the token function`);
  }
  checkTokenColumns(table, written);
  return { kind: 'token', operator, value: tokenTerm(relation.value, table, scope) };
}

function isOrdering(operator: string): operator is '=' | SliceOperator {
  return ['=', '<', '<=', '>', '>='].includes(operator);
}
