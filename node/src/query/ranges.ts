/**
 * Sets of clustering positions as sorted, disjoint, half-open byte ranges (node/docs/storage-format.md, 2).
 * Restrictions on clustering columns become such sets; reversed columns need no other care than here.
 */
import { compareBytes, Writer } from '../common/bytes.ts';
import type { ColumnDef } from '../schema/schema.ts';
import { encodeOrdered } from '../types/ordered.ts';

/** Positions p with lower <= p < upper. An `upper` of [0xFF] is the end of the partition. */
export interface Range {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array;
}

export const PARTITION_START: Uint8Array = new Uint8Array(0);
export const PARTITION_END: Uint8Array = Uint8Array.of(0xff);
export const WHOLE_PARTITION: Range = { lower: PARTITION_START, upper: PARTITION_END };

export type SliceOperator = '<' | '<=' | '>' | '>=';

/** Whether the operator bounds values from below. */
export function isLower(operator: SliceOperator): boolean {
  return operator === '>' || operator === '>=';
}

/** `prefix` followed by the components of `values` on `columns`. */
export function extendPosition(
  prefix: Uint8Array,
  columns: readonly ColumnDef[],
  values: readonly Uint8Array[],
): Uint8Array {
  const out = new Writer(prefix.length + 32);
  out.raw(prefix);
  for (let i = 0; i < values.length; i++) {
    encodeOrdered(columns[i].type, columns[i].reversed, values[i], out);
  }
  return out.copy();
}

/** The position after everything that starts with `prefix`. */
export function afterPosition(prefix: Uint8Array): Uint8Array {
  const position = Buffer.allocUnsafe(prefix.length + 1);
  position.set(prefix);
  position[prefix.length] = 0xff;
  return position;
}

/** Everything that starts with `prefix`. */
export function prefixRange(prefix: Uint8Array): Range {
  return { lower: prefix, upper: afterPosition(prefix) };
}

/** Rows that start with `prefix` and whose next column compares with `value` by `operator`. */
function sliceRange(
  prefix: Uint8Array,
  column: ColumnDef,
  operator: SliceOperator,
  value: Uint8Array,
): Range {
  const at = extendPosition(prefix, [column], [value]);
  const inclusive = operator === '<=' || operator === '>=';
  const upwards = isLower(operator) !== column.reversed;
  if (upwards) {
    return { lower: inclusive ? at : afterPosition(at), upper: afterPosition(prefix) };
  }
  return { lower: prefix, upper: inclusive ? afterPosition(at) : at };
}

/**
 * Rows that start with `prefix` and whose next columns, as a tuple, compare with `values` by `operator`.
 * With mixed clustering orders that is not one run: (a, b) > (1, 2) is a > 1 or (a = 1 and b > 2).
 */
export function tupleSlice(
  prefix: Uint8Array,
  columns: readonly ColumnDef[],
  operator: SliceOperator,
  values: readonly Uint8Array[],
): Range[] {
  const strict: SliceOperator = operator === '<' || operator === '<=' ? '<' : '>';
  const ranges: Range[] = [];
  let place = prefix;
  for (let i = 0; i < values.length; i++) {
    const last = i === values.length - 1;
    ranges.push(sliceRange(place, columns[i], last ? operator : strict, values[i]));
    place = extendPosition(place, [columns[i]], [values[i]]);
  }
  return normalize(ranges);
}

/** Sorted, without empty ones, and neighbours that touch or overlap joined. */
export function normalize(ranges: readonly Range[]): Range[] {
  const sorted = ranges
    .filter((range) => compareBytes(range.lower, range.upper) < 0)
    .sort((a, b) => compareBytes(a.lower, b.lower));
  const result: Range[] = [];
  for (const range of sorted) {
    const last = result[result.length - 1];
    if (last !== undefined && compareBytes(range.lower, last.upper) <= 0) {
      if (compareBytes(range.upper, last.upper) > 0) {
        result[result.length - 1] = { lower: last.lower, upper: range.upper };
      }
    } else {
      result.push(range);
    }
  }
  return result;
}

/** Positions in both of two normalized sets. */
export function intersect(a: readonly Range[], b: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const x of a) {
    for (const y of b) {
      const lower = compareBytes(x.lower, y.lower) > 0 ? x.lower : y.lower;
      const upper = compareBytes(x.upper, y.upper) < 0 ? x.upper : y.upper;
      if (compareBytes(lower, upper) < 0) result.push({ lower, upper });
    }
  }
  return result.sort((x, y) => compareBytes(x.lower, y.lower));
}

/** Distinct byte strings in order. */
export function sortDistinct(positions: readonly Uint8Array[]): Uint8Array[] {
  const sorted = [...positions].sort(compareBytes);
  return sorted.filter((p, i) => i === 0 || compareBytes(sorted[i - 1], p) !== 0);
}
