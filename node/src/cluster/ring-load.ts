/**
 * How many bytes each node has if its tokens are where they are said to be: the ring in arrays, for thousands of tries. The
 * replicas are those of ring.ts, of which it counts one datacenter.
 */
import type { NodeInfo } from './cluster-state.ts';
import { GRID_BUCKETS } from './grid.ts';
import { type Replication, replicationFactors } from './ring.ts';

/** What lies in the tables of all keyspaces with one replication. */
export interface BucketBytes {
  readonly replication: Replication;
  /** Of one copy, by bucket. */
  readonly bytes: ArrayLike<number>;
}

/** A token; `owner`: index of its node. */
export interface PlacedToken {
  readonly bucket: number;
  readonly owner: number;
}

interface Rule {
  /** Bytes in all buckets before. */
  readonly sums: Float64Array;
  /** Nodes that are taken, at most. */
  readonly count: number;
  /** Of them in racks that have one already, at most. */
  readonly repeats: number;
  /** By node; negative: of no interest. */
  readonly racks: readonly number[];
}

function sumsOf(bytes: ArrayLike<number>): Float64Array {
  const sums = new Float64Array(GRID_BUCKETS + 1);
  for (let i = 0; i < GRID_BUCKETS; i++) sums[i + 1] = sums[i] + bytes[i];
  return sums;
}

function ruleOf(
  nodes: readonly NodeInfo[],
  datacenter: string,
  { replication, bytes }: BucketBytes,
): Rule {
  const factors = replicationFactors(replication);
  const sums = sumsOf(bytes);
  const anywhere = factors.get(null);
  if (anywhere !== undefined) {
    const count = Math.min(anywhere, nodes.length);
    return { sums, count, repeats: 0, racks: nodes.map((_, i) => i) };
  }
  const names = [...new Set(nodes.map(({ rack }) => rack))];
  const racks = nodes.map((node) =>
    node.datacenter === datacenter ? names.indexOf(node.rack) : -1,
  );
  const here = racks.filter((rack) => rack >= 0);
  const factor = factors.get(datacenter) ?? 0;
  const count = Math.min(factor, here.length);
  return { sums, count, repeats: factor - new Set(here).size, racks };
}

export class RingLoad {
  /** Bytes of one copy of everything, in all buckets before. */
  private readonly totals: Float64Array;
  private readonly rules: readonly Rule[];
  private readonly nodeSeen: Int32Array;
  private readonly rackSeen: Int32Array;
  private turn = 0;

  /** @param nodes that own tokens, of all datacenters */
  constructor(nodes: readonly NodeInfo[], datacenter: string, loads: readonly BucketBytes[]) {
    this.rules = loads.map((load) => ruleOf(nodes, datacenter, load)).filter((r) => r.count > 0);
    this.totals = new Float64Array(GRID_BUCKETS + 1);
    for (const { sums } of this.rules) {
      for (let i = 0; i <= GRID_BUCKETS; i++) this.totals[i] += sums[i];
    }
    this.nodeSeen = new Int32Array(nodes.length);
    this.rackSeen = new Int32Array(nodes.length);
  }

  /** By node. @param tokens ascending */
  bytesByNode(tokens: readonly PlacedToken[]): Float64Array {
    const bytes = new Float64Array(this.nodeSeen.length);
    for (const rule of this.rules) {
      let before = (tokens.at(-1)?.bucket ?? 0) - GRID_BUCKETS;
      for (let i = 0; i < tokens.length; i++) {
        const { bucket } = tokens[i];
        const weight = weightIn(rule.sums, before, bucket);
        before = bucket;
        if (weight > 0) this.give(rule, tokens, i, { weight, bytes });
      }
    }
    return bytes;
  }

  private give(
    { racks, count, repeats }: Rule,
    tokens: readonly PlacedToken[],
    start: number,
    { weight, bytes }: { readonly weight: number; readonly bytes: Float64Array },
  ): void {
    const turn = ++this.turn;
    let [left, repeatsLeft] = [count, repeats];
    for (let i = start, steps = tokens.length; left > 0 && steps > 0; i++, steps--) {
      if (i === tokens.length) i = 0;
      const { owner } = tokens[i];
      const rack = racks[owner];
      if (rack < 0 || this.nodeSeen[owner] === turn) continue;
      if (this.rackSeen[rack] === turn) {
        if (repeatsLeft <= 0) continue;
        repeatsLeft--;
      }
      this.rackSeen[rack] = turn;
      this.nodeSeen[owner] = turn;
      bytes[owner] += weight;
      left--;
    }
  }

  /** Of one copy, in the buckets after `from` up to `to`; `from` may be below 0: around the end of the ring. */
  weight(from: number, to: number): number {
    return weightIn(this.totals, from, to);
  }

  /** The first bucket after `from` up to which there are so many bytes; as for `weight`; may be below 0. */
  bucketAt(from: number, to: number, weight: number): number {
    let [low, high] = [from + 1, to];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.weight(from, middle) >= weight) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function weightIn(sums: Float64Array, from: number, to: number): number {
  return upTo(sums, to) - upTo(sums, from);
}

function upTo(sums: Float64Array, bucket: number): number {
  return bucket < 0 ? sums[bucket + 1 + GRID_BUCKETS] - sums[GRID_BUCKETS] : sums[bucket + 1];
}
