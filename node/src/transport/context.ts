/** What a server gives to each of its connections. */
import type { Admission } from './admission.ts';
import type { Connection } from './connection.ts';
import type { TransportMetrics } from './metrics.ts';
import type { CqlServerOptions } from './options.ts';
import type { WriterPool } from './output.ts';
import type { Authenticator, RequestHandler, TransportClock, TransportLogger } from './ports.ts';

/** What the connections of a server share. */
export interface ServerContext {
  readonly options: CqlServerOptions;
  /** Body of the largest frame taken. */
  readonly bodyBytesMax: number;
  readonly metrics: TransportMetrics;
  readonly admission: Admission;
  readonly pool: WriterPool;
  readonly handler: RequestHandler;
  readonly authenticator: Authenticator | null;
  readonly clock: TransportClock;
  readonly logger: TransportLogger;
  /** Arranges that the connection's `flush` is called; it asks once until then. */
  requestFlush(connection: Connection): void;
  /** Arranges that those in line are woken. */
  requestWake(): void;
  /** The handshake is complete. */
  ready(connection: Connection): void;
  /** The stream is gone. Called once. */
  gone(connection: Connection): void;
}
