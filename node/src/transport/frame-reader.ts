/**
 * Cuts a byte stream into frames (envelopes). A frame that lies whole in a received chunk is handed on
 * in place; of a frame that does not, the part that came is carried over.
 *
 *   0 version (bit 7: response) | 1 flags | 2-3 stream | 4 opcode | 5-8 body length | 9… body
 *
 * @hot
 */
import { readInt32 } from '../common/bytes.ts';
import { FRAME_HEADER_BYTES } from './protocol.ts';

/** 'stop': not now, ask again at the next `read`; 'skip': discard the frame. */
export type Admission = 'take' | 'skip' | 'stop';

/** Decides about frames and receives them; the header's fields are those of the reader. */
export interface FrameSink {
  /** Checks the first byte of a header that is not complete yet. Throws CqlError. */
  checkVersion(versionByte: number): void;
  /** Decides about the frame whose header was read. Throws CqlError. */
  admit(reader: FrameReader): Admission;
  /** Takes the frame's body in [start, end) of `source`, which the reader does not use again. */
  frame(reader: FrameReader, source: Buffer, start: number, end: number): void;
}

const CARRY_BYTES_MIN = 64 * 1024;

/** Reads frames for one sink; fields of the last header are public. */
export class FrameReader {
  versionByte = 0;
  flags = 0;
  /** Signed. */
  stream = 0;
  opcode = 0;
  /** Body length, unsigned. */
  bodyBytes = 0;
  /** The sink sets it to make `read` return after the present frame; `read` never clears it. */
  halted = false;

  readonly #sink: FrameSink;
  /** The frame that is not complete, from its header on; null if there is none. */
  #carry: Buffer | null = null;
  #carried = 0;
  #admitted = false;
  #toSkip = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Whether a frame has begun and not ended. */
  get pending(): boolean {
    return this.#carry !== null || this.#toSkip > 0;
  }

  /** Bytes of memory the incomplete frame holds. */
  get carriedBytes(): number {
    return this.#carry === null ? 0 : this.#carry.length;
  }

  /** Whether the incomplete frame was admitted: its header is known. */
  get admitted(): boolean {
    return this.#admitted;
  }

  /** Forgets the incomplete frame. */
  reset(): void {
    this.#carry = null;
    this.#carried = 0;
    this.#admitted = false;
    this.#toSkip = 0;
  }

  /** Reads from [start, end) of `source`; returns where it stopped: at `end` unless halted or told to. */
  read(source: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.halted) {
      if (this.#carry !== null) {
        const next = this.#continue(source, at, end);
        if (next < 0) return at;
        at = next;
      } else if (this.#toSkip > 0) {
        at = this.#discard(at, end);
      } else if (end - at < FRAME_HEADER_BYTES) {
        this.#sink.checkVersion(source[at]);
        this.#carryOver(source, at, end, FRAME_HEADER_BYTES);
        at = end;
      } else {
        this.#parseHeader(source, at);
        const admission = this.#sink.admit(this);
        if (admission === 'stop') return at;
        const total = FRAME_HEADER_BYTES + this.bodyBytes;
        if (admission === 'skip') {
          this.#toSkip = total;
        } else if (total <= end - at) {
          this.#sink.frame(this, source, at + FRAME_HEADER_BYTES, at + total);
          at += total;
        } else {
          this.#admitted = true;
          this.#carryOver(source, at, end, total);
          at = end;
        }
      }
    }
    return at;
  }

  #parseHeader(source: Buffer, at: number): void {
    this.versionByte = source[at];
    this.flags = source[at + 1];
    this.stream = ((source[at + 2] << 24) >> 16) | source[at + 3];
    this.opcode = source[at + 4];
    this.bodyBytes = readInt32(source, at + 5) >>> 0;
  }

  #discard(at: number, end: number): number {
    const count = Math.min(this.#toSkip, end - at);
    this.#toSkip -= count;
    return at + count;
  }

  #carryOver(source: Buffer, at: number, end: number, total: number): void {
    const have = end - at;
    const carry = Buffer.allocUnsafeSlow(Math.min(total, Math.max(CARRY_BYTES_MIN, 2 * have)));
    source.copy(carry, 0, at, end);
    this.#carry = carry;
    this.#carried = have;
  }

  /** Adds bytes to the incomplete frame; returns where it stopped, or -1 if told to stop. */
  #continue(source: Buffer, start: number, end: number): number {
    let at = start;
    if (!this.#admitted) {
      at = this.#fill(source, at, end, FRAME_HEADER_BYTES);
      if (this.#carried < FRAME_HEADER_BYTES) return at;
      const carry = this.#carry!;
      this.#parseHeader(carry, 0);
      const admission = this.#sink.admit(this);
      if (admission === 'stop') {
        // The header's last bytes are taken again at the next attempt.
        this.#carried -= at - start;
        return -1;
      }
      if (admission === 'skip') {
        this.reset();
        this.#toSkip = this.bodyBytes;
        return at;
      }
      this.#admitted = true;
    }
    const total = FRAME_HEADER_BYTES + this.bodyBytes;
    at = this.#fill(source, at, end, total);
    if (this.#carried === total) {
      const carry = this.#carry!;
      this.reset();
      this.#sink.frame(this, carry, FRAME_HEADER_BYTES, total);
    }
    return at;
  }

  /** Copies until `total` bytes are carried or the source ends. */
  #fill(source: Buffer, at: number, end: number, total: number): number {
    const count = Math.min(total - this.#carried, end - at);
    const needed = this.#carried + count;
    let carry = this.#carry!;
    if (needed > carry.length) {
      const capacity = Math.min(total, Math.max(needed, 2 * carry.length, CARRY_BYTES_MIN));
      const larger = Buffer.allocUnsafeSlow(capacity);
      carry.copy(larger, 0, 0, this.#carried);
      this.#carry = carry = larger;
    }
    source.copy(carry, this.#carried, at, at + count);
    this.#carried = needed;
    return at + count;
  }
}
