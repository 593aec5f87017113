/** The CQL server: accepts clients, shares limits among them, flushes their answers. */
import type { ServerEvent } from './events.ts';
import type { TransportMetrics } from './metrics.ts';
import type {
  Authenticator,
  ClientConnection,
  RequestHandler,
  SocketAddress,
  StreamListener,
  TransportClock,
  TransportLogger,
} from './ports.ts';

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
  /** Clients past STARTUP. */
  connections(): Iterable<ClientConnection>;
  /**
   * Stops to accept and to read, waits until what is in flight is answered and sent, closes. After
   * `millis` what is left is closed at once. Resolves when every connection is gone.
   */
  drain(millis: number): Promise<void>;
}
