/**
 * Which tokens have to move so that the nodes of a datacenter have equally many bytes: as few as can be found by always
 * taking the one that helps most.
 */
import type { ClusterState, NodeInfo } from './cluster-state.ts';
import { bucketOfToken, GRID_BUCKETS, gridToken } from './grid.ts';
import { type BucketBytes, type PlacedToken, RingLoad } from './ring-load.ts';
import { aligned, strideOf } from './tokens.ts';

export interface RebalanceOptions {
  readonly datacenter: string;
  /** Part of the mean by which a node may be off. */
  readonly tolerance?: number;
  /** Placements that are tried, in all: some microseconds for each hundred tokens. */
  readonly triesMax?: number;
}

/** What a node is to own; carried out one after another, in any order. */
export interface TokenMove {
  readonly hostId: string;
  /** All of its tokens, ascending. */
  readonly tokens: readonly bigint[];
}

export interface RebalancePlan {
  readonly moves: readonly TokenMove[];
  /** Tokens that are others than before. */
  readonly movedCount: number;
  /** Of the node that is off most, in parts of the mean. */
  readonly deviationBefore: number;
  readonly deviationAfter: number;
}

const TOLERANCE = 0.05;
const TRIES_MAX = 200_000;
/** Nodes that are furthest off, of which tokens are tried. */
const NODES_TRIED = 4;
const ARCS_TRIED = 4;
const PARTS_TRIED = [1, 0.5, 0.25];
/** A move that helps less than this is not worth it. */
const GAIN_MIN = 0.02;

interface Layout {
  /** Ascending. */
  readonly tokens: readonly PlacedToken[];
  readonly bytes: Float64Array;
  /** Sum of the squares of what the nodes of the datacenter are off. */
  readonly cost: number;
  readonly deviation: number;
}

/** One token somewhere else. */
interface Shift {
  readonly from: PlacedToken;
  readonly bucket: number;
}

class Balancer {
  private readonly load: RingLoad;
  private readonly here: readonly number[];
  /** Buckets of tokens as they were, and where nobody's token may go. */
  private readonly taken: ReadonlySet<number>;
  private readonly tolerance: number;
  private readonly datacenter: string;
  private readonly stride: number;
  private triesLeft: number;
  readonly nodes: readonly NodeInfo[];
  readonly start: Layout;

  constructor(
    { nodes, operations }: Pick<ClusterState, 'nodes' | 'operations'>,
    loads: readonly BucketBytes[],
    { datacenter, tolerance = TOLERANCE, triesMax = TRIES_MAX }: RebalanceOptions,
  ) {
    this.datacenter = datacenter;
    this.tolerance = tolerance;
    this.triesLeft = triesMax;
    const members = [...nodes.values()].filter(({ state }) => state !== 'left');
    this.nodes = members.filter(({ state }) => state !== 'joining');
    this.here = this.nodes.flatMap((node, i) => (node.datacenter === datacenter ? [i] : []));
    const all = [...members, ...operations].flatMap(({ tokens }) => tokens);
    this.taken = new Set(all.map(bucketOfToken));
    this.stride = strideOf(Math.max(1, this.taken.size));
    this.load = new RingLoad(this.nodes, datacenter, loads);
    const tokens = this.nodes.flatMap((node, owner) =>
      node.tokens.map((token): PlacedToken => ({ bucket: bucketOfToken(token), owner })),
    );
    this.start = this.layoutOf(tokens.sort((a, b) => a.bucket - b.bucket));
  }

  private layoutOf(tokens: readonly PlacedToken[]): Layout {
    this.triesLeft--;
    const bytes = this.load.bytesByNode(tokens);
    const mean = this.here.reduce((sum, i) => sum + bytes[i], 0) / Math.max(1, this.here.length);
    let [cost, deviation] = [0, 0];
    if (mean > 0) {
      for (const i of this.here) {
        const off = Math.abs(bytes[i] - mean) / mean;
        cost += off * off;
        deviation = Math.max(deviation, off);
      }
    }
    return { tokens, bytes, cost, deviation };
  }

  isBalanced({ deviation }: Layout): boolean {
    return deviation <= this.tolerance;
  }

  run(): Layout {
    let layout = this.start;
    while (!this.isBalanced(layout)) {
      const next = this.improved(layout);
      if (next === null) break;
      layout = next;
    }
    return this.isBalanced(layout) ? this.withoutNeedless(layout) : layout;
  }

  /** With the one move that helps most; null: none does, or too many were tried. */
  private improved(layout: Layout): Layout | null {
    // Where files are cut, while that is fine enough.
    for (
      let stride = this.stride;
      stride >= 1;
      stride = stride > 1 ? Math.max(1, stride >> 2) : 0
    ) {
      let best: Layout | null = null;
      for (const shift of this.shiftsOf(layout, stride)) {
        if (this.triesLeft <= 0) return best;
        const next = this.layoutOf(shifted(layout.tokens, shift));
        if (next.cost < (best?.cost ?? layout.cost)) best = next;
      }
      if (best !== null && best.cost <= layout.cost * (1 - GAIN_MIN)) return best;
    }
    return null;
  }

  /** What is tried next: each place once. */
  private shiftsOf(layout: Layout, stride: number): readonly Shift[] {
    const shifts = new Map<string, Shift>();
    const used = new Set(layout.tokens.map(({ bucket }) => bucket));
    const add = (from: PlacedToken, wanted: number, low: number, high: number) => {
      const near = aligned(wanted, stride);
      if (near <= low || near >= high) return;
      const bucket = ((near % GRID_BUCKETS) + GRID_BUCKETS) % GRID_BUCKETS;
      const isOwn = this.start.tokens.some((t) => t.bucket === bucket && t.owner === from.owner);
      if (used.has(bucket) || (this.taken.has(bucket) && !isOwn)) return;
      shifts.set(`${from.bucket}>${bucket}`, { from, bucket });
    };
    const { bytes, tokens } = layout;
    const ordered = this.here.toSorted((a, b) => bytes[a] - bytes[b]);
    const [low, high] = [ordered.slice(0, NODES_TRIED), ordered.slice(-NODES_TRIED)];
    const mean = ordered.reduce((sum, i) => sum + bytes[i], 0) / ordered.length;
    const missing = Math.max(...ordered.map((i) => Math.abs(bytes[i] - mean)));
    for (const [i, from] of tokens.entries()) {
      if (this.nodes[from.owner].datacenter !== this.datacenter) continue;
      const next = tokens[(i + 1) % tokens.length];
      // Whose arc grows or shrinks; the replicas before it change too, so all of those at the ends count.
      if (![...low, ...high].some((one) => one === from.owner || one === next.owner)) continue;
      this.addBorders(tokens, i, missing, add);
    }
    for (const arc of this.largestArcs(tokens, high)) {
      for (const from of tokens) {
        if (!low.includes(from.owner)) continue;
        const lack = Math.abs(mean - bytes[from.owner]);
        for (const part of [1, 0.5]) {
          const weight = Math.min(lack, arc.weight / 2) * part;
          add(from, this.load.bucketAt(arc.before, arc.last, weight), arc.before, arc.last);
        }
      }
    }
    return [...shifts.values()];
  }

  /** The token on its place between its neighbours, a bit lower and a bit higher. */
  private addBorders(
    tokens: readonly PlacedToken[],
    i: number,
    missing: number,
    add: (from: PlacedToken, wanted: number, low: number, high: number) => void,
  ): void {
    const from = tokens[i];
    const before = i > 0 ? tokens[i - 1].bucket : (tokens.at(-1)?.bucket ?? 0) - GRID_BUCKETS;
    const own = this.load.weight(before, from.bucket);
    for (const part of PARTS_TRIED) {
      const left = own - missing * part;
      if (left > 0) {
        add(from, this.load.bucketAt(before, from.bucket, left), before, from.bucket);
      }
    }
    // In the numbers of the arc after it, which may go around the end of the ring.
    const isLast = i === tokens.length - 1;
    const start = isLast ? from.bucket - GRID_BUCKETS : from.bucket;
    const end = isLast ? tokens[0].bucket : tokens[i + 1].bucket;
    for (const part of PARTS_TRIED) {
      add(from, this.load.bucketAt(start, end, missing * part), start, end);
    }
  }

  private largestArcs(tokens: readonly PlacedToken[], owners: readonly number[]) {
    let before = (tokens.at(-1)?.bucket ?? 0) - GRID_BUCKETS;
    const arcs = tokens.map(({ bucket: last, owner }) => {
      const arc = { before, last, owner, weight: this.load.weight(before, last) };
      before = last;
      return arc;
    });
    return owners.flatMap((owner) =>
      arcs
        .filter((arc) => arc.owner === owner)
        .sort((a, b) => b.weight - a.weight)
        .slice(0, ARCS_TRIED),
    );
  }

  /** Tokens that need not move stay. */
  private withoutNeedless(balanced: Layout): Layout {
    let layout = balanced;
    for (const owner of this.here) {
      const old = this.start.tokens.filter((token) => token.owner === owner);
      for (const { bucket } of old) {
        const own = layout.tokens.filter((token) => token.owner === owner);
        if (own.some((token) => token.bucket === bucket)) continue;
        const isNew = (token: PlacedToken) => old.every((one) => one.bucket !== token.bucket);
        for (const from of own.filter(isNew)) {
          const next = this.layoutOf(shifted(layout.tokens, { from, bucket }));
          if (!this.isBalanced(next)) continue;
          layout = next;
          break;
        }
      }
    }
    return layout;
  }
}

function shifted(tokens: readonly PlacedToken[], { from, bucket }: Shift): readonly PlacedToken[] {
  const rest = tokens.filter((token) => token !== from);
  const found = rest.findIndex((token) => token.bucket > bucket);
  const at = found < 0 ? rest.length : found;
  rest.splice(at, 0, { bucket, owner: from.owner });
  return rest;
}

/**
 * @param loads of all replications that keyspaces have
 * @returns moves that make it better, none if it is well already; `deviationAfter` says whether that is within the tolerance
 */
export function planRebalance(
  state: Pick<ClusterState, 'nodes' | 'operations'>,
  loads: readonly BucketBytes[],
  options: RebalanceOptions,
): RebalancePlan {
  const balancer = new Balancer(state, loads, options);
  const { start, nodes } = balancer;
  const end = balancer.run();
  const moves: TokenMove[] = [];
  let movedCount = 0;
  for (const [owner, { hostId, tokens: old }] of nodes.entries()) {
    const own = end.tokens.filter((token) => token.owner === owner);
    const tokens = own.map(({ bucket }) => gridToken(bucket));
    const moved = tokens.filter((token) => !old.includes(token)).length;
    if (moved === 0) continue;
    movedCount += moved;
    moves.push({ hostId, tokens });
  }
  return {
    ...{ moves, movedCount },
    deviationBefore: start.deviation,
    deviationAfter: end.deviation,
  };
}
