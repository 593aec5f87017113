/** What INSERT, UPDATE and DELETE do to one column, compiled to cells. */

import { Writer } from '../common/bytes.ts';
import { CqlError, invalidRequest } from '../common/errors.ts';
import type { Assignment, Deletion as DeletionAst, Term } from '../cql/ast.ts';
import { printTerm } from '../cql/print.ts';
import type { ColumnDef } from '../schema/schema.ts';
import { type Cell, compareCellPlaces } from '../storage/record.ts';
import { compareValues } from '../types/codec.ts';
import { splitCollection, splitTuple } from '../types/collections.ts';
import type { CqlType } from '../types/cql-type.ts';
import { encodeOrdered } from '../types/ordered.ts';
import { isCollection, isMultiCell, nativeType } from '../types/type-facts.ts';
import type { Binding, CompiledTerm, TermScope, Value } from './term-values.ts';
import { compileTerm } from './terms.ts';

/** Where and when cells are written. */
export interface WriteContext {
  /** Microseconds. */
  readonly timestamp: bigint;
  /** Of deletions of rows, ranges and whole collections. */
  readonly deletionTimestamp: bigint;
  readonly nowSeconds: number;
  /** Seconds; 0: none. */
  readonly ttl: number;
  readonly binding: Binding;
  /** A timeuuid for a new list element: after all others, or before. */
  listPlace(end: 'last' | 'first'): Uint8Array;
  /** The row as it is, for operations that need it; its column values and cells by column. */
  readonly prior: PriorRow | null;
}

/** Cells of the row before the statement. */
export interface PriorRow {
  /** Paths of a list's elements, in order. */
  paths(column: ColumnDef): readonly Uint8Array[];
  value(column: ColumnDef): Uint8Array | null;
}

export interface Operation {
  readonly column: ColumnDef;
  /** The row must be read first. */
  readonly needsPrior: boolean;
  /** A single value for a column of one cell: for the fast path. Null otherwise. */
  readonly simple: CompiledTerm | null;
  /** Added to a counter. Null otherwise. */
  delta: ((binding: Binding) => bigint | undefined) | null;
  cells(context: WriteContext): Cell[];
}

function live(
  column: ColumnDef,
  context: WriteContext,
  path: Uint8Array | null,
  value: Uint8Array,
): Cell {
  const { timestamp, ttl, nowSeconds } = context;
  const base = { column: column.id, timestamp, path, value };
  if (ttl === 0) return { ...base, kind: 'live', ttl: 0, localSeconds: 0 };
  return { ...base, kind: 'expiring', ttl, localSeconds: nowSeconds + ttl };
}

function tombstone(column: ColumnDef, context: WriteContext, path: Uint8Array | null): Cell {
  return {
    column: column.id,
    kind: 'tombstone',
    timestamp: context.timestamp,
    ttl: 0,
    localSeconds: context.nowSeconds,
    path,
    value: null,
  };
}

function complexDeletion(column: ColumnDef, context: WriteContext, timestamp: bigint): Cell {
  return {
    column: column.id,
    kind: 'complex-deletion',
    timestamp,
    ttl: 0,
    localSeconds: context.nowSeconds,
    path: null,
    value: null,
  };
}

function orderedPath(type: CqlType, value: Uint8Array): Uint8Array {
  const out = new Writer(24);
  encodeOrdered(type, false, value, out);
  return out.copy();
}

function fieldPath(index: number): Uint8Array {
  return Uint8Array.of(index >> 8, index & 0xff);
}

const TIMEUUID = nativeType('timeuuid');

/** Cells of the elements of a whole collection value. */
function elementCells(column: ColumnDef, context: WriteContext, value: Uint8Array): Cell[] {
  const { type } = column;
  switch (type.kind) {
    case 'list':
      return splitCollection('list', value).map((element) =>
        live(column, context, orderedPath(TIMEUUID, context.listPlace('last')), element),
      );
    case 'set':
      return splitCollection('set', value).map((element) =>
        live(column, context, orderedPath(type.element, element), EMPTY),
      );
    case 'map': {
      const parts = splitCollection('map', value);
      const cells: Cell[] = [];
      for (let i = 0; i < parts.length; i += 2) {
        cells.push(live(column, context, orderedPath(type.key, parts[i]), parts[i + 1]));
      }
      return cells;
    }
    case 'udt':
      return splitTuple(type.fieldNames.length, value).flatMap((field, i) =>
        field === null ? [] : [live(column, context, fieldPath(i), field)],
      );
    default:
      return [];
  }
}

const EMPTY = new Uint8Array(0);

function operation(
  column: ColumnDef,
  cells: (context: WriteContext) => Cell[],
  options: { readonly needsPrior?: boolean; readonly simple?: CompiledTerm } = {},
): Operation {
  return {
    column,
    needsPrior: options.needsPrior ?? false,
    simple: options.simple ?? null,
    delta: null,
    cells: (context) => cells(context).sort(compareCellPlaces),
  };
}

function isCounter(column: ColumnDef): boolean {
  return column.type.kind === 'native' && column.type.name === 'counter';
}

/** c = value, as INSERT and UPDATE do it. */
export function setValue(column: ColumnDef, term: CompiledTerm): Operation {
  if (isCounter(column)) {
    throw invalidRequest(
      `Cannot set the value of counter column ${column.name} (counters can only be incremented/decremented, not set)`,
    );
  }
  if (!isMultiCell(column.type)) {
    const cells = (context: WriteContext) => {
      const value = term.evaluate(context.binding);
      if (value === undefined) return [];
      return [
        value === null ? tombstone(column, context, null) : live(column, context, null, value),
      ];
    };
    return operation(column, cells, { simple: term });
  }
  return operation(column, (context) => {
    const value = term.evaluate(context.binding);
    if (value === undefined) return [];
    // One microsecond older, so that it does not cover the new elements; in Cassandra also where there are none.
    const deletion = complexDeletion(column, context, context.timestamp - 1n);
    return value === null ? [deletion] : [deletion, ...elementCells(column, context, value)];
  });
}

function badOperation(text: string, what: string, column: ColumnDef): Error {
  return invalidRequest(`Invalid operation (${text}) for ${what} column ${column.name}`);
}

/** Refuses operations on parts of what has no parts of its own. `text` is the operation. */
function requireMultiCell(column: ColumnDef, text: string): void {
  const { type } = column;
  if (!isCollection(type)) {
    const isTuple = type.kind === 'tuple' || type.kind === 'udt';
    throw badOperation(text, isTuple ? 'tuple' : 'non counter', column);
  }
  if (type.frozen) throw badOperation(text, 'frozen collection', column);
}

function counterDelta(column: ColumnDef, term: CompiledTerm, sign: 1n | -1n): Operation {
  const base = operation(column, () => []);
  base.delta = (binding) => {
    const value = term.evaluate(binding);
    if (value === undefined) return undefined;
    if (value === null) throw invalidRequest('Invalid null value for counter increment');
    return sign * Buffer.from(value).readBigInt64BE(0);
  };
  return base;
}

function add(column: ColumnDef, assignment: Assignment, scope: TermScope): Operation {
  const { name, type } = column;
  if (isCounter(column)) {
    return counterDelta(column, compileTerm(assignment.value, column, scope), 1n);
  }
  const text = printTerm(assignment.value);
  requireMultiCell(column, `${name} = ${name} + ${text}`);
  if (type.kind === 'map' && attempt(() => compileTerm(assignment.value, column, scope)) === null) {
    throw invalidRequest(`Value for a map addition has to be a map, but was: '${text}'`);
  }
  const term = compileTerm(assignment.value, column, scope);
  return operation(column, (context) => {
    const value = term.evaluate(context.binding);
    return value === null || value === undefined ? [] : elementCells(column, context, value);
  });
}

function prepend(column: ColumnDef, assignment: Assignment, scope: TermScope): Operation {
  const term = compileTerm(assignment.value, column, scope);
  const { type } = column;
  // The minus sign is what Cassandra shows here.
  const text = `${column.name} = ${printTerm(assignment.value)} - ${column.name}`;
  if (type.kind !== 'list') throw badOperation(text, 'non list', column);
  if (type.frozen) throw badOperation(text, 'frozen list', column);
  return operation(column, (context) => {
    const value = term.evaluate(context.binding);
    if (value === null || value === undefined) return [];
    return splitCollection('list', value)
      .reverse()
      .map((element) =>
        live(column, context, orderedPath(TIMEUUID, context.listPlace('first')), element),
      );
  });
}

function subtract(column: ColumnDef, assignment: Assignment, scope: TermScope): Operation {
  const { name, type } = column;
  if (isCounter(column))
    return counterDelta(column, compileTerm(assignment.value, column, scope), -1n);
  const text = printTerm(assignment.value);
  if (isCollection(type)) requireMultiCell(column, `${name} = ${name} - ${text}`);
  if (type.kind === 'list')
    return discard(column, type.element, compileTerm(assignment.value, column, scope));
  if (type.kind !== 'set' && type.kind !== 'map') {
    throw badOperation(`${name} = ${name} - ${text}`, 'non counter', column);
  }
  const element = type.kind === 'map' ? type.key : type.element;
  const keys: CqlType = { kind: 'set', element, frozen: false };
  const receiver = { name, type: keys };
  if (
    type.kind === 'map' &&
    attempt(() => compileTerm(assignment.value, receiver, scope)) === null
  ) {
    throw invalidRequest(`Value for a map substraction has to be a set, but was: '${text}'`);
  }
  const term = compileTerm(assignment.value, receiver, scope);
  return operation(column, (context) => {
    const value = term.evaluate(context.binding);
    if (value === null || value === undefined) return [];
    return splitCollection('set', value).map((key) =>
      tombstone(column, context, orderedPath(element, key)),
    );
  });
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof CqlError) return null;
    throw error;
  }
}

function discard(column: ColumnDef, element: CqlType, term: CompiledTerm): Operation {
  const cells = (context: WriteContext) => {
    const value = term.evaluate(context.binding);
    const present = context.prior?.value(column) ?? null;
    if (value === null || value === undefined || present === null) return [];
    const unwanted = splitCollection('list', value);
    const paths = context.prior?.paths(column) ?? [];
    return splitCollection('list', present).flatMap((item, i) =>
      unwanted.some((other) => compareValues(element, item, other) === 0)
        ? [tombstone(column, context, paths[i])]
        : [],
    );
  };
  return operation(column, cells, { needsPrior: true });
}

function listPathAt(
  column: ColumnDef,
  context: WriteContext,
  index: Value,
  what: 'set' | 'delete',
): Uint8Array {
  if (index === null || index === undefined) {
    throw invalidRequest(`Invalid ${index === null ? 'null' : 'unset'} value for list index`);
  }
  const paths = context.prior?.paths(column) ?? [];
  if (paths.length === 0)
    throw invalidRequest(
      `Attempted to ${what} an element ${what === 'set' ? 'on' : 'from'} a list which is null`,
    );
  const at = Buffer.from(index).readInt32BE(0);
  if (at < 0 || at >= paths.length) {
    throw invalidRequest(`List index ${at} out of bound, list has size ${paths.length}`);
  }
  return paths[at];
}

function setElement(column: ColumnDef, keyTerm: CompiledTerm, valueTerm: CompiledTerm): Operation {
  const { type } = column;
  const put = (context: WriteContext, path: Uint8Array) => {
    const value = valueTerm.evaluate(context.binding);
    if (value === undefined) return [];
    return [value === null ? tombstone(column, context, path) : live(column, context, path, value)];
  };
  if (type.kind === 'list') {
    const cells = (context: WriteContext) =>
      put(context, listPathAt(column, context, keyTerm.evaluate(context.binding), 'set'));
    return operation(column, cells, { needsPrior: true });
  }
  return operation(column, (context) => {
    const key = keyTerm.evaluate(context.binding);
    if (key === null) throw invalidRequest('Invalid null map key');
    if (key === undefined) throw invalidRequest('Invalid unset map key');
    return put(context, orderedPath(keyTerm.type, key));
  });
}

function elementKey(column: ColumnDef, key: Term, scope: TermScope): CompiledTerm {
  const { name, type } = column;
  if (type.kind === 'list') {
    return compileTerm(key, { name: `idx(${name})`, type: nativeType('int') }, scope);
  }
  if (type.kind === 'map') {
    return compileTerm(key, { name: `key(${name})`, type: type.key }, scope);
  }
  const element = type.kind === 'set' ? type.element : type;
  return compileTerm(key, { name: `value(${name})`, type: element }, scope);
}

/** One item of SET. @throws CqlError Invalid */
export function compileAssignment(
  column: ColumnDef,
  assignment: Assignment,
  scope: TermScope,
): Operation {
  const { type } = column;
  switch (assignment.kind) {
    case 'set':
      return setValue(column, compileTerm(assignment.value, column, scope));
    case 'add':
      return add(column, assignment, scope);
    case 'prepend':
      return prepend(column, assignment, scope);
    case 'subtract':
      return subtract(column, assignment, scope);
    case 'setElement': {
      const text = `${column.name}[${printTerm(assignment.key)}] = ${printTerm(assignment.value)}`;
      if (!isCollection(type)) throw badOperation(text, 'non collection', column);
      if (type.frozen) throw badOperation(text, 'frozen collection', column);
      if (type.kind === 'set') throw badOperation(text, 'set', column);
      const key = elementKey(column, assignment.key, scope);
      const value = type.kind === 'map' ? type.value : type.element;
      const receiver = { name: `value(${column.name})`, type: value };
      return setElement(column, key, compileTerm(assignment.value, receiver, scope));
    }
    case 'setField': {
      const text = `${column.name}.${assignment.field} = ${printTerm(assignment.value)}`;
      if (type.kind !== 'udt') throw badOperation(text, 'non-UDT', column);
      if (type.frozen) throw badOperation(text, 'frozen UDT', column);
      const index = fieldIndex(column, assignment.field);
      const fieldType = type.fieldTypes[index];
      const receiver = { name: `${column.name}.${assignment.field}`, type: fieldType };
      const term = compileTerm(assignment.value, receiver, scope);
      return operation(column, (context) => {
        const value = term.evaluate(context.binding);
        if (value === undefined) return [];
        const path = fieldPath(index);
        return [
          value === null ? tombstone(column, context, path) : live(column, context, path, value),
        ];
      });
    }
  }
}

function fieldIndex(column: ColumnDef, field: string): number {
  const { type } = column;
  const index = type.kind === 'udt' ? type.fieldNames.indexOf(field) : -1;
  if (index < 0)
    throw invalidRequest(`UDT column ${column.name} does not have a field named ${field}`);
  return index;
}

function requireParts(column: ColumnDef, kind: 'element' | 'field'): void {
  const { name, type } = column;
  if (kind === 'element') {
    if (isMultiCell(type) && isCollection(type)) return;
    const what = isCollection(type) ? 'frozen' : 'non';
    throw invalidRequest(`Invalid deletion operation for ${what} collection column ${name}`);
  }
  if (type.kind !== 'udt') {
    throw invalidRequest(`Invalid field deletion operation for non-UDT column ${name}`);
  }
  if (type.frozen) {
    throw invalidRequest(`Frozen UDT column ${name} does not support field deletions`);
  }
}

/** One item of DELETE. @throws CqlError Invalid */
export function compileDeletion(
  column: ColumnDef,
  deletion: DeletionAst,
  scope: TermScope,
): Operation {
  switch (deletion.kind) {
    case 'column':
      return operation(column, (context) => [
        isMultiCell(column.type) || isCounter(column)
          ? complexDeletion(column, context, context.deletionTimestamp)
          : tombstone(column, context, null),
      ]);
    case 'element': {
      requireParts(column, 'element');
      const key = elementKey(column, deletion.key, scope);
      if (column.type.kind === 'list') {
        const cells = (context: WriteContext) => [
          tombstone(
            column,
            context,
            listPathAt(column, context, key.evaluate(context.binding), 'delete'),
          ),
        ];
        return operation(column, cells, { needsPrior: true });
      }
      return operation(column, (context) => {
        const value = key.evaluate(context.binding);
        if (value === null || value === undefined) {
          const what = column.type.kind === 'map' ? 'map key' : 'set element';
          throw invalidRequest(`Invalid ${value === null ? 'null' : 'unset'} ${what}`);
        }
        return [tombstone(column, context, orderedPath(key.type, value))];
      });
    }
    case 'field': {
      requireParts(column, 'field');
      const index = fieldIndex(column, deletion.field);
      return operation(column, (context) => [tombstone(column, context, fieldPath(index))]);
    }
  }
}

/** The live cells of a whole non-frozen set or map without TTL, at time 0: for rows that are made up. */
export function collectionCells(column: ColumnDef, value: Uint8Array): Cell[] {
  const nothing: Binding = {
    values: [],
    context: { nowMillis: 0, timeUuid: () => EMPTY, randomUuid: () => EMPTY, random: () => 0 },
  };
  return elementCells(
    column,
    {
      timestamp: 0n,
      deletionTimestamp: 0n,
      nowSeconds: 0,
      ttl: 0,
      binding: nothing,
      listPlace: () => EMPTY,
      prior: null,
    },
    value,
  );
}
