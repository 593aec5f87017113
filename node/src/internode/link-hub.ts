/**
 * `Links` over a carrier: one hub for each thread. Requests go out by one `PeerLink` a peer; what peers ask comes in by
 * `accept`.
 * @hot
 */
import type { AcceptStream, Carrier, LinkClock, LinkLogger, StreamEvents } from './carrier.ts';
import type { Flushable, LinkContext, LinkCounters } from './context.ts';
import { type IncomingOwner, IncomingStream } from './incoming.ts';
import { DEFAULT_LIMITS, type LinkLimits } from './limits.ts';
import {
  type AnswerSink,
  LinkError,
  type Links,
  type Peer,
  type RequestHandler,
  type Verb,
} from './links.ts';
import { fitsHello, type Hello, Lane } from './packet.ts';
import { PeerLink } from './peer-link.ts';
import { QuietLog } from './quiet-log.ts';

/** Timers are not set closer than this. */
const WAKE_MILLIS_MIN = 5;

export interface LinkHubOptions {
  readonly carrier: Carrier;
  readonly clock: LinkClock;
  readonly log: LinkLogger;
  /** In [0, 1). */
  readonly random: () => number;
  /** Runs `flush` once, soon, after what this turn of the event loop still brings in. */
  readonly schedule: (flush: () => void) => void;
  /** Of this node; at most 1024 bytes, as is the cluster's name. */
  readonly hostId: string;
  readonly clusterName: string;
  /** UUID text of the cluster that this node is a member of; empty: of none yet. See `joined`. */
  readonly clusterId: () => string;
  readonly limits?: Partial<LinkLimits>;
}

function newCounters(): LinkCounters {
  return {
    calls: 0,
    answers: 0,
    timeouts: 0,
    unreachable: 0,
    overloaded: 0,
    packetsSent: 0,
    bytesSent: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    handled: 0,
    expired: 0,
    malformed: 0,
  };
}

/** The lanes of one link are told by host id and session. */
function sessionKey({ hostId, session }: Hello): string {
  return `${hostId}/${session[0]}/${session[1]}`;
}

export class LinkHub implements Links, LinkContext, IncomingOwner {
  readonly hostId: string;
  readonly clusterName: string;
  readonly clusterId: () => string;
  readonly carrier: Carrier;
  readonly clock: LinkClock;
  readonly log: LinkLogger;
  readonly quietLog: QuietLog;
  readonly limits: LinkLimits;
  readonly random: () => number;
  readonly counters = newCounters();
  /** For the server side of the carrier. */
  readonly accept: AcceptStream = (stream) => this.acceptStream(stream);
  private readonly schedule: (flush: () => void) => void;
  /** By host id; by address and port where the host id is not known. */
  private readonly links = new Map<string, PeerLink>();
  private readonly incoming = new Set<IncomingStream>();
  private readonly largeLanes = new Map<string, IncomingStream>();
  private readonly handlers: (RequestHandler | undefined)[] = [];
  private toFlush: Flushable[] = [];
  private toFail: { sink: AnswerSink; error: LinkError }[] = [];
  private flushScheduled = false;
  private wakeAt = Number.POSITIVE_INFINITY;
  private cancelWake = () => {};
  private closed = false;
  private readonly flushTurn = () => this.flush();

  constructor(options: LinkHubOptions) {
    const { hostId, clusterName } = options;
    if (!fitsHello(hostId) || !fitsHello(clusterName)) {
      throw new RangeError('host id and cluster name are at most 1024 bytes');
    }
    this.hostId = hostId;
    this.clusterName = clusterName;
    this.clusterId = options.clusterId;
    this.carrier = options.carrier;
    this.clock = options.clock;
    this.log = options.log;
    this.quietLog = new QuietLog(options.log, options.clock);
    this.random = options.random;
    this.schedule = options.schedule;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  /** The sink never hears inside the call. `to.hostId` empty: whoever is at the address. */
  call(to: Peer, verb: Verb, body: Uint8Array, timeoutMillis: number, sink: AnswerSink): void {
    if (this.closed) {
      this.failLater(sink, new LinkError('CLOSED', 'this node is stopping'));
      return;
    }
    this.linkTo(to).call(verb, body, timeoutMillis, sink);
  }

  /** Also replaces one. */
  handle(verb: Verb, handler: RequestHandler): void {
    this.handlers[verb] = handler;
  }

  /** This node has become a member of a cluster: streams with those of another one end. */
  joined(): void {
    for (const link of this.links.values()) link.recheck();
    for (const stream of [...this.incoming]) stream.recheck();
  }

  latencyMillis(hostId: string): number | null {
    return this.links.get(hostId)?.latency ?? null;
  }

  /** Ends all streams; calls without an answer fail with CLOSED. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.flush();
    for (const link of this.links.values()) link.close('CLOSED', 'this node is stopping');
    for (const stream of [...this.incoming]) stream.close();
    this.links.clear();
    this.cancelWake();
    this.flush();
  }

  /** Packs and sends what this turn gathered. */
  flush(): void {
    this.flushScheduled = false;
    const { toFlush, toFail } = this;
    if (toFlush.length > 0) {
      this.toFlush = [];
      const now = this.clock.nowMillis();
      for (const flushable of toFlush) {
        flushable.flushDue = false;
        flushable.flush(now);
      }
    }
    if (toFail.length === 0) return;
    this.toFail = [];
    for (const { sink, error } of toFail) {
      try {
        sink.failed(error);
      } catch (cause) {
        this.log.error('a failure could not be used', { error: cause });
      }
    }
  }

  flushLater(flushable: Flushable): void {
    if (flushable.flushDue) return;
    flushable.flushDue = true;
    this.toFlush.push(flushable);
    this.scheduleFlush();
  }

  failLater(sink: AnswerSink, error: LinkError): void {
    this.toFail.push({ sink, error });
    this.scheduleFlush();
  }

  wakeBy(millis: number): void {
    if (millis >= this.wakeAt || this.closed) return;
    this.cancelWake();
    this.wakeAt = millis;
    const wait = Math.max(WAKE_MILLIS_MIN, millis - this.clock.nowMillis());
    this.cancelWake = this.clock.after(wait, () => this.tick());
  }

  handlerOf(verb: number): RequestHandler | undefined {
    return this.handlers[verb];
  }

  heardFrom(hostId: string): void {
    this.links.get(hostId)?.retryNow();
  }

  largeLaneOf(hello: Hello): IncomingStream | null {
    return this.largeLanes.get(sessionKey(hello)) ?? null;
  }

  greeted(stream: IncomingStream): void {
    const { hello } = stream;
    if (hello?.lane === Lane.large) this.largeLanes.set(sessionKey(hello), stream);
  }

  ended(stream: IncomingStream): void {
    this.incoming.delete(stream);
    const { hello } = stream;
    if (hello?.lane !== Lane.large) return;
    const key = sessionKey(hello);
    if (this.largeLanes.get(key) === stream) this.largeLanes.delete(key);
  }

  private acceptStream(stream: Parameters<AcceptStream>[0]): StreamEvents {
    const incoming = new IncomingStream(this, this, stream);
    this.incoming.add(incoming);
    if (this.closed) incoming.close();
    else if (this.incoming.size > this.limits.incomingMax) incoming.end('too many links');
    else this.wakeBy(incoming.acceptedAt + this.limits.helloMillis);
    return incoming;
  }

  private linkTo(to: Peer): PeerLink {
    const key = to.hostId === '' ? `${to.address} ${to.controlPort} ${to.dataPort}` : to.hostId;
    const known = this.links.get(key);
    if (known !== undefined) {
      const { peer } = known;
      if (peer === to) return known;
      const moved = peer.address !== to.address || peer.dataPort !== to.dataPort;
      if (!moved && peer.controlPort === to.controlPort) return known;
      known.close('UNREACHABLE', 'it has moved to another address');
    }
    const link = new PeerLink(this, to);
    this.links.set(key, link);
    return link;
  }

  private scheduleFlush(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    this.schedule(this.flushTurn);
  }

  private tick(): void {
    this.wakeAt = Number.POSITIVE_INFINITY;
    const now = this.clock.nowMillis();
    let next = Number.POSITIVE_INFINITY;
    for (const [key, link] of this.links) {
      next = Math.min(next, link.expire(now));
      if (!link.isIdle(now)) continue;
      link.close('UNREACHABLE', 'idle');
      this.links.delete(key);
    }
    for (const stream of this.incoming) {
      if (stream.hello !== null) continue;
      const end = stream.acceptedAt + this.limits.helloMillis;
      if (end <= now) stream.end('no hello in time');
      else next = Math.min(next, end);
    }
    if (next < Number.POSITIVE_INFINITY) this.wakeBy(next);
  }
}
