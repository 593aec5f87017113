/**
 * The ordered (memcomparable) payloads of varint and decimal; see storage-format.md, section 2.
 * Decoders take a mask (0 or 0xFF, for reversed columns) that every byte read is XORed with.
 */
import type { Writer } from '../common/bytes.ts';
import { invalidRequest, serverError } from '../common/errors.ts';
import type { NativeTypeName } from './cql-type.ts';
import { Decimal, decodeDecimal, encodeDecimal, normalForm } from './decimal.ts';

/** First byte of a component with a value. */
export const VALUE = 0x40;
/** First and only byte of the component of an empty value. */
export const EMPTY = 0x3f;
/** First and only byte of a null field's component. */
export const NULL = 0x3e;
/** Before each element of a collection. */
export const MORE = 0x01;
/** After the last element of a collection. */
export const END = 0x00;

/** Bytes of the payloads that are as long as their values. */
export const NATIVE_LENGTH: Readonly<Partial<Record<NativeTypeName, number>>> = {
  tinyint: 1,
  smallint: 2,
  int: 4,
  float: 4,
  date: 4,
  bigint: 8,
  counter: 8,
  double: 8,
  time: 8,
  timestamp: 8,
};

/** Inverts the bytes written from `start` on. */
export function invertFrom(out: Writer, start: number): void {
  const { buffer, length } = out;
  for (let i = start; i < length; i++) buffer[i] ^= 0xff;
}

/** What a key that no encoder wrote is answered with. */
export function corruptKey(): Error {
  return serverError('Corrupt key: a component is malformed or cut short');
}

/** Appends a varint's payload; `value` is two's complement, at least one byte. */
export function encodeOrderedVarint(value: Uint8Array, out: Writer): void {
  const negative = value[0] >= 0x80;
  const filler = negative ? 0xff : 0;
  let first = 0;
  while (first < value.length && value[first] === filler) first++;
  let count = value.length - first;
  // The magnitude of -2^8k has one byte more than its two's complement.
  if (negative && value.subarray(first).every((byte) => byte === 0)) count++;
  const start = out.length;
  out.u8(0x80 + Math.min(count, 127));
  if (count >= 127) out.i32(count);
  const at = out.reserve(count);
  const { buffer } = out;
  let carry = negative ? 1 : 0;
  for (let i = 1; i <= count; i++) {
    const index = value.length - i;
    const byte = index < first ? filler : value[index];
    const sum = (byte ^ filler) + carry;
    buffer[at + count - i] = sum;
    carry = sum >> 8;
  }
  if (negative) invertFrom(out, start);
}

interface VarintHeader {
  readonly negative: boolean;
  readonly count: number;
  /** Where the magnitude starts. */
  readonly at: number;
}

function varintHeader(bytes: Uint8Array, offset: number, mask: number): VarintHeader {
  if (offset >= bytes.length) throw corruptKey();
  const first = bytes[offset] ^ mask;
  const negative = first < 0x80;
  const flip = negative ? mask ^ 0xff : mask;
  let count = (negative ? first ^ 0xff : first) - 0x80;
  let at = offset + 1;
  if (count === 127) {
    count = 0;
    for (let i = 0; i < 4; i++) count = count * 256 + (bytes[at + i] ^ flip);
    at += 4;
  }
  if (at + count > bytes.length) throw corruptKey();
  return { negative, count, at };
}

/** Where the varint's payload at `offset` ends. */
export function skipOrderedVarint(bytes: Uint8Array, offset: number, mask: number): number {
  const { at, count } = varintHeader(bytes, offset, mask);
  return at + count;
}

/** Appends the shortest varint of the payload at `offset`; returns where it ends. */
export function decodeOrderedVarint(
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const { negative, count, at } = varintHeader(bytes, offset, mask);
  if (count === 0) {
    out.u8(0);
    return at;
  }
  // Negative: the payload is the inverted magnitude, and -n is its inverse plus one.
  const flip = mask;
  const start = out.reserve(1 + count);
  const { buffer } = out;
  let carry = negative ? 1 : 0;
  for (let i = count; i >= 1; i--) {
    const sum = (bytes[at + i - 1] ^ flip) + carry;
    buffer[start + i] = sum;
    carry = sum >> 8;
  }
  buffer[start] = negative ? 0xff : 0;
  if (buffer[start + 1] >= 0x80 === negative) {
    buffer.copyWithin(start, start + 1, start + 1 + count);
    out.length--;
  }
  return at + count;
}

/** Appends a decimal's payload. Throws Invalid if its exponent does not fit 32 bits. */
export function encodeOrderedDecimal(value: Uint8Array, out: Writer): void {
  const { sign, digits, exponent } = normalForm(decodeDecimal(value));
  out.u8(sign + 1);
  if (sign === 0) return;
  if (exponent > 0x7fffffff) throw invalidRequest('The exponent of a decimal key is too large');
  const start = out.length;
  out.i32(exponent ^ 0x80000000);
  for (let i = 0; i < digits.length; i += 2) {
    const second = i + 1 < digits.length ? digits.charCodeAt(i + 1) - 48 : 0;
    out.u8((digits.charCodeAt(i) - 48) * 10 + second + 1);
  }
  out.u8(0);
  if (sign < 0) invertFrom(out, start);
}

/** Where the decimal's payload at `offset` ends. */
export function skipOrderedDecimal(bytes: Uint8Array, offset: number, mask: number): number {
  if (offset >= bytes.length) throw corruptKey();
  const sign = bytes[offset] ^ mask;
  if (sign === 1) return offset + 1;
  if (sign > 2) throw corruptKey();
  const end = sign === 0 ? mask ^ 0xff : mask;
  let at = offset + 5;
  while (at < bytes.length && bytes[at] !== end) at++;
  if (at >= bytes.length) throw corruptKey();
  return at + 1;
}

/** Up to this exponent whole numbers read back without a negative scale (100, not 1E+2). */
const PLAIN_EXPONENT_MAX = 64;

/** Appends the CQL value of the decimal payload at `offset`; returns where it ends. */
export function decodeOrderedDecimal(
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const end = skipOrderedDecimal(bytes, offset, mask);
  const sign = (bytes[offset] ^ mask) - 1;
  if (sign === 0) {
    out.raw(encodeDecimal(new Decimal(0n, 0)));
    return end;
  }
  const flip = sign < 0 ? mask ^ 0xff : mask;
  let exponent = 0;
  for (let i = 1; i <= 4; i++) exponent = (exponent << 8) | (bytes[offset + i] ^ flip);
  exponent ^= 0x80000000;
  let digits = '';
  for (let at = offset + 5; at < end - 1; at++) {
    const pair = (bytes[at] ^ flip) - 1;
    if (pair > 99) throw corruptKey();
    digits += pair < 10 ? `0${pair}` : `${pair}`;
  }
  if (digits.endsWith('0')) digits = digits.slice(0, -1);
  if (digits === '') throw corruptKey();
  let scale = digits.length - exponent;
  if (scale < 0 && exponent <= PLAIN_EXPONENT_MAX) {
    digits = digits.padEnd(exponent, '0');
    scale = 0;
  }
  if (scale > 0x7fffffff) throw corruptKey();
  const unscaled = BigInt(digits);
  out.raw(encodeDecimal(new Decimal(sign < 0 ? -unscaled : unscaled, scale)));
  return end;
}
