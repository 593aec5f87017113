/**
 * Requests to one peer: up to three streams (lanes) to it, the requests without an answer yet, its latency.
 *
 *   lane   closed ──call──▶ opening ──welcome──▶ open
 *            ▲                 │ refused, failed,    │ broken, silent,
 *            └──── backoff ────┴──── idle ───────────┘ malformed
 *
 * A lane opens when a request needs it. After a failure, requests before the next attempt fail at once.
 * @hot
 */
import { isControl, type LinkContext } from './context.ts';
import { type LaneOwner, LaneStream, type Loss } from './lane-stream.ts';
import {
  type AnswerSink,
  type FailureCode,
  failureOf,
  LinkError,
  type Peer,
  type Verb,
} from './links.ts';
import { clockWord, FailureWire, Lane, MessageKind } from './packet.ts';

const FAILURES: ReadonlyMap<number, FailureCode> = new Map([
  [FailureWire.OVERLOADED, 'OVERLOADED'],
  [FailureWire.STALE, 'STALE'],
]);
const TABLE_SIZE_MIN = 16;
/** Weight of the newest round trip. */
const LATENCY_WEIGHT = 0.1;
const ID_LIMIT = 2 ** 32;

interface PendingCall {
  readonly id: number;
  readonly sink: AnswerSink;
  readonly sentAt: number;
  readonly deadline: number;
  readonly stream: LaneStream;
}

export class PeerLink implements LaneOwner {
  readonly peer: Peer;
  readonly session: readonly [number, number];
  /** Milliseconds, smoothed; null: nothing came back yet. */
  latency: number | null = null;
  private readonly context: LinkContext;
  private readonly lanes: (LaneStream | null)[] = [null, null, null];
  private readonly retryAt = [0, 0, 0];
  private readonly failures = [0, 0, 0];
  /** Of each lane's last loss. */
  private readonly isGone = [false, false, false];
  /** By `id & (length - 1)`: ids are given one after another, so that places are free again when they come round. */
  private table: (PendingCall | null)[] = Array.from({ length: TABLE_SIZE_MIN }, () => null);
  private count = 0;
  private nextId = 1;
  /** No call ends before. */
  private earliestDeadline = Number.POSITIVE_INFINITY;
  private lastUsed: number;

  constructor(context: LinkContext, peer: Peer) {
    this.context = context;
    this.peer = peer;
    const word = () => Math.floor(context.random() * 2 ** 32) | 0;
    this.session = [word(), word()];
    this.lastUsed = context.clock.nowMillis();
  }

  /** See `Links.call`. */
  call(verb: Verb, body: Uint8Array, timeoutMillis: number, sink: AnswerSink): void {
    const { context } = this;
    const { limits } = context;
    const now = context.clock.nowMillis();
    this.lastUsed = now;
    if (body.length > limits.bodyBytesMax) {
      this.refuse(sink, 'FAILED', `a request of ${body.length} bytes is too large`);
      return;
    }
    if (this.count >= limits.callsMax || this.queuedBytes() + body.length > limits.queueBytesMax) {
      context.counters.overloaded++;
      this.refuse(sink, 'OVERLOADED', 'too many requests wait');
      return;
    }
    const lane = this.laneOf(verb, body);
    const stream = this.streamFor(lane, now);
    if (stream === null) {
      context.counters.unreachable++;
      const reason = 'the last attempt to connect has just failed';
      this.refuse(sink, 'UNREACHABLE', reason, this.isGone[lane]);
      return;
    }
    const deadline = now + timeoutMillis;
    const id = this.place({ sink, sentAt: now, deadline, stream });
    stream.outbox.add(MessageKind.request, verb, id, clockWord(deadline), body);
    if (stream.waitingSince === 0) stream.waitingSince = now;
    if (stream.open) context.flushLater(stream);
    if (deadline < this.earliestDeadline) {
      this.earliestDeadline = deadline;
      context.wakeBy(deadline);
    }
  }

  /** Ends what is over. @returns when to come again, milliseconds */
  expire(now: number): number {
    let next = this.expireOpening(now);
    if (this.earliestDeadline <= now) this.expireCalls(now);
    next = Math.min(next, this.earliestDeadline);
    return Math.min(next, this.lastUsed + this.context.limits.idleMillis);
  }

  /** Nothing was asked for long, and nothing is waited for. */
  isIdle(now: number): boolean {
    return this.count === 0 && now - this.lastUsed >= this.context.limits.idleMillis;
  }

  /** The peer is there: the next request may try at once. */
  retryNow(): void {
    this.retryAt.fill(0);
    this.failures.fill(0);
  }

  /** See `LaneStream.recheck`. */
  recheck(): void {
    for (const stream of this.lanes) stream?.recheck();
  }

  /** Closes all streams; calls without an answer fail. */
  close(code: 'CLOSED' | 'UNREACHABLE', reason: string): void {
    for (const [lane, stream] of this.lanes.entries()) {
      stream?.close();
      this.lanes[lane] = null;
    }
    this.failCalls(null, new LinkError(code, `${this.name()}: ${reason}`));
  }

  welcomed(stream: LaneStream): void {
    this.failures[stream.lane] = 0;
  }

  answered(id: number, body: Buffer): void {
    const call = this.take(id);
    if (call === null) return;
    this.context.counters.answers++;
    try {
      call.sink.answered(body);
    } catch (error) {
      this.context.log.error('an answer could not be used', { peer: this.name(), error });
    }
  }

  failed(id: number, code: number, message: Buffer): void {
    const call = this.take(id);
    if (call === null) return;
    if (code === FailureWire.OVERLOADED) this.context.counters.overloaded++;
    const failure = FAILURES.get(code) ?? 'FAILED';
    this.tell(call.sink, failureOf(failure, message.toString('utf8'), this.name()));
  }

  lost(stream: LaneStream, { reason, code, isGone }: Loss): void {
    const { lane } = stream;
    if (this.lanes[lane] !== stream) return;
    this.lanes[lane] = null;
    this.isGone[lane] = isGone;
    const { clock, limits, random } = this.context;
    const attempt = this.failures[lane]++;
    const backoff = Math.min(limits.backoffMillisMin * 2 ** attempt, limits.backoffMillisMax);
    this.retryAt[lane] = clock.nowMillis() + backoff * (0.5 + random() / 2);
    // Once, not at each attempt.
    if (attempt === 0) this.noteLoss(stream, reason, isGone);
    this.failCalls(stream, new LinkError(code, `${this.name()}: ${reason}`, { isGone }));
  }

  /** The end of a link that worked is news if it is not the peer's process that ended: gossip tells of that. */
  private noteLoss({ lane, open }: LaneStream, reason: string, isGone: boolean): void {
    const { log } = this.context;
    const fields = { peer: this.name(), lane, reason };
    if (open && isGone) log.info('a link to a peer ended', fields);
    else log.warn(open ? 'a link to a peer ended' : 'a peer could not be reached', fields);
  }

  private name(): string {
    const { hostId, address } = this.peer;
    return hostId === '' ? address : `${hostId} (${address})`;
  }

  private refuse(sink: AnswerSink, code: LinkError['code'], reason: string, isGone = false): void {
    this.context.failLater(sink, new LinkError(code, `${this.name()}: ${reason}`, { isGone }));
  }

  private queuedBytes(): number {
    let bytes = 0;
    for (const lane of this.lanes) if (lane !== null) bytes += lane.outbox.bytes;
    return bytes;
  }

  private laneOf(verb: Verb, body: Uint8Array): Lane {
    if (isControl(verb)) return Lane.control;
    return body.length >= this.context.limits.largeBytes ? Lane.large : Lane.small;
  }

  private streamFor(lane: Lane, now: number): LaneStream | null {
    const stream = this.lanes[lane];
    if (stream !== null) return stream;
    // Large answers to small requests come on the large lane: both data lanes stand together.
    if (lane === Lane.small && this.lanes[Lane.large] === null) this.open(Lane.large, now);
    return this.open(lane, now);
  }

  private open(lane: Lane, now: number): LaneStream | null {
    if (now < this.retryAt[lane]) return null;
    const { controlPort, dataPort } = this.peer;
    const port = lane === Lane.control ? controlPort : dataPort;
    const stream = new LaneStream(this, this.context, lane, port);
    this.lanes[lane] = stream;
    this.context.wakeBy(now + this.context.limits.helloMillis);
    return stream;
  }

  private place(call: Omit<PendingCall, 'id'>): number {
    if (this.count * 2 >= this.table.length) this.growTable();
    const mask = this.table.length - 1;
    let id = this.nextId;
    while (this.table[id & mask] !== null) id = (id + 1) % ID_LIMIT;
    this.nextId = (id + 1) % ID_LIMIT;
    const { sink, sentAt, deadline, stream } = call;
    this.table[id & mask] = { id, sink, sentAt, deadline, stream };
    this.count++;
    this.context.counters.calls++;
    return id;
  }

  private growTable(): void {
    const calls = this.table.filter((call) => call !== null);
    // Ids that were apart in the small table are apart in the large one.
    this.table = Array.from({ length: this.table.length * 2 }, () => null);
    for (const call of calls) this.table[call.id & (this.table.length - 1)] = call;
  }

  /** The call of an answer; null: it is over already. */
  private take(id: number): PendingCall | null {
    const at = id & (this.table.length - 1);
    const call = this.table[at];
    if (call === null || call.id !== id) return null;
    this.table[at] = null;
    this.count--;
    this.sample(this.context.clock.nowMillis() - call.sentAt);
    return call;
  }

  private sample(millis: number): void {
    const { latency } = this;
    this.latency = latency === null ? millis : latency + (millis - latency) * LATENCY_WEIGHT;
  }

  private tell(sink: AnswerSink, failure: LinkError): void {
    try {
      sink.failed(failure);
    } catch (error) {
      this.context.log.error('a failure could not be used', { peer: this.name(), error });
    }
  }

  private expireOpening(now: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const stream of this.lanes) {
      if (stream === null || stream.open) continue;
      const end = stream.openedAt + this.context.limits.helloMillis;
      if (end <= now) stream.end('no welcome in time');
      else next = Math.min(next, end);
    }
    return next;
  }

  private expireCalls(now: number): void {
    const { table, context } = this;
    const over: PendingCall[] = [];
    let earliest = Number.POSITIVE_INFINITY;
    for (const [at, call] of table.entries()) {
      if (call === null) continue;
      if (call.deadline > now) {
        earliest = Math.min(earliest, call.deadline);
        continue;
      }
      table[at] = null;
      this.count--;
      over.push(call);
    }
    this.earliestDeadline = earliest;
    const silent = new Set<LaneStream>();
    for (const { sink, sentAt, stream } of over) {
      this.sample(now - sentAt);
      context.counters.timeouts++;
      const since = stream.waitingSince;
      if (since > 0 && now - since >= context.limits.silentMillis) silent.add(stream);
      this.tell(sink, new LinkError('TIMEOUT', `${this.name()}: no answer in time`));
    }
    for (const stream of silent) stream.end('silent');
  }

  /** @param stream null: of all */
  private failCalls(stream: LaneStream | null, error: LinkError): void {
    const { table } = this;
    const over: PendingCall[] = [];
    for (const [at, call] of table.entries()) {
      if (call === null || (stream !== null && call.stream !== stream)) continue;
      table[at] = null;
      this.count--;
      over.push(call);
    }
    this.context.counters.unreachable += over.length;
    for (const { sink } of over) this.tell(sink, error);
  }
}
