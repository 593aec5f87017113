/**
 * The tokens of a node that joins: on the grid, never those of another node, and such that the nodes of its datacenter
 * own as equal parts of the ring as can be.
 */

import type { NodeInfo } from './cluster-state.ts';
import { bucketOfToken, GRID_BUCKETS, gridToken } from './grid.ts';

export const TOKENS_PER_NODE = 16;
/** Nodes own parts of equal size but for an eighth of what one token owns, and less, since the next token makes up for it. */
const STRIDES_PER_TOKEN = 8;

/** The cluster has as many tokens as the grid has points. */
export class TokensExhaustedError extends Error {
  readonly code = 'TOKENS_EXHAUSTED';
  constructor(wanted: number) {
    super(`there are no ${wanted} free tokens left on the grid of ${GRID_BUCKETS}`);
    this.name = 'TokensExhaustedError';
  }
}

export interface TokenChoice {
  /** Members of the cluster; those in state `left` own nothing. */
  readonly nodes: Iterable<NodeInfo>;
  readonly datacenter: string;
  readonly count: number;
  /** In [0, 1). */
  random(): number;
}

/** What one token owns: the buckets after `before` up to `before + size`, around the end of the ring. */
interface Arc {
  readonly before: number;
  readonly size: number;
}

type Owners = Map<string, Arc[]>;

function sizeOf(arcs: readonly Arc[]): number {
  return arcs.reduce((sum, { size }) => sum + size, 0);
}

/** The ring of one datacenter alone. */
function ownersOf(nodes: readonly NodeInfo[]): Owners {
  const positions = nodes
    .flatMap(({ hostId, tokens }) =>
      tokens.map((token) => ({ hostId, bucket: bucketOfToken(token) })),
    )
    .sort((a, b) => a.bucket - b.bucket);
  const owners: Owners = new Map();
  let before = (positions.at(-1)?.bucket ?? 0) - GRID_BUCKETS;
  for (const { hostId, bucket } of positions) {
    const arcs = owners.get(hostId) ?? [];
    arcs.push({ before, size: bucket - before });
    owners.set(hostId, arcs);
    before = bucket;
  }
  return owners;
}

/**
 * Tokens are taken at multiples of so many buckets while there is room: files of tables are cut there, too, so that a range
 * that moves has no file in common with its neighbours. @param count of all tokens there will be
 */
export function strideOf(count: number): number {
  return Math.max(1, GRID_BUCKETS / 2 ** Math.ceil(Math.log2(count * STRIDES_PER_TOKEN)));
}

/** The last bucket before a multiple of `stride` next to `bucket`. */
export function aligned(bucket: number, stride: number): number {
  return Math.round((bucket + 1) / stride) * stride - 1;
}

/** The free bucket next to `wanted`. */
function freeBucket(wanted: number, taken: ReadonlySet<number>, stride: number): number {
  const isAligned = aligned(wanted, stride) === wanted;
  for (const step of isAligned ? [stride, 1] : [1]) {
    for (let distance = 0; distance <= GRID_BUCKETS / 2; distance += step) {
      for (const sign of [1, -1]) {
        const bucket = (((wanted + sign * distance) % GRID_BUCKETS) + GRID_BUCKETS) % GRID_BUCKETS;
        if (!taken.has(bucket)) return bucket;
      }
    }
  }
  throw new TokensExhaustedError(1);
}

/** The first node of a datacenter: the same distance between all of its tokens. */
function spread(choice: TokenChoice, stride: number): number[] {
  const step = GRID_BUCKETS / choice.count;
  const offset = choice.random() * step;
  return Array.from({ length: choice.count }, (_, i) =>
    aligned(Math.floor(offset + i * step), stride),
  );
}

/** Each token takes from whoever owns most at that time, out of the largest thing that it owns. */
function takeFromLargest(owners: Owners, choice: TokenChoice, stride: number): number[] {
  let missing = GRID_BUCKETS / (owners.size + 1);
  const sizes = new Map([...owners].map(([hostId, arcs]) => [hostId, sizeOf(arcs)]));
  const buckets: number[] = [];
  for (let left = choice.count; left > 0; left--) {
    // Among equals a random one goes first, so that neighbours on the ring are not always the same two.
    const [hostId] = largest([...sizes], ([, size]) => size, choice.random);
    const arcs = owners.get(hostId) ?? [];
    const arc = largest(arcs, ({ size }) => size, choice.random);
    const wanted = Math.max(1, Math.min(Math.round(missing / left), arc.size - 1));
    const nearby = aligned(arc.before + wanted, stride) - arc.before;
    const cut = nearby > 0 && nearby < arc.size ? nearby : wanted;
    buckets.push(arc.before + cut);
    missing -= cut;
    sizes.set(hostId, (sizes.get(hostId) ?? 0) - cut);
    arcs[arcs.indexOf(arc)] = { before: arc.before + cut, size: arc.size - cut };
  }
  return buckets;
}

function largest<T>(items: readonly T[], size: (item: T) => number, random: () => number): T {
  const start = Math.floor(random() * items.length);
  let best = items[start];
  for (let i = 1; i < items.length; i++) {
    const item = items[(start + i) % items.length];
    if (size(item) > size(best)) best = item;
  }
  return best;
}

/** @returns `count` tokens, ascending @throws TokensExhaustedError */
export function chooseTokens(choice: TokenChoice): readonly bigint[] {
  const members = [...choice.nodes].filter(({ state }) => state !== 'left');
  const taken = new Set(members.flatMap(({ tokens }) => tokens.map(bucketOfToken)));
  if (taken.size + choice.count > GRID_BUCKETS) throw new TokensExhaustedError(choice.count);
  const owners = ownersOf(members.filter(({ datacenter }) => datacenter === choice.datacenter));
  const stride = strideOf(taken.size + choice.count);
  const wanted =
    owners.size === 0 ? spread(choice, stride) : takeFromLargest(owners, choice, stride);
  const buckets: number[] = [];
  for (const bucket of wanted) {
    const free = freeBucket(bucket, taken, stride);
    taken.add(free);
    buckets.push(free);
  }
  return buckets.sort((a, b) => a - b).map(gridToken);
}
