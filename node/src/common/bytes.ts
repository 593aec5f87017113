/**
 * Byte helpers of the hot paths: a growing big-endian writer, a bounds-checked reader, comparison.
 * @hot
 */
import { protocolError } from './errors.ts';

const EMPTY = Buffer.alloc(0);
const BIGINT_BITS = new BigInt64Array(1);
const BIGINT_WORDS = new Int32Array(BIGINT_BITS.buffer);
const FLOAT = new DataView(new ArrayBuffer(8));

/** The high 32 bits of a 64-bit integer, signed. Higher bits are cut. */
export function highWord(value: bigint): number {
  BIGINT_BITS[0] = value;
  return BIGINT_WORDS[1];
}

/** The low 32 bits of a 64-bit integer, signed. */
export function lowWord(value: bigint): number {
  BIGINT_BITS[0] = value;
  return BIGINT_WORDS[0];
}

/** The signed 64-bit integer of two 32-bit halves. */
export function joinWords(high: number, low: number): bigint {
  BIGINT_WORDS[0] = low;
  BIGINT_WORDS[1] = high;
  return BIGINT_BITS[0];
}

/** A zero-length value. */
export function emptyBytes(): Buffer {
  return EMPTY;
}

/** A Buffer view on the same memory (the argument itself if it is one). */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Signed big-endian int32 at `at`; the caller checks bounds. */
export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

/** Signed big-endian int64 at `at`; the caller checks bounds. */
export function readInt64(bytes: Uint8Array, at: number): bigint {
  return joinWords(readInt32(bytes, at), readInt32(bytes, at + 4));
}

/** Writes a big-endian int32 at `at`; the caller checks bounds. */
export function writeInt32(target: Uint8Array, value: number, at: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

/** Bytewise unsigned order, a prefix first: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  if (length > 64) return Buffer.compare(a, b);
  for (let i = 0; i < length; i++) {
    const difference = a[i] - b[i];
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Whether two byte strings are the same. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/**
 * Collects bytes, growing as needed. Integers are big-endian. Reuse one with `reset()`; `view()` is
 * then only valid until the next reset or write, `copy()` for ever.
 */
export class Writer {
  /** The memory being written; changes when it grows. */
  buffer: Buffer;
  /** Bytes written so far: where the next one goes. */
  length: number;

  constructor(capacityBytes = 256) {
    this.buffer = Buffer.allocUnsafe(Math.max(capacityBytes, 16));
    this.length = 0;
  }

  reset(): void {
    this.length = 0;
  }

  /** Makes room for `count` more bytes and moves past them; returns where they start. */
  reserve(count: number): number {
    const start = this.length;
    const end = start + count;
    if (end > this.buffer.length) this.#grow(end);
    this.length = end;
    return start;
  }

  #grow(needed: number): void {
    const capacity = Math.max(needed, this.buffer.length * 2);
    const next = Buffer.allocUnsafe(capacity);
    next.set(this.buffer.subarray(0, this.length));
    this.buffer = next;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.buffer[at] = value;
  }

  u16(value: number): void {
    const at = this.reserve(2);
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  /** Also for unsigned values: the low 32 bits are written. */
  i32(value: number): void {
    const at = this.reserve(4);
    writeInt32(this.buffer, value, at);
  }

  /** A 64-bit integer from two 32-bit halves. */
  i64(high: number, low: number): void {
    const at = this.reserve(8);
    writeInt32(this.buffer, high, at);
    writeInt32(this.buffer, low, at + 4);
  }

  bigint64(value: bigint): void {
    BIGINT_BITS[0] = value;
    this.i64(BIGINT_WORDS[1], BIGINT_WORDS[0]);
  }

  f32(value: number): void {
    FLOAT.setFloat32(0, value);
    this.i32(FLOAT.getInt32(0));
  }

  f64(value: number): void {
    FLOAT.setFloat64(0, value);
    this.i64(FLOAT.getInt32(0), FLOAT.getInt32(4));
  }

  /** The bytes as they are, without a length. */
  raw(bytes: Uint8Array): void {
    const count = bytes.length;
    const at = this.reserve(count);
    const target = this.buffer;
    if (count > 32) {
      target.set(bytes, at);
      return;
    }
    for (let i = 0; i < count; i++) target[at + i] = bytes[i];
  }

  /** The bytes of `source` in [start, end). */
  slice(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    const at = this.reserve(count);
    const target = this.buffer;
    if (count > 32) {
      target.set(source.subarray(start, end), at);
      return;
    }
    for (let i = 0; i < count; i++) target[at + i] = source[start + i];
  }

  /** Text as UTF-8, without a length; returns the number of bytes. */
  utf8(text: string): number {
    const at = this.reserve(text.length * 3);
    const written = this.buffer.write(text, at, 'utf8');
    this.length = at + written;
    return written;
  }

  /** [string]: u16 length and UTF-8; at most 65,535 bytes, longer ones are cut at a character. */
  string(text: string): void {
    const at = this.reserve(2);
    let written = this.utf8(text);
    if (written > 0xffff) {
      const cut = utf8Boundary(this.buffer, at + 2, 0xffff);
      written = cut;
      this.length = at + 2 + cut;
    }
    this.buffer[at] = written >>> 8;
    this.buffer[at + 1] = written;
  }

  /** [long string]: i32 length and UTF-8. */
  longString(text: string): void {
    const at = this.reserve(4);
    const written = this.utf8(text);
    writeInt32(this.buffer, written, at);
  }

  /** [string list]: u16 count, then each. */
  stringList(texts: readonly string[]): void {
    this.u16(texts.length);
    for (const text of texts) this.string(text);
  }

  /** [bytes]: i32 length and bytes; null is length -1. */
  bytes(value: Uint8Array | null): void {
    if (value === null) {
      this.i32(-1);
      return;
    }
    this.i32(value.length);
    this.raw(value);
  }

  /** [short bytes]: u16 length and bytes. */
  shortBytes(value: Uint8Array): void {
    this.u16(value.length);
    this.raw(value);
  }

  /** Unsigned LEB128 of a 32-bit integer (the record format's `varint`). */
  varint(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  patchU16(at: number, value: number): void {
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  patchI32(at: number, value: number): void {
    writeInt32(this.buffer, value, at);
  }

  /** What was written from `start` on, as a view that the next write may invalidate. */
  view(start = 0): Buffer {
    return this.buffer.subarray(start, this.length);
  }

  /** What was written from `start` on, copied. */
  copy(start = 0): Buffer {
    const copy = Buffer.allocUnsafe(this.length - start);
    this.buffer.copy(copy, 0, start, this.length);
    return copy;
  }
}

/** Bytes of the longest whole-character UTF-8 prefix of at most `limit` bytes from `start`. */
function utf8Boundary(buffer: Uint8Array, start: number, limit: number): number {
  let count = limit;
  while (count > 0 && (buffer[start + count] & 0xc0) === 0x80) count--;
  return count;
}

/**
 * Reads big-endian fields from borrowed bytes; byte fields come back as views on them.
 * Anything cut short or with an impossible length is a ProtocolError.
 */
export class Reader {
  readonly buffer: Buffer;
  /** Where the next field starts. */
  offset: number;
  /** One past the last readable byte. */
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.buffer = asBuffer(bytes);
    this.offset = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  /** Moves past `count` bytes; returns where they start. */
  take(count: number): number {
    const at = this.offset;
    if (count < 0 || count > this.end - at) {
      throw protocolError(
        `Message ends too early: ${count} bytes expected, ${this.end - at} are left`,
      );
    }
    this.offset = at + count;
    return at;
  }

  u8(): number {
    return this.buffer[this.take(1)];
  }

  u16(): number {
    const at = this.take(2);
    return (this.buffer[at] << 8) | this.buffer[at + 1];
  }

  i32(): number {
    return readInt32(this.buffer, this.take(4));
  }

  u32(): number {
    return readInt32(this.buffer, this.take(4)) >>> 0;
  }

  i64(): bigint {
    return readInt64(this.buffer, this.take(8));
  }

  /** `count` bytes as a view. */
  raw(count: number): Buffer {
    const at = this.take(count);
    return this.buffer.subarray(at, at + count);
  }

  /** [string]. */
  string(): string {
    return this.#text(this.u16());
  }

  /** [long string]. */
  longString(): string {
    return this.#text(this.i32());
  }

  #text(count: number): string {
    const at = this.take(count);
    return this.buffer.toString('utf8', at, at + count);
  }

  /** [string list]. */
  stringList(): string[] {
    const count = this.u16();
    const list: string[] = [];
    for (let i = 0; i < count; i++) list.push(this.string());
    return list;
  }

  /** [string map]. */
  stringMap(): Map<string, string> {
    const count = this.u16();
    const map = new Map<string, string>();
    for (let i = 0; i < count; i++) {
      const key = this.string();
      map.set(key, this.string());
    }
    return map;
  }

  /** [bytes]: a view, or null for a negative length. */
  bytes(): Buffer | null {
    const count = this.i32();
    return count < 0 ? null : this.raw(count);
  }

  /** [value]: a view, null for length -1, undefined (not set) for length -2. */
  value(): Buffer | null | undefined {
    const count = this.i32();
    if (count >= 0) return this.raw(count);
    if (count === -1) return null;
    if (count === -2) return undefined;
    throw protocolError(`Invalid ByteBuf length ${count}`);
  }

  /** [short bytes]: a view. */
  shortBytes(): Buffer {
    return this.raw(this.u16());
  }

  /** Unsigned LEB128 of at most 32 bits. */
  varint(): number {
    let result = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      if (shift === 28 && byte > 0x0f) break;
      result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return result >>> 0;
    }
    throw protocolError('Variable-length integer is too long');
  }
}
