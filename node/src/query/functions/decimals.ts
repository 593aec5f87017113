/** Arithmetic of decimals by java.math.BigDecimal's and Cassandra's rules. Source: DecimalType. */
import { Decimal } from '../../types/decimal.ts';

const DIGITS_MAX = 10_000;
const QUOTIENT_DIGITS = 32;
const SCALE_MAX = 1000;
/** Beyond this one number would keep the node busy for long. */
const EXPONENT_MAX = 100_000;
const INT32_MAX = 0x7fffffff;

/** Decimal digits of the magnitude; 1 for zero. */
export function digitCount(value: bigint): number {
  return (value < 0n ? -value : value).toString().length;
}

/** 10^exponent; exponent >= 0. @throws RangeError if it is too large to work with */
export function powerOfTen(exponent: number): bigint {
  if (exponent > EXPONENT_MAX) throw new RangeError('Overflow');
  return 10n ** BigInt(exponent);
}

/** The unscaled value at a scale not less than its own. */
function unscaledAt(value: Decimal, scale: number): bigint {
  return value.unscaled === 0n ? 0n : value.unscaled * powerOfTen(scale - value.scale);
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value;
}

type Rounding = 'half-up' | 'half-even';

/** The quotient rounded to the nearest integer. */
export function divideRounded(dividend: bigint, divisor: bigint, rounding: Rounding): bigint {
  const quotient = dividend / divisor;
  const twice = 2n * absolute(dividend % divisor);
  const size = absolute(divisor);
  const isTie = twice === size;
  const goesUp = twice > size || (isTie && (rounding === 'half-up' || quotient % 2n !== 0n));
  if (!goesUp) return quotient;
  return dividend < 0n === divisor < 0n ? quotient + 1n : quotient - 1n;
}

/** Rounds to at most so many digits, half up. */
function limitDigits(value: Decimal): Decimal {
  const excess = digitCount(value.unscaled) - DIGITS_MAX;
  if (excess <= 0) return value;
  const unscaled = divideRounded(value.unscaled, powerOfTen(excess), 'half-up');
  return new Decimal(unscaled, value.scale - excess);
}

function exactSum(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return new Decimal(unscaledAt(a, scale) + unscaledAt(b, scale), scale);
}

/** The exact sum, of at most 10,000 digits. */
export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const [large, small] = exponentOf(a) >= exponentOf(b) ? [a, b] : [b, a];
  // Too small to show in the digits kept: expanding it would cost memory without bound.
  if (exponentOf(large) - exponentOf(small) > 2 * DIGITS_MAX && large.unscaled !== 0n) {
    return large;
  }
  return limitDigits(exactSum(a, b));
}

function exponentOf(value: Decimal): number {
  return digitCount(value.unscaled) - value.scale;
}

export function negateDecimal(value: Decimal): Decimal {
  return new Decimal(-value.unscaled, value.scale);
}

/** The exact product, of at most 10,000 digits. @throws RangeError */
export function multiplyDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = a.scale + b.scale;
  if (scale > INT32_MAX || scale < -INT32_MAX) throw new RangeError('Overflow');
  return limitDigits(new Decimal(a.unscaled * b.unscaled, scale));
}

/** Without zeros at the end of its digits. */
export function stripZeros(value: Decimal): Decimal {
  if (value.unscaled === 0n) return new Decimal(0n, 0);
  let { unscaled, scale } = value;
  while (unscaled % 10n === 0n) {
    unscaled /= 10n;
    scale--;
  }
  return new Decimal(unscaled, scale);
}

function divideAt(a: Decimal, b: Decimal, scale: number, rounding: Rounding): Decimal {
  const shift = scale - a.scale + b.scale;
  const dividend = shift >= 0 ? a.unscaled * powerOfTen(shift) : a.unscaled;
  const divisor = shift >= 0 ? b.unscaled : b.unscaled * powerOfTen(-shift);
  return new Decimal(divideRounded(dividend, divisor, rounding), scale);
}

/** The quotient to 32 digits or so, half up. `b` is not zero. */
export function divideDecimals(a: Decimal, b: Decimal): Decimal {
  const firstDigit = digitCount(a.unscaled) - a.scale - (digitCount(b.unscaled) - b.scale);
  const wanted = Math.max(QUOTIENT_DIGITS - firstDigit, a.scale, b.scale, QUOTIENT_DIGITS);
  return stripZeros(divideAt(a, b, Math.min(wanted, SCALE_MAX), 'half-up'));
}

/** The quotient at the dividend's scale, half even: how averages round. */
export function divideHalfEven(a: Decimal, count: bigint): Decimal {
  return new Decimal(divideRounded(a.unscaled, count, 'half-even'), a.scale);
}

/** BigDecimal.remainder(), its scale too. `b` is not zero. @throws RangeError */
export function remainderDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  const dividend = unscaledAt(a, scale);
  const divisor = unscaledAt(b, scale);
  const rest = new Decimal(dividend % divisor, scale);
  let quotient = dividend / divisor;
  if (quotient === 0n || a.scale >= b.scale) return atScale(rest, a.scale);
  // The quotient gives zeros at its end away to come near to the difference of the scales.
  let zeros = 0;
  while (zeros < b.scale - a.scale && quotient % 10n === 0n) {
    quotient /= 10n;
    zeros++;
  }
  return atScale(rest, Math.max(a.scale, b.scale - zeros));
}

/** The same number at another scale that can hold it. */
function atScale(value: Decimal, scale: number): Decimal {
  if (scale >= value.scale) return new Decimal(unscaledAt(value, scale), scale);
  return new Decimal(value.unscaled / powerOfTen(value.scale - scale), scale);
}

/** The nearest whole number, half up: BigDecimal.setScale(0, HALF_UP). */
export function roundDecimal(value: Decimal): Decimal {
  if (value.scale <= 0) return new Decimal(value.unscaled * powerOfTen(-value.scale), 0);
  if (exponentOf(value) < 0) return new Decimal(0n, 0);
  return new Decimal(divideRounded(value.unscaled, powerOfTen(value.scale), 'half-up'), 0);
}
