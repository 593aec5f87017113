import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_TABLE_OPTIONS, type TableDef } from '../schema/schema.ts';
import type { CqlType } from '../types/cql-type.ts';
import { type Cell, decodeRecord, encodeRecord, type RecordState } from './record.ts';
import { isWholeRow, latestOf, rowColumnsOf, withoutHiddenDeletion } from './whole-row.ts';

const INT: CqlType = { kind: 'native', name: 'int' };

function tableOf(columns: readonly (readonly [number, CqlType])[], isCounter = false): TableDef {
  return {
    ...{ keyspace: 'ks', name: 't', id: 't', generation: 0, nextColumnId: 9, droppedColumns: [] },
    ...{ options: DEFAULT_TABLE_OPTIONS, isCounter },
    columns: columns.map(([id, type]) => ({
      ...{ name: `c${id}`, id, type, kind: 'regular', position: -1, reversed: false },
    })),
  };
}

function cell(column: number, timestamp: bigint, changed: Partial<Cell> = {}): Cell {
  const base = { column, kind: 'live', timestamp, ttl: 0, localSeconds: 0, path: null } as const;
  return { ...base, value: Buffer.from('v'), ...changed };
}

const whole: RecordState = {
  liveness: { timestamp: 7n, ttl: 0, expiry: 0 },
  ...{ deletion: null, ranges: [] },
  cells: [cell(3, 7n), cell(5, 7n, { kind: 'tombstone', localSeconds: 1, value: null })],
};

test('a table of simple columns has whole rows, of collections and counters not', () => {
  const list: CqlType = { kind: 'list', element: INT, frozen: false };
  assert.deepEqual(
    rowColumnsOf(
      tableOf([
        [5, INT],
        [3, { ...list, frozen: true }],
      ]),
    ),
    [3, 5],
  );
  assert.deepEqual(rowColumnsOf(tableOf([])), []);
  assert.equal(rowColumnsOf(tableOf([[3, list]])), null);
  assert.equal(rowColumnsOf(tableOf([[3, INT]], true)), null);
});

test('what a whole row is, and what is not one', () => {
  assert.ok(isWholeRow(whole, [3, 5]));
  assert.ok(isWholeRow({ ...whole, cells: [] }, []));
  for (const other of [
    { ...whole, liveness: null },
    { ...whole, deletion: { timestamp: 1n, localSeconds: 1 } },
    { ...whole, cells: [cell(3, 7n)] },
    { ...whole, cells: [cell(3, 7n), cell(5, 6n)] },
    { ...whole, cells: [cell(3, 7n), cell(5, 7n, { path: Buffer.of(1) })] },
    { ...whole, cells: [...whole.cells, cell(6, 7n)] },
    { ...whole, cells: [cell(3, 7n), cell(5, 7n, { kind: 'expiring', ttl: 5, localSeconds: 9 })] },
  ] satisfies RecordState[]) {
    assert.ok(!isWholeRow(other, [3, 5]));
  }
});

test('the latest of a record', () => {
  const empty = { liveness: null, deletion: null, ranges: [], cells: [] };
  assert.equal(latestOf(empty), null);
  assert.equal(latestOf(whole), 7n);
  assert.equal(latestOf({ ...whole, cells: [cell(3, 9n)] }), 9n);
  assert.equal(latestOf({ ...empty, deletion: { timestamp: -4n, localSeconds: 1 } }), -4n);
});

test('a row deletion is shown unless the row above it has all of its cells', () => {
  const table = tableOf([
    [3, INT],
    [5, INT],
  ]);
  const deletion = { timestamp: 2n, localSeconds: 1 };
  const shown = (state: RecordState, of = table) =>
    decodeRecord(withoutHiddenDeletion(encodeRecord(state), of)).deletion;
  assert.equal(shown({ ...whole, deletion }), null);
  assert.equal(shown({ ...whole, cells: [...whole.cells, cell(6, 9n)], deletion }), null);
  assert.deepEqual(shown({ ...whole, liveness: null, deletion }), deletion);
  assert.deepEqual(shown({ ...whole, cells: [cell(3, 7n)], deletion }), deletion);
  const counters = tableOf([[3, INT]], true);
  assert.deepEqual(shown({ ...whole, deletion }, counters), deletion);
  for (const bytes of [encodeRecord(whole), Buffer.from([0x13, 1, 2])]) {
    assert.equal(withoutHiddenDeletion(bytes, table), bytes);
  }
});
