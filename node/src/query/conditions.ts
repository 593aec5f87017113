/** IF clauses: what must be true of a row before it is changed. */
import { invalidRequest } from '../common/errors.ts';
import type { Condition, IfClause, Term } from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { compareValues } from '../types/codec.ts';
import { splitCollection, splitTuple } from '../types/collections.ts';
import type { CqlType } from '../types/cql-type.ts';
import { isMultiCell, nativeType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import { findColumn } from './relations.ts';
import type { RowValues } from './row.ts';
import { type Binding, type CompiledTerm, compileTerm, type TermScope } from './terms.ts';

export interface ConditionPlan {
  readonly kind: 'exists' | 'not-exists' | 'columns';
  /** Columns that are tested, and shown when the conditions are not met; all of the table for (not) exists. */
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

/** An empty non-frozen collection is null. */
function emptyAsNull(
  column: ColumnDef,
  value: Uint8Array | null | undefined,
): Uint8Array | null | undefined {
  if (!isMultiCell(column.type) || column.type.kind === 'udt') return value;
  return value !== null && value !== undefined && isEmptyCollection(value) ? null : value;
}

function isEmptyCollection(value: Uint8Array): boolean {
  return value.length < 4 || (value[0] | value[1] | value[2] | value[3]) === 0;
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
  const whole = (row: RowValues | null) => row?.value(index) ?? null;
  if (target.kind === 'field') {
    const { type } = column;
    const place = type.kind === 'udt' ? type.fieldNames.indexOf(target.field) : -1;
    if (type.kind !== 'udt' || place < 0) {
      throw invalidRequest(
        `Field ${target.field} not found in type ${typeName(type)} of column ${column.name}`,
      );
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
        if (wanted === null || wanted === undefined)
          throw invalidRequest('Invalid null value for map element access');
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
  throw invalidRequest(`Invalid element access syntax for non-collection column ${column.name}`);
}

function inTest(
  part: Part,
  values: readonly Term[] | Term,
  column: ColumnDef,
  scope: TermScope,
): Test {
  if (Array.isArray(values)) {
    const terms = (values as readonly Term[]).map((value) =>
      compileTerm(value, { name: column.name, type: part.type }, scope),
    );
    return (row, binding) => {
      const found = part.read(row, binding);
      return terms.some((term) => compareFound('=', part.type, found, term.evaluate(binding)));
    };
  }
  const list: CqlType = { kind: 'list', element: part.type, frozen: false };
  const term = compileTerm(values as Term, { name: `in(${column.name})`, type: list }, scope);
  return (row, binding) => {
    const wanted = term.evaluate(binding);
    if (wanted === null || wanted === undefined)
      throw invalidRequest('Invalid null list in IN condition');
    const found = part.read(row, binding);
    return splitCollection('list', wanted).some((one) => compareFound('=', part.type, found, one));
  };
}

function containsTest(
  part: Part,
  operator: string,
  term: Term,
  column: ColumnDef,
  scope: TermScope,
): Test {
  const { type } = part;
  const ofKey = operator === 'CONTAINS KEY';
  const element =
    type.kind === 'map'
      ? ofKey
        ? type.key
        : type.value
      : type.kind === 'list' || type.kind === 'set'
        ? type.element
        : null;
  if (element === null || (ofKey && type.kind !== 'map')) {
    throw invalidRequest(`Cannot use ${operator} on non-collection column ${column.name}`);
  }
  const wantedTerm: CompiledTerm = compileTerm(term, { name: column.name, type: element }, scope);
  return (row, binding) => {
    const found = part.read(row, binding);
    const wanted = wantedTerm.evaluate(binding);
    if (found === null || wanted === null || wanted === undefined) return false;
    const kind = type.kind === 'map' ? 'map' : type.kind === 'set' ? 'set' : 'list';
    const items = splitCollection(kind, found);
    const mine = kind === 'map' ? items.filter((_, i) => (i % 2 === 0) === ofKey) : items;
    return mine.some((item) => compareValues(element, item, wanted) === 0);
  };
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
  if (condition.kind === 'in') {
    if (condition.negated) throw invalidRequest('NOT IN is not supported in IF conditions');
    return { column, test: inTest(part, condition.values, column, scope) };
  }
  const { operator } = condition;
  if (operator === 'CONTAINS' || operator === 'CONTAINS KEY') {
    return { column, test: containsTest(part, operator, condition.value, column, scope) };
  }
  if (operator === 'LIKE' || operator === 'NOT CONTAINS' || operator === 'NOT CONTAINS KEY') {
    throw invalidRequest(`${operator} is not supported in IF conditions`);
  }
  const { type } = part;
  if (type.kind === 'native' && type.name === 'duration' && operator !== '=' && operator !== '!=') {
    throw invalidRequest('Slice conditions are not supported on durations');
  }
  const term = compileTerm(condition.value, { name: column.name, type }, scope);
  const ofWhole = target.kind === 'column';
  return {
    column,
    test: (row, binding) => {
      const found = part.read(row, binding);
      const wanted = term.evaluate(binding);
      return ofWhole
        ? compareFound(operator, type, found, emptyAsNull(column, wanted))
        : compareFound(operator, type, found, wanted);
    },
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
    columns: [...new Set(tests.map(({ column }) => column))],
    onStatics: tests.every(({ column }) => column.kind === 'static'),
    holds: (row, binding) => tests.every(({ test }) => test(row, binding)),
  };
}
