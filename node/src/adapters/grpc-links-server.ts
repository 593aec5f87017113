/**
 * The side of the links that listens, over gRPC. Whoever reaches the port can connect: connections are bounded, those that
 * carry no link are closed after a while, and the oldest of them at once when there are too many.
 */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import type { AcceptStream, LinkLogger } from '../internode/carrier.ts';
import { QuietLog } from '../internode/quiet-log.ts';
import { grpcLibrary } from './grpc-library.ts';
import { channelOptions, type GrpcLinkOptions, PacketStream } from './grpc-links.ts';
import { type ExchangeMethod, loadInternodeService } from './grpc-links-service.ts';
import {
  explainIncoming,
  refusalOfClient,
  secureContextOf,
  tlsServerOptions,
} from './grpc-links-tls.ts';

export interface GrpcLinkServerOptions extends GrpcLinkOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Workers share the port; the kernel spreads connections. */
  readonly reusePort: boolean;
  readonly accept: AcceptStream;
  readonly log: LinkLogger;
  /** A connection without a link for so long is closed; also the time for the TLS handshake. */
  readonly idleMillis?: number;
  readonly connectionsMax?: number;
  /** Of these, connections without a link yet: beyond, the oldest one is closed. */
  readonly strangersMax?: number;
}

export interface GrpcLinkServer {
  readonly port: number;
  /** Stops to listen and ends all connections. */
  close(): Promise<void>;
}

const IDLE_MILLIS = 10_000;
/** The same after its last stream: a peer closes it itself. */
const ENDED_MILLIS = 1000;
const CONNECTIONS_MAX = 8192;
const STRANGERS_MAX = 1024;
/** A link has three streams at most. */
const STREAMS_MAX = 16;
/** What a connection of HTTP/2 begins with, by RFC 9113. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const NOT_A_PEER = 'a connection to the internode port was not one of a peer';

class AcceptedStream extends PacketStream {
  private readonly server: ServerDuplexStream<Uint8Array, Uint8Array>;

  constructor(
    remote: string,
    call: ServerDuplexStream<Uint8Array, Uint8Array>,
    accept: AcceptStream,
  ) {
    super(remote, call);
    this.server = call;
    call.on('error', (error: Error) => this.finished(error.message));
    call.on('cancelled', () => this.finished('the connection or the call was ended'));
    call.on('end', () => this.finished('closed by the peer'));
    call.on('close', () => this.finished('closed'));
    this.start(accept(this));
  }

  protected hangUp(): void {
    // Once the end is sent, nothing more is read: a peer that goes on sending comes to the end of its window.
    this.server.once('finish', () => this.server.destroy());
    this.server.end();
  }
}

interface Connection {
  readonly socket: Socket;
  readonly from: string;
  streams: number;
  /** Ends it when it has had no stream for long. */
  timer: NodeJS.Timeout | null;
  /** Whether it speaks HTTP/2. */
  isHttp2: boolean;
  /** Why it was closed by this side before it was a link, to be logged; null: it was not. */
  reason: string | null;
}

/** The connections of a port. */
class Connections {
  private readonly all = new Map<string, Connection>();
  /** Those that never had a stream, oldest first. */
  private readonly strangers = new Map<string, Connection>();
  private readonly log: QuietLog;
  private readonly idleMillis: number;
  private readonly strangersMax: number;

  constructor(log: LinkLogger, idleMillis: number, strangersMax: number) {
    this.log = new QuietLog(log, { nowMillis: () => performance.now() });
    this.idleMillis = idleMillis;
    this.strangersMax = strangersMax;
  }

  add(socket: Socket): void {
    const from = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    const connection: Connection = {
      socket,
      from,
      streams: 0,
      timer: null,
      isHttp2: false,
      reason: null,
    };
    this.all.set(from, connection);
    this.strangers.set(from, connection);
    this.await(connection, this.idleMillis, 'it asked for nothing');
    // Whatever goes wrong with a connection ends it, and is told by its streams.
    socket.on('error', () => {});
    socket.on('close', () => this.closed(connection));
    if (this.strangers.size <= this.strangersMax) return;
    for (const oldest of this.strangers.values()) {
      this.refuse(oldest, 'too many connections wait to be links');
      return;
    }
  }

  /** TLS has failed on it. */
  failed(from: string, reason: string): void {
    const connection = this.all.get(from);
    if (connection !== undefined) this.refuse(connection, reason);
  }

  spokeHttp2(from: string): void {
    const connection = this.all.get(from);
    if (connection !== undefined) connection.isHttp2 = true;
  }

  streamStarted(from: string): void {
    const connection = this.all.get(from);
    if (connection === undefined) return;
    this.strangers.delete(from);
    connection.streams++;
    clearTimeout(connection.timer ?? undefined);
  }

  streamEnded(from: string): void {
    const connection = this.all.get(from);
    if (connection === undefined || --connection.streams > 0) return;
    this.await(connection, Math.min(ENDED_MILLIS, this.idleMillis), null);
  }

  closeAll(): void {
    for (const { socket } of this.all.values()) socket.destroy();
  }

  private await(connection: Connection, millis: number, reason: string | null): void {
    connection.timer = setTimeout(() => this.refuse(connection, reason), millis);
  }

  private refuse(connection: Connection, reason: string | null): void {
    connection.reason ??= reason;
    this.strangers.delete(connection.from);
    connection.socket.destroy();
  }

  private closed(connection: Connection): void {
    const { from, socket, timer } = connection;
    clearTimeout(timer ?? undefined);
    if (this.all.get(from) === connection) this.all.delete(from);
    const isStranger = this.strangers.delete(from);
    // Who goes without a word (to see whether the port is open, say) is none to speak of.
    const reason =
      connection.reason ??
      (isStranger && socket.bytesRead > 0 ? 'it ended before it was a link' : null);
    if (reason === null) return;
    // A peer's client of gRPC may connect once more after the peer has given up. It makes no call then.
    const level = connection.isHttp2 ? 'info' : 'warn';
    this.log.line(level, from, NOT_A_PEER, { from, reason });
  }
}

function listenerOf({ tls, idleMillis }: GrpcLinkServerOptions): NetServer | TlsServer {
  const socketOptions = { noDelay: true };
  if (tls === null) return createServer(socketOptions);
  const options = tlsServerOptions(tls.current(), idleMillis ?? IDLE_MILLIS);
  return createTlsServer({ ...socketOptions, ...options });
}

/** Calls `found` when HTTP/2 begins: before, a connection costs a socket and no more. Whatever else comes is `other`. */
function awaitPreface(socket: Socket, found: () => void, other: () => void): void {
  let head: Buffer = Buffer.alloc(0);
  const look = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const length = Math.min(head.length, PREFACE.length);
    const isPreface = head.compare(PREFACE, 0, length, 0, length) === 0;
    if (isPreface && length < PREFACE.length) return;
    socket.off('readable', look);
    if (!isPreface) {
      other();
      return;
    }
    socket.unshift(head);
    found();
  };
  socket.on('readable', look);
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''}:${remotePort ?? 0}`;
}

type ConnectionInjector = ReturnType<Server['createConnectionInjector']>;

interface ExchangeServer {
  readonly server: Server;
  readonly injector: ConnectionInjector;
}

/** What gRPC makes of connections; it listens to nothing. */
function createExchangeServer(
  options: GrpcLinkServerOptions,
  connections: Connections,
): ExchangeServer {
  const { Server, ServerCredentials } = grpcLibrary();
  const server = new Server({
    ...channelOptions(options),
    'grpc.max_concurrent_streams': STREAMS_MAX,
  });
  const { service, exchange } = loadInternodeService();
  const handler = (call: ServerDuplexStream<Uint8Array, Uint8Array>): void => {
    const from = call.getPeer();
    connections.streamStarted(from);
    call.on('close', () => connections.streamEnded(from));
    void new AcceptedStream(from, call, options.accept);
  };
  server.addService(service, { [methodName(exchange)]: handler });
  // TLS ends before gRPC: the certificates can change, and whoever fails in the handshake is known by address.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return { server, injector };
}

/** Listens; each stream that a peer opens goes to `accept`. @throws Error of node:net if the port cannot be had */
export async function createGrpcLinkServer(
  options: GrpcLinkServerOptions,
): Promise<GrpcLinkServer> {
  const { log, host, port, reusePort, tls } = options;
  const idleMillis = options.idleMillis ?? IDLE_MILLIS;
  const connections = new Connections(log, idleMillis, options.strangersMax ?? STRANGERS_MAX);
  let exchange: ExchangeServer | null = null;
  const serve = (socket: Socket): void => {
    const found = (): void => {
      connections.spokeHttp2(addressOf(socket));
      exchange ??= createExchangeServer(options, connections);
      exchange.injector.injectConnection(socket);
    };
    const other = (): void => connections.failed(addressOf(socket), 'it does not speak HTTP/2');
    // Of a TLS socket; the one below has its own.
    socket.on('error', () => {});
    awaitPreface(socket, found, other);
  };
  const listener = listenerOf(options);
  listener.on('connection', (socket: Socket) => {
    connections.add(socket);
    if (tls === null) serve(socket);
  });
  listener.on('secureConnection', (socket: TLSSocket) => {
    const refusal = tls === null ? 'no TLS here' : refusalOfClient(socket, tls.current());
    if (refusal === null) serve(socket);
    else connections.failed(addressOf(socket), refusal);
  });
  listener.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    // Who goes away has its reasons in its own log.
    if (error.code !== 'ECONNRESET') connections.failed(addressOf(socket), explainIncoming(error));
    socket.destroy();
  });
  const unwatch = tls?.onChange(() => {
    if ('setSecureContext' in listener) listener.setSecureContext(secureContextOf(tls.current()));
  });
  listener.maxConnections = options.connectionsMax ?? CONNECTIONS_MAX;
  const bound = await new Promise<number>((resolve, reject) => {
    // It stays: a failed accept later on (too many files, say) must not end the process.
    listener.on('error', reject);
    listener.listen({ host, port, reusePort }, () => {
      const address = listener.address();
      resolve(address === null || typeof address === 'string' ? port : address.port);
    });
  });
  return {
    port: bound,
    close: async () => {
      unwatch?.();
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      exchange?.injector.destroy();
      exchange?.server.forceShutdown();
      connections.closeAll();
      await closed;
    },
  };
}

function methodName({ path }: ExchangeMethod): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
