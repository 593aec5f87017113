/** Arithmetic of numbers against exact arithmetic of bigints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encode } from '../../types/codec.ts';
import { compareDecimals, Decimal } from '../../types/decimal.ts';
import { nativeType } from '../../types/type-facts.ts';
import { TOTALS } from './aggregates.ts';
import { expDecimal, log10Decimal, logDecimal } from './big-math.ts';
import {
  addDecimals,
  divideDecimals,
  multiplyDecimals,
  negateDecimal,
  remainderDecimals,
  roundDecimal,
} from './decimals.ts';
import { narrow, toInt, toLong } from './numbers.ts';
import { calculate, resultType } from './operators.ts';

const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: -30, max: 40 }))
  .map(([unscaled, scale]) => new Decimal(unscaled, scale));
const nonZero = decimal.filter(({ unscaled }) => unscaled !== 0n);
const operator = fc.constantFrom(
  '+' as const,
  '-' as const,
  '*' as const,
  '/' as const,
  '%' as const,
);

function wanted(op: string, a: bigint, b: bigint): bigint {
  if (op === '+') return a + b;
  if (op === '-') return a - b;
  if (op === '*') return a * b;
  return op === '/' ? a / b : a % b;
}

function isClose(a: Decimal, b: Decimal, digits: number): boolean {
  const difference = addDecimals(a, negateDecimal(b));
  if (difference.unscaled === 0n) return true;
  const size = (value: Decimal) =>
    (value.unscaled < 0n ? -value.unscaled : value.unscaled).toString().length - value.scale;
  return size(difference) <= size(b) - digits;
}

test('integers wrap at the size of their type', () => {
  const sizes = [
    ['tinyint', 8],
    ['smallint', 16],
    ['int', 32],
  ] as const;
  for (const [type, bits] of sizes) {
    const number = fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
    fc.assert(
      fc.property(operator, number, number, (op, a, b) => {
        fc.pre(b !== 0 || (op !== '/' && op !== '%'));
        const exact = wanted(op, BigInt(a), BigInt(b));
        assert.equal(BigInt(calculate(op, type, a, b) as number), BigInt.asIntN(bits, exact));
      }),
    );
  }
  const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  fc.assert(
    fc.property(operator, long, long, (op, a, b) => {
      fc.pre(b !== 0n || (op !== '/' && op !== '%'));
      assert.equal(calculate(op, 'bigint', a, b), BigInt.asIntN(64, wanted(op, a, b)));
    }),
  );
});

test('the type of a result does not depend on the order', () => {
  const names = TOTALS.filter((fn) => fn.name === 'sum').map((fn) => fn.args[0]);
  for (const a of names) {
    for (const b of names) {
      if (a.kind !== 'native' || b.kind !== 'native') continue;
      type Name = Parameters<typeof resultType>[0];
      assert.equal(
        resultType(a.name as Name, b.name as Name),
        resultType(b.name as Name, a.name as Name),
      );
    }
  }
});

test('decimals: what is added can be taken away, quotient and remainder belong together', () => {
  fc.assert(
    fc.property(decimal, nonZero, (a, b) => {
      const back = addDecimals(addDecimals(a, b), negateDecimal(b));
      assert.equal(compareDecimals(back, a), 0);
      assert.equal(compareDecimals(multiplyDecimals(a, b), multiplyDecimals(b, a)), 0);
      const quotient = divideDecimals(a, b);
      if (a.unscaled !== 0n) assert.ok(isClose(multiplyDecimals(quotient, b), a, 30));
      const rest = remainderDecimals(a, b);
      assert.ok(rest.unscaled === 0n || rest.unscaled < 0n === a.unscaled < 0n);
      const size = ({ unscaled, scale }: Decimal) =>
        new Decimal(unscaled < 0n ? -unscaled : unscaled, scale);
      assert.ok(compareDecimals(size(rest), size(b)) < 0);
    }),
  );
});

test('decimals round to the nearest whole number', () => {
  fc.assert(
    fc.property(decimal, (value) => {
      const rounded = roundDecimal(value);
      assert.equal(rounded.scale, 0);
      const distance = addDecimals(value, negateDecimal(rounded));
      const doubled = addDecimals(distance, distance);
      assert.ok(compareDecimals(doubled, new Decimal(1n, 0)) <= 0);
      assert.ok(compareDecimals(doubled, new Decimal(-1n, 0)) >= 0);
    }),
  );
});

test('exp and log undo each other to the digits asked for', () => {
  const positive = fc
    .tuple(fc.bigInt({ min: 1n, max: 10n ** 25n }), fc.integer({ min: -20, max: 30 }))
    .map(([unscaled, scale]) => new Decimal(unscaled, scale));
  fc.assert(
    fc.property(positive, fc.integer({ min: 32, max: 80 }), (value, digits) => {
      // The exponential magnifies what the logarithm has lost.
      assert.ok(isClose(expDecimal(logDecimal(value, digits + 8), digits), value, digits - 2));
      const log = logDecimal(value, digits);
      const ten = logDecimal(new Decimal(10n, 0), digits);
      const log10 = log10Decimal(value, digits);
      if (log10.unscaled !== 0n) {
        assert.ok(isClose(multiplyDecimals(log10, ten), log, digits - 3));
      }
    }),
    { numRuns: 60 },
  );
});

test('exp and log are those of doubles to their digits', () => {
  fc.assert(
    fc.property(fc.integer({ min: -500_000, max: 500_000 }), (thousandths) => {
      fc.pre(thousandths !== 0);
      const value = new Decimal(BigInt(thousandths), 3);
      const exact = Math.exp(thousandths / 1000);
      assert.ok(Math.abs(expDecimal(value, 32).toNumber() / exact - 1) < 1e-12);
      if (thousandths > 0) {
        const log = Math.log(thousandths / 1000);
        assert.ok(Math.abs(logDecimal(value, 32).toNumber() - log) < 1e-12);
      }
    }),
    { numRuns: 60 },
  );
});

test('sums do not depend on how many there are, averages are between least and greatest', () => {
  const total = (name: string) =>
    TOTALS.find((fn) => fn.name === name && fn.args[0] === nativeType('int'));
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), (numbers) => {
      const int = nativeType('int');
      const result = (name: string) => {
        const accumulator = total(name)?.start();
        for (const number of numbers) accumulator?.add([encode(int, number)]);
        return Buffer.from(accumulator?.result() ?? []).readInt32BE();
      };
      const exact = numbers.reduce((sum, number) => sum + BigInt(number), 0n);
      assert.equal(result('sum'), Number(BigInt.asIntN(32, exact)));
      assert.equal(result('avg'), Number(exact / BigInt(numbers.length)));
    }),
  );
});

test('numbers narrow as in Java', () => {
  assert.equal(narrow(300, 8), 44);
  assert.equal(narrow(-129, 8), 127);
  assert.equal(narrow(70_000, 16), 4464);
  assert.equal(toInt(1e20), 0x7fffffff);
  assert.equal(toInt(Number.NaN), 0);
  assert.equal(toInt(2n ** 32n + 5n), 5);
  assert.equal(toLong(-1e300), -(2n ** 63n));
  assert.equal(toLong(new Decimal(19n, 1)), 1n);
  assert.equal(toLong(new Decimal(1n, -2_000_000_000)), 0n);
});
