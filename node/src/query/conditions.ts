/** IF clauses: what must be true of a row before it is changed. */
import { invalidRequest } from '../common/errors.ts';
import type { Condition, IfClause, Term } from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { compareValues } from '../types/codec.ts';
import { collectionCount, splitCollection, splitTuple } from '../types/collections.ts';
import type { CqlType } from '../types/cql-type.ts';
import { containsNative, isCollection, isMultiCell, nativeType } from '../types/type-facts.ts';
import { collectionItems, containedType, findColumn, listItems } from './relations.ts';
import type { RowValues } from './row.ts';
import type { Binding, CompiledTerm, Receiver, TermScope, Value } from './term-values.ts';
import { compileTerm } from './terms.ts';

export interface ConditionPlan {
  readonly kind: 'exists' | 'not-exists' | 'columns';
  /** Columns that are tested, and shown in this order when the conditions are not met; all for (not) exists. */
  readonly columns: readonly ColumnDef[];
  /** All conditions are on static columns. */
  readonly onStatics: boolean;
  /** @param row null: there is no such row @throws CqlError Invalid */
  holds(row: RowValues | null, binding: Binding): boolean;
}

type Test = (row: RowValues | null, binding: Binding) => boolean;

function compareFound(
  operator: string,
  type: CqlType,
  found: Uint8Array | null,
  wanted: Uint8Array | null | undefined,
): boolean {
  if (wanted === undefined) throw invalidRequest("Invalid 'unset' value in condition");
  if (wanted === null || found === null) {
    if (operator === '=') return wanted === null && found === null;
    if (operator === '!=') return (wanted === null) !== (found === null);
    if (wanted === null) {
      throw invalidRequest(`Invalid comparison with null for operator "${operator}"`);
    }
    return false;
  }
  const order = compareValues(type, found, wanted);
  switch (operator) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    default:
      return order >= 0;
  }
}

/** Compares whole columns: an empty non-frozen collection is as none. */
function compareWhole(
  operator: string,
  { type }: ColumnDef,
  found: Uint8Array | null,
  wanted: Value,
): boolean {
  const isEmpty =
    isMultiCell(type) &&
    isCollection(type) &&
    wanted != null &&
    collectionCount(type.kind, wanted) === 0;
  if (!isEmpty) return compareFound(operator, type, found, wanted);
  if (operator !== '=' && operator !== '!=') {
    throw invalidRequest(
      `Invalid comparison with an empty ${type.kind.toUpperCase()} for operator "${operator}"`,
    );
  }
  return compareFound(operator, type, found, null);
}

interface Part {
  readonly type: CqlType;
  read(row: RowValues | null, binding: Binding): Uint8Array | null;
}

/** The left side: a column, an element of it or a field. */
function conditionTarget(
  condition: Condition,
  column: ColumnDef,
  index: number,
  scope: TermScope,
): Part {
  const { target } = condition;
  if (column.type.kind === 'native' && column.type.name === 'counter') {
    throw invalidRequest('Conditions on counters are not supported');
  }
  const whole = (row: RowValues | null) => row?.value(index) ?? null;
  if (target.kind === 'field') {
    const { type } = column;
    const place = type.kind === 'udt' ? type.fieldNames.indexOf(target.field) : -1;
    if (type.kind !== 'udt' || place < 0) {
      throw invalidRequest(`Unknown field ${target.field} for column ${column.name}`);
    }
    return {
      type: type.fieldTypes[place],
      read: (row) => {
        const value = whole(row);
        return value === null ? null : (splitTuple(type.fieldNames.length, value)[place] ?? null);
      },
    };
  }
  if (target.kind === 'element') return elementPart(column, target.key, whole, scope);
  return { type: column.type, read: whole };
}

function elementPart(
  column: ColumnDef,
  keyTerm: Term,
  whole: (row: RowValues | null) => Uint8Array | null,
  scope: TermScope,
): Part {
  const { type } = column;
  if (type.kind === 'map') {
    const key = compileTerm(keyTerm, { name: `key(${column.name})`, type: type.key }, scope);
    return {
      type: type.value,
      read: (row, binding) => {
        const wanted = key.evaluate(binding);
        if (wanted === null) throw invalidRequest('Invalid null value for map element access');
        if (wanted === undefined) return null;
        const value = whole(row);
        const parts = value === null ? [] : splitCollection('map', value);
        for (let i = 0; i < parts.length; i += 2) {
          if (compareValues(type.key, parts[i], wanted) === 0) return parts[i + 1];
        }
        return null;
      },
    };
  }
  if (type.kind === 'list') {
    const key = compileTerm(
      keyTerm,
      { name: `idx(${column.name})`, type: nativeType('int') },
      scope,
    );
    return {
      type: type.element,
      read: (row, binding) => {
        const wanted = key.evaluate(binding);
        if (wanted === null || wanted === undefined)
          throw invalidRequest('Invalid null value for list element access');
        const at = Buffer.from(wanted).readInt32BE(0);
        if (at < 0) throw invalidRequest(`Invalid negative list index ${at}`);
        const value = whole(row);
        return value === null ? null : (splitCollection('list', value)[at] ?? null);
      },
    };
  }
  const what = type.kind === 'set' ? 'set' : 'non-collection';
  throw invalidRequest(`Invalid element access syntax for ${what} column ${column.name}`);
}

type Compare = (operator: string, found: Uint8Array | null, wanted: Value) => boolean;

/** `x IN (…)`: values that are not set are left out. */
function inTest(
  part: Part,
  values: readonly Term[] | Term,
  receiver: Receiver,
  scope: TermScope,
  compare: Compare,
): Test {
  if (Array.isArray(values)) {
    const terms = (values as readonly Term[]).map((value) => compileTerm(value, receiver, scope));
    return (row, binding) => {
      const found = part.read(row, binding);
      const wanted = terms.map((term) => term.evaluate(binding));
      return wanted.some((value) => value !== undefined && compare('=', found, value));
    };
  }
  const list: CqlType = { kind: 'list', element: part.type, frozen: false };
  const term = compileTerm(values as Term, { name: `in(${receiver.name})`, type: list }, scope);
  return (row, binding) => {
    const wanted = term.evaluate(binding);
    if (wanted === null) throw invalidRequest('Invalid null list in IN condition');
    if (wanted === undefined) throw invalidRequest("Invalid 'unset' value in condition");
    const found = part.read(row, binding);
    return listItems(wanted).some((one) => compare('=', found, one));
  };
}

function containsTest(
  part: Part,
  operator: 'CONTAINS' | 'CONTAINS KEY',
  term: Term,
  column: ColumnDef,
  scope: TermScope,
): Test {
  const { type } = part;
  const ofKey = operator === 'CONTAINS KEY';
  const element = containedType(type, ofKey);
  if (element === null) {
    const what = ofKey ? 'map' : 'collection';
    throw invalidRequest(`Cannot use ${operator} on non-${what} column ${column.name}`);
  }
  const name = `${ofKey ? 'key' : 'value'}(${column.name})`;
  const wantedTerm: CompiledTerm = compileTerm(term, { name, type: element }, scope);
  return (row, binding) => {
    const wanted = wantedTerm.evaluate(binding);
    if (wanted === null) {
      throw invalidRequest(`Invalid comparison with null for operator "${operator}"`);
    }
    const found = part.read(row, binding);
    if (found === null || wanted === undefined) return false;
    return collectionItems(type, found, ofKey).some(
      (item) => compareValues(element, item, wanted) === 0,
    );
  };
}

const DURATION_HOLDERS: Readonly<Record<string, string>> = {
  list: 'collections containing durations',
  set: 'collections containing durations',
  map: 'collections containing durations',
  tuple: 'tuples containing durations',
  udt: 'UDTs containing durations',
};

function checkDurations(type: CqlType, operator: string): void {
  if (!['<', '<=', '>', '>='].includes(operator) || !containsNative(type, 'duration')) return;
  const what = DURATION_HOLDERS[type.kind] ?? 'durations';
  throw invalidRequest(`Slice conditions ( ${operator} ) are not supported on ${what}`);
}

/** What a marker or literal on the right side is for. */
function receiverOf({ target }: Condition, column: ColumnDef, part: Part): Receiver {
  const { name } = column;
  if (target.kind === 'element') return { name: `value(${name})`, type: part.type };
  return { name: target.kind === 'field' ? `${name}.${target.field}` : name, type: part.type };
}

function conditionTest(
  condition: Condition,
  table: TableDef,
  scope: TermScope,
): { readonly column: ColumnDef; readonly test: Test } {
  const { target } = condition;
  if (target.kind === 'columns' || target.kind === 'token') {
    throw invalidRequest('Multi-column and token relations are not supported in IF conditions');
  }
  const column = findColumn(table, target.column);
  if (column.kind === 'partition_key' || column.kind === 'clustering') {
    throw invalidRequest(`PRIMARY KEY column '${column.name}' cannot have IF conditions`);
  }
  const part = conditionTarget(condition, column, table.columns.indexOf(column), scope);
  const receiver = receiverOf(condition, column, part);
  const compare: Compare =
    target.kind === 'column'
      ? (operator, found, wanted) => compareWhole(operator, column, found, wanted)
      : (operator, found, wanted) => compareFound(operator, part.type, found, wanted);
  if (condition.kind === 'in') {
    return { column, test: inTest(part, condition.values, receiver, scope, compare) };
  }
  const { operator } = condition;
  if (operator === 'CONTAINS' || operator === 'CONTAINS KEY') {
    return { column, test: containsTest(part, operator, condition.value, column, scope) };
  }
  checkDurations(part.type, operator);
  const term = compileTerm(condition.value, receiver, scope);
  return {
    column,
    test: (row, binding) => compare(operator, part.read(row, binding), term.evaluate(binding)),
  };
}

/** @throws CqlError Invalid */
export function planConditions(
  clause: IfClause | 'not-exists',
  table: TableDef,
  scope: TermScope,
): ConditionPlan {
  if (clause === 'exists' || clause === 'not-exists') {
    const wanted = clause === 'exists';
    return {
      kind: clause,
      columns: table.columns,
      onStatics: false,
      holds: (row) => (row !== null) === wanted,
    };
  }
  const tests = clause.map((condition) => conditionTest(condition, table, scope));
  return {
    kind: 'columns',
    columns: [
      ...new Set([
        ...tests.map(({ column }) => column).filter((column) => column.kind !== 'static'),
        ...tests.map(({ column }) => column).filter((column) => column.kind === 'static'),
      ]),
    ],
    onStatics: tests.every(({ column }) => column.kind === 'static'),
    holds: (row, binding) => tests.every(({ test }) => test(row, binding)),
  };
}
