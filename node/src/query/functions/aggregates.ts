/** count, min, max, sum and avg. Source: org.apache.cassandra.cql3.functions.AggregateFcts. */
import { compareValues, decode, encode } from '../../types/codec.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { Decimal } from '../../types/decimal.ts';
import { nativeType } from '../../types/type-facts.ts';
import { addDecimals, divideHalfEven, negateDecimal } from './decimals.ts';
import { anyType, type FunctionFactory } from './factory.ts';
import type { Accumulator, AggregateFunction } from './function.ts';
import {
  decimalOfDouble,
  NUMERIC_NAMES,
  type NumberValue,
  type NumericName,
  narrow,
} from './numbers.ts';

const BIGINT = nativeType('bigint');

class Count implements Accumulator {
  private readonly isOfRows: boolean;
  private count = 0n;

  constructor(isOfRows: boolean) {
    this.isOfRows = isOfRows;
  }
  add(args: readonly (Uint8Array | null)[]): void {
    if (this.isOfRows || args[0] !== null) this.count++;
  }
  result(): Uint8Array | null {
    return encode(BIGINT, this.count);
  }
}

class Extreme implements Accumulator {
  private readonly type: CqlType;
  private readonly sign: 1 | -1;
  private best: Uint8Array | null = null;

  /** @param sign 1: the greatest, -1: the least */
  constructor(type: CqlType, sign: 1 | -1) {
    this.type = type;
    this.sign = sign;
  }
  add([value]: readonly (Uint8Array | null)[]): void {
    if (value === null) return;
    if (this.best === null || this.sign * compareValues(this.type, value, this.best) > 0) {
      // Rows hand out views on buffers that they use again.
      this.best = Uint8Array.from(value);
    }
  }
  result(): Uint8Array | null {
    return this.best;
  }
}

/** Adds up numbers of one type. */
interface Adder {
  add(value: NumberValue): void;
  sum(): NumberValue;
  /** @param count at least 1 */
  average(count: number): NumberValue;
}

class WholeAdder implements Adder {
  private readonly wrap: (sum: bigint) => NumberValue;
  private total = 0n;

  /** @param wrap cuts the sum to the type's size, as Java's overflow does */
  constructor(wrap: (sum: bigint) => NumberValue) {
    this.wrap = wrap;
  }
  add(value: NumberValue): void {
    this.total += BigInt(value as number | bigint);
  }
  sum(): NumberValue {
    return this.wrap(this.total);
  }
  average(count: number): NumberValue {
    return this.wrap(this.total / BigInt(count));
  }
}

/** Kahan's sum, with the plain one for infinities, which make the former NaN. */
class FloatAdder implements Adder {
  private total = 0;
  private lost = 0;
  private plain = 0;
  /** Once the sum of finite numbers is too large for a double: for the average only. */
  private exact: Decimal | null = null;

  add(value: NumberValue): void {
    const number = Number(value);
    const before = this.total;
    this.plain += number;
    const next = number - this.lost;
    const rounded = this.total + next;
    this.lost = rounded - this.total - next;
    this.total = rounded;
    if (this.exact === null && Number.isFinite(rounded)) return;
    if (!Number.isFinite(number)) this.exact = null;
    else if (this.exact !== null) this.exact = addDecimals(this.exact, decimalOfDouble(number));
    else if (Number.isFinite(before)) {
      this.exact = addDecimals(decimalOfDouble(before), decimalOfDouble(number));
    }
  }
  sum(): number {
    const isBroken = Number.isNaN(this.total) && Math.abs(this.plain) === Number.POSITIVE_INFINITY;
    return isBroken ? this.plain : this.total;
  }
  average(count: number): number {
    if (this.exact !== null) return divideHalfEven(this.exact, BigInt(count)).toNumber();
    return this.sum() / count;
  }
}

class DecimalAdder implements Adder {
  private total = new Decimal(0n, 0);
  private mean = new Decimal(0n, 0);
  private count = 0n;

  add(value: NumberValue): void {
    const number = value as Decimal;
    this.total = addDecimals(this.total, number);
    this.count++;
    // Cassandra's average moves with each number, and rounds each time.
    const distance = addDecimals(number, negateDecimal(this.mean));
    this.mean = addDecimals(this.mean, divideHalfEven(distance, this.count));
  }
  sum(): NumberValue {
    return this.total;
  }
  average(): NumberValue {
    return this.mean;
  }
}

function adder(type: NumericName): Adder {
  switch (type) {
    case 'tinyint':
      return new WholeAdder((sum) => narrow(Number(BigInt.asIntN(32, sum)), 8));
    case 'smallint':
      return new WholeAdder((sum) => narrow(Number(BigInt.asIntN(32, sum)), 16));
    case 'int':
      return new WholeAdder((sum) => Number(BigInt.asIntN(32, sum)));
    case 'bigint':
    case 'counter':
      return new WholeAdder((sum) => BigInt.asIntN(64, sum));
    case 'varint':
      return new WholeAdder((sum) => sum);
    case 'float':
    case 'double':
      return new FloatAdder();
    case 'decimal':
      return new DecimalAdder();
  }
}

class Total implements Accumulator {
  private readonly type: NumericName;
  private readonly isAverage: boolean;
  private readonly adder: Adder;
  private count = 0;

  constructor(type: NumericName, isAverage: boolean) {
    this.type = type;
    this.isAverage = isAverage;
    this.adder = adder(type);
  }
  add([bytes]: readonly (Uint8Array | null)[]): void {
    const value = decode(nativeType(this.type), bytes);
    if (value === null) return;
    this.count++;
    this.adder.add(value as NumberValue);
  }
  result(): Uint8Array | null {
    const isSum = !this.isAverage || this.count === 0;
    const value = isSum ? this.adder.sum() : this.adder.average(this.count);
    return encode(nativeType(this.type), value);
  }
}

function total(name: 'sum' | 'avg', type: NumericName): AggregateFunction {
  const start = () => new Total(type, name === 'avg');
  return { kind: 'aggregate', name, args: [nativeType(type)], returns: nativeType(type), start };
}

/** sum and avg: an overload for each numeric type. */
export const TOTALS: readonly AggregateFunction[] = [
  ...NUMERIC_NAMES.map((type) => total('sum', type)),
  ...NUMERIC_NAMES.map((type) => total('avg', type)),
];

/** count(*) and count(1). */
export const COUNT_ROWS: AggregateFunction = {
  kind: 'aggregate',
  name: 'count_rows',
  args: [],
  returns: BIGINT,
  start: () => new Count(true),
};

/** min and max of values of one type. */
export function extreme(name: 'min' | 'max', type: CqlType): AggregateFunction {
  const start = () => new Extreme(type, name === 'max' ? 1 : -1);
  return { kind: 'aggregate', name, args: [type], returns: type, start };
}

/** sum and avg of values of one numeric type. */
export function totalOf(name: 'sum' | 'avg', type: NumericName): AggregateFunction {
  return total(name, type);
}

export const AGGREGATE_FACTORIES: readonly FunctionFactory[] = [
  {
    name: 'count',
    parameters: [anyType(false)],
    make: ([type]) => ({
      kind: 'aggregate',
      name: 'count',
      args: [type],
      returns: BIGINT,
      start: () => new Count(false),
    }),
  },
  { name: 'min', parameters: [anyType(true)], make: ([type]) => extreme('min', type) },
  { name: 'max', parameters: [anyType(true)], make: ([type]) => extreme('max', type) },
];
