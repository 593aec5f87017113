/** The bounds of the links: bytes, counts and times. */

export interface LinkLimits {
  /** The longest body of a request or an answer. */
  readonly bodyBytesMax: number;
  /** Bodies from here on travel in the lane for large ones. */
  readonly largeBytes: number;
  /** Requests to one peer that wait to be sent; beyond: OVERLOADED. */
  readonly queueBytesMax: number;
  /** Requests to one peer without an answer yet; beyond: OVERLOADED. */
  readonly callsMax: number;
  /** Requests of one incoming stream in the hands of handlers; beyond they are answered OVERLOADED. */
  readonly handledMax: number;
  /** Answers that wait for a peer that does not read; beyond: its stream is closed. */
  readonly answerBytesMax: number;
  /** Streams that peers may have open to this hub; beyond they are closed. */
  readonly incomingMax: number;
  /** From opening a stream to its welcome, and from accepting one to its hello. */
  readonly helloMillis: number;
  /** A stream on which requests time out while nothing at all came for so long is closed. */
  readonly silentMillis: number;
  /** A link without requests for so long is closed and forgotten. */
  readonly idleMillis: number;
  /** Wait before the second attempt to connect; doubles with each, with jitter of one half. */
  readonly backoffMillisMin: number;
  readonly backoffMillisMax: number;
}

export const DEFAULT_LIMITS: LinkLimits = {
  bodyBytesMax: 32 << 20,
  largeBytes: 64 << 10,
  queueBytesMax: 64 << 20,
  callsMax: 16_384,
  handledMax: 16_384,
  answerBytesMax: 128 << 20,
  incomingMax: 8192,
  helloMillis: 5000,
  silentMillis: 5000,
  idleMillis: 600_000,
  backoffMillisMin: 50,
  backoffMillisMax: 2000,
};

/** What a packet holds before the next one is begun; one body may make it longer. */
export const PACKET_BYTES = 256 << 10;

/** The longest packet that `limits` allow: a full one whose last body is the longest. */
export function packetBytesMax(limits: LinkLimits): number {
  return limits.bodyBytesMax + PACKET_BYTES + 1024;
}
