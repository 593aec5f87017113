/** Arithmetic operators. Source: org.apache.cassandra.cql3.functions.OperationFcts and NumberType. */
import { CqlError, functionFailure, invalidRequest } from '../../common/errors.ts';
import { MILLIS_PER_DAY } from '../../types/calendar.ts';
import { type CqlValue, decode, encode } from '../../types/codec.ts';
import type { CqlType, NativeTypeName } from '../../types/cql-type.ts';
import { Decimal } from '../../types/decimal.ts';
import type { Duration } from '../../types/duration.ts';
import { nativeType, sameType } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import {
  addDecimals,
  divideDecimals,
  multiplyDecimals,
  negateDecimal,
  remainderDecimals,
} from './decimals.ts';
import { addDuration, NANOS_PER_MILLI } from './durations.ts';
import type { ArgumentProbe, ScalarFunction } from './function.ts';
import {
  decimalOfDouble,
  NUMERIC_NAMES,
  type NumberValue,
  type NumericName,
  narrow,
  toDouble,
} from './numbers.ts';
import { matches } from './overloads.ts';

export type BinaryOperator = '+' | '-' | '*' | '/' | '%';
const OPERATORS: readonly BinaryOperator[] = ['+', '-', '*', '/', '%'];

const NAMES: Readonly<Record<BinaryOperator, string>> = {
  '+': '_add',
  '-': '_substract',
  '*': '_multiply',
  '/': '_divide',
  '%': '_modulo',
};

/** A number's bytes; varint and decimal are not limited. */
const SIZES: Readonly<Record<NumericName, number>> = {
  tinyint: 1,
  smallint: 2,
  int: 4,
  float: 4,
  bigint: 8,
  counter: 8,
  double: 8,
  varint: Number.POSITIVE_INFINITY,
  decimal: Number.POSITIVE_INFINITY,
};

function isFloating(type: NumericName): boolean {
  return type === 'float' || type === 'double' || type === 'decimal';
}

/** The type of a result: as wide as the wider of both, floating if one is. */
export function resultType(left: NumericName, right: NumericName): NumericName {
  const size = Math.max(SIZES[left], SIZES[right]);
  if (isFloating(left) || isFloating(right)) {
    if (size === 4) return 'float';
    return size === 8 ? 'double' : 'decimal';
  }
  if (size === 1) return 'tinyint';
  if (size === 2) return 'smallint';
  if (size === 4) return 'int';
  return size === 8 ? 'bigint' : 'varint';
}

function divideByZero(): Error {
  return new RangeError('/ by zero');
}

function wholes(operator: BinaryOperator, a: bigint, b: bigint, message: string): bigint {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      if (b === 0n) throw new RangeError(message);
      return a / b;
    case '%':
      if (b === 0n) throw new RangeError(message);
      return a % b;
  }
}

function ints(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return (a + b) | 0;
    case '-':
      return (a - b) | 0;
    case '*':
      return Math.imul(a, b);
    case '/':
      if (b === 0) throw divideByZero();
      return (a / b) | 0;
    case '%':
      if (b === 0) throw divideByZero();
      return (a % b) | 0;
  }
}

function doubles(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '%':
      return a % b;
  }
}

function decimals(operator: BinaryOperator, a: Decimal, b: Decimal): Decimal {
  switch (operator) {
    case '+':
      return addDecimals(a, b);
    case '-':
      return addDecimals(a, negateDecimal(b));
    case '*':
      return multiplyDecimals(a, b);
    case '/':
      if (b.unscaled === 0n) throw new RangeError('BigInteger divide by zero');
      return divideDecimals(a, b);
    case '%':
      if (b.unscaled === 0n) {
        throw new RangeError(a.unscaled === 0n ? 'Division undefined' : 'Division by zero');
      }
      return remainderDecimals(a, b);
  }
}

/** An operand as a decimal. Source: DecimalType.toBigDecimal. */
function toDecimal(value: NumberValue): Decimal {
  if (value instanceof Decimal) return value;
  if (typeof value === 'bigint') return new Decimal(value, 0);
  if (Number.isNaN(value)) throw new RangeError('A NaN cannot be converted into a decimal');
  if (!Number.isFinite(value)) {
    throw new RangeError('An infinite number cannot be converted into a decimal');
  }
  return decimalOfDouble(value);
}

/** Applies an operator to numbers as numbers of the result's type. @throws RangeError with Java's message */
export function calculate(
  operator: BinaryOperator,
  type: NumericName,
  a: NumberValue,
  b: NumberValue,
): NumberValue {
  switch (type) {
    case 'tinyint':
      return narrow(ints(operator, Number(a), Number(b)), 8);
    case 'smallint':
      return narrow(ints(operator, Number(a), Number(b)), 16);
    case 'int':
      return ints(operator, Number(a), Number(b));
    case 'bigint':
    case 'counter':
      return BigInt.asIntN(
        64,
        wholes(operator, BigInt(a as bigint), BigInt(b as bigint), '/ by zero'),
      );
    case 'varint':
      return wholes(
        operator,
        BigInt(a as bigint),
        BigInt(b as bigint),
        'BigInteger divide by zero',
      );
    case 'float':
      return Math.fround(doubles(operator, Math.fround(toDouble(a)), Math.fround(toDouble(b))));
    case 'double':
      return doubles(operator, toDouble(a), toDouble(b));
    case 'decimal':
      return decimals(operator, toDecimal(a), toDecimal(b));
  }
}

type Operate = (left: Exclude<CqlValue, null>, right: Exclude<CqlValue, null>) => CqlValue;

function binary(
  operator: BinaryOperator,
  left: NativeTypeName,
  right: NativeTypeName,
  returns: CqlType,
  operate: Operate,
): ScalarFunction {
  const args = [nativeType(left), nativeType(right)];
  return {
    kind: 'scalar',
    name: NAMES[operator],
    args,
    returns,
    isPure: true,
    call(bytes) {
      const a = decode(args[0], bytes[0]);
      const b = decode(args[1], bytes[1]);
      if (a === null || b === null) return null;
      try {
        return encode(returns, operate(a, b));
      } catch (error) {
        if (!(error instanceof RangeError || error instanceof CqlError)) throw error;
        throw operationFailure(operator, args, error.message);
      }
    },
  };
}

function operationFailure(
  operator: BinaryOperator,
  args: readonly CqlType[],
  reason: string,
): CqlError {
  const names = args.map(typeName);
  const failure = functionFailure('system', NAMES[operator], names, reason);
  return new CqlError(
    failure.code,
    `the operation '${names[0]} ${operator} ${names[1]}' failed: ${reason}`,
    failure.detail,
  );
}

function numeric(operator: BinaryOperator, left: NumericName, right: NumericName): ScalarFunction {
  const type = resultType(left, right);
  const [first, second] = [operand(left, type), operand(right, type)];
  return binary(operator, left, right, nativeType(type), (a, b) =>
    calculate(operator, type, first(a as NumberValue), second(b as NumberValue)),
  );
}

/**
 * In decimals Cassandra reads a bigint by way of double: 5 is 5.0. So do we, but where that would lose digits.
 */
function operand(from: NumericName, result: NumericName): (value: NumberValue) => NumberValue {
  if (result !== 'decimal' || (from !== 'bigint' && from !== 'counter')) return (value) => value;
  return (value) => {
    const double = Number(value);
    return Number.isSafeInteger(double) ? decimalOfDouble(double) : value;
  };
}

function temporal(operator: '+' | '-', type: 'timestamp' | 'date'): ScalarFunction {
  const times = operator === '+' ? 1 : -1;
  return binary(operator, type, 'duration', nativeType(type), (value, by) => {
    const duration = by as Duration;
    if (type === 'timestamp') {
      if (duration.nanoseconds % NANOS_PER_MILLI !== 0n) {
        throw new RangeError(`The duration must have a millisecond precision. Was: ${duration}`);
      }
      return addDuration(value as bigint, duration, times);
    }
    if (duration.nanoseconds !== 0n) {
      throw new RangeError(`The duration must have a day precision. Was: ${duration}`);
    }
    const perDay = BigInt(MILLIS_PER_DAY);
    return Number(addDuration(BigInt(value as number) * perDay, duration, times) / perDay);
  });
}

/** `+` of texts puts them together. */
function concatenations(): ScalarFunction[] {
  const types = ['text', 'ascii'] as const;
  return types.flatMap((left) =>
    types.map((right) => {
      const returns = nativeType(left === 'ascii' && right === 'ascii' ? 'ascii' : 'text');
      return binary('+', left, right, returns, (a, b) => `${a}${b}`);
    }),
  );
}

const BINARIES: ReadonlyMap<BinaryOperator, readonly ScalarFunction[]> = new Map(
  OPERATORS.map((operator) => {
    const all = NUMERIC_NAMES.flatMap((left) =>
      NUMERIC_NAMES.map((right) => numeric(operator, left, right)),
    );
    if (operator === '+' || operator === '-') {
      all.push(temporal(operator, 'timestamp'), temporal(operator, 'date'));
    }
    if (operator === '+') all.push(...concatenations());
    return [operator, all];
  }),
);

function negation(type: NumericName): ScalarFunction {
  const numericType = nativeType(type);
  return {
    kind: 'scalar',
    name: '_negate',
    args: [numericType],
    returns: numericType,
    isPure: true,
    call([bytes]) {
      const value = decode(numericType, bytes) as NumberValue | null;
      if (value === null) return null;
      return encode(numericType, value instanceof Decimal ? negateDecimal(value) : -value);
    },
  };
}

const NEGATIONS: readonly ScalarFunction[] = NUMERIC_NAMES.map(negation);

/** The function of `left operator right`. @throws CqlError Invalid */
export function resolveBinary(
  operator: BinaryOperator,
  left: ArgumentProbe,
  right: ArgumentProbe,
  receiver: CqlType | null,
): ScalarFunction {
  const args = [left, right];
  const found = matches(BINARIES.get(operator) ?? [], args, receiver);
  if (found.length === 1) return found[0];
  if (found.length === 0) {
    throw invalidRequest(
      `the '${operator}' operation is not supported between ${left.text} and ${right.text}`,
    );
  }
  const isKnown = args.every((arg) => arg.type !== null || arg.preferred !== null);
  const ofReceiver =
    receiver !== null && isKnown
      ? found.find((fn) => fn.args.every((arg) => sameType(arg, receiver)))
      : undefined;
  if (ofReceiver !== undefined) return ofReceiver;
  throw invalidRequest(
    `Ambiguous '${operator}' operation with args ${left.text} and ${right.text}: use type hint to disambiguate, example '(int) ?'`,
  );
}

/** The function of `-operand`. @throws CqlError Invalid */
export function resolveNegation(operand: ArgumentProbe, receiver: CqlType | null): ScalarFunction {
  const found = matches(NEGATIONS, [operand], receiver);
  if (found.length === 1) return found[0];
  if (found.length === 0) {
    throw invalidRequest(
      `Invalid call to function system._negate, none of its type signatures match (known type signatures: ${NEGATIONS.map((fn) => `system._negate : (${typeName(fn.args[0])}) -> ${typeName(fn.returns)}`).join(', ')})`,
    );
  }
  throw invalidRequest('Ambiguous negation: use type casts to disambiguate');
}
