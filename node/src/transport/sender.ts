/**
 * Hands a connection's output to its stream: one write at a time, so that what is answered while one
 * is under way leaves with the next.
 * @hot
 */
import type { Writer } from '../common/bytes.ts';
import type { TransportMetrics } from './metrics.ts';
import type { Output, WriterPool } from './output.ts';
import type { ByteStream, TransportClock } from './ports.ts';

export interface SenderDeps {
  readonly stream: ByteStream;
  readonly output: Output;
  readonly pool: WriterPool;
  readonly metrics: TransportMetrics;
  readonly clock: TransportClock;
  /** Called when a write is done and nothing is under way. */
  sent(): void;
}

/** The writes of one connection. */
export class Sender {
  readonly #deps: SenderDeps;
  #writing: Writer | null = null;
  #writingSinceMillis = 0;
  #stopped = false;
  readonly #done = (): void => this.#finish();

  constructor(deps: SenderDeps) {
    this.#deps = deps;
  }

  /** Bytes written by the connection and not taken by the kernel yet. */
  get unsentBytes(): number {
    return this.#deps.output.bytes + (this.#writing === null ? 0 : this.#writing.length);
  }

  /** Whether everything was sent. */
  get idle(): boolean {
    return this.#writing === null && this.#deps.output.bytes === 0;
  }

  /** How long the write under way has lasted; 0 without one. */
  stalledMillis(nowMillis: number): number {
    return this.#writing === null ? 0 : nowMillis - this.#writingSinceMillis;
  }

  /** Sends what there is, unless a write is under way: then it goes after that. */
  flush(): void {
    if (this.#writing !== null || this.#stopped) return;
    const { output, metrics, stream, clock } = this.#deps;
    const writer = output.take();
    if (writer === null) return;
    this.#writing = writer;
    this.#writingSinceMillis = clock.nowMillis();
    metrics.flushesTotal++;
    metrics.bytesSentTotal += writer.length;
    stream.write(writer.view(), this.#done);
  }

  /** The stream is gone: nothing is sent any more. */
  stop(): void {
    this.#stopped = true;
    this.#writing = null;
    this.discard();
  }

  /** Throws away what was not handed to the stream. */
  discard(): void {
    const writer = this.#deps.output.take();
    if (writer !== null) this.#deps.pool.give(writer);
  }

  #finish(): void {
    const writer = this.#writing;
    if (writer === null) return;
    this.#writing = null;
    this.#deps.pool.give(writer);
    this.flush();
    if (this.#writing === null) this.#deps.sent();
  }
}
