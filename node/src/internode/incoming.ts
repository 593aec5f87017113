/**
 * One stream from a peer: its hello is checked, then its requests go to the handlers and the answers back.
 *
 * A hello is refused (with the reason, once) if the cluster is another, or if the caller means another node: an address
 * may have been taken over. Whatever is malformed closes this stream alone.
 * @hot
 */
import { Writer } from '../common/bytes.ts';
import type { CarrierStream, StreamEvents } from './carrier.ts';
import { clusterProblem } from './cluster-check.ts';
import { countedStream, type Flushable, type LinkContext } from './context.ts';
import { packetBytesMax } from './limits.ts';
import type { FailureCode, Responder } from './links.ts';
import { Outbox } from './outbox.ts';
import {
  clockWord,
  FailureWire,
  type Hello,
  Lane,
  MessageKind,
  MessageReader,
  PacketKind,
  packetClock,
  packetKind,
  packetProblem,
  readHello,
  sealPacket,
  writeRefusal,
  writeWelcome,
} from './packet.ts';

/** The incoming streams of a hub. */
export interface IncomingOwner {
  /** The large lane of the same link, if it is open here. */
  largeLaneOf(hello: Hello): IncomingStream | null;
  greeted(stream: IncomingStream): void;
  ended(stream: IncomingStream): void;
}

const reader = new MessageReader();

/** For so long at least the quickest packet is remembered. */
const DELAY_WINDOW_MILLIS = 5000;

/**
 * How much longer than the quickest of the last seconds a packet was under way or waited here. Clocks of two nodes have
 * nothing to do with each other and drift apart, or one may stand still for a while: so only what is recent counts.
 */
class DelayEstimate {
  private windowStart = Number.NEGATIVE_INFINITY;
  private least = 0;
  private leastBefore = 0;

  /** @param offset of the two clocks, as this packet shows it @returns milliseconds, not negative */
  of(now: number, offset: number): number {
    const age = now - this.windowStart;
    if (age >= DELAY_WINDOW_MILLIS) {
      this.leastBefore = age >= 2 * DELAY_WINDOW_MILLIS ? offset : this.least;
      this.least = offset;
      this.windowStart = now;
    }
    this.least = Math.min(this.least, offset);
    return Math.max(0, offset - Math.min(this.least, this.leastBefore));
  }
}

export class IncomingStream implements StreamEvents, Flushable {
  readonly outbox = new Outbox();
  readonly acceptedAt: number;
  hello: Hello | null = null;
  flushDue = false;
  private readonly owner: IncomingOwner;
  private readonly context: LinkContext;
  private readonly stream: CarrierStream;
  private ended = false;
  /** Requests with handlers. */
  private handledCount = 0;
  private readonly delays = new DelayEstimate();

  constructor(owner: IncomingOwner, context: LinkContext, stream: CarrierStream) {
    this.owner = owner;
    this.context = context;
    this.stream = countedStream(stream, context.counters);
    this.acceptedAt = context.clock.nowMillis();
  }

  packet(packet: Uint8Array): void {
    const { counters, limits } = this.context;
    counters.packetsReceived++;
    counters.bytesReceived += packet.length;
    const problem = packetProblem(packet, packetBytesMax(limits));
    if (problem !== null) {
      this.malformed(problem);
      return;
    }
    const kind = packetKind(packet);
    if (this.hello === null && kind === PacketKind.hello) this.greet(readHello(packet));
    else if (this.hello !== null && kind === PacketKind.messages) {
      this.messages(packet, this.hello.hostId);
    } else this.malformed(`a packet of kind ${kind} out of turn`);
  }

  flush(nowMillis: number): void {
    if (!this.ended) this.outbox.flush(this.stream, nowMillis);
  }

  drained(): void {
    this.outbox.drained();
    this.flush(this.context.clock.nowMillis());
  }

  closed(reason: string): void {
    if (this.ended) return;
    if (this.hello !== null) this.note('info', 'a link from a peer ended', reason);
    else this.note('warn', 'a link from a peer was closed', reason);
    this.finish();
  }

  /** Closes if it turns out that the peer is of another cluster: this node has become a member since. */
  recheck(): void {
    const problem = this.hello === null ? null : clusterProblem(this.context, this.hello.clusterId);
    if (problem !== null) this.end(problem);
  }

  /** Closes, with a line in the log. */
  end(reason: string): void {
    if (this.ended) return;
    this.note('warn', 'a link from a peer was closed', reason);
    this.close();
  }

  private note(level: 'info' | 'warn', message: string, reason: string): void {
    const { remote } = this.stream;
    const from = this.hello === null ? remote : `${this.hello.hostId} (${remote})`;
    this.context.quietLog.line(level, remote, message, { from, reason });
  }

  close(): void {
    this.stream.close();
    this.finish();
  }

  /** Sends an answer to one of this stream's requests, by whichever lane. */
  send(kind: MessageKind, code: number, id: number, body: Uint8Array): void {
    this.handledCount--;
    if (this.ended || this.hello === null) return;
    const large = this.hello.lane === Lane.small && body.length >= this.context.limits.largeBytes;
    const target = large ? (this.owner.largeLaneOf(this.hello) ?? this) : this;
    target.push(kind, code, id, body);
  }

  /** A request that nobody waits for any more was answered. */
  forget(): void {
    this.handledCount--;
  }

  private push(kind: MessageKind, code: number, id: number, body: Uint8Array): void {
    if (this.outbox.bytes + body.length > this.context.limits.answerBytesMax) {
      this.end('it does not read its answers');
      return;
    }
    this.outbox.add(kind, code, id, 0, body);
    this.context.flushLater(this);
  }

  private finish(): void {
    if (this.ended) return;
    this.ended = true;
    this.owner.ended(this);
  }

  private greet(hello: Hello | null): void {
    const { hostId, clusterName } = this.context;
    if (hello === null) {
      this.malformed('a hello that cannot be read');
      return;
    }
    if (hello.clusterName !== clusterName) {
      this.refuse(`the cluster here is '${clusterName}', not '${hello.clusterName}'`);
      return;
    }
    if (hello.meant !== '' && hello.meant !== hostId) {
      this.refuse(`the node here is ${hostId}, not ${hello.meant}`);
      return;
    }
    const problem = clusterProblem(this.context, hello.clusterId);
    if (problem !== null) {
      this.refuse(problem);
      return;
    }
    this.hello = hello;
    const clusterId = this.context.clusterId();
    this.reply((writer) => writeWelcome(writer, { hostId, clusterId }));
    this.owner.greeted(this);
    this.context.heardFrom(hello.hostId);
  }

  private refuse(reason: string): void {
    this.reply((writer) => writeRefusal(writer, reason));
    this.end(reason);
  }

  private reply(write: (writer: Writer) => void): void {
    const writer = new Writer();
    write(writer);
    const packet = writer.copy();
    sealPacket(packet, this.context.clock.nowMillis());
    this.stream.write(packet);
  }

  private messages(packet: Uint8Array, from: string): void {
    const now = this.context.clock.nowMillis();
    const sentAt = packetClock(packet);
    const delay = this.delays.of(now, (clockWord(now) - sentAt) | 0);
    reader.start(packet);
    let more = reader.next();
    for (; more === true && !this.ended; more = reader.next()) {
      if (reader.kind !== MessageKind.request) {
        this.malformed(`a message of kind ${reader.kind} out of turn`);
        return;
      }
      this.request(from, now + ((reader.deadline - sentAt) | 0) - delay, now);
    }
    if (more === null) this.malformed('a message is cut short');
  }

  private request(from: string, deadline: number, now: number): void {
    const { context } = this;
    const { id, code, body } = reader;
    if (deadline <= now) {
      context.counters.expired++;
      return;
    }
    this.handledCount++;
    const call = new IncomingCall(this, context, id, deadline);
    if (this.handledCount > context.limits.handledMax) {
      call.fail('OVERLOADED', 'too many requests are being handled');
      return;
    }
    const handler = context.handlerOf(code);
    if (handler === undefined) {
      call.fail('FAILED', `verb ${code} is not handled here`);
      return;
    }
    context.counters.handled++;
    try {
      handler(from, body, call);
    } catch (error) {
      context.log.error('a request could not be handled', { from, verb: code, error });
      call.fail('FAILED', 'the request could not be handled, see the log of the node');
    }
  }

  private malformed(reason: string): void {
    this.context.counters.malformed++;
    this.end(`malformed: ${reason}`);
  }
}

class IncomingCall implements Responder {
  private readonly stream: IncomingStream;
  private readonly context: LinkContext;
  private readonly id: number;
  private readonly deadline: number;
  private done = false;

  constructor(stream: IncomingStream, context: LinkContext, id: number, deadline: number) {
    this.stream = stream;
    this.context = context;
    this.id = id;
    this.deadline = deadline;
  }

  answer(body: Uint8Array): void {
    const { bodyBytesMax } = this.context.limits;
    if (body.length > bodyBytesMax) {
      this.fail('FAILED', `an answer of ${body.length} bytes is too large`);
      return;
    }
    this.send(MessageKind.answer, 0, body);
  }

  fail(code: FailureCode, message: string): void {
    this.send(MessageKind.failure, FailureWire[code], Buffer.from(message));
  }

  private send(kind: MessageKind, code: number, body: Uint8Array): void {
    if (this.done) return;
    this.done = true;
    // The caller has given up: nothing is sent for nobody.
    if (this.context.clock.nowMillis() >= this.deadline) this.stream.forget();
    else this.stream.send(kind, code, this.id, body);
  }
}
