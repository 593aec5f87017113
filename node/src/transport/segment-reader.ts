/**
 * Takes v5 segments apart and hands their payloads to a FrameReader. Little-endian:
 *
 *   plain  0-2 payload length (17 bits), self-contained (1) | 3-5 CRC24 | payload | CRC32
 *   LZ4    0-4 compressed length (17), uncompressed length (17; 0: payload as it is),
 *          self-contained (1) | 5-7 CRC24 | payload | CRC32 of the payload as sent
 *
 * Source: native protocol v5, 2.2.
 * @hot
 */
import { protocolError } from '../common/errors.ts';
import { segmentCrc24, segmentCrc32 } from './checksum.ts';
import { uncompressPayload } from './compression.ts';
import type { FrameReader } from './frame-reader.ts';

export const PAYLOAD_BYTES_MAX = 128 * 1024 - 1;
export const PLAIN_HEADER_BYTES = 6;
export const LZ4_HEADER_BYTES = 8;
export const TRAILER_BYTES = 4;

/** Reads segments; frames go to the reader given. */
export class SegmentReader {
  readonly #frames: FrameReader;
  readonly #compressed: boolean;
  readonly #headerBytes: number;
  /** The part of a segment that came. */
  #carry: Buffer | null = null;
  #carried = 0;
  /** What is left of a payload because the frame reader stopped. */
  #payload: Buffer | null = null;
  #payloadAt = 0;
  #payloadEnd = 0;
  #selfContained = true;
  /** Lengths of the header read last. */
  #sentBytes = 0;
  #plainBytes = 0;

  constructor(frames: FrameReader, compressed: boolean) {
    this.#frames = frames;
    this.#compressed = compressed;
    this.#headerBytes = compressed ? LZ4_HEADER_BYTES : PLAIN_HEADER_BYTES;
  }

  /** Whether a segment or a payload is not done with. */
  get pending(): boolean {
    return this.#carry !== null || this.#payload !== null;
  }

  /** Whether a payload waits for the frame reader. */
  get stopped(): boolean {
    return this.#payload !== null;
  }

  /** As FrameReader.read; `stopped` tells if a payload remains although all of `source` was taken. */
  read(source: Buffer, start: number, end: number): number {
    let at = start;
    if (!this.#drain()) return at;
    while (at < end) {
      at = this.#carry === null ? this.#next(source, at, end) : this.#continue(source, at, end);
      if (this.#payload !== null) break;
    }
    return at;
  }

  /** Hands on what is left of a payload; whether nothing is left. */
  #drain(): boolean {
    if (this.#payload === null) return true;
    const at = this.#frames.read(this.#payload, this.#payloadAt, this.#payloadEnd);
    if (at < this.#payloadEnd) {
      this.#payloadAt = at;
      return false;
    }
    this.#payload = null;
    if (this.#selfContained && this.#frames.pending) {
      throw protocolError('A self-contained segment ends within an envelope');
    }
    return true;
  }

  #next(source: Buffer, at: number, end: number): number {
    const have = end - at;
    if (have >= this.#headerBytes) {
      this.#parseHeader(source, at);
      const total = this.#totalBytes();
      if (have >= total) {
        this.#deliver(source, at);
        return at + total;
      }
      this.#carryOver(source, at, end, total);
    } else {
      this.#carryOver(source, at, end, this.#headerBytes);
    }
    return end;
  }

  #totalBytes(): number {
    return this.#headerBytes + this.#sentBytes + TRAILER_BYTES;
  }

  #carryOver(source: Buffer, at: number, end: number, capacity: number): void {
    const carry = Buffer.allocUnsafeSlow(capacity);
    source.copy(carry, 0, at, end);
    this.#carry = carry;
    this.#carried = end - at;
  }

  #continue(source: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#carried < this.#headerBytes) {
      at = this.#fill(source, at, end, this.#headerBytes);
      if (this.#carried < this.#headerBytes) return at;
      this.#parseHeader(this.#carry!, 0);
      this.#carryOver(this.#carry!, 0, this.#headerBytes, this.#totalBytes());
    }
    at = this.#fill(source, at, end, this.#totalBytes());
    if (this.#carried === this.#totalBytes()) {
      const segment = this.#carry!;
      this.#carry = null;
      this.#deliver(segment, 0);
    }
    return at;
  }

  #fill(source: Buffer, at: number, end: number, total: number): number {
    const count = Math.min(total - this.#carried, end - at);
    source.copy(this.#carry!, this.#carried, at, at + count);
    this.#carried += count;
    return at + count;
  }

  #parseHeader(source: Buffer, at: number): void {
    const bytes = this.#headerBytes - 3;
    const sent = source.readUIntLE(at + bytes, 3);
    const computed = segmentCrc24(source, at, bytes);
    if (sent !== computed) throw mismatch('header', sent, computed);
    this.#sentBytes = source.readUIntLE(at, 3) & PAYLOAD_BYTES_MAX;
    let rest = source[at + 2] >>> 1;
    if (this.#compressed) {
      rest |= (source[at + 3] << 7) | (source[at + 4] << 15);
      this.#plainBytes = rest & PAYLOAD_BYTES_MAX;
      rest >>>= 17;
    }
    this.#selfContained = (rest & 1) !== 0;
  }

  /** Checks the whole segment at `at` and hands its payload on. */
  #deliver(source: Buffer, at: number): void {
    const start = at + this.#headerBytes;
    const end = start + this.#sentBytes;
    const sent = source.readUInt32LE(end);
    const computed = segmentCrc32(source, start, end);
    if (sent !== computed) throw mismatch('body', sent, computed);
    if (this.#selfContained && this.#frames.pending) {
      throw protocolError('A self-contained segment begins within an envelope');
    }
    if (this.#compressed && this.#plainBytes > 0) {
      this.#payload = uncompressPayload(source, start, end, this.#plainBytes);
      this.#payloadAt = 0;
      this.#payloadEnd = this.#plainBytes;
    } else {
      this.#payload = source;
      this.#payloadAt = start;
      this.#payloadEnd = end;
    }
    this.#drain();
  }
}

function mismatch(part: 'header' | 'body', sent: number, computed: number): Error {
  return protocolError(
    `Invalid, unrecoverable CRC mismatch detected in frame ${part}. Read ${sent}, Computed ${computed}`,
  );
}
