/**
 * Who is taken for dead before silence alone would say so. A node that is silent for a little while is asked directly; if
 * its machine says that nobody is there, another node is asked what it has heard; if that is nothing new either, the node
 * is dead, and a few others are told to look for themselves. Nobody believes what another one says of a third.
 *
 *     A ── offer ──▶ X refused     A ── offer: X ──▶ B nothing new: X is dead     A ── gone: X ──▶ C, D
 *     C ── offer ──▶ X refused: X is dead, as C has heard nothing newer than A     C ── gone: X ──▶ …
 */
import type { Peer } from '../internode/links.ts';
import type { Digest, GossipMessage } from './gossip-codec.ts';
import { type Endpoint, placeOf } from './gossip-endpoint.ts';

/** A silent node is asked again after so many intervals: others have to be told things, too. */
const ASK_INTERVALS = 5;
/** Nodes that are told of one that is gone. */
const TOLD = 2;

export interface SuspicionDeps {
  readonly self: Endpoint;
  readonly intervalMillis: number;
  nowMillis(): number;
  /** All that are known. */
  endpoints(): readonly Endpoint[];
  pick<T>(items: readonly T[]): T | undefined;
  /** @param then called with the end of it: whether nobody was there (`LinkError.isGone`) */
  call(peer: Peer, message: GossipMessage, then?: (isGone: boolean) => void): void;
  /** The endpoint is dead from now on. */
  dead(endpoint: Endpoint): void;
}

export class Suspicion {
  private readonly deps: SuspicionDeps;

  constructor(deps: SuspicionDeps) {
    this.deps = deps;
  }

  /** Looks at an endpoint once more. */
  judge(endpoint: Endpoint): void {
    if (!endpoint.alive || endpoint === this.deps.self) return;
    if (endpoint.arrivals.isDead(this.deps.nowMillis())) this.convict(endpoint);
  }

  private convict(endpoint: Endpoint): void {
    const { arrivals } = endpoint;
    arrivals.convicted(this.deps.nowMillis());
    this.deps.dead(endpoint);
    if (!arrivals.isHasty) return;
    for (let told = 0; told < TOLD; told++) {
      const place = this.another(endpoint);
      if (place !== null) this.deps.call(place, { kind: 'gone', digest: endpoint });
    }
  }

  /** Where some node is that is alive. */
  private another(than: Endpoint): Peer | null {
    const { self } = this.deps;
    const living = this.deps.endpoints().filter((one) => one.alive && one !== self && one !== than);
    const chosen = this.deps.pick(living);
    return chosen === undefined ? null : placeOf(chosen);
  }

  /** The most silent of those that are alive and were not asked since they fell silent, or not lately. */
  suspect(living: readonly Endpoint[]): Endpoint | null {
    const now = this.deps.nowMillis();
    const askedBefore = now - this.deps.intervalMillis * ASK_INTERVALS;
    let worst: Endpoint | null = null;
    for (const endpoint of living) {
      if (endpoint.askedMillis > askedBefore || !endpoint.arrivals.isSilent(now)) continue;
      if (worst !== null && endpoint.arrivals.silence(now) <= worst.arrivals.silence(now)) continue;
      worst = endpoint;
    }
    if (worst !== null) worst.askedMillis = now;
    return worst;
  }

  /** Nobody was there when the endpoint was called. */
  gone(endpoint: Endpoint): void {
    endpoint.arrivals.gone();
    const now = this.deps.nowMillis();
    if (!endpoint.alive || !endpoint.arrivals.isSilent(now)) return;
    // Two of which neither is there would be asked about each other without end.
    if (now - endpoint.doubtedMillis < this.deps.intervalMillis) return;
    endpoint.doubtedMillis = now;
    // It may be this node alone that cannot reach it: what another one has heard counts.
    const place = this.another(endpoint);
    if (place === null) return;
    const digests = [this.deps.self, endpoint];
    this.deps.call(place, { kind: 'offer', isAll: false, digests }, () => this.judge(endpoint));
  }

  /** Another node takes the endpoint for dead, and had this of it last. */
  told(endpoint: Endpoint, { generation, version }: Digest): void {
    const { self, intervalMillis } = this.deps;
    const isNews = () =>
      endpoint.alive && endpoint.generation === generation && endpoint.version <= version;
    const now = this.deps.nowMillis();
    const place = placeOf(endpoint);
    if (endpoint === self || place === null || !isNews()) return;
    if (now - endpoint.askedMillis < intervalMillis) return;
    endpoint.askedMillis = now;
    const digests = [self, endpoint];
    this.deps.call(place, { kind: 'offer', isAll: false, digests }, (isGone) => {
      if (isGone && isNews() && endpoint.arrivals.isCredible(this.deps.nowMillis())) {
        this.convict(endpoint);
      }
    });
  }
}
