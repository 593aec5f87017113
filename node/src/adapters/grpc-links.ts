/**
 * The links' carrier over gRPC: each stream of packets is one call of `Exchange`. The streams of one thread to one port
 * share a connection, so that the lanes of a link end at the same worker.
 */
import { isIPv6 } from 'node:net';
import type {
  ChannelOptions,
  Client,
  ClientDuplexStream,
  ServerDuplexStream,
  StatusObject,
} from '@grpc/grpc-js';
import type { Carrier, CarrierStream, StreamEvents } from '../internode/carrier.ts';
import { grpcLibrary } from './grpc-library.ts';
import { type ExchangeMethod, loadInternodeService } from './grpc-links-service.ts';
import {
  channelCredentials,
  explainOutgoing,
  type LinkTls,
  type LinkTlsSource,
  tlsChannelOptions,
} from './grpc-links-tls.ts';

export interface GrpcLinkOptions {
  /** Null: no TLS. */
  readonly tls: LinkTlsSource | null;
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

/** A carrier with connections. */
export interface GrpcCarrier extends Carrier {
  /** Closes all connections, whatever they carry. */
  close(): void;
}

/** Around the body in a `Packet`. */
const ENVELOPE_BYTES = 16;
/** What a peer may send on a stream before it is read. */
const WINDOW_BYTES = 4 << 20;

/** What both sides of a connection have in common. */
export function channelOptions(options: GrpcLinkOptions): ChannelOptions {
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
  return {
    ...channelOptions(options),
    // When and how often to try again is the links' business.
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    // A channel that is closed after it could not connect would try once more when this is over, and the connection would
    // be nobody's.
    'grpc.initial_reconnect_backoff_ms': 1,
    ...tlsChannelOptions(options.tls),
  };
}

/** A stream as both sides of a call see it. For the two sides. */
export abstract class PacketStream implements CarrierStream {
  readonly remote: string;
  protected events: StreamEvents | null = null;
  /** Packets came: it was a link, so that nothing was wrong with how it was made. */
  protected hasWorked = false;
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
      this.hasWorked = true;
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
  return (cause ?? details).replace(/ \(\d{4}-\d\d-\d\dT[^)]*\)$/, '').trim();
}

interface OutgoingCall {
  readonly remote: string;
  readonly call: ClientDuplexStream<Uint8Array, Uint8Array>;
  /** Adds to why it ended what can be done. */
  explain(cause: string): string;
  /** Once: the connection may be closed. */
  release(): void;
}

class OutgoingStream extends PacketStream {
  private readonly client: ClientDuplexStream<Uint8Array, Uint8Array>;
  private readonly release: () => void;

  constructor({ remote, call, explain, release }: OutgoingCall, events: StreamEvents) {
    super(remote, call);
    this.client = call;
    this.release = release;
    this.start(events);
    // Every end has a status, which says more.
    call.on('error', () => {});
    call.on('status', ({ code, details }: StatusObject) => {
      const cause = code === 0 ? 'closed by the peer' : causeOf(details);
      this.finished(code === 0 || this.hasWorked ? cause : explain(cause));
    });
  }

  protected hangUp(): void {
    this.client.cancel();
    this.release();
  }
}

interface Connection {
  readonly client: Client;
  /** What it was made with. */
  readonly tls: LinkTls | null;
  streams: number;
}

/** Creates a carrier; nothing is connected before `open`. */
export function createGrpcCarrier(options: GrpcLinkOptions): GrpcCarrier {
  let exchange: ExchangeMethod | null = null;
  const channel = clientOptions(options);
  const { tls } = options;
  const connections = new Map<string, Connection>();

  function connectionTo(target: string, address: string): Connection {
    const known = connections.get(target);
    if (known !== undefined) return known;
    const current = tls?.current() ?? null;
    const secrets = channelCredentials(current, address);
    const { Client } = grpcLibrary();
    const made = { client: new Client(target, secrets, channel), tls: current, streams: 0 };
    connections.set(target, made);
    return made;
  }

  return {
    open: (address, port, events) => {
      const target = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
      const connection = connectionTo(target, address);
      connection.streams++;
      const release = (): void => {
        connection.streams--;
        if (connection.streams > 0) return;
        connection.client.close();
        if (connections.get(target) === connection) connections.delete(target);
      };
      exchange ??= loadInternodeService().exchange;
      const call = startCall(connection.client, exchange);
      const explain = (cause: string) => explainOutgoing(cause, connection.tls);
      return new OutgoingStream({ remote: target, call, explain, release }, events);
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
  const { Metadata } = grpcLibrary();
  return client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    new Metadata({ waitForReady: false }),
  );
}
