/**
 * Gossip: each second a node tells a few others what it knows of all, and learns what they know. From how regularly a
 * node's heartbeat grows follows whether it is alive. Messages have a bounded size and a node sends the same number of
 * them however large the cluster is. Source: Cassandra's Gossiper; van Renesse et al., "Efficient reconciliation and
 * flow control for anti-entropy protocols".
 *
 *     A ── offer: digests ──▶ B          what A knows, by version
 *     A ◀─ answer: news, wanted ── B     what A does not know; what B does not know
 *     A ── news ──▶ B
 */
import { Writer } from '../common/bytes.ts';
import {
  type AnswerSink,
  type LinkError,
  type Links,
  type Peer,
  type Responder,
  Verb,
} from '../internode/links.ts';
import type { Liveness, NodeInfo } from './cluster-state.ts';
import { type ArrivalOptions, ArrivalWindow } from './failure-detector.ts';
import {
  DIGESTS_MAX,
  type Digest,
  decodeGossip,
  encodeGossip,
  type GossipMessage,
  NEWS_BYTES_MAX,
  type News,
  newsBytes,
  packHostId,
  STATE_BYTES_MAX,
} from './gossip-codec.ts';
import {
  Endpoint,
  type GossipStatus,
  type PeerView,
  placeOf,
  StateKey,
} from './gossip-endpoint.ts';
import { Suspicion } from './gossip-suspicion.ts';
import type { ClusterClock } from './ports.ts';

export { type PeerView, StateKey } from './gossip-endpoint.ts';

export interface GossipEvent {
  readonly kind: 'up' | 'down' | 'changed';
  readonly peer: PeerView;
}

export interface GossipDeps {
  readonly hostId: string;
  /** Once it has started: of the cluster that this node is a member of. */
  clusterId(): string;
  /** Larger at each start of the node, e.g. seconds since 1970; below 2^32. One that is too small mends itself. */
  readonly generation: number;
  readonly links: Links;
  readonly clock: ClusterClock;
  /** In [0, 1). */
  random(): number;
}

export interface GossipOptions extends ArrivalOptions {
  /** Live nodes that are told each time. */
  readonly fanout: number;
}

export const GOSSIP_DEFAULTS: GossipOptions = { intervalMillis: 1_000, phiThreshold: 8, fanout: 2 };

/** Of an offer: digests of nodes that are not known or not alive. */
const ASKED_MAX = DIGESTS_MAX / 2;
/** Nodes that are known; more are not taken in. */
const NODES_MAX = 20_000;
const ANSWER_MILLIS = 2_000;
/** This node did not run for so many intervals: nobody is judged by that. */
const PAUSE_INTERVALS = 5;
/** Who is alive and has not taken a greeting by then is greeted again, a few times: slow machines start slow nodes. */
const GREETING_MILLIS = 1_000;
const GREETINGS_MAX = 5;
/** Whoever has not taken the goodbye by then finds out. */
const GOODBYE_MILLIS = 500;
/** Greetings at the start, and goodbyes at the end. */
const TOLD_MAX = 1_000;
const SERVING: GossipStatus = 'normal';
const GENERATION_MAX = 0xffffffff;
/** A generation that is so much larger than the one known is a broken clock, not a restart. */
const GENERATION_STEP_MAX = 366 * 86_400;

/** GONE: nobody is there. SILENT: no answer, for whatever reason. */
type CallOutcome = 'answered' | 'gone' | 'silent';

export class Gossip implements Liveness {
  private readonly deps: GossipDeps;
  /** Shared with all windows of arrivals: changed in place. */
  private readonly options: GossipOptions & { phiThreshold: number };
  private readonly endpoints = new Map<string, Endpoint>();
  /** The same, for random choices. */
  private list: Endpoint[] = [];
  private readonly byHostId = new Map<string, Endpoint>();
  private readonly self: Endpoint;
  private seeds: readonly Peer[] = [];
  /** Members, by the log, of whom nothing was heard yet. */
  private readonly unmet = new Map<string, Peer>();
  private readonly forgotten = new Set<string>();
  private readonly listeners = new Set<(event: GossipEvent) => void>();
  private readonly out = new Writer(4096);
  private readonly suspicion: Suspicion;
  private stopTimer: (() => void) | null = null;
  private stopped = false;
  private lastRound: number;

  /** @throws TypeError if the host id is not a UUID */
  constructor(deps: GossipDeps, options: Partial<GossipOptions> = {}) {
    this.deps = deps;
    this.options = { ...GOSSIP_DEFAULTS, ...options };
    this.lastRound = deps.clock.nowMillis();
    const id = packHostId(deps.hostId);
    if (id === null) throw new TypeError(`the host id ${deps.hostId} is not a UUID`);
    this.self = this.addEndpoint(id, deps.generation);
    this.self.alive = true;
    this.suspicion = new Suspicion({
      self: this.self,
      intervalMillis: this.options.intervalMillis,
      nowMillis: () => deps.clock.nowMillis(),
      endpoints: () => this.list,
      pick: (items) => this.pick(items),
      call: (peer, message, then) =>
        this.call(peer, message, (outcome) => then?.(outcome === 'gone')),
      dead: (endpoint) => this.setAlive(endpoint, false),
    });
  }

  /**
   * Begins to tell and to listen.
   * @param peer where this node is
   * @param states what else it says of itself
   * @param seeds told sometimes even if they do not answer, so that parts of a cluster find each other; a host id that
   *   is not known is empty
   */
  start(peer: Peer, states: ReadonlyMap<StateKey, string>, seeds: readonly Peer[]): void {
    this.set(StateKey.Address, peer.address);
    this.set(StateKey.ControlPort, String(peer.controlPort));
    this.set(StateKey.DataPort, String(peer.dataPort));
    this.setSeeds(seeds);
    this.setStatus('starting');
    for (const [key, value] of states) this.set(key, value);
    const { links, clock } = this.deps;
    links.handle(Verb.Gossip, (from, body, responder) => this.onRequest(from, body, responder));
    this.stopTimer = clock.every(this.options.intervalMillis, () => this.round());
    this.round();
  }

  /** Where to find others; this node may be among them. */
  setSeeds(seeds: readonly Peer[]): void {
    const own = this.self.get(StateKey.Address);
    const ownPort = Number(this.self.get(StateKey.ControlPort));
    this.seeds = seeds.filter(
      ({ address, controlPort }) => address !== own || controlPort !== ownPort,
    );
  }

  /** How sure it is before a silent node counts as dead. */
  setPhiThreshold(phi: number): void {
    this.options.phiThreshold = phi;
  }

  private setStatus(status: GossipStatus): void {
    this.set(StateKey.Status, status);
  }

  /** Says something else of this node. Values are cut at 512 characters. */
  set(key: StateKey, value: string): void {
    const { self } = this;
    const text = value.slice(0, STATE_BYTES_MAX);
    // It would be news after the goodbye.
    if (this.stopped || self.get(key) === text) return;
    self.version++;
    self.statesVersion = self.version;
    self.states.set(key, { value: text, version: self.version });
  }

  /** Who belongs to the cluster, by the log: their last addresses are tried. Who has left is forgotten. */
  setMembers(nodes: Iterable<NodeInfo>): void {
    this.unmet.clear();
    for (const node of nodes) {
      if (node.state === 'left') this.forget(node.hostId);
      else if (!this.byHostId.has(node.hostId)) this.unmet.set(node.hostId, node);
    }
  }

  /** A node has left for good: nothing of it is kept or heard any more. */
  forget(hostId: string): void {
    const id = packHostId(hostId);
    if (id === null || id === this.self.id) return;
    if (this.forgotten.size < NODES_MAX) this.forgotten.add(id);
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) return;
    this.setAlive(endpoint, false);
    this.endpoints.delete(id);
    this.byHostId.delete(hostId);
    this.list = this.list.filter((one) => one !== endpoint);
  }

  isAlive(hostId: string): boolean {
    return this.byHostId.get(hostId)?.alive ?? false;
  }

  /** It is alive, and takes requests. */
  isServing(hostId: string): boolean {
    const endpoint = this.byHostId.get(hostId);
    return endpoint?.alive === true && endpoint.get(StateKey.Status) === SERVING;
  }

  peer(hostId: string): PeerView | null {
    return this.byHostId.get(hostId) ?? null;
  }

  /** All that are known, this node among them. */
  peers(): readonly PeerView[] {
    return this.list;
  }

  /** How sure it is that a node is dead; 0 for this one and for those that are not known. */
  phi(hostId: string): number {
    const endpoint = this.byHostId.get(hostId);
    if (endpoint === undefined || endpoint === this.self) return 0;
    return endpoint.arrivals.phi(this.deps.clock.nowMillis());
  }

  /** Where a node says that it is; null: not known, or not alive, so that it may be elsewhere now. */
  peerOf(hostId: string): Peer | null {
    const endpoint = this.byHostId.get(hostId);
    return endpoint?.alive === true ? placeOf(endpoint) : null;
  }

  /** @returns stops it */
  onEvent(listener: (event: GossipEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Tells all members that this node is alive, so that they need not hear it from others: who does not know would not wait for
   * it with a schema change. Resolves when those that are alive know, or in a few seconds.
   */
  async greet(): Promise<void> {
    await this.introduce([...this.livingPlaces(), ...this.unmet.values()]);
  }

  /** This node takes requests from now on. Resolves when those that are alive know, or in a few seconds. */
  async serve(): Promise<void> {
    this.setStatus(SERVING);
    await this.introduce(this.livingPlaces());
  }

  private async introduce(to: readonly Peer[]): Promise<void> {
    const greeting: GossipMessage = { kind: 'news', news: [this.self.newsAfter(0)] };
    let peers = to;
    for (let i = 0; i < GREETINGS_MAX && peers.length > 0; i++) {
      const silent = await this.tell(peers.slice(0, TOLD_MAX), greeting, GREETING_MILLIS);
      peers = silent.filter(({ hostId }) => this.isAlive(hostId));
    }
  }

  /** Tells those that are alive that this node goes, so that they need not find out. Resolves when they know, soon. */
  async stop(): Promise<void> {
    if (this.stopTimer === null) return;
    this.stopped = true;
    this.stopTimer();
    this.stopTimer = null;
    await this.tell(
      this.livingPlaces().slice(0, TOLD_MAX),
      { kind: 'goodbye', digest: this.self },
      GOODBYE_MILLIS,
    );
  }

  private livingOthers(): Endpoint[] {
    return this.list.filter((one) => one.alive && one !== this.self);
  }

  private livingPlaces(): readonly Peer[] {
    return this.livingOthers().flatMap((one) => placeOf(one) ?? []);
  }

  /** @returns who has not answered */
  private async tell(
    peers: readonly Peer[],
    message: GossipMessage,
    millis: number,
  ): Promise<readonly Peer[]> {
    const outcomes = peers.map(
      (peer) => new Promise<CallOutcome>((resolve) => this.call(peer, message, resolve, millis)),
    );
    const ended = await Promise.all(outcomes);
    return peers.filter((_, i) => ended[i] !== 'answered');
  }

  private addEndpoint(id: string, generation: number): Endpoint {
    const arrivals = new ArrivalWindow(this.options, this.deps.clock.nowMillis());
    const endpoint = new Endpoint(id, generation, arrivals);
    this.endpoints.set(id, endpoint);
    this.byHostId.set(endpoint.hostId, endpoint);
    this.unmet.delete(endpoint.hostId);
    this.list.push(endpoint);
    return endpoint;
  }

  private emit(kind: GossipEvent['kind'], peer: PeerView): void {
    for (const listener of this.listeners) listener({ kind, peer });
  }

  private setAlive(endpoint: Endpoint, alive: boolean): void {
    if (endpoint.alive === alive || endpoint === this.self) return;
    endpoint.alive = alive;
    if (alive) endpoint.arrivals.restart(this.deps.clock.nowMillis());
    this.emit(alive ? 'up' : 'down', endpoint);
  }

  // Telling.

  private round(): void {
    const now = this.deps.clock.nowMillis();
    const wasPaused = now - this.lastRound > this.options.intervalMillis * PAUSE_INTERVALS;
    this.lastRound = now;
    this.self.version++;
    this.self.heartbeat = this.self.version;
    for (const endpoint of this.list) {
      if (wasPaused) endpoint.arrivals.restart(now);
      else this.suspicion.judge(endpoint);
    }
    const silent = this.list.filter((one) => !one.alive);
    for (const peer of this.choosePeers(silent)) this.call(peer, this.offer(silent));
  }

  /** A request to a peer has failed, which says something only if nobody was there. */
  private onFailure({ hostId, address, controlPort }: Peer, { isGone }: LinkError): void {
    const endpoint = this.byHostId.get(hostId);
    if (!isGone || endpoint === undefined || this.stopped) return;
    const place = placeOf(endpoint);
    // It may be elsewhere now.
    if (place?.address !== address || place.controlPort !== controlPort) return;
    this.suspicion.gone(endpoint);
  }

  private pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.deps.random() * items.length)];
  }

  /** Some that are alive, one that was silent for a while among them; sometimes one that is dead; sometimes a seed. */
  private choosePeers(silent: readonly Endpoint[]): Iterable<Peer> {
    const chosen = new Map<string, Peer>();
    const choose = (peer: Peer | null | undefined) => {
      if (peer) chosen.set(`${peer.address} ${peer.controlPort}`, peer);
    };
    const living = this.livingOthers();
    const suspect = this.suspicion.suspect(living);
    for (let i = 0; i < this.options.fanout && i < living.length; i++) {
      const endpoint = i === 0 && suspect !== null ? suspect : this.pick(living);
      choose(endpoint && placeOf(endpoint));
    }
    const away = silent.length + this.unmet.size;
    if (this.deps.random() < away / (living.length + 1)) choose(this.pickAway(silent));
    const lonely = living.length < this.seeds.length;
    if (lonely || this.deps.random() < this.seeds.length / (living.length + 1)) {
      choose(this.pick(this.seeds));
    }
    return chosen.values();
  }

  /** One who is dead, or of whom nothing was heard; null: it has not said where it is. */
  private pickAway(silent: readonly Endpoint[]): Peer | null {
    let at = Math.floor(this.deps.random() * (silent.length + this.unmet.size));
    if (at < silent.length) return placeOf(silent[at]);
    for (const peer of this.unmet.values()) if (at-- === silent.length) return peer;
    return null;
  }

  /**
   * Digests of all; or, if these are too many, of this node, of some that it has reason to ask for, as nobody would tell
   * it of them otherwise, and of others at random.
   */
  private offer(silent: readonly Endpoint[]): GossipMessage {
    const { list } = this;
    const isAll = list.length <= DIGESTS_MAX;
    if (!isAll) {
      // Those that come first are another choice each time.
      for (let i = 0; i < DIGESTS_MAX; i++) {
        const j = i + Math.floor(this.deps.random() * (list.length - i));
        [list[i], list[j]] = [list[j], list[i]];
      }
    }
    const digests: Digest[] = isAll ? list : list.slice(0, DIGESTS_MAX);
    if (!isAll) {
      const asked = this.askedFor(silent);
      digests.splice(DIGESTS_MAX - asked.length, asked.length, ...asked);
    }
    if (!digests.includes(this.self)) digests[0] = this.self;
    return { kind: 'offer', isAll, digests };
  }

  /** Members that are not known as if they had never said anything; those that are not alive as they are known. */
  private askedFor(silent: readonly Endpoint[]): readonly Digest[] {
    const asked: Digest[] = [];
    for (const hostId of this.unmet.keys()) {
      if (asked.length === ASKED_MAX) return asked;
      const id = packHostId(hostId);
      if (id !== null) asked.push({ id, generation: 0, version: 0 });
    }
    const start = Math.floor(this.deps.random() * silent.length);
    for (let i = 0; i < silent.length && asked.length < ASKED_MAX; i++) {
      asked.push(silent[(start + i) % silent.length]);
    }
    return asked;
  }

  private call(
    peer: Peer,
    message: GossipMessage,
    then?: (outcome: CallOutcome) => void,
    millis = ANSWER_MILLIS,
  ): void {
    const { links } = this.deps;
    const body = encodeGossip(this.out, this.deps.clusterId(), message);
    const sink: AnswerSink = {
      answered: (answer) => {
        this.onAnswer(peer, answer);
        then?.('answered');
      },
      failed: (error) => {
        this.onFailure(peer, error);
        then?.(error.isGone ? 'gone' : 'silent');
      },
    };
    links.call(peer, Verb.Gossip, body, millis, sink);
  }

  // Hearing.

  private onRequest(from: string, body: Uint8Array, responder: Responder): void {
    const message = decodeGossip(body, this.deps.clusterId());
    if (message === null) {
      responder.fail('FAILED', 'malformed, of another version, or of another cluster');
      return;
    }
    switch (message.kind) {
      case 'offer':
        responder.answer(encodeGossip(this.out, this.deps.clusterId(), this.compare(message)));
        return;
      case 'goodbye':
        this.onGoodbye(message.digest);
        break;
      case 'gone': {
        const endpoint = this.endpoints.get(message.digest.id);
        if (endpoint !== undefined) this.suspicion.told(endpoint, message.digest);
        break;
      }
      case 'news':
      case 'answer':
        this.learn(from, message.news);
    }
    responder.answer(new Uint8Array(0));
  }

  private onGoodbye({ id, generation, version }: Digest): void {
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined || endpoint === this.self) return;
    if (endpoint.generation !== generation) return;
    // Earlier heartbeats that come by way of others do not make it live again.
    endpoint.heartbeat = Math.max(endpoint.heartbeat, version);
    this.setAlive(endpoint, false);
  }

  private compare(offer: GossipMessage & { readonly kind: 'offer' }): GossipMessage {
    const wanted: Digest[] = [];
    const news: News[] = [];
    let bytes = 0;
    const tell = (endpoint: Endpoint, after: number) => {
      if (bytes > NEWS_BYTES_MAX || endpoint.version <= after) return;
      const one = endpoint.newsAfter(after);
      bytes += newsBytes(one);
      news.push(one);
    };
    for (const digest of offer.digests) {
      const known = this.endpoints.get(digest.id);
      if (known === undefined) {
        if (!this.forgotten.has(digest.id)) wanted.push({ ...digest, version: 0 });
      } else if (known.generation > digest.generation) tell(known, 0);
      else if (known.generation < digest.generation) wanted.push({ ...digest, version: 0 });
      else if (known.version > digest.version) tell(known, digest.version);
      else if (known.version < digest.version) wanted.push(known);
    }
    if (offer.isAll) {
      const named = new Set(offer.digests.map(({ id }) => id));
      const start = Math.floor(this.deps.random() * this.list.length);
      for (let i = 0; i < this.list.length && bytes <= NEWS_BYTES_MAX; i++) {
        const endpoint = this.list[(start + i) % this.list.length];
        if (!named.has(endpoint.id)) tell(endpoint, 0);
      }
    }
    return { kind: 'answer', wanted, news };
  }

  private onAnswer(peer: Peer, body: Uint8Array): void {
    if (body.length === 0) return;
    const message = decodeGossip(body, this.deps.clusterId());
    if (message?.kind !== 'answer') return;
    this.learn(peer.hostId, message.news);
    const news: News[] = [];
    let bytes = 0;
    for (const { id, generation, version } of message.wanted) {
      const known = this.endpoints.get(id);
      if (known === undefined || bytes > NEWS_BYTES_MAX) continue;
      const one = known.newsAfter(known.generation === generation ? version : 0);
      bytes += newsBytes(one);
      news.push(one);
    }
    if (news.length > 0) this.call(peer, { kind: 'news', news });
  }

  private learn(from: string, all: readonly News[]): void {
    for (const news of all) {
      if (news.id === this.self.id) this.outdo(news);
      if (news.id === this.self.id || this.forgotten.has(news.id)) continue;
      const known = this.endpoints.get(news.id);
      if (known === undefined) this.meet(from, news);
      else this.update(from, known, news);
    }
  }

  /** Others know more of this node than it does: of a process before it, whose clock was ahead or that ended just now. */
  private outdo({ generation, version }: News): void {
    const { self } = this;
    if (generation < self.generation) return;
    if (generation === self.generation && version <= self.version) return;
    if (generation < GENERATION_MAX) self.generation = generation + 1;
  }

  private meet(from: string, news: News): void {
    if (this.endpoints.size >= NODES_MAX) return;
    const endpoint = this.addEndpoint(news.id, news.generation);
    endpoint.learn(news);
    // Others may speak of one that died long ago; its next heartbeat tells.
    if (endpoint.hostId === from) this.setAlive(endpoint, true);
    this.emit('changed', endpoint);
  }

  private update(from: string, endpoint: Endpoint, news: News): void {
    if (news.generation < endpoint.generation) return;
    if (news.generation > endpoint.generation + GENERATION_STEP_MAX) return;
    if (news.generation > endpoint.generation) {
      endpoint.generation = news.generation;
      endpoint.arrivals.reborn();
      endpoint.heartbeat = 0;
      endpoint.version = 0;
      endpoint.statesVersion = 0;
      endpoint.states = new Map();
    }
    const isNewer = news.version > endpoint.heartbeat;
    const isChanged = endpoint.learn(news);
    if (isNewer) {
      endpoint.arrivals.arrived(this.deps.clock.nowMillis());
      endpoint.askedMillis = Number.NEGATIVE_INFINITY;
      this.setAlive(endpoint, true);
    } else if (endpoint.hostId === from && isChanged) this.setAlive(endpoint, true);
    if (isChanged) this.emit('changed', endpoint);
  }
}
