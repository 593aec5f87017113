/**
 * The input side of a connection: chunks that came, where reading stopped in them, and whether the
 * stream is to deliver more.
 * @hot
 */
import type { FrameReader } from './frame-reader.ts';
import type { TransportMetrics } from './metrics.ts';
import type { ByteStream, TransportClock } from './ports.ts';
import { SegmentReader } from './segment-reader.ts';

const BYTES_PER_MILLI_MIN = 64;
const NONE = -1;

export interface InputDeps {
  readonly stream: ByteStream;
  readonly frames: FrameReader;
  readonly clock: TransportClock;
  readonly metrics: TransportMetrics;
  /** What reading threw. */
  failed(error: unknown): void;
  /** The peer ended and everything it sent was read. */
  exhausted(): void;
}

/** Feeds a connection's FrameReader. */
export class Input {
  /** Monotonic time of the chunk being read, milliseconds. */
  receivedMillis = 0;
  /** Nothing is read while set; `unblock` clears it. */
  blocked = false;
  /** Frames read so far. */
  framesCount = 0;

  readonly #deps: InputDeps;
  #segments: SegmentReader | null = null;
  /** Chunks not wholly read, and where the first goes on. */
  readonly #backlog: Buffer[] = [];
  #backlogAt = 0;
  #reading = false;
  #paused = false;
  #stopped = false;
  #ended = false;
  /** Since when the incomplete frame is awaited, and the number of frames before it. */
  #partialSinceMillis = 0;
  #partialFrames = NONE;

  constructor(deps: InputDeps) {
    this.#deps = deps;
  }

  /** Whether frames come in v5 segments. */
  get segmented(): boolean {
    return this.#segments !== null;
  }

  /** What follows the present frame comes in segments. */
  expectSegments(compressed: boolean): void {
    this.#segments = new SegmentReader(this.#deps.frames, compressed);
    this.#deps.frames.halted = true;
  }

  /** Stops reading after the present frame. */
  block(): void {
    this.blocked = true;
    this.#deps.frames.halted = true;
  }

  unblock(): void {
    this.blocked = false;
    this.#read();
  }

  receive(chunk: Buffer): void {
    if (this.#stopped) return;
    this.#backlog.push(chunk);
    if (this.blocked) {
      // What is waited for began with the last byte read: nothing was in the way until now.
      this.#setPaused(true);
      return;
    }
    this.receivedMillis = this.#deps.clock.nowMillis();
    this.#read();
  }

  /** The peer sends no more. */
  end(): void {
    this.#ended = true;
    if (this.#backlog.length === 0) this.#deps.exhausted();
  }

  /** Lets go of what was not read; what still comes is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#backlog.length = 0;
    this.#backlogAt = 0;
    this.#partialFrames = NONE;
    this.#deps.frames.halted = true;
    this.#deps.frames.reset();
  }

  /** Has the stream deliver what still comes, so that its end is seen. */
  drop(): void {
    this.#setPaused(false);
  }

  /** Whether a frame has been awaited for longer than `stallMillis` and its size allow. */
  stalled(nowMillis: number, stallMillis: number): boolean {
    if (this.#partialFrames !== this.framesCount) return false;
    const { frames } = this.#deps;
    const allowed = stallMillis + (frames.admitted ? frames.bodyBytes / BYTES_PER_MILLI_MIN : 0);
    return nowMillis - this.#partialSinceMillis > allowed;
  }

  /** Reads the backlog until it is empty or something is in the way. */
  #read(): void {
    if (this.#reading || this.#stopped) return;
    this.#reading = true;
    try {
      while (this.#backlog.length > 0 && !this.blocked) this.#readChunk();
    } catch (error) {
      this.#deps.failed(error);
    } finally {
      this.#reading = false;
    }
    if (this.#stopped) return;
    this.#markPartial();
    this.#setPaused(this.#backlog.length > 0);
    if (this.#ended && this.#backlog.length === 0) this.#deps.exhausted();
  }

  #readChunk(): void {
    const chunk = this.#backlog[0];
    this.#deps.frames.halted = false;
    const segments = this.#segments;
    const reader = segments ?? this.#deps.frames;
    const at = reader.read(chunk, this.#backlogAt, chunk.length);
    if (this.#stopped) return;
    if (at === chunk.length && (segments === null || !segments.stopped)) {
      this.#backlog.shift();
      this.#backlogAt = 0;
    } else {
      this.#backlogAt = at;
    }
  }

  #markPartial(): void {
    const pending = this.#deps.frames.pending || (this.#segments?.pending ?? false);
    if (this.blocked || !pending) {
      this.#partialFrames = NONE;
    } else if (this.#partialFrames !== this.framesCount) {
      this.#partialFrames = this.framesCount;
      this.#partialSinceMillis = this.#deps.clock.nowMillis();
    }
  }

  #setPaused(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    if (paused) {
      this.#deps.metrics.pausesTotal++;
      this.#deps.stream.pause();
    } else {
      this.#deps.stream.resume();
    }
  }
}
