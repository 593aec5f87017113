/** CQL's decimal: arbitrary precision, `unscaled × 10^-scale`, as java.math.BigDecimal has it. */
import { readInt32, writeInt32 } from '../common/bytes.ts';
import { decodeVarint, encodeVarint } from './vint.ts';

/** A decimal number; `scale` is an int32. Immutable. */
export class Decimal {
  readonly unscaled: bigint;
  readonly scale: number;

  constructor(unscaled: bigint, scale: number) {
    this.unscaled = unscaled;
    this.scale = scale;
  }

  /** As BigDecimal.toString(): plain notation for small exponents, else scientific. */
  toString(): string {
    const negative = this.unscaled < 0n;
    const digits = (negative ? -this.unscaled : this.unscaled).toString();
    const sign = negative ? '-' : '';
    const { scale } = this;
    if (scale === 0) return sign + digits;
    const exponent = digits.length - 1 - scale;
    if (scale > 0 && exponent >= -6) {
      const point = digits.length - scale;
      if (point > 0) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
      return `${sign}0.${'0'.repeat(-point)}${digits}`;
    }
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    if (exponent === 0) return sign + mantissa;
    return `${sign}${mantissa}E${exponent > 0 ? '+' : ''}${exponent}`;
  }

  toNumber(): number {
    return Number(this.toString());
  }
}

const DECIMAL = /^([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?[0-9]{1,10}))?$/;
const SCALE_MAX = 0x7fffffff;

/** Reads what BigDecimal's constructor takes; null if it is not a number or its scale overflows. */
export function parseDecimal(text: string): Decimal | null {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const fraction = match[3] ?? match[4] ?? '';
  const exponent = Number(match[5] ?? '0');
  const scale = fraction.length - exponent;
  if (Math.abs(exponent) > SCALE_MAX || scale > SCALE_MAX) return null;
  const magnitude = BigInt((match[2] ?? '') + fraction);
  return new Decimal(match[1] === '-' ? -magnitude : magnitude, scale);
}

/** The decimal of a non-empty CQL value: int32 scale, then the unscaled varint. */
export function decodeDecimal(bytes: Uint8Array): Decimal {
  return new Decimal(decodeVarint(bytes.subarray(4)), readInt32(bytes, 0));
}

/** The CQL value of a decimal. */
export function encodeDecimal(value: Decimal): Buffer {
  const unscaled = encodeVarint(value.unscaled);
  const bytes = Buffer.allocUnsafe(4 + unscaled.length);
  writeInt32(bytes, value.scale, 0);
  bytes.set(unscaled, 4);
  return bytes;
}

/**
 * A number as sign, digits without zeros at either end, and the exponent e of 0.digits × 10^e.
 * Numbers that are equal, whatever their scales, have the same form.
 */
export interface NormalForm {
  readonly sign: -1 | 0 | 1;
  readonly digits: string;
  readonly exponent: number;
}

/** The normal form of a decimal. */
export function normalForm(value: Decimal): NormalForm {
  if (value.unscaled === 0n) return { sign: 0, digits: '', exponent: 0 };
  const negative = value.unscaled < 0n;
  const all = (negative ? -value.unscaled : value.unscaled).toString();
  let end = all.length;
  while (all.charCodeAt(end - 1) === 48) end--;
  const digits = all.slice(0, end);
  return { sign: negative ? -1 : 1, digits, exponent: all.length - value.scale };
}

/** Numeric order, whatever the scales; never expands an exponent. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  const left = normalForm(a);
  const right = normalForm(b);
  if (left.sign !== right.sign) return left.sign - right.sign;
  if (left.exponent !== right.exponent) return left.sign * (left.exponent - right.exponent);
  if (left.digits === right.digits) return 0;
  return left.digits < right.digits ? -left.sign : left.sign;
}
