/** A world in memory for tests of the transport: streams, listener, clock, server and clients. */
import { type Answer, ClientCodec } from './client-codec.ts';
import type { CompressionName } from './compression.ts';
import { type CqlServerOptions, DEFAULT_OPTIONS } from './options.ts';
import type {
  Authenticator,
  ByteSink,
  ByteStream,
  ClientConnection,
  RequestHandler,
  SocketAddress,
  StreamListener,
  TransportClock,
} from './ports.ts';
import type { ProtocolVersion } from './protocol.ts';
import type { Request } from './request.ts';
import { type CqlServer, createCqlServer } from './server.ts';

/** The server's end of a connection in memory. What the server writes gathers in `sent`. */
export class MemoryStream implements ByteStream {
  readonly remote: SocketAddress = { address: '127.0.0.1', port: 40_000 };
  readonly local: SocketAddress = { address: '127.0.0.1', port: 9042 };
  readonly tls: ByteStream['tls'] = null;
  readonly sent: Buffer[] = [];
  writes = 0;
  paused = false;
  ended = false;
  destroyed = false;
  /** While set, writes are not completed: the client does not read. */
  stalled = false;
  #sink: ByteSink | null = null;
  #unfinished: (() => void)[] = [];
  #queue: Buffer[] = [];

  start(sink: ByteSink): void {
    this.#sink = sink;
  }

  write(bytes: Buffer, done: () => void): void {
    if (this.destroyed) return;
    this.writes++;
    this.sent.push(Buffer.from(bytes));
    if (this.stalled) this.#unfinished.push(done);
    else done();
  }

  /** The client reads on. */
  unstall(): void {
    this.stalled = false;
    const unfinished = this.#unfinished;
    this.#unfinished = [];
    for (const done of unfinished) done();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    while (!this.paused && this.#queue.length > 0) this.#sink!.onData(this.#queue.shift()!);
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.closedBy(null);
  }

  /** The connection is gone. */
  closedBy(error: Error | null): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#sink?.onClosed(error);
  }

  /** The client sends. */
  deliver(bytes: Buffer): void {
    if (this.paused) this.#queue.push(Buffer.from(bytes));
    else this.#sink!.onData(Buffer.from(bytes));
  }

  /** The client closes its side. */
  deliverEnd(): void {
    this.#sink!.onEnd();
  }

  /** What the server sent since the last call. */
  takeSent(): Buffer {
    return Buffer.concat(this.sent.splice(0));
  }
}

/** Time that moves when told. */
export class ManualClock implements TransportClock {
  #nowMillis = 1000;
  readonly #timers = new Set<{ millis: number; run: () => void; next: number }>();

  nowMillis(): number {
    return this.#nowMillis;
  }

  every(millis: number, run: () => void): () => void {
    const timer = { millis, run, next: this.#nowMillis + millis };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(millis: number): void {
    const end = this.#nowMillis + millis;
    while (this.#nowMillis < end) {
      const next = Math.min(end, ...[...this.#timers].map((timer) => timer.next));
      this.#nowMillis = next;
      for (const timer of [...this.#timers]) {
        if (timer.next > next) continue;
        timer.next += timer.millis;
        timer.run();
      }
    }
  }
}

/** A client over a MemoryStream; answers gather in `answers`. */
export class MemoryClient {
  readonly stream = new MemoryStream();
  readonly codec: ClientCodec;
  readonly answers: Answer[] = [];
  readonly #world: MemoryWorld;

  constructor(world: MemoryWorld, version: ProtocolVersion, compression: CompressionName | null) {
    this.#world = world;
    this.codec = new ClientCodec(version, compression, (answer) => {
      this.answers.push({ ...answer, body: Buffer.from(answer.body) });
    });
    world.accept(this.stream);
  }

  /** Sends what the codec wrote, runs the server's flush, takes its answers. */
  exchange(): Answer[] {
    const bytes = this.codec.take();
    if (bytes !== null) this.stream.deliver(bytes);
    return this.poll();
  }

  /** Takes what the server answered by now. */
  poll(): Answer[] {
    this.#world.flush();
    this.codec.receive(this.stream.takeSent());
    return this.answers.splice(0);
  }
}

/** A request that waits for its answer. */
export interface HeldRequest {
  readonly request: Request;
  readonly connection: ClientConnection;
}

/** A server whose handler holds every request until the test answers it. */
export class MemoryWorld implements StreamListener, RequestHandler {
  readonly clock = new ManualClock();
  readonly held: HeldRequest[] = [];
  /** Clients opened and closed, as the handler saw them. */
  readonly seen: string[] = [];
  readonly logged: { readonly message: string; readonly fields: object }[] = [];
  /** Messages of level debug. */
  readonly details: string[] = [];
  readonly server: CqlServer;
  /** Called for each request; by default it is held. */
  onRequest: (request: Request, connection: ClientConnection) => void;
  listening = false;
  /** A client does not complete its TLS handshake. */
  handshakeTimeout = (): void => {};
  #accept: ((stream: ByteStream) => void) | null = null;
  #scheduled: (() => void) | null = null;

  constructor(options: Partial<CqlServerOptions> = {}, authenticator: Authenticator | null = null) {
    this.onRequest = (request, connection) => this.held.push({ request, connection });
    const log = (message: string, fields: object): void => {
      this.logged.push({ message, fields });
    };
    this.server = createCqlServer(
      {
        listener: this,
        clock: this.clock,
        logger: { debug: (message) => this.details.push(message), warn: log, error: log },
        handler: this,
        authenticator,
        scheduleFlush: (flush) => {
          this.#scheduled = flush;
        },
      },
      { ...DEFAULT_OPTIONS, ...options },
    );
    this.server.start();
  }

  listen(
    onStream: (stream: ByteStream) => void,
    onHandshakeTimeout: () => void,
  ): Promise<SocketAddress> {
    this.listening = true;
    this.#accept = onStream;
    this.handshakeTimeout = onHandshakeTimeout;
    return Promise.resolve({ address: '127.0.0.1', port: 9042 });
  }

  close(): Promise<void> {
    this.listening = false;
    return Promise.resolve();
  }

  handle(request: Request, connection: ClientConnection): void {
    this.onRequest(request, connection);
  }

  opened(connection: ClientConnection): void {
    this.seen.push(`opened ${connection.id}`);
  }

  closed(connection: ClientConnection): void {
    this.seen.push(`closed ${connection.id}`);
  }

  accept(stream: MemoryStream): void {
    this.#accept!(stream);
  }

  /** Runs scheduled flushes until there are none. */
  flush(): void {
    while (this.#scheduled !== null) {
      const flush = this.#scheduled;
      this.#scheduled = null;
      flush();
    }
  }

  /** A client past STARTUP. */
  client(
    version: ProtocolVersion = 4,
    compression: CompressionName | null = null,
    startup: Readonly<Record<string, string>> = {},
  ): MemoryClient {
    const client = new MemoryClient(this, version, compression);
    client.codec.startup(0, startup);
    client.exchange();
    return client;
  }
}
