/**
 * Who has which rows: the ring of one cluster state, and for each replication the replicas of every part of it, as
 * Cassandra's SimpleStrategy and NetworkTopologyStrategy place them. Only nodes in state `normal` own anything.
 * @hot `Placement.ofKey`
 */

import type { ClusterState, NodeInfo } from './cluster-state.ts';
import { bucketOfKey, bucketOfToken, GRID_BUCKETS } from './grid.ts';

/** `class` and its options, as a keyspace has them. */
export type Replication = Readonly<Record<string, string>>;

/** A run of buckets with the same replicas. */
export interface TokenRange {
  /** Buckets, both inclusive: the first two bytes of keys. */
  readonly first: number;
  readonly last: number;
  /** In the order in which the strategy finds them, the owner of the range first. */
  readonly replicas: readonly NodeInfo[];
}

interface Position {
  readonly bucket: number;
  readonly node: NodeInfo;
}

const NOBODY: readonly NodeInfo[] = [];
const FACTOR = 'replication_factor';

/** False for `LocalStrategy` and for what has no strategy: every node has its own rows, and no replicas. */
export function isReplicated(replication: Replication): boolean {
  const strategy = replication['class'] ?? '';
  return strategy.endsWith('SimpleStrategy') || strategy.endsWith('NetworkTopologyStrategy');
}

/** How many replicas a row has by its keyspace's options, whoever is there: of each datacenter, null: anywhere. */
export function replicationFactors(replication: Replication): ReadonlyMap<string | null, number> {
  const { class: strategy = '', ...options } = replication;
  if (strategy.endsWith('SimpleStrategy')) return new Map([[null, factorOf(options[FACTOR])]]);
  const factors = new Map<string | null, number>();
  if (!isReplicated(replication)) return factors;
  for (const [datacenter, text] of Object.entries(options)) {
    if (factorOf(text) > 0) factors.set(datacenter, factorOf(text));
  }
  return factors;
}

function factorOf(text: string | undefined): number {
  const factor = Number.parseInt(text ?? '1', 10);
  return Math.max(0, factor || 0);
}

/** What is known of one datacenter while replicas are looked for along the ring. */
interface Quota {
  left: number;
  repeatsLeft: number;
  readonly racks: Set<string>;
}

/** The replicas of every key under one replication. Made by `Ring.placement`. */
export class Placement {
  private readonly positions: readonly Position[];
  /** Of `positions`: what is searched. */
  private readonly buckets: Uint16Array;
  private readonly find: (start: number) => readonly NodeInfo[];
  private readonly found: (readonly NodeInfo[] | undefined)[];
  private allRanges: readonly TokenRange[] | null = null;

  constructor(
    positions: readonly Position[],
    buckets: Uint16Array,
    find: (start: number) => readonly NodeInfo[],
  ) {
    this.positions = positions;
    this.buckets = buckets;
    this.find = find;
    this.found = new Array(positions.length);
  }

  /** @param key of storage/keys.ts, or its first 2 bytes @returns the same array for every key of a range */
  ofKey(key: Uint8Array, at = 0): readonly NodeInfo[] {
    return this.ofBucket(bucketOfKey(key, at));
  }

  ofToken(token: bigint): readonly NodeInfo[] {
    return this.ofBucket(bucketOfToken(token));
  }

  ofBucket(bucket: number): readonly NodeInfo[] {
    const { buckets } = this;
    let low = 0;
    let high = buckets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (buckets[middle] < bucket) low = middle + 1;
      else high = middle;
    }
    return this.at(low === buckets.length ? 0 : low);
  }

  private at(position: number): readonly NodeInfo[] {
    if (this.positions.length === 0) return NOBODY;
    return (this.found[position] ??= this.find(position));
  }

  /** The whole token space in its order, without gaps; the first and the last range may be one on the ring. */
  ranges(): readonly TokenRange[] {
    if (this.allRanges !== null) return this.allRanges;
    const ranges: TokenRange[] = [];
    let first = 0;
    for (const [i, { bucket }] of this.positions.entries()) {
      ranges.push({ first, last: bucket, replicas: this.at(i) });
      first = bucket + 1;
    }
    if (first < GRID_BUCKETS) {
      ranges.push({ first, last: GRID_BUCKETS - 1, replicas: this.at(0) });
    }
    this.allRanges = ranges;
    return ranges;
  }
}

/** The ring of one `ClusterState`; made anew when the nodes change. */
export class Ring {
  /** Nodes that own tokens. */
  readonly nodes: readonly NodeInfo[];
  private readonly positions: readonly Position[];
  private readonly buckets: Uint16Array;
  private readonly byObject = new WeakMap<Replication, Placement>();
  private readonly byText = new Map<string, Placement>();

  constructor(state: Pick<ClusterState, 'nodes'>) {
    this.nodes = [...state.nodes.values()].filter((node) => node.state === 'normal');
    this.positions = this.nodes
      .flatMap((node) => node.tokens.map((token) => ({ bucket: bucketOfToken(token), node })))
      .sort((a, b) => a.bucket - b.bucket);
    this.buckets = Uint16Array.from(this.positions, ({ bucket }) => bucket);
  }

  /** Cheap for an object that was asked for before. There are as many as keyspaces have replications. */
  placement(replication: Replication): Placement {
    let placement = this.byObject.get(replication);
    if (placement === undefined) {
      const text = JSON.stringify(Object.entries(replication).sort());
      placement = this.byText.get(text);
      if (placement === undefined) {
        placement = this.createPlacement(replication);
        this.byText.set(text, placement);
      }
      this.byObject.set(replication, placement);
    }
    return placement;
  }

  /** @param token int64, or a key of storage/keys.ts (its first 2 bytes count) */
  replicas(replication: Replication, token: bigint | Uint8Array): readonly NodeInfo[] {
    const placement = this.placement(replication);
    return typeof token === 'bigint' ? placement.ofToken(token) : placement.ofKey(token);
  }

  ranges(replication: Replication): readonly TokenRange[] {
    return this.placement(replication).ranges();
  }

  private createPlacement(replication: Replication): Placement {
    const { positions, buckets } = this;
    const factors = replicationFactors(replication);
    const anywhere = factors.get(null);
    const known = new Map<string, readonly NodeInfo[]>();
    const find = (start: number) => {
      const replicas =
        anywhere === undefined
          ? this.findByTopology(start, factors)
          : this.findAnywhere(start, anywhere);
      // Many ranges have the same replicas: one array for all of them.
      const name = replicas.map(({ hostId }) => hostId).join();
      const same = known.get(name);
      if (same === undefined) known.set(name, replicas);
      return same ?? replicas;
    };
    return isReplicated(replication)
      ? new Placement(positions, buckets, find)
      : new Placement([], new Uint16Array(0), () => NOBODY);
  }

  /** SimpleStrategy: the next `factor` nodes along the ring. */
  private findAnywhere(start: number, factor: number): readonly NodeInfo[] {
    const { positions } = this;
    const found = new Set<NodeInfo>();
    for (let i = 0; i < positions.length && found.size < factor; i++) {
      found.add(positions[(start + i) % positions.length].node);
    }
    return [...found];
  }

  /**
   * NetworkTopologyStrategy: along the ring, for each datacenter, the first node of each rack, and as many further nodes
   * as racks are missing for the factor. Source: NetworkTopologyStrategy.calculateNaturalReplicas.
   */
  private findByTopology(
    start: number,
    factors: ReadonlyMap<string | null, number>,
  ): readonly NodeInfo[] {
    const { positions } = this;
    const quotas = new Map<string, Quota>();
    for (const [datacenter, factor] of factors) {
      const nodes = this.nodes.filter((node) => node.datacenter === datacenter);
      if (datacenter === null || nodes.length === 0) continue;
      const racks = new Set(nodes.map(({ rack }) => rack)).size;
      quotas.set(datacenter, {
        left: Math.min(factor, nodes.length),
        repeatsLeft: factor - racks,
        racks: new Set(),
      });
    }
    const found = new Set<NodeInfo>();
    for (let i = 0; i < positions.length && quotas.size > 0; i++) {
      const { node } = positions[(start + i) % positions.length];
      const quota = quotas.get(node.datacenter);
      if (quota === undefined || found.has(node)) continue;
      if (quota.racks.has(node.rack)) {
        if (quota.repeatsLeft <= 0) continue;
        quota.repeatsLeft--;
      }
      quota.racks.add(node.rack);
      found.add(node);
      if (--quota.left === 0) quotas.delete(node.datacenter);
    }
    return [...found];
  }
}

/** Of the token space, the part of which a node has a copy: 1 if all is its own (LocalStrategy), never 0. */
export function ownedShare(
  state: Pick<ClusterState, 'nodes'>,
  replication: Replication,
  hostId: string,
): number {
  if (!isReplicated(replication)) return 1;
  let buckets = 0;
  for (const { first, last, replicas } of new Ring(state).ranges(replication)) {
    if (replicas.some((node) => node.hostId === hostId)) buckets += last - first + 1;
  }
  return Math.max(1, buckets) / GRID_BUCKETS;
}
