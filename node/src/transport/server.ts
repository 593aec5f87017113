/** The CQL server: accepts clients, shares limits among them, flushes their answers. */
import { Admission } from './admission.ts';
import { Connection } from './connection.ts';
import type { ServerContext } from './context.ts';
import type { ServerEvent } from './events.ts';
import { createMetrics, type TransportMetrics } from './metrics.ts';
import type { CqlServerOptions } from './options.ts';
import { WriterPool } from './output.ts';
import type {
  Authenticator,
  ByteStream,
  ClientConnection,
  RequestHandler,
  SocketAddress,
  StreamListener,
  TransportClock,
  TransportLogger,
} from './ports.ts';
import { FRAME_HEADER_BYTES } from './protocol.ts';

export interface CqlServerDeps {
  readonly listener: StreamListener;
  readonly clock: TransportClock;
  readonly logger: TransportLogger;
  readonly handler: RequestHandler;
  /** Null: everybody may. */
  readonly authenticator: Authenticator | null;
  /**
   * Arranges that `flush` is called soon, once: after the requests of this turn of the event loop
   * were answered. Called at most once until `flush` ran. Typically setImmediate, or a queue that the
   * handler drains before.
   */
  scheduleFlush(flush: () => void): void;
}

export interface CqlServer {
  readonly metrics: TransportMetrics;
  /** Starts to accept; resolves to the bound address. */
  start(): Promise<SocketAddress>;
  /** Sends every connection's answers now, one write each. */
  flush(): void;
  /** Sends `event` to the clients that registered for its type. */
  broadcast(event: ServerEvent): void;
  /** Other limits from now on, also for connections that there are. */
  configure(options: Partial<CqlServerOptions>): void;
  /** Clients past STARTUP. */
  connections(): Iterable<ClientConnection>;
  /**
   * Stops to accept and to read, waits until what is in flight is answered and sent, closes. After
   * `millis` what is left is closed at once. Resolves when every connection is gone.
   */
  drain(millis: number): Promise<void>;
}

const TICK_MILLIS = 1000;
const DRAIN_POLL_MILLIS = 50;

/** Creates the server; `start` opens it. */
export function createCqlServer(deps: CqlServerDeps, options: CqlServerOptions): CqlServer {
  return new Server(deps, options);
}

class Server implements CqlServer {
  readonly metrics = createMetrics();
  readonly #deps: CqlServerDeps;
  /** Shared with all connections: changed in place. */
  readonly #options: { -readonly [Name in keyof CqlServerOptions]: CqlServerOptions[Name] };
  readonly #context: ServerContext & { bodyBytesMax: number };
  readonly #admission: Admission;
  readonly #all = new Set<Connection>();
  readonly #ready = new Set<Connection>();
  /** Clients before the end of STARTUP and authentication, and when they are closed; the oldest first. */
  readonly #starting = new Map<Connection, number>();
  #lastId = 0;
  #draining = false;
  #stopTicks: (() => void) | null = null;
  #unflushed: Connection[] = [];
  #wakeRequested = false;
  #flushScheduled = false;
  readonly #flushNow = (): void => this.flush();

  constructor(deps: CqlServerDeps, options: CqlServerOptions) {
    this.#deps = deps;
    this.#options = { ...options };
    this.#admission = new Admission(this.#options, this.metrics);
    this.#context = {
      options: this.#options,
      bodyBytesMax: largestBody(options),
      metrics: this.metrics,
      admission: this.#admission,
      pool: new WriterPool(),
      handler: deps.handler,
      authenticator: deps.authenticator,
      clock: deps.clock,
      logger: deps.logger,
      requestFlush: (connection) => this.#requestFlush(connection),
      requestWake: () => this.#requestWake(),
      ready: (connection) => this.#becameReady(connection),
      gone: (connection) => this.#gone(connection),
    };
  }

  async start(): Promise<SocketAddress> {
    this.#stopTicks = this.#deps.clock.every(TICK_MILLIS, () => this.#tick());
    try {
      return await this.#deps.listener.listen(
        (stream) => this.#accept(stream),
        () => this.#countStartupTimeout('TLS handshake'),
      );
    } catch (error) {
      this.#stopTicks();
      throw error;
    }
  }

  connections(): Iterable<ClientConnection> {
    return this.#ready;
  }

  configure(options: Partial<CqlServerOptions>): void {
    Object.assign(this.#options, options);
    this.#context.bodyBytesMax = largestBody(this.#options);
    // There may be room now.
    this.#requestWake();
  }

  broadcast(event: ServerEvent): void {
    for (const connection of this.#ready) connection.notify(event);
  }

  flush(): void {
    this.#flushScheduled = false;
    const connections = this.#unflushed;
    this.#unflushed = [];
    for (const connection of connections) connection.flush();
    if (this.#wakeRequested) {
      this.#wakeRequested = false;
      this.#admission.wake();
    }
  }

  async drain(millis: number): Promise<void> {
    this.#draining = true;
    const closed = this.#deps.listener.close();
    const { clock } = this.#deps;
    const end = clock.nowMillis() + millis;
    for (const connection of this.#all) connection.close();
    await new Promise<void>((resolve) => {
      const poll = (): void => {
        if (clock.nowMillis() >= end) for (const connection of this.#all) connection.destroy();
        if (this.#all.size > 0) return;
        stop();
        resolve();
      };
      const stop = clock.every(DRAIN_POLL_MILLIS, poll);
      poll();
    });
    this.#stopTicks?.();
    await closed;
  }

  #accept(stream: ByteStream): void {
    if (this.#draining || this.#all.size >= this.#options.connectionsMax) {
      this.metrics.connectionsRefusedTotal++;
      stream.destroy();
      return;
    }
    this.metrics.connectionsTotal++;
    this.metrics.connectionsOpen++;
    const connection = new Connection(++this.#lastId, stream, this.#context);
    this.#all.add(connection);
    const { startupMillisMax } = this.#options;
    this.#starting.set(connection, this.#deps.clock.nowMillis() + startupMillisMax);
    stream.start(connection);
  }

  #becameReady(connection: Connection): void {
    this.#starting.delete(connection);
    this.#ready.add(connection);
    this.#deps.handler.opened?.(connection);
  }

  #gone(connection: Connection): void {
    this.#all.delete(connection);
    this.#starting.delete(connection);
    this.metrics.connectionsOpen--;
    if (this.#ready.delete(connection)) this.#deps.handler.closed?.(connection);
  }

  #requestFlush(connection: Connection): void {
    this.#unflushed.push(connection);
    this.#schedule();
  }

  #requestWake(): void {
    this.#wakeRequested = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#deps.scheduleFlush(this.#flushNow);
  }

  #tick(): void {
    const nowMillis = this.#deps.clock.nowMillis();
    for (const connection of this.#all) connection.tick(nowMillis);
    for (const [connection, dueMillis] of this.#starting) {
      if (nowMillis < dueMillis) break;
      this.#starting.delete(connection);
      this.#countStartupTimeout('STARTUP');
      connection.destroy();
    }
  }

  #countStartupTimeout(step: 'TLS handshake' | 'STARTUP'): void {
    this.metrics.startupTimeoutsTotal++;
    this.#deps.logger.debug('client did not start in time and is closed', { step });
  }
}

/** A frame must fit into what may be in flight, else it would wait for ever. */
function largestBody(options: CqlServerOptions): number {
  const inFlight = Math.min(options.connectionBytesMax, options.bytesMax) - FRAME_HEADER_BYTES;
  return Math.min(options.frameBytesMax, inFlight);
}
