/** What the transport needs from the world and from the rooms above: interfaces only. */
import type { Writer } from '../common/bytes.ts';
import type { CqlError } from '../common/errors.ts';
import type { EventType } from './events.ts';
import type { Opcode, ProtocolVersion } from './protocol.ts';
import type { Request } from './request.ts';

/** Where a listener listens, or a peer is. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** One accepted connection as bytes. Adapter: tcp-listener; tests use memory. */
export interface ByteStream {
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  /** TLS protocol and cipher, or null without TLS. */
  readonly tls: { readonly protocol: string; readonly cipher: string } | null;
  /** Starts the delivery of bytes; called once. */
  start(sink: ByteSink): void;
  /**
   * Sends `bytes`, which stay untouched until `done` is called (when the kernel has them; never
   * after the stream broke). Calls are sent in order.
   */
  write(bytes: Buffer, done: () => void): void;
  /** Stops and restarts the delivery of bytes. One more chunk may come after `pause`. */
  pause(): void;
  resume(): void;
  /** Closes after what was written has been sent. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

/** Receives what a ByteStream delivers. */
export interface ByteSink {
  /** The receiver owns `chunk` from here on and may write into it. */
  onData(chunk: Buffer): void;
  /** The peer sends no more. */
  onEnd(): void;
  /** Nothing comes or goes any more; called exactly once. `error` is null for an orderly end. */
  onClosed(error: Error | null): void;
}

/** Accepts connections. */
export interface StreamListener {
  /**
   * Starts to accept; resolves to the bound address.
   * @param onHandshakeTimeout a client took too long for what comes before its bytes (TLS), and was closed
   */
  listen(
    onStream: (stream: ByteStream) => void,
    onHandshakeTimeout: () => void,
  ): Promise<SocketAddress>;
  /** Stops to accept; connections live on. */
  close(): Promise<void>;
}

/** Monotonic time and timers. */
export interface TransportClock {
  /** Monotonic, in milliseconds with a fraction. */
  nowMillis(): number;
  /** Calls `run` every `millis`; the answer stops it. */
  every(millis: number, run: () => void): () => void;
}

/** Log sink: constant message, fields as object. */
export interface TransportLogger {
  debug(message: string, fields: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** What goes before the body of an answer. All parts may be left out; v3 carries only the trace. */
export interface AnswerHeader {
  /** 16 bytes. */
  readonly tracingId?: Uint8Array | null;
  readonly warnings?: readonly string[] | null;
  readonly customPayload?: ReadonlyMap<string, Uint8Array | null> | null;
}

/** A client, as the request handler sees it. */
export interface ClientConnection {
  /** Unique in this server. */
  readonly id: number;
  readonly version: ProtocolVersion;
  readonly remote: SocketAddress;
  readonly tls: { readonly protocol: string; readonly cipher: string } | null;
  /** Keyspace of USE; the handler sets it. */
  keyspace: string | null;
  /** Authenticated user; 'anonymous' without authentication. */
  readonly user: string;
  /** Keys and values of STARTUP, keys in upper case. */
  readonly startupOptions: ReadonlyMap<string, string>;
  readonly compression: 'lz4' | 'snappy' | null;
  /** Requests seen and not yet answered. */
  readonly requestsInFlight: number;
  readonly requestsTotal: number;
  /** Events the client registered for. */
  readonly registered: ReadonlySet<EventType>;
  /** True once nothing can be sent any more; answers are then dropped (but still due). */
  readonly closed: boolean;
  /**
   * Starts the answer of `request`: returns the writer of this connection's output, positioned where
   * the body goes. Write the body at once and call `end()`; nothing else may use the connection in
   * between. A writer that is kept after `end()` is not valid.
   */
  begin(request: Request, opcode: Opcode, header?: AnswerHeader): Writer;
  /** Completes the answer that `begin` started. */
  end(): void;
  /**
   * Answers `request` with an error, dropping what was written since `begin` if that is open for it.
   */
  fail(request: Request, error: CqlError, header?: AnswerHeader): void;
  /** Closes the connection after what was answered has been sent. */
  close(): void;
}

/** The rooms above. */
export interface RequestHandler {
  /**
   * Takes a request; the answer is due exactly once, by `connection.begin … end` or
   * `connection.fail`, now or later, in any order. A thrown error is answered (CqlError as such,
   * anything else as ServerError and logged) if the request was not answered yet.
   */
  handle(request: Request, connection: ClientConnection): void;
  /** A client has completed STARTUP (and authentication). */
  opened?(connection: ClientConnection): void;
  /** A client for which `opened` was called is gone. */
  closed?(connection: ClientConnection): void;
}

/** Outcome of one step of authentication. A wrong answer is thrown as CqlError (AuthError). */
export type AuthStep =
  | { readonly kind: 'challenge'; readonly token: Uint8Array | null }
  | { readonly kind: 'success'; readonly token: Uint8Array | null; readonly user: string };

/** One client's authentication. */
export interface AuthExchange {
  respond(token: Uint8Array | null): Promise<AuthStep>;
}

/** Asks clients who they are; without one everybody is 'anonymous'. */
export interface Authenticator {
  /** Class name sent in AUTHENTICATE; drivers choose their answer by it. */
  readonly className: string;
  begin(remote: SocketAddress): AuthExchange;
}
