/**
 * Numbers of CQL's numeric types and how one type's become another's, as Java's Number does it.
 * In memory: tinyint, smallint, int, float, double are number; bigint, counter, varint are bigint.
 */
import type { CqlType, NativeTypeName } from '../../types/cql-type.ts';
import { Decimal, parseDecimal } from '../../types/decimal.ts';
import { formatDouble } from '../../types/java-numbers.ts';
import { digitCount, powerOfTen } from './decimals.ts';

export type NumericName =
  | 'tinyint'
  | 'smallint'
  | 'int'
  | 'bigint'
  | 'float'
  | 'double'
  | 'decimal'
  | 'varint'
  | 'counter';

/** In the order in which Cassandra lists its overloads. */
export const NUMERIC_NAMES: readonly NumericName[] = [
  'tinyint',
  'smallint',
  'int',
  'bigint',
  'float',
  'double',
  'decimal',
  'varint',
  'counter',
];

export type NumberValue = number | bigint | Decimal;

export function isNumericName(name: NativeTypeName): name is NumericName {
  return (NUMERIC_NAMES as readonly string[]).includes(name);
}

export function isNumeric(type: CqlType): boolean {
  return type.kind === 'native' && isNumericName(type.name);
}

/** BigDecimal.toBigInteger(): towards zero. @throws RangeError if it has too many digits to work with */
export function decimalToBigint({ unscaled, scale }: Decimal): bigint {
  if (scale === 0 || unscaled === 0n) return unscaled;
  if (scale < 0) return unscaled * powerOfTen(-scale);
  // Fewer digits than the scale: nothing is left, and the power may be too large to compute.
  if (digitCount(unscaled) < scale) return 0n;
  return unscaled / powerOfTen(scale);
}

/** The last bits of a decimal's whole part. */
function lowBits(value: Decimal, bits: 32 | 64): bigint {
  // 10^64 is a multiple of 2^64.
  return value.scale <= -64 ? 0n : BigInt.asIntN(bits, decimalToBigint(value));
}

const INT64_MAX = (1n << 63n) - 1n;

/** Java's (long) of a double: saturates, NaN is 0. */
export function doubleToLong(value: number): bigint {
  if (Number.isNaN(value)) return 0n;
  if (value >= 2 ** 63) return INT64_MAX;
  if (value <= -(2 ** 63)) return -INT64_MAX - 1n;
  return BigInt(Math.trunc(value));
}

/** Java's (int) of a double: saturates, NaN is 0. */
export function doubleToInt(value: number): number {
  if (Number.isNaN(value)) return 0;
  return Math.trunc(Math.max(-0x80000000, Math.min(0x7fffffff, value))) | 0;
}

/** Number.longValue(). */
export function toLong(value: NumberValue): bigint {
  if (typeof value === 'number') return doubleToLong(value);
  return typeof value === 'bigint' ? BigInt.asIntN(64, value) : lowBits(value, 64);
}

/** Number.intValue(). */
export function toInt(value: NumberValue): number {
  if (typeof value === 'number') return doubleToInt(value);
  return Number(typeof value === 'bigint' ? BigInt.asIntN(32, value) : lowBits(value, 32));
}

/** Number.doubleValue(). */
export function toDouble(value: NumberValue): number {
  return value instanceof Decimal ? value.toNumber() : Number(value);
}

/** BigDecimal.valueOf(double): the digits that Double.toString() shows. */
export function decimalOfDouble(value: number): Decimal {
  return parseDecimal(formatDouble(value)) as Decimal;
}

/** An integer cut to so many bits, as Java's narrowing casts do. */
export function narrow(value: number, bits: 8 | 16 | 32): number {
  return (value << (32 - bits)) >> (32 - bits);
}
