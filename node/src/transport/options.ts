/** Limits of the CQL server, each with what happens when it is reached. */

export interface CqlServerOptions {
  /**
   * Bytes of the largest frame body taken; a larger one is skipped and answered with an error. No
   * more than what may be in flight (per connection, in all) is taken whatever this says.
   */
  readonly frameBytesMax: number;
  /** Connections beyond are closed at once. */
  readonly connectionsMax: number;
  /** Requests and bytes of one connection in flight; beyond, it is not read. */
  readonly connectionRequestsMax: number;
  readonly connectionBytesMax: number;
  /**
   * Requests and bytes in flight over all connections of this server; beyond, clients that asked for
   * it get Overloaded, others are not read.
   */
  readonly requestsMax: number;
  readonly bytesMax: number;
  /** Unsent answers of a connection beyond which its requests are not read. */
  readonly outputBytesPause: number;
  /** Unsent answers of a connection beyond which it is closed. */
  readonly outputBytesMax: number;
  /** A client that takes nothing of a write for so long is closed. */
  readonly outputStallMillisMax: number;
  /** Time to send a frame once begun, plus one second per 64 KiB; beyond, the client is closed. */
  readonly frameStallMillisMax: number;
  /**
   * Time from its acceptance until a client has completed STARTUP and authentication; beyond, it is closed. Looked at
   * once a second. A TLS handshake has as much time of its own, before.
   */
  readonly startupMillisMax: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_OPTIONS: CqlServerOptions = {
  frameBytesMax: 256 * MIB,
  connectionsMax: 16_384,
  connectionRequestsMax: 2048,
  connectionBytesMax: 32 * MIB,
  requestsMax: 65_536,
  bytesMax: 128 * MIB,
  outputBytesPause: 2 * MIB,
  outputBytesMax: 64 * MIB,
  outputStallMillisMax: 60_000,
  frameStallMillisMax: 30_000,
  startupMillisMax: 30_000,
};
