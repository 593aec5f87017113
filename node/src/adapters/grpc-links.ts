/**
 * The links' carrier over gRPC: each stream of packets is one call of `Exchange`. The streams of one thread to one port
 * share a connection, so that the lanes of a link end at the same worker.
 */
import { createServer, isIPv6, type Socket } from 'node:net';
import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
} from '@grpc/grpc-js';
import type {
  AcceptStream,
  Carrier,
  CarrierStream,
  LinkLogger,
  StreamEvents,
} from '../internode/carrier.ts';
import { type ExchangeMethod, loadInternodeService } from './grpc-links-service.ts';

/** Certificates in PEM. */
export interface LinkTls {
  /** Of the authorities that peers' certificates are checked against. */
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Whether those who connect must show a certificate, too. */
  readonly mutual: boolean;
  /** The name that nodes' certificates are made out to; null: the address that is called. */
  readonly serverName: string | null;
}

export interface GrpcLinkOptions {
  /** Null: no TLS. */
  readonly tls: LinkTls | null;
  /** The longest packet, `packetBytesMax(limits)`. */
  readonly packetBytesMax: number;
  /** Silence after which the other side is asked for a sign of life, and the wait for it. */
  readonly keepAliveMillis: number;
  readonly keepAliveTimeoutMillis: number;
}

export const GRPC_LINK_DEFAULTS = {
  tls: null,
  packetBytesMax: (32 << 20) + (1 << 20),
  keepAliveMillis: 10_000,
  keepAliveTimeoutMillis: 5000,
} as const satisfies GrpcLinkOptions;

export interface GrpcLinkServerOptions extends GrpcLinkOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Workers share the port; the kernel spreads connections. */
  readonly reusePort: boolean;
  readonly accept: AcceptStream;
  readonly log: LinkLogger;
  /** A connection without a link after so long is closed. */
  readonly idleMillis?: number;
  readonly connectionsMax?: number;
}

export interface GrpcLinkServer {
  readonly port: number;
  /** Stops to listen and ends all connections. */
  close(): Promise<void>;
}

/** A carrier with connections. */
export interface GrpcCarrier extends Carrier {
  /** Closes all connections, whatever they carry. */
  close(): void;
}

const IDLE_MILLIS = 10_000;
const CONNECTIONS_MAX = 8192;
/** Around the body in a `Packet`. */
const ENVELOPE_BYTES = 16;
/** What a peer may send on a stream before it is read. */
const WINDOW_BYTES = 4 << 20;

function channelOptions(options: GrpcLinkOptions): ChannelOptions {
  const bytesMax = options.packetBytesMax + ENVELOPE_BYTES;
  return {
    'grpc.max_receive_message_length': bytesMax,
    'grpc.max_send_message_length': bytesMax,
    'grpc.keepalive_time_ms': options.keepAliveMillis,
    'grpc.keepalive_timeout_ms': options.keepAliveTimeoutMillis,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.enable_channelz': 0,
  };
}

function clientOptions(options: GrpcLinkOptions): ChannelOptions {
  const serverName = options.tls?.serverName ?? null;
  return {
    ...channelOptions(options),
    // When and how often to try again is the links' business.
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    ...(serverName === null ? {} : { 'grpc.ssl_target_name_override': serverName }),
  };
}

/** A stream as both sides of a call see it. */
abstract class PacketStream implements CarrierStream {
  readonly remote: string;
  protected events: StreamEvents | null = null;
  private ended = false;
  private readonly call: GrpcCall;

  constructor(remote: string, call: GrpcCall) {
    this.remote = remote;
    this.call = call;
  }

  write(packet: Uint8Array): boolean {
    return this.ended || this.call.write(packet);
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.hangUp();
  }

  /** Starts to deliver. */
  protected start(events: StreamEvents): void {
    this.events = events;
    this.call.on('data', (packet: Uint8Array) => {
      if (!this.ended) events.packet(packet);
    });
    this.call.on('drain', () => {
      if (!this.ended) events.drained();
    });
  }

  /** The other side, or the connection, is gone. */
  protected finished(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.hangUp();
    this.events?.closed(reason);
  }

  protected abstract hangUp(): void;
}

type GrpcCall =
  | ClientDuplexStream<Uint8Array, Uint8Array>
  | ServerDuplexStream<Uint8Array, Uint8Array>;

/** What grpc-js says of a connection that it could not make, without what it says of looking up names. */
function causeOf(details: string): string {
  const [, cause] = /Last error: (?:Error: )?(.*?)\. Resolution note:/s.exec(details) ?? [];
  return cause ?? details;
}

class OutgoingStream extends PacketStream {
  private readonly client: ClientDuplexStream<Uint8Array, Uint8Array>;
  private readonly release: () => void;

  constructor(
    remote: string,
    call: ClientDuplexStream<Uint8Array, Uint8Array>,
    events: StreamEvents,
    release: () => void,
  ) {
    super(remote, call);
    this.client = call;
    this.release = release;
    this.start(events);
    // Every end has a status, which says more.
    call.on('error', () => {});
    call.on('status', ({ code, details }: StatusObject) => {
      this.finished(code === 0 ? 'closed by the peer' : causeOf(details));
    });
  }

  protected hangUp(): void {
    this.client.cancel();
    this.release();
  }
}

class AcceptedStream extends PacketStream {
  private readonly server: ServerDuplexStream<Uint8Array, Uint8Array>;

  constructor(call: ServerDuplexStream<Uint8Array, Uint8Array>, accept: AcceptStream) {
    super(call.getPeer(), call);
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
  readonly client: Client;
  streams: number;
}

/** Creates a carrier; nothing is connected before `open`. */
export function createGrpcCarrier(options: GrpcLinkOptions): GrpcCarrier {
  const { exchange } = loadInternodeService();
  const channel = clientOptions(options);
  const { tls } = options;
  const secrets =
    tls === null
      ? credentials.createInsecure()
      : credentials.createSsl(
          tls.ca,
          tls.mutual ? tls.key : null,
          tls.mutual ? tls.certificate : null,
        );
  const connections = new Map<string, Connection>();

  function connectionTo(target: string): Connection {
    const known = connections.get(target);
    if (known !== undefined) return known;
    const made = { client: new Client(target, secrets, channel), streams: 0 };
    connections.set(target, made);
    return made;
  }

  return {
    open: (address, port, events) => {
      const target = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
      const connection = connectionTo(target);
      connection.streams++;
      const release = (): void => {
        connection.streams--;
        if (connection.streams > 0) return;
        connection.client.close();
        if (connections.get(target) === connection) connections.delete(target);
      };
      return new OutgoingStream(target, startCall(connection.client, exchange), events, release);
    },
    close: () => {
      for (const { client } of connections.values()) client.close();
      connections.clear();
    },
  };
}

function startCall(
  client: Client,
  { path, requestSerialize, responseDeserialize }: ExchangeMethod,
): ClientDuplexStream<Uint8Array, Uint8Array> {
  return client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    new Metadata({ waitForReady: false }),
  );
}

function serverCredentials(tls: LinkTls | null): ServerCredentials {
  if (tls === null) return ServerCredentials.createInsecure();
  const pair = { private_key: tls.key, cert_chain: tls.certificate };
  return ServerCredentials.createSsl(tls.ca, [pair], tls.mutual);
}

/** The connections of a port that have not become a link yet, by `address:port` of the peer. */
class NewConnections {
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly log: LinkLogger;
  private readonly idleMillis: number;

  constructor(log: LinkLogger, idleMillis: number) {
    this.log = log;
    this.idleMillis = idleMillis;
  }

  add(socket: Socket): void {
    const from = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    const timer = setTimeout(() => socket.destroy(), this.idleMillis);
    this.timers.set(from, timer);
    socket.on('close', () => {
      if (this.timers.get(from) !== timer) return;
      this.becameLink(from);
      this.log.warn('a connection to the internode port was not one of a peer', { from });
    });
  }

  becameLink(from: string): void {
    clearTimeout(this.timers.get(from));
    this.timers.delete(from);
  }
}

/** Listens; each stream that a peer opens goes to `accept`. @throws Error of node:net if the port cannot be had */
export async function createGrpcLinkServer(
  options: GrpcLinkServerOptions,
): Promise<GrpcLinkServer> {
  const { accept, log, host, port, reusePort } = options;
  const server = new Server(channelOptions(options));
  const fresh = new NewConnections(log, options.idleMillis ?? IDLE_MILLIS);
  const { service, exchange } = loadInternodeService();
  const handler = (call: ServerDuplexStream<Uint8Array, Uint8Array>): void => {
    fresh.becameLink(call.getPeer());
    void new AcceptedStream(call, accept);
  };
  server.addService(service, { [methodName(exchange)]: handler });
  const injector = server.createConnectionInjector(serverCredentials(options.tls));
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    // Whatever goes wrong with a connection ends it, and is told by its streams.
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    fresh.add(socket);
    injector.injectConnection(socket);
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
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      injector.destroy();
      server.forceShutdown();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function methodName({ path }: ExchangeMethod): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
