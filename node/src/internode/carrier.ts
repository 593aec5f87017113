/** What the links need from the world: streams of packets between nodes, time, a log. Interfaces only. */

/**
 * One stream between two nodes, both ways. Packets arrive whole, in order, each once, or the stream breaks. Over gRPC:
 * one call of `Exchange`; in the simulation: a virtual connection.
 */
export interface CarrierStream {
  /** The peer's address, for logs. */
  readonly remote: string;
  /**
   * Sends a packet; may be called before the connection stands. Nothing happens after the stream is closed.
   * @param packet the carrier's from here on
   * @returns false: the carrier has enough; write no more before `drained`
   */
  write(packet: Uint8Array): boolean;
  /** Closes; no event follows. What was written just before may still arrive, or not. Idempotent. */
  close(): void;
}

/** Hears of one stream. Never called inside `open`, `write` or `close`. */
export interface StreamEvents {
  /** @param packet lent for the call */
  packet(packet: Uint8Array): void;
  drained(): void;
  /** Nothing comes or goes any more; once, unless this side closed. */
  closed(reason: string): void;
}

export interface Carrier {
  /** Starts a stream to a peer's port. Failing to connect is told by `closed`. */
  open(address: string, port: number, events: StreamEvents): CarrierStream;
}

/** What the server side of a carrier does with each stream that comes in. */
export type AcceptStream = (stream: CarrierStream) => StreamEvents;

/** Monotonic time and one-shot timers. */
export interface LinkClock {
  /** Milliseconds, monotonic, with a fraction. */
  nowMillis(): number;
  /** The answer takes it back. */
  after(millis: number, run: () => void): () => void;
}

/** Log sink: constant message, fields as object. */
export interface LinkLogger {
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}
