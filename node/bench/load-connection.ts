/** A connection of the load generator with a number of requests in flight. */
import { connect, type Socket } from 'node:net';
import type { Endpoint } from './client.ts';
import { errorText, frame, HEADER_BYTES, Opcode, STARTUP_BODY } from './frames.ts';

const READ_BYTES = 1 << 18;
const NOTHING = Buffer.alloc(0);

export interface LoadEvents {
  /** Copies the next request to `at` of `target`. @returns its end */
  write(target: Buffer, at: number, stream: number): number;
  onAnswer(sentMillis: number, nowMillis: number, bodyBytes: number): void;
  onError(text: string): void;
  /** Whether there is a next request. */
  mayIssue(): boolean;
}

export interface LoadShape {
  /** Requests in flight at most. */
  readonly streams: number;
  readonly requestBytesMax: number;
  /** Paced: requests are sent by `issue`; otherwise each answer is followed by the next request. */
  readonly isPaced: boolean;
}

export class LoadConnection {
  inFlight = 0;
  private readonly socket: Socket;
  private readonly shape: LoadShape;
  private readonly events: LoadEvents;
  private readonly sent: Float64Array;
  private readonly free: number[];
  private output: Buffer;
  private outputEnd = 0;
  /** The begin of a frame whose rest has not come yet. */
  private rest: Buffer = NOTHING;
  private readonly ready: Promise<void>;
  private onReady: (() => void) | null = null;

  private constructor(at: Endpoint, shape: LoadShape, events: LoadEvents) {
    this.shape = shape;
    this.events = events;
    this.sent = new Float64Array(shape.streams);
    this.free = Array.from({ length: shape.streams }, (_, index) => shape.streams - 1 - index);
    this.output = this.newOutput();
    this.ready = new Promise((resolve) => {
      this.onReady = resolve;
    });
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const callback = (length: number) => {
      this.take(buffer.subarray(0, length));
      return true;
    };
    this.socket = connect({
      host: at.host,
      port: at.port,
      noDelay: true,
      onread: { buffer, callback },
    });
    this.socket.on('error', (error) => events.onError(String(error)));
    this.socket.write(frame(Opcode.Startup, 0, STARTUP_BODY));
  }

  static async connect(
    at: Endpoint,
    shape: LoadShape,
    events: LoadEvents,
  ): Promise<LoadConnection> {
    const connection = new LoadConnection(at, shape, events);
    await connection.ready;
    return connection;
  }

  private newOutput(): Buffer {
    return Buffer.allocUnsafe(this.shape.streams * this.shape.requestBytesMax);
  }

  private take(chunk: Buffer): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const now = performance.now();
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const bodyBytes = bytes.readUInt32BE(at + 5);
      const end = at + HEADER_BYTES + bodyBytes;
      if (end > bytes.length) break;
      if (this.onReady !== null) this.becomeReady();
      else this.answer(bytes, at, now, bodyBytes);
      at = end;
    }
    this.rest = at === bytes.length ? NOTHING : Buffer.from(bytes.subarray(at));
    this.flush();
  }

  private becomeReady(): void {
    this.onReady?.();
    this.onReady = null;
  }

  private answer(bytes: Buffer, at: number, now: number, bodyBytes: number): void {
    const stream = (bytes[at + 2] << 8) | bytes[at + 3];
    if (bytes[at + 4] === Opcode.Error) {
      this.events.onError(errorText(bytes.subarray(at + HEADER_BYTES)));
    }
    this.events.onAnswer(this.sent[stream], now, bodyBytes);
    this.inFlight--;
    if (!this.shape.isPaced && this.events.mayIssue()) this.put(stream, now);
    else this.free.push(stream);
  }

  private put(stream: number, sentMillis: number): void {
    this.sent[stream] = sentMillis;
    this.outputEnd = this.events.write(this.output, this.outputEnd, stream);
    this.inFlight++;
  }

  /** @param sentMillis when it was due @returns false if as many are in flight as may be */
  issue(sentMillis: number): boolean {
    const stream = this.free.pop();
    if (stream === undefined) return false;
    this.put(stream, sentMillis);
    return true;
  }

  issueAll(): void {
    while (this.events.mayIssue() && this.issue(performance.now()));
    this.flush();
  }

  flush(): void {
    if (this.outputEnd === 0) return;
    this.socket.write(this.output.subarray(0, this.outputEnd));
    this.outputEnd = 0;
    // Not yet sent: the socket keeps the bytes.
    if (this.socket.writableLength > 0) this.output = this.newOutput();
  }

  close(): void {
    this.socket.destroy();
  }
}
