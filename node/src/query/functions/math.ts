/** abs, exp, log, log10 and round. Source: org.apache.cassandra.cql3.functions.MathFcts, NumberType. */
import { CqlError, functionFailure } from '../../common/errors.ts';
import { Decimal } from '../../types/decimal.ts';
import { nativeType } from '../../types/type-facts.ts';
import { expDecimal, log10Decimal, logDecimal } from './big-math.ts';
import { digitCount, negateDecimal, roundDecimal } from './decimals.ts';
import { strict } from './define.ts';
import type { ScalarFunction } from './function.ts';
import {
  decimalToBigint,
  doubleToInt,
  doubleToLong,
  NUMERIC_NAMES,
  type NumberValue,
  type NumericName,
  narrow,
} from './numbers.ts';

type Name = 'abs' | 'exp' | 'log' | 'log10' | 'round';
const NAMES: readonly Name[] = ['abs', 'exp', 'log', 'log10', 'round'];

const DIGITS_MIN = 32;
const DIGITS_MAX = 10_000;

function doubleOf(name: Exclude<Name, 'round'>, value: number): number {
  return Math[name](value);
}

/** Integers go through doubles, as in Cassandra. */
function ofInteger(name: Name, value: number, bits: 8 | 16 | 32): number {
  if (name === 'round') return value;
  if (name === 'abs') return narrow(Math.abs(value), bits);
  return narrow(doubleToInt(doubleOf(name, value)), bits);
}

function ofLong(name: Name, value: bigint): bigint {
  if (name === 'round') return value;
  if (name === 'abs') return BigInt.asIntN(64, value < 0n ? -value : value);
  return doubleToLong(doubleOf(name, Number(value)));
}

/** Math.round() of Java: half up, saturating at the integer of the type's size, NaN is 0. */
function ofFloat(name: Name, value: number): number {
  if (name !== 'round') return Math.fround(doubleOf(name, value));
  return Math.fround(doubleToInt(roundHalfUp(value)));
}

function ofDouble(name: Name, value: number): number {
  if (name !== 'round') return doubleOf(name, value);
  return Number(doubleToLong(roundHalfUp(value)));
}

function roundHalfUp(value: number): number {
  const floor = Math.floor(value);
  return value - floor >= 0.5 ? floor + 1 : floor;
}

function ofDecimal(name: Name, value: Decimal): Decimal {
  if (name === 'abs') return value.unscaled < 0n ? negateDecimal(value) : value;
  if (name === 'round') return roundDecimal(value);
  const digits = Math.min(Math.max(DIGITS_MIN, digitCount(value.unscaled)), DIGITS_MAX);
  if (name === 'exp') return expDecimal(value, digits);
  if (value.unscaled <= 0n) {
    const what = name === 'log' ? 'Natural log' : 'Log10';
    throw new RangeError(`${what} of number zero or less`);
  }
  return name === 'log' ? logDecimal(value, digits) : log10Decimal(value, digits);
}

function ofVarint(name: Name, value: bigint): bigint {
  if (name === 'round') return value;
  return decimalToBigint(ofDecimal(name, new Decimal(value, 0)));
}

function compute(name: Name, type: NumericName, value: NumberValue): NumberValue {
  switch (type) {
    case 'tinyint':
      return ofInteger(name, value as number, 8);
    case 'smallint':
      return ofInteger(name, value as number, 16);
    case 'int':
      return ofInteger(name, value as number, 32);
    case 'bigint':
    case 'counter':
      return ofLong(name, value as bigint);
    case 'float':
      return ofFloat(name, value as number);
    case 'double':
      return ofDouble(name, value as number);
    case 'decimal':
      return ofDecimal(name, value as Decimal);
    case 'varint':
      return ofVarint(name, value as bigint);
  }
}

function mathFunction(name: Name, type: NumericName): ScalarFunction {
  const numeric = nativeType(type);
  return strict(name, [numeric], numeric, ([value]) => {
    try {
      return compute(name, type, value as NumberValue);
    } catch (error) {
      if (!(error instanceof RangeError) || error instanceof CqlError) throw error;
      throw functionFailure('system', name, [type], error.message);
    }
  });
}

export const MATH_FUNCTIONS: readonly ScalarFunction[] = NAMES.flatMap((name) =>
  NUMERIC_NAMES.map((type) => mathFunction(name, type)),
);
