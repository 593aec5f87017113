/**
 * The output side of a connection: frames are written one behind the other into a pooled writer, which
 * a flush hands to the stream as one piece. In v5 they are put in segments on the way.
 * @hot
 */
import { Writer, writeInt32 } from '../common/bytes.ts';
import { segmentCrc24, segmentCrc32 } from './checksum.ts';
import { type CompressionName, compressBody, compressPayload } from './compression.ts';
import { FRAME_HEADER_BYTES, FrameFlag } from './protocol.ts';
import {
  LZ4_HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  PLAIN_HEADER_BYTES,
  TRAILER_BYTES,
} from './segment-reader.ts';

const WRITER_BYTES = 16 * 1024;
const POOLED_WRITER_BYTES_MAX = 256 * 1024;
const POOLED_WRITERS_MAX = 32;
/** Compressing less than this gains nothing. */
const COMPRESS_BYTES_MIN = 128;
const NO_SEGMENT = -1;

/** Writers that no connection uses now; idle connections hold none. */
export class WriterPool {
  readonly #free: Writer[] = [];

  take(): Writer {
    return this.#free.pop() ?? new Writer(WRITER_BYTES);
  }

  give(writer: Writer): void {
    if (this.#free.length >= POOLED_WRITERS_MAX) return;
    if (writer.buffer.length > POOLED_WRITER_BYTES_MAX) return;
    writer.reset();
    this.#free.push(writer);
  }
}

/** Collects the frames of one connection (either side). */
export class Output {
  readonly #pool: WriterPool;
  #writer: Writer | null = null;
  /** Where the open frame begins. */
  #frameStart = 0;
  /** Where the open segment's header is. */
  #segmentStart = NO_SEGMENT;
  #segmented = false;
  #compression: CompressionName | null = null;

  constructor(pool: WriterPool) {
    this.#pool = pool;
  }

  /** Bytes that wait for a flush. */
  get bytes(): number {
    return this.#writer === null ? 0 : this.#writer.length;
  }

  /** From the next frame on: v5 segments or bare frames, compressed or not. */
  configure(segmented: boolean, compression: CompressionName | null): void {
    this.#segmented = segmented;
    this.#compression = compression;
  }

  /** Starts a frame; the body goes to the writer returned. `versionByte` as in the header. */
  open(versionByte: number, flags: number, stream: number, opcode: number): Writer {
    const writer = (this.#writer ??= this.#pool.take());
    if (this.#segmented && this.#segmentStart === NO_SEGMENT) this.#openSegment(writer);
    const at = writer.reserve(FRAME_HEADER_BYTES);
    const buffer = writer.buffer;
    buffer[at] = versionByte;
    buffer[at + 1] = flags;
    buffer[at + 2] = stream >> 8;
    buffer[at + 3] = stream;
    buffer[at + 4] = opcode;
    this.#frameStart = at;
    return writer;
  }

  /** Drops the open frame. */
  abandon(): void {
    this.#writer!.length = this.#frameStart;
  }

  /** Completes the open frame. */
  close(): void {
    const writer = this.#writer!;
    const at = this.#frameStart;
    if (this.#compression !== null && !this.#segmented) this.#compressFrame(writer, at);
    const bodyBytes = writer.length - at - FRAME_HEADER_BYTES;
    writeInt32(writer.buffer, bodyBytes, at + 5);
    if (this.#segmentStart !== NO_SEGMENT && this.#payloadBytes(writer) > PAYLOAD_BYTES_MAX) {
      this.#overflow(writer, at);
    }
  }

  /**
   * Takes what was written, or null if nothing was. The caller gives the writer back to the pool when
   * its bytes have been sent.
   */
  take(): Writer | null {
    const writer = this.#writer;
    if (writer === null) return null;
    if (this.#segmentStart !== NO_SEGMENT) {
      if (this.#payloadBytes(writer) > 0) this.#sealSegment(writer, true);
      else writer.length = this.#segmentStart;
      this.#segmentStart = NO_SEGMENT;
    }
    this.#writer = null;
    if (writer.length > 0) return writer;
    this.#pool.give(writer);
    return null;
  }

  #compressFrame(writer: Writer, at: number): void {
    const bodyStart = at + FRAME_HEADER_BYTES;
    const bodyBytes = writer.length - bodyStart;
    if (bodyBytes < COMPRESS_BYTES_MIN) return;
    const compressed = compressBody(this.#compression!, writer.view(bodyStart));
    if (compressed.length >= bodyBytes) return;
    writer.length = bodyStart;
    writer.raw(compressed);
    writer.buffer[at + 1] |= FrameFlag.Compressed;
  }

  get #headerBytes(): number {
    return this.#compression === null ? PLAIN_HEADER_BYTES : LZ4_HEADER_BYTES;
  }

  #payloadBytes(writer: Writer): number {
    return writer.length - this.#segmentStart - this.#headerBytes;
  }

  #openSegment(writer: Writer): void {
    this.#segmentStart = writer.reserve(this.#headerBytes);
  }

  /** The frame at `at` does not fit into the segment: it begins another one, or gets several. */
  #overflow(writer: Writer, at: number): void {
    const frame = writer.copy(at);
    writer.length = at;
    if (this.#payloadBytes(writer) > 0) {
      this.#sealSegment(writer, true);
      this.#openSegment(writer);
    }
    if (frame.length <= PAYLOAD_BYTES_MAX) {
      writer.raw(frame);
      return;
    }
    for (let start = 0; start < frame.length; start += PAYLOAD_BYTES_MAX) {
      if (start > 0) this.#openSegment(writer);
      writer.slice(frame, start, Math.min(frame.length, start + PAYLOAD_BYTES_MAX));
      this.#sealSegment(writer, false);
    }
    this.#segmentStart = NO_SEGMENT;
  }

  /** Fills in header and trailer of the open segment. */
  #sealSegment(writer: Writer, selfContained: boolean): void {
    const at = this.#segmentStart;
    const payloadStart = at + this.#headerBytes;
    const plainBytes = writer.length - payloadStart;
    if (this.#compression === null) {
      const word = plainBytes | (selfContained ? 1 << 17 : 0);
      writer.buffer.writeUIntLE(word, at, 3);
    } else {
      this.#compressSegment(writer, plainBytes, selfContained);
    }
    const headerBytes = this.#headerBytes - 3;
    const crc24 = segmentCrc24(writer.buffer, at, headerBytes);
    writer.buffer.writeUIntLE(crc24, at + headerBytes, 3);
    const crc32 = segmentCrc32(writer.buffer, payloadStart, writer.length);
    const trailer = writer.reserve(TRAILER_BYTES);
    writer.buffer.writeUInt32LE(crc32, trailer);
  }

  #compressSegment(writer: Writer, plainBytes: number, selfContained: boolean): void {
    const at = this.#segmentStart;
    const payloadStart = at + LZ4_HEADER_BYTES;
    let sentBytes = plainBytes;
    let statedBytes = 0;
    if (plainBytes >= COMPRESS_BYTES_MIN) {
      const compressed = compressPayload(writer.view(payloadStart));
      if (compressed.length < plainBytes) {
        writer.length = payloadStart;
        writer.raw(compressed);
        sentBytes = compressed.length;
        statedBytes = plainBytes;
      }
    }
    const buffer = writer.buffer;
    buffer.writeUIntLE(sentBytes | ((statedBytes & 0x7f) << 17), at, 3);
    buffer.writeUInt16LE((statedBytes >>> 7) | (selfContained ? 1 << 10 : 0), at + 3);
  }
}
