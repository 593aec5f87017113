/**
 * JSON of the metadata log as bytes, and what is read from it: in entries, snapshots and requests.
 *
 *     u8 version | u8 0: JSON as UTF-8, 1: deflated | JSON
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';

const VERSION = 4;
const PLAIN = 0;
const DEFLATED = 1;
const DEFLATE_FROM_BYTES = 1024;
/** Of a value that nothing else bounds, such as a whole state. */
export const JSON_BYTES_MAX = 256 << 20;
const TEXT_MAX = 1024;

/** An object that is not known yet. */
export type Json = Readonly<Record<string, unknown>>;

/** Thrown inside of decoders only. */
export class Malformed extends Error {}

/** A value of JSON, versioned and deflated if that pays and what it has is not deflated already. @throws RangeError if it is longer than `bytesMax` */
export function encodeJson(
  value: unknown,
  bytesMax = JSON_BYTES_MAX,
  mayDeflate = true,
): Uint8Array {
  const plain = Buffer.from(JSON.stringify(value));
  if (plain.length > bytesMax) throw new RangeError(`${plain.length} bytes of JSON`);
  const deflate = mayDeflate && plain.length >= DEFLATE_FROM_BYTES;
  const body = deflate ? deflateRawSync(plain, { level: 3 }) : plain;
  return Buffer.concat([Uint8Array.of(VERSION, deflate ? DEFLATED : PLAIN), body]);
}

/**
 * @param bytesMax of the JSON: whatever a peer sends, no more memory is taken
 * @returns what `read` makes of the value; null if the bytes are malformed or `read` throws
 */
export function decodeJson<T>(
  bytes: Uint8Array,
  bytesMax: number,
  read: (value: Json) => T,
): T | null {
  try {
    if (bytes[0] !== VERSION || bytes[1] > DEFLATED) return null;
    const body = bytes.subarray(2);
    const plain =
      bytes[1] === DEFLATED ? inflateRawSync(body, { maxOutputLength: bytesMax }) : body;
    return read(asObject(JSON.parse(textOf(plain))));
  } catch {
    return null;
  }
}

function textOf({ buffer, byteOffset, length }: Uint8Array): string {
  // A view: bytes that are lent are not copied.
  return Buffer.from(buffer, byteOffset, length).toString('utf8');
}

/** An object of a peer. @throws if it is none */
export function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed();
  return value as Json;
}

/** A text of a peer. @throws if it is none, or too long */
export function asText(value: unknown): string {
  if (typeof value !== 'string' || value.length > TEXT_MAX) throw new Malformed();
  return value;
}

/** A whole number that is not negative. @throws if it is none */
export function asCount(value: unknown, max = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
    throw new Malformed();
  }
  return value as number;
}

/** A list of a peer. @throws if it is none */
export function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Malformed();
  return value;
}
