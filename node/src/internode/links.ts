/**
 * What nodes say to each other, as the rooms above see it: requests by verb, bytes in and bytes out. Over gRPC between
 * processes (adapters), over a virtual network in the simulation.
 */

/** Where a node can be reached by its peers. Its identity is the host id; the rest may change between restarts. */
export interface Peer {
  /** UUID text. */
  readonly hostId: string;
  readonly address: string;
  /** Of the main thread: gossip and the metadata log. */
  readonly controlPort: number;
  /** Shared by the workers: mutations, reads and what belongs to them. */
  readonly dataPort: number;
}

/** On the wire; a number is never used again for another thing. */
export const Verb = {
  Gossip: 1,
  Raft: 2,
  Propose: 3,
  Join: 4,
  AwaitSchema: 5,
  SchemaSettled: 6,
  StreamOpen: 7,
  StreamClose: 8,
  TopologyReached: 9,
  StreamProgress: 10,
  StreamRows: 11,
  RingBytes: 12,
  LeftOver: 13,
  TopologyWaits: 14,
  Mutation: 16,
  ReadRecords: 17,
  ReadDigest: 18,
  ScanPage: 20,
  Counter: 22,
  Hint: 23,
  BatchStore: 24,
  BatchRemove: 25,
  RelayMutation: 26,
  Relayed: 27,
  HintKeep: 28,
  PaxosPrepare: 32,
  PaxosPropose: 33,
  PaxosCommit: 34,
} as const;
export type Verb = (typeof Verb)[keyof typeof Verb];

export type LinkErrorCode =
  | 'TIMEOUT' // nothing came in time; it may have been done
  | 'UNREACHABLE' // not sent, or the link broke before the answer; it may have been done
  | 'REFUSED' // the peer does not speak with this node, such as of another cluster: not done
  | 'OVERLOADED' // the queue to the peer is full, or the peer said so: not done
  | 'STALE' // the peer goes by another epoch: not done
  | 'FAILED' // the peer's handler failed; the message is the peer's
  | 'CLOSED'; // this side is stopping

export class LinkError extends Error {
  readonly code: LinkErrorCode;
  /** UNREACHABLE: nobody listens at the address, or the connection was closed from there. The process may be gone. */
  readonly isGone: boolean;
  /** STALE: the epoch of the peer; 0 if it did not say. */
  readonly epoch: number;
  constructor(
    code: LinkErrorCode,
    message: string,
    options?: ErrorOptions & { readonly isGone?: boolean; readonly epoch?: number },
  ) {
    super(message, options);
    this.name = 'LinkError';
    this.code = code;
    this.isGone = options?.isGone ?? false;
    this.epoch = options?.epoch ?? 0;
  }
}

/** Hears of one request, exactly once. */
export interface AnswerSink {
  /** @param body lent for the call */
  answered(body: Uint8Array): void;
  failed(error: LinkError): void;
}

/** What a handler can fail with. They reach the caller as they are. */
export type FailureCode = Extract<LinkErrorCode, 'OVERLOADED' | 'STALE' | 'FAILED'>;

/** A handler's failure as its caller hears of it. @param text of STALE the peer's epoch @param from for the message */
export function failureOf(code: FailureCode, text: string, from = ''): LinkError {
  const message = from === '' ? text : `${from}: ${text}`;
  if (code !== 'STALE') return new LinkError(code, message);
  const epoch = Number(text);
  return new LinkError(code, message, { epoch: Number.isSafeInteger(epoch) ? epoch : 0 });
}

/** What a handler answers with, exactly once and at any time. Bytes are copied before it returns. */
export interface Responder {
  answer(body: Uint8Array): void;
  /** @param message of STALE: this node's epoch, as a number */
  fail(code: FailureCode, message: string): void;
}

/** @param body lent for the call @param from host id of the caller, as it gave it when the link was made */
export type RequestHandler = (from: string, body: Uint8Array, responder: Responder) => void;

export interface Links {
  /**
   * Sends a request. Many of one turn of the event loop go in one message.
   * @param body copied before it returns
   * @param timeoutMillis the peer is told as well, and drops what is too late
   */
  call(to: Peer, verb: Verb, body: Uint8Array, timeoutMillis: number, sink: AnswerSink): void;
  /** One handler for a verb. */
  handle(verb: Verb, handler: RequestHandler): void;
  /** Round trip times of a peer, smoothed, milliseconds; null: not known. */
  latencyMillis(hostId: string): number | null;
}

/** `call` as a promise, with a copy of the answer. @throws LinkError */
export function request(
  links: Links,
  to: Peer,
  verb: Verb,
  body: Uint8Array,
  timeoutMillis: number,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    links.call(to, verb, body, timeoutMillis, {
      answered: (answer) => resolve(Buffer.from(answer)),
      failed: reject,
    });
  });
}
