/**
 * Who has which rows: the ring of one cluster state, and for each replication the replicas of every part of it, as
 * Cassandra's SimpleStrategy and NetworkTopologyStrategy place them. Only nodes in state `normal` or `leaving` own anything.
 * @hot `Placement.ofKey`
 */

import type { ClusterState, NodeInfo, TopologyOperation } from './cluster-state.ts';
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

interface DatacenterLimit {
  readonly datacenter: string;
  readonly left: number;
  /** Nodes in racks that have one already. */
  readonly repeats: number;
}

/** What is known of one datacenter while replicas are looked for along the ring. */
interface Quota {
  left: number;
  repeatsLeft: number;
  readonly racks: Set<string>;
}

/** Some of the replicas of a range, by all of them. */
type MovingNodes = WeakMap<readonly NodeInfo[], readonly NodeInfo[]>;

/** The replicas of every key under one replication. Made by `Ring.placement` and `Ring.writes`. */
export class Placement {
  /** Where ranges end, ascending. */
  private readonly buckets: Uint16Array;
  private readonly find: (index: number) => readonly NodeInfo[];
  private readonly found: (readonly NodeInfo[] | undefined)[];
  private readonly extras: MovingNodes | null;
  private readonly kept: MovingNodes | null;
  private allRanges: readonly TokenRange[] | null = null;

  /**
   * @param extras of what `find` gives: those that are written to and not read
   * @param kept those that own the range before and after
   */
  constructor(
    buckets: Uint16Array,
    find: (index: number) => readonly NodeInfo[],
    extras: MovingNodes | null = null,
    kept: MovingNodes | null = null,
  ) {
    this.buckets = buckets;
    this.find = find;
    this.found = new Array(buckets.length);
    this.extras = extras;
    this.kept = kept;
  }

  /** Of replicas that this placement gave: those that are written to and not read, as the range moves. */
  extrasOf(replicas: readonly NodeInfo[]): readonly NodeInfo[] {
    return this.extras === null ? NOBODY : (this.extras.get(replicas) ?? NOBODY);
  }

  /** Of replicas that this placement gave, of a range that moves: those that own it before and after. */
  keptOf(replicas: readonly NodeInfo[]): readonly NodeInfo[] {
    return this.kept === null ? NOBODY : (this.kept.get(replicas) ?? NOBODY);
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
    if (this.buckets.length === 0) return NOBODY;
    return (this.found[position] ??= this.find(position));
  }

  /** The whole token space in its order, without gaps; the first and the last range may be one on the ring. */
  ranges(): readonly TokenRange[] {
    if (this.allRanges !== null) return this.allRanges;
    const ranges: TokenRange[] = [];
    let first = 0;
    for (const [i, bucket] of this.buckets.entries()) {
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

type Owner = readonly [node: NodeInfo, tokens: readonly bigint[]];
type Owners = ReadonlyMap<string, Owner>;

function ownersNow(nodes: ReadonlyMap<string, NodeInfo>): Owners {
  const owners = new Map<string, Owner>();
  for (const [hostId, node] of nodes) {
    const owns = node.state === 'normal' || node.state === 'leaving';
    if (owns) owners.set(hostId, [node, node.tokens]);
  }
  return owners;
}

/** Who owns what when these operations are over. */
function ownersAfter(
  nodes: ReadonlyMap<string, NodeInfo>,
  operations: readonly TopologyOperation[],
): Owners {
  const owners = new Map(ownersNow(nodes));
  for (const { hostId, replaces, tokens } of operations) {
    if (replaces !== null) owners.delete(replaces);
    const node = nodes.get(hostId);
    if (node !== undefined && tokens.length > 0) owners.set(hostId, [node, tokens]);
    else owners.delete(hostId);
  }
  return owners;
}

/** What a ring is made of. */
export type RingState = Pick<ClusterState, 'nodes'> & Partial<Pick<ClusterState, 'operations'>>;

/**
 * The ring of one `ClusterState`; made anew when the nodes or the operations change. While ranges move there are two
 * placements: who is read, and who is written to, which are the owners before and after.
 */
export class Ring {
  private readonly now: OwnedRing;
  private readonly read: OwnedRing;
  private readonly next: OwnedRing;
  private readonly unions = new WeakMap<Placement, Placement>();

  constructor({ nodes, operations = [] }: RingState) {
    const switched = operations.filter(({ phase }) => phase === 'switched');
    this.now = new OwnedRing(ownersNow(nodes));
    this.next = operations.length === 0 ? this.now : new OwnedRing(ownersAfter(nodes, operations));
    this.read =
      switched.length === 0
        ? this.now
        : switched.length === operations.length
          ? this.next
          : new OwnedRing(ownersAfter(nodes, switched));
  }

  /** Nodes that own tokens which are read. */
  get nodes(): readonly NodeInfo[] {
    return this.read.nodes;
  }

  /** Who is read. Cheap for an object that was asked for before. There are as many as keyspaces have replications. */
  placement(replication: Replication): Placement {
    return this.read.placement(replication);
  }

  /** Who is written to: the same as `placement` where nothing moves. */
  writes(replication: Replication): Placement {
    const read = this.read.placement(replication);
    if (this.next === this.now) return read;
    let union = this.unions.get(read);
    if (union === undefined) {
      const now = this.now.placement(replication);
      union = unionOf(now, this.next.placement(replication), read);
      this.unions.set(read, union);
    }
    return union;
  }

  /** @param token int64, or a key of storage/keys.ts (its first 2 bytes count) */
  replicas(replication: Replication, token: bigint | Uint8Array): readonly NodeInfo[] {
    const placement = this.placement(replication);
    return typeof token === 'bigint' ? placement.ofToken(token) : placement.ofKey(token);
  }

  ranges(replication: Replication): readonly TokenRange[] {
    return this.placement(replication).ranges();
  }
}

/** Owners before and after together, those that are read first. */
function unionOf(now: Placement, later: Placement, read: Placement): Placement {
  const ends = new Set([now, later].flatMap((one) => one.ranges().map(({ last }) => last)));
  const buckets = Uint16Array.from([...ends].sort((a, b) => a - b));
  const extras: MovingNodes = new WeakMap();
  const kept: MovingNodes = new WeakMap();
  const known = new Map<string, readonly NodeInfo[]>();
  const find = (index: number): readonly NodeInfo[] => {
    const bucket = buckets[index];
    const readers = read.ofBucket(bucket);
    const before = now.ofBucket(bucket);
    const after = later.ofBucket(bucket);
    const all = new Set([...readers, ...before, ...after]);
    if (all.size === readers.length) return readers;
    const name = [...all, ...readers].map(({ hostId }) => hostId).join();
    let replicas = known.get(name);
    if (replicas === undefined) {
      replicas = [...all];
      known.set(name, replicas);
      extras.set(replicas, replicas.slice(readers.length));
      kept.set(
        replicas,
        before.filter((node) => after.includes(node)),
      );
    }
    return replicas;
  };
  return new Placement(buckets, find, extras, kept);
}

/** The ring of owners that do not change. */
class OwnedRing {
  readonly nodes: readonly NodeInfo[];
  private readonly positions: readonly Position[];
  private readonly buckets: Uint16Array;
  private readonly byObject = new WeakMap<Replication, Placement>();
  private readonly byText = new Map<string, Placement>();

  constructor(owners: Owners) {
    this.nodes = [...owners.values()].map(([node]) => node);
    this.positions = [...owners.values()]
      .flatMap(([node, tokens]) => tokens.map((token) => ({ bucket: bucketOfToken(token), node })))
      .sort((a, b) => a.bucket - b.bucket);
    this.buckets = Uint16Array.from(this.positions, ({ bucket }) => bucket);
  }

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

  private createPlacement(replication: Replication): Placement {
    const { buckets } = this;
    const factors = replicationFactors(replication);
    const anywhere = factors.get(null);
    const limits = anywhere === undefined ? this.limitsOf(factors) : [];
    const known = new Map<string, readonly NodeInfo[]>();
    const find = (start: number) => {
      const replicas =
        anywhere === undefined
          ? this.findByTopology(start, limits)
          : this.findAnywhere(start, anywhere);
      // Many ranges have the same replicas: one array for all of them.
      const name = replicas.map(({ hostId }) => hostId).join();
      const same = known.get(name);
      if (same === undefined) known.set(name, replicas);
      return same ?? replicas;
    };
    return isReplicated(replication)
      ? new Placement(buckets, find)
      : new Placement(new Uint16Array(0), () => NOBODY);
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

  /** What is taken of each datacenter that has nodes. */
  private limitsOf(factors: ReadonlyMap<string | null, number>): readonly DatacenterLimit[] {
    const limits: DatacenterLimit[] = [];
    for (const [datacenter, factor] of factors) {
      const nodes = this.nodes.filter((node) => node.datacenter === datacenter);
      if (datacenter === null || nodes.length === 0) continue;
      const racks = new Set(nodes.map(({ rack }) => rack)).size;
      limits.push({ datacenter, left: Math.min(factor, nodes.length), repeats: factor - racks });
    }
    return limits;
  }

  /**
   * NetworkTopologyStrategy: along the ring, for each datacenter, the first node of each rack, and as many further nodes
   * as racks are missing for the factor. Source: NetworkTopologyStrategy.calculateNaturalReplicas.
   */
  private findByTopology(start: number, limits: readonly DatacenterLimit[]): readonly NodeInfo[] {
    const { positions } = this;
    const quotas = new Map<string, Quota>();
    for (const { datacenter, left, repeats } of limits) {
      quotas.set(datacenter, { left, repeatsLeft: repeats, racks: new Set() });
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
