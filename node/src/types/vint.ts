/**
 * Two variable-length integers: CQL's `varint` (two's complement, big-endian, any length) and
 * Cassandra's vint coding (vectors' lengths, durations): the first byte's leading one bits count the
 * bytes that follow. Source: org.apache.cassandra.utils.vint.VIntCoding.
 */
import { readInt64, type Writer } from '../common/bytes.ts';

/** Bytes that follow a vint's first byte: 0 to 8. */
export function vintExtraBytes(firstByte: number): number {
  return firstByte === 0xff ? 8 : Math.clz32((~firstByte & 0xff) << 24);
}

/**
 * The unsigned vint at `at`, or -1 if it is cut short or does not fit 31 bits. It takes
 * `1 + vintExtraBytes(bytes[at])` bytes.
 */
export function readUnsignedVint(bytes: Uint8Array, at: number): number {
  if (at >= bytes.length) return -1;
  const first = bytes[at];
  if (first < 0x80) return first;
  const extra = vintExtraBytes(first);
  if (at + 1 + extra > bytes.length) return -1;
  let value = extra >= 7 ? 0 : first & (0x7f >> extra);
  for (let i = 1; i <= extra; i++) value = value * 256 + bytes[at + i];
  return value > 0x7fffffff ? -1 : value;
}

/** The unsigned 64-bit vint at `at`, or -1n if it is cut short. */
export function readUnsignedVint64(bytes: Uint8Array, at: number): bigint {
  if (at >= bytes.length) return -1n;
  const first = bytes[at];
  const extra = vintExtraBytes(first);
  if (at + 1 + extra > bytes.length) return -1n;
  let value = extra >= 7 ? 0n : BigInt(first & (0x7f >> extra));
  for (let i = 1; i <= extra; i++) value = (value << 8n) | BigInt(bytes[at + i]);
  return value;
}

/** Appends an unsigned vint of at most 64 bits. */
export function writeUnsignedVint(out: Writer, value: bigint): void {
  let extra = 0;
  while (extra < 8 && value >> BigInt(7 * (extra + 1)) !== 0n) extra++;
  const leading = extra === 8 ? 0xff : (0xff00 >> extra) & 0xff;
  const top = extra >= 7 ? 0 : Number(value >> BigInt(8 * extra));
  out.u8(leading | top);
  for (let i = extra - 1; i >= 0; i--) out.u8(Number((value >> BigInt(8 * i)) & 0xffn));
}

/** Signed to unsigned so that small magnitudes stay small. */
export function zigzag(value: bigint): bigint {
  return BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
}

/** The inverse of `zigzag`. */
export function unzigzag(value: bigint): bigint {
  return (value >> 1n) ^ -(value & 1n);
}

/** The integer of a CQL varint; zero bytes are 0. */
export function decodeVarint(bytes: Uint8Array): bigint {
  const length = bytes.length;
  if (length === 8) return readInt64(bytes, 0);
  if (length <= 6) {
    let value = length > 0 && bytes[0] >= 0x80 ? -1 : 0;
    for (let i = 0; i < length; i++) value = value * 256 + bytes[i];
    return BigInt(value);
  }
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('hex');
  return BigInt.asIntN(8 * length, BigInt(`0x${hex}`));
}

/** The shortest CQL varint of an integer. */
export function encodeVarint(value: bigint): Buffer {
  // One bit for the sign: -128 needs one byte, 128 two.
  const magnitude = value < 0n ? ~value : value;
  const bits = magnitude === 0n ? 0 : bitLength(magnitude);
  const length = (bits >> 3) + 1;
  const hex = BigInt.asUintN(8 * length, value)
    .toString(16)
    .padStart(2 * length, '0');
  return Buffer.from(hex, 'hex');
}

function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return 4 * (hex.length - 1) + (32 - Math.clz32(Number.parseInt(hex[0], 16)));
}
