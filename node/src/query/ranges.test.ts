import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../common/bytes.ts';
import type { ColumnDef } from '../schema/schema.ts';
import { nativeType } from '../types/type-facts.ts';
import {
  extendPosition,
  intersect,
  normalize,
  PARTITION_START,
  type Range,
  type SliceOperator,
  tupleSlice,
} from './ranges.ts';

function column(name: string, position: number, reversed: boolean): ColumnDef {
  return {
    name,
    id: position,
    type: nativeType('tinyint'),
    kind: 'clustering',
    position,
    reversed,
  };
}

const VALUES = [-2, -1, 0, 1, 2];
const ROWS = VALUES.flatMap((a) => VALUES.flatMap((b) => VALUES.map((c) => [a, b, c])));

function bytes(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff);
}

function holds(row: readonly number[], operator: SliceOperator, bound: readonly number[]): boolean {
  let order = 0;
  for (let i = 0; i < bound.length && order === 0; i++) order = row[i] - bound[i];
  if (order === 0) return operator === '<=' || operator === '>=';
  return order < 0 === operator.startsWith('<');
}

function inRanges(ranges: readonly Range[], position: Uint8Array): boolean {
  return ranges.some(
    (r) => compareBytes(r.lower, position) <= 0 && compareBytes(position, r.upper) < 0,
  );
}

const operator = fc.constantFrom<SliceOperator>('<', '<=', '>', '>=');
const bound = fc.array(fc.constantFrom(...VALUES), { minLength: 1, maxLength: 3 });

test('slices of tuples choose the rows that compare, whatever the clustering orders', () => {
  fc.assert(
    fc.property(
      fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
      operator,
      bound,
      operator,
      bound,
      (orders, o1, b1, o2, b2) => {
        const columns = orders.map((reversed, i) => column('abc'[i], i, reversed));
        const first = tupleSlice(PARTITION_START, columns, o1, b1.map(bytes));
        const second = tupleSlice(PARTITION_START, columns, o2, b2.map(bytes));
        const both = normalize(intersect(first, second));
        for (const row of ROWS) {
          const position = extendPosition(PARTITION_START, columns, row.map(bytes));
          assert.equal(inRanges(first, position), holds(row, o1, b1));
          assert.equal(inRanges(both, position), holds(row, o1, b1) && holds(row, o2, b2));
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('a slice under a prefix stays under it', () => {
  const columns = [column('a', 0, true), column('b', 1, false)];
  const prefix = extendPosition(PARTITION_START, columns, [bytes(1)]);
  const ranges = tupleSlice(prefix, columns.slice(1), '>', [bytes(0)]);
  const found = VALUES.flatMap((a) =>
    VALUES.filter((b) =>
      inRanges(ranges, extendPosition(PARTITION_START, columns, [bytes(a), bytes(b)])),
    ).map((b) => [a, b]),
  );
  assert.deepEqual(found, [
    [1, 1],
    [1, 2],
  ]);
});
