/**
 * One stream to a peer, from opening to its end: hello, welcome, then requests out and answers in.
 * @hot
 */
import { Writer } from '../common/bytes.ts';
import type { CarrierStream, StreamEvents } from './carrier.ts';
import { clusterProblem } from './cluster-check.ts';
import { countedStream, type Flushable, type LinkContext } from './context.ts';
import { packetBytesMax } from './limits.ts';
import type { Peer } from './links.ts';
import { Outbox } from './outbox.ts';
import {
  type Lane,
  MessageKind,
  MessageReader,
  PacketKind,
  packetKind,
  packetProblem,
  readRefusal,
  readWelcome,
  sealPacket,
  type Welcome,
  writeHello,
} from './packet.ts';

/** Who owns a lane: the link. */
export interface LaneOwner {
  readonly peer: Peer;
  readonly session: readonly [number, number];
  welcomed(stream: LaneStream): void;
  answered(id: number, body: Buffer): void;
  failed(id: number, code: number, message: Buffer): void;
  /** The stream is no more. */
  lost(stream: LaneStream, loss: Loss): void;
}

/** How a stream ended. */
export interface Loss {
  readonly reason: string;
  readonly code: 'UNREACHABLE' | 'REFUSED';
  /** See `LinkError.isGone`. */
  readonly isGone: boolean;
}

const reader = new MessageReader();

export class LaneStream implements StreamEvents, Flushable {
  readonly lane: Lane;
  readonly outbox = new Outbox();
  readonly openedAt: number;
  open = false;
  flushDue = false;
  /** Since when requests went out with nothing coming in; 0: nothing is waited for. */
  waitingSince = 0;
  /** Empty: it has not said. */
  private peerClusterId = '';
  private readonly owner: LaneOwner;
  private readonly context: LinkContext;
  private readonly stream: CarrierStream;

  constructor(owner: LaneOwner, context: LinkContext, lane: Lane, port: number) {
    this.owner = owner;
    this.context = context;
    this.lane = lane;
    this.openedAt = context.clock.nowMillis();
    const { peer, session } = owner;
    this.stream = countedStream(context.carrier.open(peer.address, port, this), context.counters);
    const { hostId, clusterName } = context;
    const hello = new Writer();
    const clusterId = context.clusterId();
    writeHello(hello, { lane, session, hostId, meant: peer.hostId, clusterName, clusterId });
    const packet = hello.copy();
    sealPacket(packet, this.openedAt);
    this.stream.write(packet);
  }

  flush(nowMillis: number): void {
    if (this.open) this.outbox.flush(this.stream, nowMillis);
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
    this.waitingSince = 0;
    const kind = packetKind(packet);
    if (this.open && kind === PacketKind.messages) this.messages(packet);
    else if (!this.open && kind === PacketKind.welcome) this.welcome(readWelcome(packet));
    else if (!this.open && kind === PacketKind.refusal) {
      this.end(`refused: ${readRefusal(packet) ?? 'no reason given'}`, 'REFUSED');
    } else this.malformed(`a packet of kind ${kind} out of turn`);
  }

  drained(): void {
    const now = this.context.clock.nowMillis();
    // What is on its way out moves: that is no silence.
    if (this.waitingSince > 0) this.waitingSince = now;
    this.outbox.drained();
    this.flush(now);
  }

  closed(reason: string): void {
    this.owner.lost(this, { reason, code: 'UNREACHABLE', isGone: true });
  }

  /** Closes after a failure, which the owner hears of. */
  end(reason: string, code: 'UNREACHABLE' | 'REFUSED' = 'UNREACHABLE'): void {
    this.stream.close();
    this.owner.lost(this, { reason, code, isGone: false });
  }

  /** Closes for good; the owner knows. */
  close(): void {
    this.stream.close();
  }

  /** Closes if it turns out that the peer is of another cluster: this node has become a member since. */
  recheck(): void {
    const problem = clusterProblem(this.context, this.peerClusterId);
    if (problem !== null) this.end(problem, 'REFUSED');
  }

  private welcome(welcome: Welcome | null): void {
    const meant = this.owner.peer.hostId;
    if (welcome === null) {
      this.malformed('a welcome without a host id');
      return;
    }
    if (meant !== '' && welcome.hostId !== meant) {
      this.end(`it is ${welcome.hostId}`);
      return;
    }
    const problem = clusterProblem(this.context, welcome.clusterId);
    if (problem !== null) {
      this.end(problem, 'REFUSED');
      return;
    }
    this.peerClusterId = welcome.clusterId;
    this.open = true;
    this.owner.welcomed(this);
    this.flush(this.context.clock.nowMillis());
  }

  private messages(packet: Uint8Array): void {
    reader.start(packet);
    let more = reader.next();
    for (; more === true; more = reader.next()) {
      if (reader.kind === MessageKind.answer) this.owner.answered(reader.id, reader.body);
      else if (reader.kind === MessageKind.failure) {
        this.owner.failed(reader.id, reader.code, reader.body);
      } else {
        this.malformed(`a message of kind ${reader.kind} out of turn`);
        return;
      }
    }
    if (more === null) this.malformed('a message is cut short');
  }

  private malformed(reason: string): void {
    this.context.counters.malformed++;
    this.end(`malformed: ${reason}`);
  }
}
