/**
 * A virtual network: streams between addresses with latency, bandwidth, partitions and breaks. What TCP promises holds: a
 * stream is ordered and complete, or it breaks. What it does not promise does not: packets written before a break may or
 * may not have arrived, and one side may learn of a break long after the other.
 */
import type { AcceptStream, Carrier, CarrierStream, StreamEvents } from '../internode/carrier.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** One direction between two addresses. */
export interface LinkQuality {
  /** One way, milliseconds, each packet anew. */
  readonly latencyMin: number;
  readonly latencyMax: number;
  /** Packets that have to be sent again, which takes `retransmitMillis` more each time. */
  readonly loss: number;
  /** Packets of which one bit is changed on the way. */
  readonly corruption: number;
  readonly bytesPerMilli: number;
}

const QUALITY: LinkQuality = {
  latencyMin: 0.1,
  latencyMax: 0.5,
  loss: 0,
  corruption: 0,
  bytesPerMilli: 100_000,
};

const RETRANSMIT_MILLIS = 200;
/** A stream over a cut that lasts so long breaks, and so does an attempt to connect. */
const KEEPALIVE_MILLIS = 15_000;
const CONNECT_MILLIS = 3000;
/** Bytes under way in one direction before a writer has to wait. */
const WINDOW_BYTES = 1 << 20;

interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** @param port null: all of them */
function pairOf(from: string, to: string, port: number | null = null): string {
  return port === null ? `${from} ${to}` : `${from} ${to} ${port}`;
}

export class VirtualNetwork {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  /** Packets and bytes that have arrived, by the address that sent them. */
  readonly sent = new Map<string, { packets: number; bytes: number }>();
  private readonly listeners = new Map<string, AcceptStream>();
  private readonly qualities = new Map<string, LinkQuality>();
  private readonly blocked = new Set<string>();
  private readonly streams = new Set<VirtualStream>();
  private standard = QUALITY;

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.scheduler = scheduler;
    this.random = random;
  }

  /** How the node at `address` opens streams. */
  carrier(address: string): Carrier {
    return {
      open: (to, port, events) => this.open(address, { address: to, port }, events),
    };
  }

  /** Streams to this port go to `accept`. @returns stops it */
  listen(address: string, port: number, accept: AcceptStream): () => void {
    const key = pairOf(address, String(port));
    this.listeners.set(key, accept);
    return () => {
      if (this.listeners.get(key) === accept) this.listeners.delete(key);
    };
  }

  /** What every direction is like that has no quality of its own. */
  setStandard(changed: Partial<LinkQuality>): void {
    this.standard = { ...this.standard, ...changed };
  }

  /** One direction; null: like the others. */
  setQuality(from: string, to: string, changed: Partial<LinkQuality> | null): void {
    const pair = pairOf(from, to);
    if (changed === null) this.qualities.delete(pair);
    else this.qualities.set(pair, { ...this.quality(from, to), ...changed });
  }

  /** All directions are as good as at the beginning. */
  resetQualities(): void {
    this.qualities.clear();
    this.standard = QUALITY;
  }

  quality(from: string, to: string): LinkQuality {
    return this.qualities.get(pairOf(from, to)) ?? this.standard;
  }

  /**
   * Nothing goes from one to the other; what is written waits, as TCP's does, until the stream breaks.
   * @param port only streams that were opened to it; null: all
   */
  block(from: string, to: string, port: number | null = null): void {
    this.blocked.add(pairOf(from, to, port));
    for (const stream of this.streams) {
      if (stream.goes(from, to, port)) stream.cut();
      if (stream.goes(from, to, port) || stream.goes(to, from, port)) stream.watchCut();
    }
  }

  unblock(from: string, to: string, port: number | null = null): void {
    this.blocked.delete(pairOf(from, to, port));
    for (const stream of this.streams) if (stream.goes(from, to, port)) stream.goOn();
  }

  /** Cuts two groups off from each other, both ways. */
  partition(left: readonly string[], right: readonly string[]): void {
    for (const a of left) {
      for (const b of right) {
        this.block(a, b);
        this.block(b, a);
      }
    }
  }

  /** Takes back all blocks; qualities stay. */
  heal(): void {
    const healed = [...this.streams].filter(({ isCut }) => isCut);
    this.blocked.clear();
    for (const stream of healed) stream.goOn();
  }

  isBlocked(from: string, to: string, port: number): boolean {
    return this.blocked.has(pairOf(from, to)) || this.blocked.has(pairOf(from, to, port));
  }

  /** Breaks every stream between two addresses; what is under way is lost. */
  breakStreams(a: string, b: string): void {
    for (const stream of [...this.streams]) {
      if (stream.goes(a, b) || stream.goes(b, a)) stream.breakNow('reset');
    }
  }

  /**
   * The process at an address is gone: its streams and listeners end, and peers learn of it if they can be reached.
   * @param withMachine of some streams what was written and has not arrived never does
   */
  vanish(address: string, withMachine = false): void {
    for (const key of [...this.listeners.keys()]) {
      if (key.startsWith(`${address} `)) this.listeners.delete(key);
    }
    for (const stream of [...this.streams]) {
      if (stream.from !== address) continue;
      if (withMachine && this.random.chance(0.5)) stream.forget();
      stream.close();
    }
  }

  acceptorOf({ address, port }: Endpoint): AcceptStream | undefined {
    return this.listeners.get(pairOf(address, String(port)));
  }

  add(stream: VirtualStream): void {
    this.streams.add(stream);
  }

  remove(stream: VirtualStream): void {
    this.streams.delete(stream);
  }

  count(from: string, bytes: number): void {
    const known = this.sent.get(from) ?? { packets: 0, bytes: 0 };
    this.sent.set(from, { packets: known.packets + 1, bytes: known.bytes + bytes });
  }

  /** Packets and bytes that have arrived. */
  total(): { packets: number; bytes: number } {
    const total = { packets: 0, bytes: 0 };
    for (const { packets, bytes } of this.sent.values()) {
      total.packets += packets;
      total.bytes += bytes;
    }
    return total;
  }

  private open(from: string, to: Endpoint, events: StreamEvents): CarrierStream {
    const near = new VirtualStream(this, from, to.address, to.port);
    near.events = events;
    this.connect(near, to, this.scheduler.now + CONNECT_MILLIS);
    return near;
  }

  /** Tries until the path is there, or the time is over. */
  private connect(near: VirtualStream, to: Endpoint, end: number): void {
    const { from } = near;
    const { address, port } = to;
    const cut = this.isBlocked(from, address, port) || this.isBlocked(address, from, port);
    if (cut) {
      this.scheduler.after(RETRANSMIT_MILLIS, () => {
        if (near.ended) return;
        if (this.scheduler.now >= end) near.fail('cannot connect: no answer');
        else this.connect(near, to, end);
      });
      return;
    }
    const roundTrip = this.latency(from, to.address) + this.latency(to.address, from);
    this.scheduler.after(roundTrip, () => {
      if (near.ended) return;
      const accept = this.acceptorOf(to);
      if (accept === undefined) {
        near.fail('cannot connect: refused');
        return;
      }
      const far = new VirtualStream(this, address, from, port);
      near.join(far);
      far.events = accept(far);
      near.goOn();
    });
  }

  latency(from: string, to: string): number {
    const { latencyMin, latencyMax, loss } = this.quality(from, to);
    let millis = this.random.between(latencyMin, latencyMax);
    while (loss > 0 && this.random.chance(Math.min(loss, 0.9))) millis += RETRANSMIT_MILLIS;
    return millis;
  }
}

/** One end of a stream. */
class VirtualStream implements CarrierStream {
  readonly from: string;
  readonly to: string;
  /** That the stream was opened to, at either end. */
  private readonly port: number;
  events: StreamEvents | null = null;
  /** Nothing is sent or heard any more at this end. */
  ended = false;
  private readonly network: VirtualNetwork;
  private far: VirtualStream | null = null;
  /** Written, and not yet on the way. */
  private waiting: Uint8Array[] = [];
  /** On the way, in the order in which they arrive. */
  private underWay: Uint8Array[] = [];
  private windowBytes = 0;
  private full = false;
  /** Packets arrive in the order in which they were sent. */
  private lastArrival = 0;
  /** Grows when what is under way does not arrive. */
  private flight = 0;
  private broken = false;

  constructor(network: VirtualNetwork, from: string, to: string, port: number) {
    this.network = network;
    this.from = from;
    this.to = to;
    this.port = port;
    network.add(this);
  }

  get remote(): string {
    return this.to;
  }

  /** @param port null: any */
  goes(from: string, to: string, port: number | null = null): boolean {
    return this.from === from && this.to === to && (port === null || port === this.port);
  }

  /** Nothing goes from this end to the other. */
  get isCut(): boolean {
    return this.network.isBlocked(this.from, this.to, this.port);
  }

  join(far: VirtualStream): void {
    this.far = far;
    far.far = this;
  }

  write(packet: Uint8Array): boolean {
    if (this.ended) return true;
    this.waiting.push(packet);
    this.windowBytes += packet.length;
    this.full = this.windowBytes > WINDOW_BYTES;
    this.goOn();
    return !this.full;
  }

  /** What is under way is lost. */
  forget(): void {
    this.flight++;
    this.waiting = [];
    this.underWay = [];
  }

  close(): void {
    if (this.ended) return;
    this.goOn();
    this.end();
    this.tellFar('closed by the peer');
  }

  /** The end without a peer, or whose time is over. */
  fail(reason: string): void {
    if (this.ended) return;
    this.end();
    this.events?.closed(reason);
  }

  /** Both ends break, each hearing of it on its own; what is under way is lost. */
  breakNow(reason: string): void {
    const { scheduler } = this.network;
    for (const end of [this, this.far]) {
      if (end === null) continue;
      end.lose();
      scheduler.soon(() => end.fail(reason));
    }
  }

  /** The way to the other end is cut: what is on it is sent again when the cut is healed. */
  cut(): void {
    this.flight++;
    this.waiting = [...this.underWay, ...this.waiting];
    this.underWay = [];
    this.lastArrival = this.network.scheduler.now;
  }

  /** Breaks this end if it is still cut off after the keepalive time. */
  watchCut(): void {
    const { network, from, to, port } = this;
    network.scheduler.after(KEEPALIVE_MILLIS, () => {
      if (this.ended || !(this.isCut || network.isBlocked(to, from, port))) return;
      this.lose();
      this.fail('keepalive: no answer');
    });
  }

  /** Sends what waits, if there is a way. */
  goOn(): void {
    const { far } = this;
    if (far === null || this.ended || this.isCut) return;
    const packets = this.waiting;
    this.waiting = [];
    for (const packet of packets) this.transmit(packet, far);
  }

  private lose(): void {
    this.flight++;
    this.broken = true;
  }

  private transmit(packet: Uint8Array, far: VirtualStream): void {
    const { network, flight } = this;
    const { scheduler, random } = network;
    const { bytesPerMilli, corruption } = network.quality(this.from, this.to);
    const start = Math.max(this.lastArrival, scheduler.now + network.latency(this.from, this.to));
    this.lastArrival = start + packet.length / bytesPerMilli;
    this.underWay.push(packet);
    scheduler.at(this.lastArrival, () => {
      // A stream that is closed is not cut, but nothing passes a cut.
      if (this.flight !== flight || this.isCut) return;
      this.underWay.shift();
      this.arrived(packet.length);
      if (far.ended) return;
      if (corruption > 0 && random.chance(corruption)) {
        packet[random.below(packet.length)] ^= 1 << random.below(8);
      }
      network.count(this.from, packet.length);
      far.events?.packet(packet);
    });
  }

  private arrived(bytes: number): void {
    this.windowBytes -= bytes;
    if (!this.full || this.windowBytes > WINDOW_BYTES / 2 || this.ended) return;
    this.full = false;
    this.events?.drained();
  }

  private end(): void {
    this.ended = true;
    this.waiting = [];
    this.network.remove(this);
  }

  /** The end at the other side learns that this one is gone: after its packets, or by its own keepalive. */
  private tellFar(reason: string): void {
    const { far, network } = this;
    if (far === null) return;
    const { scheduler } = network;
    const arrival = scheduler.now + network.latency(this.from, this.to);
    scheduler.at(Math.max(this.lastArrival, arrival), () => {
      if (this.broken) return;
      if (!this.isCut) far.fail(reason);
      else scheduler.after(KEEPALIVE_MILLIS, () => far.fail('keepalive: no answer'));
    });
  }
}
