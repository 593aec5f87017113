/** What the streams of one hub share. */
import type { Carrier, CarrierStream, LinkClock, LinkLogger } from './carrier.ts';
import type { LinkLimits } from './limits.ts';
import type { AnswerSink, LinkError, RequestHandler, Verb } from './links.ts';
import type { QuietLog } from './quiet-log.ts';

/** Counts since the start. */
export interface LinkCounters {
  calls: number;
  answers: number;
  timeouts: number;
  unreachable: number;
  overloaded: number;
  packetsSent: number;
  bytesSent: number;
  packetsReceived: number;
  bytesReceived: number;
  /** Requests given to handlers. */
  handled: number;
  /** Requests dropped since their time was over when they came. */
  expired: number;
  /** Streams closed for what came on them. */
  malformed: number;
}

/** Something with packets to send at the end of the turn. */
export interface Flushable {
  /** Whether the hub has it on its list; the hub's. */
  flushDue: boolean;
  flush(nowMillis: number): void;
}

/** What a link or an incoming stream may ask of its hub. */
export interface LinkContext {
  readonly hostId: string;
  readonly clusterName: string;
  /** Empty: not in a cluster yet. */
  readonly clusterId: () => string;
  readonly carrier: Carrier;
  readonly clock: LinkClock;
  readonly log: LinkLogger;
  /** For what strangers can cause. */
  readonly quietLog: QuietLog;
  readonly limits: LinkLimits;
  readonly counters: LinkCounters;
  /** In [0, 1). */
  readonly random: () => number;
  /** `flush` is called once at the end of this turn. */
  flushLater(flushable: Flushable): void;
  /** The sink hears of it at the end of this turn. */
  failLater(sink: AnswerSink, error: LinkError): void;
  /** `expire` of every link runs at this time at the latest. */
  wakeBy(millis: number): void;
  handlerOf(verb: number): RequestHandler | undefined;
  /** The link from `hostId` to here stands: it can be reached again. */
  heardFrom(hostId: string): void;
}

/** A stream that counts what is written to it. */
export function countedStream(stream: CarrierStream, counters: LinkCounters): CarrierStream {
  return {
    remote: stream.remote,
    write: (packet) => {
      counters.packetsSent++;
      counters.bytesSent += packet.length;
      return stream.write(packet);
    },
    close: () => stream.close(),
  };
}

/** Verbs of the main thread; the others belong to the workers. */
export function isControl(verb: Verb): boolean {
  return verb < 16;
}
