/**
 * Exponential and logarithms of decimals to any number of digits, in fixed point: a number is a bigint times
 * 10^-places. The last of the places may be off by a few units; callers keep some to spare.
 */
import { Decimal } from '../../types/decimal.ts';
import { digitCount, divideRounded, powerOfTen } from './decimals.ts';

const SPARE_DIGITS = 12;
/** Decimals have int32 scales. */
const SCALE_MAX = 0x7fffffff;

/** 2 · atanh(1 / n) */
function twiceInverseTangent(n: bigint, one: bigint): bigint {
  const square = n * n;
  let term = (2n * one) / n;
  let sum = term;
  for (let k = 3n; term !== 0n; k += 2n) {
    term /= square;
    sum += term / k;
  }
  return sum;
}

/** ln(10) = 3 ln(2) + ln(5/4) */
function logOfTen(one: bigint): bigint {
  return 3n * twiceInverseTangent(3n, one) + twiceInverseTangent(9n, one);
}

/** e^x for |x| of a few units: halved until it is small, a Taylor series, squared again. */
function exponential(x: bigint, one: bigint): bigint {
  const halvings = 16n;
  const small = x >> halvings;
  let term = one;
  let sum = one;
  for (let k = 1n; term !== 0n; k++) {
    term = (term * small) / (one * k);
    sum += term;
    if (term === -1n) break;
  }
  for (let i = 0n; i < halvings; i++) sum = (sum * sum) / one;
  return sum;
}

/** ln(x) for 0.1 <= x <= 10 by Halley's method: each step trebles the digits that are right. */
function logarithm(x: bigint, one: bigint, places: number): bigint {
  const guess = Math.log(Number((x * 10n ** 17n) / one) / 1e17);
  let y = (BigInt(Math.round(guess * 1e15)) * one) / 10n ** 15n;
  for (let right = 14; right < places + SPARE_DIGITS; right *= 3) {
    const e = exponential(y, one);
    y += (2n * one * (x - e)) / (x + e);
  }
  return y;
}

/** `value · 10^-places`, rounded half up to so many digits. */
function roundTo(value: bigint, places: number, digits: number): Decimal {
  const excess = digitCount(value) - digits;
  if (excess <= 0) return new Decimal(value * powerOfTen(-excess), places - excess);
  const rounded = divideRounded(value, powerOfTen(excess), 'half-up');
  // 999.6 has become 1000: one digit too many.
  if (digitCount(rounded) > digits) return new Decimal(rounded / 10n, places - excess - 1);
  return new Decimal(rounded, places - excess);
}

/** The value in fixed point. */
function atPlaces({ unscaled, scale }: Decimal, places: number): bigint {
  const shift = places - scale;
  return shift >= 0 ? unscaled * powerOfTen(shift) : unscaled / powerOfTen(-shift);
}

/** e^x to so many digits. @throws RangeError if the result's exponent is no int32 */
export function expDecimal(x: Decimal, digits: number): Decimal {
  if (x.unscaled === 0n) return new Decimal(1n, 0);
  const magnitude = digitCount(x.unscaled) - x.scale;
  // Next to nothing: 1 to all the digits wanted.
  if (magnitude < -digits - 1) return new Decimal(powerOfTen(digits - 1), digits - 1);
  if (magnitude > 10) throw new RangeError('Overflow');
  const places = digits + SPARE_DIGITS + Math.max(0, magnitude) + 8;
  const one = powerOfTen(places);
  const ten = logOfTen(one);
  const fixed = atPlaces(x, places);
  // e^x = 10^n · e^r with |r| < ln 10
  const n = fixed / ten;
  if (n > SCALE_MAX || n < -SCALE_MAX) throw new RangeError('Overflow');
  const power = exponential(fixed - n * ten, one);
  const { unscaled, scale } = roundTo(power, places, digits);
  return new Decimal(unscaled, scale - Number(n));
}

/** x as m · 10^n with 1 <= m < 10; gives m in fixed point. */
function split(
  x: Decimal,
  places: number,
): { readonly mantissa: bigint; readonly exponent: number } {
  const digits = digitCount(x.unscaled);
  const mantissa = atPlaces(new Decimal(x.unscaled, digits - 1), places);
  return { mantissa, exponent: digits - 1 - x.scale };
}

function placesFor(x: Decimal, digits: number): number {
  return digits + SPARE_DIGITS + digitCount(x.unscaled) + 8;
}

/** ln(x) to so many digits; x > 0. */
export function logDecimal(x: Decimal, digits: number): Decimal {
  const places = placesFor(x, digits);
  const one = powerOfTen(places);
  const { mantissa, exponent } = split(x, places);
  const log = logarithm(mantissa, one, places) + BigInt(exponent) * logOfTen(one);
  if (mantissa === one && exponent === 0) return new Decimal(0n, 0);
  return roundTo(log, places, digits);
}

/** The decimal logarithm to so many digits; x > 0. */
export function log10Decimal(x: Decimal, digits: number): Decimal {
  const places = placesFor(x, digits);
  const one = powerOfTen(places);
  const { mantissa, exponent } = split(x, places);
  const isPower = mantissa === one;
  if (isPower && exponent === 0) return new Decimal(0n, 0);
  const fraction = isPower ? 0n : (logarithm(mantissa, one, places) * one) / logOfTen(one);
  return roundTo(fraction + BigInt(exponent) * one, places, digits);
}
