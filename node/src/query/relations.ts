/** One relation of a WHERE clause, its columns found and its terms compiled. */

import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { murmur3Token } from '../common/murmur3.ts';
import type { Relation, Term } from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { serializePartitionKey } from '../storage/keys.ts';
import { compareValues } from '../types/codec.ts';
import { splitCollection, splitTuple } from '../types/collections.ts';
import type { CqlType, MapType } from '../types/cql-type.ts';
import { quoteName } from '../types/identifiers.ts';
import { isMultiCell, nativeType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import type { SliceOperator } from './ranges.ts';
import {
  type Binding,
  type CompiledTerm,
  compileTerm,
  type TermScope,
  type Value,
} from './terms.ts';

/** Values for the columns of a restriction, in their order. */
export type TupleTerm = (binding: Binding) => Uint8Array[];
export type TupleListTerm = (binding: Binding) => Uint8Array[][];

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
  /** The token; null if the bound value is null. */
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
  if (value === null)
    throw invalidRequest(`Invalid null value in condition for column ${column.name}`);
  if (value === undefined) throw invalidRequest(`Invalid unset value for column ${column.name}`);
  return value;
}

function tupleTerm(term: Term, columns: readonly ColumnDef[], scope: TermScope): TupleTerm {
  if (columns.length === 1 && term.kind !== 'tuple') {
    const compiled = compileTerm(term, columns[0], scope);
    return (binding) => [keyValue(compiled.evaluate(binding), columns[0])];
  }
  if (term.kind === 'tuple') {
    if (term.elements.length !== columns.length) {
      throw invalidRequest(
        `Expected ${columns.length} elements in value tuple, but got ${term.elements.length}`,
      );
    }
    const parts = term.elements.map((element, i) => compileTerm(element, columns[i], scope));
    return (binding) => parts.map((part, i) => keyValue(part.evaluate(binding), columns[i]));
  }
  const type: CqlType = { kind: 'tuple', fields: columns.map((column) => column.type) };
  const compiled = compileTerm(term, { name: `(${names(columns)})`, type }, scope);
  return (binding) => tupleValues(compiled.evaluate(binding), columns);
}

function tupleValues(value: Value, columns: readonly ColumnDef[]): Uint8Array[] {
  if (value === null || value === undefined) {
    throw invalidRequest(
      `Invalid ${value === null ? 'null' : 'unset'} value for (${names(columns)})`,
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
    const parts = (values as readonly Term[]).map((value) => tupleTerm(value, columns, scope));
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
      throw invalidRequest(
        value === null
          ? `Invalid null value for IN restriction`
          : `Invalid unset value for column ${columns[0].name}`,
      );
    }
    return splitCollection('list', value).map((item) =>
      isTuple ? tupleValues(item, columns) : [keyValue(item, columns[0])],
    );
  };
}

function clusteringColumns(table: TableDef, written: readonly string[]): readonly ColumnDef[] {
  const columns = written.map((name) => findColumn(table, name));
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i];
    if (column.kind !== 'clustering') {
      throw invalidRequest(
        `Multi-column relations can only be applied to clustering columns but was applied to: ${column.name}`,
      );
    }
    if (columns.indexOf(column) !== i) {
      throw invalidRequest(
        `Column "${column.name}" appeared twice in a relation: (${written.join(', ')})`,
      );
    }
    if (i > 0 && column.position !== columns[i - 1].position + 1) {
      throw invalidRequest(
        `Clustering columns must appear in the PRIMARY KEY order in multi-column relations: (${written.join(', ')})`,
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
        `Invalid call to function token, none of its type signatures match (known type signatures: system.token : (${columns.map((c) => typeName(c.type)).join(', ')}) -> bigint)`,
      );
    }
    const parts = term.args.map((arg, i) => compileTerm(arg, columns[i], scope));
    return (binding) => {
      const out = new Writer(64);
      serializePartitionKey(
        parts.map((part, i) => keyValue(part.evaluate(binding), columns[i])),
        out,
      );
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
  operator: 'CONTAINS' | 'CONTAINS KEY' | 'NOT CONTAINS' | 'NOT CONTAINS KEY',
  term: Term,
  scope: TermScope,
): ColumnTest {
  const { type } = column;
  const ofKey = operator.endsWith('KEY');
  const element =
    type.kind === 'map'
      ? ofKey
        ? type.key
        : type.value
      : type.kind === 'list' || type.kind === 'set'
        ? type.element
        : null;
  if (element === null || (ofKey && type.kind !== 'map')) {
    throw invalidRequest(
      `Cannot use ${operator} on non-${ofKey ? 'map' : 'collection'} column ${column.name}`,
    );
  }
  const negated = operator.startsWith('NOT');
  const name = `${ofKey ? 'key' : 'value'}(${column.name})`;
  const compiled = compileTerm(term, { name, type: element }, scope);
  return {
    kind: 'test',
    columns: [column],
    operator,
    prepare: (binding) => {
      const wanted = keyValue(compiled.evaluate(binding), column);
      return (value) => {
        if (value === null) return false;
        const items = collectionItems(type, value, ofKey);
        const found = items.some((item) => compareValues(element, item, wanted) === 0);
        return found !== negated;
      };
    },
  };
}

function collectionItems(type: CqlType, value: Uint8Array, ofKey: boolean): Uint8Array[] {
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

function elementTest(
  column: ColumnDef,
  keyTerm: Term,
  operator: string,
  term: Term,
  scope: TermScope,
): ColumnTest {
  const { type } = column;
  if (type.kind !== 'map') {
    throw invalidRequest(`Column ${column.name} cannot be used as a map`);
  }
  if (operator !== '=') {
    throw invalidRequest(
      `Unsupported "${operator}" relation on map element of column ${column.name}`,
    );
  }
  const key = compileTerm(keyTerm, { name: `key(${column.name})`, type: type.key }, scope);
  const wanted = compileTerm(term, { name: `value(${column.name})`, type: type.value }, scope);
  return {
    kind: 'test',
    columns: [column],
    operator,
    prepare: (binding) => {
      const k = keyValue(key.evaluate(binding), column);
      const v = keyValue(wanted.evaluate(binding), column);
      return (value) => value !== null && mapHolds(type, value, k, v);
    },
  };
}

function negatedTest(column: ColumnDef, operator: string, values: TupleListTerm): ColumnTest {
  return {
    kind: 'test',
    columns: [column],
    operator,
    prepare: (binding) => {
      const unwanted = values(binding).map(([value]) => value);
      return (value) =>
        value !== null && unwanted.every((other) => compareValues(column.type, value, other) !== 0);
    },
  };
}

function requireComparable(column: ColumnDef, operator: string): void {
  if (isMultiCell(column.type)) {
    const what = column.type.kind === 'udt' ? 'UDT' : 'Collection';
    throw invalidRequest(
      `${what} column '${column.name}' (${typeName(column.type)}) cannot be restricted by a '${operator}' relation`,
    );
  }
  const isSlice = operator !== '=' && operator !== 'IN';
  if (isSlice && column.type.kind === 'native' && column.type.name === 'duration') {
    throw invalidRequest('Slice restrictions are not supported on duration columns');
  }
}

/**
 * @returns the relation as one restriction, or two (BETWEEN)
 * @throws CqlError Invalid
 */
export function analyzeRelation(
  relation: Relation,
  table: TableDef,
  scope: TermScope,
): readonly Restriction[] {
  if (relation.kind === 'indexExpression') {
    throw invalidRequest(`Invalid index expression: index ${relation.index.name} was not found`);
  }
  const { target } = relation;
  if (relation.kind === 'isNotNull') {
    const name = target.kind === 'column' ? target.column : '';
    throw invalidRequest(`Unsupported restriction: ${name} IS NOT NULL`);
  }
  if (target.kind === 'field') {
    throw invalidRequest(`Unsupported relation on field ${target.column}.${target.field}`);
  }
  if (target.kind === 'token') return tokenRelation(relation, target.columns, table, scope);
  if (target.kind === 'element') {
    if (relation.kind !== 'comparison') {
      throw invalidRequest(`Unsupported relation on map element of column ${target.column}`);
    }
    const column = findColumn(table, target.column);
    return [elementTest(column, target.key, relation.operator, relation.value, scope)];
  }
  const isTuple = target.kind === 'columns';
  const columns = isTuple
    ? clusteringColumns(table, target.columns)
    : [findColumn(table, target.column)];
  if (relation.kind === 'in') {
    if (!isTuple) requireComparable(columns[0], 'IN');
    const values = listTerm(relation.values, columns, isTuple, scope);
    if (relation.negated) return [negatedTest(columns[0], 'NOT IN', values)];
    return [{ kind: 'in', columns, values }];
  }
  if (relation.kind === 'between') {
    if (!isTuple) requireComparable(columns[0], 'BETWEEN');
    return [
      { kind: 'slice', columns, operator: '>=', values: tupleTerm(relation.lower, columns, scope) },
      { kind: 'slice', columns, operator: '<=', values: tupleTerm(relation.upper, columns, scope) },
    ];
  }
  const { operator, value } = relation;
  switch (operator) {
    case '=':
      if (!isTuple) requireComparable(columns[0], '=');
      return [{ kind: 'eq', columns, values: tupleTerm(value, columns, scope) }];
    case '<':
    case '<=':
    case '>':
    case '>=':
      if (!isTuple) requireComparable(columns[0], operator);
      return [{ kind: 'slice', columns, operator, values: tupleTerm(value, columns, scope) }];
    case '!=': {
      const one = tupleTerm(value, columns, scope);
      return [negatedTest(columns[0], '!=', (binding) => [one(binding)])];
    }
    case 'LIKE':
      throw invalidRequest(
        `LIKE restriction is only supported on properly indexed columns. ${columns[0].name} LIKE is not valid.`,
      );
    default:
      return [containsTest(columns[0], operator, value, scope)];
  }
}

function tokenRelation(
  relation: Exclude<Relation, { kind: 'indexExpression' | 'isNotNull' }>,
  written: readonly string[],
  table: TableDef,
  scope: TermScope,
): readonly TokenRestriction[] {
  checkTokenColumns(table, written);
  if (relation.kind === 'between') {
    return [
      { kind: 'token', operator: '>=', value: tokenTerm(relation.lower, table, scope) },
      { kind: 'token', operator: '<=', value: tokenTerm(relation.upper, table, scope) },
    ];
  }
  if (relation.kind === 'in') {
    throw invalidRequest('IN restrictions are not supported on token()');
  }
  const { operator } = relation;
  if (
    operator === '=' ||
    operator === '<' ||
    operator === '<=' ||
    operator === '>' ||
    operator === '>='
  ) {
    return [{ kind: 'token', operator, value: tokenTerm(relation.value, table, scope) }];
  }
  throw invalidRequest(`Unsupported "${operator}" relation on token()`);
}
