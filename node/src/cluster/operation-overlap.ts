/**
 * Whether an operation may run beside others. Each may end at any time, or be undone, so the ranges of one must be as if
 * the others were not there, whichever of them have been carried out.
 *
 * Replicas are found by going along the ring from a key until there are enough. Nobody goes further than on a ring that has
 * only the tokens which no operation touches, since more tokens only make it sooner. So what one token of an operation may
 * have to do with lies in its *zone*: from the first place from where it is reached, up to where one ends who starts at the
 * token itself. Without a token of another operation in a zone no way leads past tokens of both.
 */
import type { NodeInfo, OperationPlan } from './cluster-state.ts';
import { bucketOfToken } from './grid.ts';
import { type Replication, type RingState, replicationFactors } from './ring.ts';

type Operation = Pick<OperationPlan, 'hostId' | 'replaces' | 'tokens'>;
type Nodes = RingState['nodes'];

interface Position {
  readonly bucket: number;
  readonly node: NodeInfo;
}

interface Limit {
  /** Null: anywhere. */
  readonly datacenter: string | null;
  readonly count: number;
  /** Of them in racks that have one already; without racks: all. */
  readonly repeats: number;
}

const ownsNow = ({ state }: NodeInfo) => state === 'normal' || state === 'leaving';

/** Buckets of the tokens whose owner is another after the operation, or that are there only before or after it. */
function touchedBuckets(nodes: Nodes, { hostId, replaces, tokens }: Operation): readonly number[] {
  const node = nodes.get(hostId);
  const old = node !== undefined && ownsNow(node) ? node.tokens : [];
  const taken = replaces === null ? [] : (nodes.get(replaces)?.tokens ?? []);
  const stays = (token: bigint) => old.includes(token) && tokens.includes(token);
  const touched = [...old, ...tokens, ...taken].filter((token) => !stays(token));
  return [...new Set(touched.map(bucketOfToken))];
}

/** Those that own something whatever becomes of the operations, and all that may own something. */
function ownersOf(nodes: Nodes, operations: readonly Operation[]) {
  const leaves = (id: string) =>
    operations.some((one) => one.replaces === id || (one.hostId === id && one.tokens.length === 0));
  const comes = (id: string) => operations.some((one) => one.hostId === id);
  const all = [...nodes.values()].filter((node) => ownsNow(node) || comes(node.hostId));
  return { all, lasting: all.filter((node) => ownsNow(node) && !leaves(node.hostId)) };
}

/** How many are taken of each datacenter; null: that depends on what becomes of the operations. */
function limitsOf(
  replication: Replication,
  { all, lasting }: ReturnType<typeof ownersOf>,
): readonly Limit[] | null {
  const limits: Limit[] = [];
  for (const [datacenter, factor] of replicationFactors(replication)) {
    const isHere = (node: NodeInfo) => datacenter === null || node.datacenter === datacenter;
    const here = lasting.filter(isHere);
    const possible = all.filter(isHere);
    if (possible.length === 0) continue;
    const racks = new Set(here.map(({ rack }) => rack));
    // How many racks there are decides who is passed over, all along the ring.
    if (datacenter !== null && !possible.every(({ rack }) => racks.has(rack))) return null;
    const repeats = datacenter === null ? factor : factor - racks.size;
    limits.push({ datacenter, count: factor, repeats });
  }
  return limits;
}

/** The ways along a ring of tokens that no operation touches. */
class Ways {
  private readonly positions: readonly Position[];
  private readonly limits: readonly Limit[];
  private readonly known: (number | undefined)[] = [];

  constructor(positions: readonly Position[], limits: readonly Limit[]) {
    this.positions = positions;
    this.limits = limits;
  }

  /** How many positions it takes from one until there are enough replicas; infinite: there never are. */
  private length(start: number): number {
    this.known[start] ??= this.walk(start);
    return this.known[start];
  }

  private walk(start: number): number {
    const { positions } = this;
    const open = this.limits.map((limit) => ({ ...limit, racks: new Set<string>() }));
    const found = new Set<NodeInfo>();
    for (let steps = 1; steps <= positions.length; steps++) {
      const { node } = positions[(start + steps - 1) % positions.length];
      const isHere = (one: Limit) => one.datacenter === null || one.datacenter === node.datacenter;
      const quota = open.find((one) => one.count > 0 && isHere(one));
      if (quota !== undefined && !found.has(node)) {
        const isRepeat = quota.racks.has(node.rack);
        if (isRepeat && quota.repeats <= 0) continue;
        if (isRepeat) quota.repeats--;
        quota.racks.add(node.rack);
        found.add(node);
        quota.count--;
      }
      if (open.every(({ count }) => count === 0)) return steps;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Whether one of the buckets is in the zone of a token in `bucket`. */
  isNear(bucket: number, others: readonly number[]): boolean {
    const { positions } = this;
    const count = positions.length;
    const at = positions.findIndex((one) => one.bucket >= bucket);
    // After the last one comes the first one.
    const first = Math.max(at, 0);
    const after = this.length(first);
    let before = 1;
    const back = () => (first - before + count * 2) % count;
    while (before <= count && this.length(back()) > before) before++;
    if (before + after > count) return others.length > 0;
    const from = positions[back()].bucket;
    const to = positions[(first + after - 1) % count].bucket;
    return others.some((one) => (from < to ? from < one && one <= to : from < one || one <= to));
  }
}

/**
 * May say no although it would do, never the other way round.
 * @param others in progress, all independent of each other
 * @returns whether no range is changed by two of them, and none is changed by one otherwise than without the others
 */
export function isIndependent(
  { nodes }: RingState,
  operation: Operation,
  others: readonly Operation[],
  replications: readonly Replication[],
): boolean {
  if (others.length === 0) return true;
  const touched = touchedBuckets(nodes, operation);
  const taken = others.flatMap((other) => touchedBuckets(nodes, other));
  const isTouched = new Set([...touched, ...taken]);
  const owners = ownersOf(nodes, [...others, operation]);
  const positions = owners.lasting
    .flatMap((node) => node.tokens.map((token) => ({ bucket: bucketOfToken(token), node })))
    .filter(({ bucket }) => !isTouched.has(bucket))
    .sort((a, b) => a.bucket - b.bucket);
  return replications.every((replication) => {
    const limits = limitsOf(replication, owners);
    if (limits === null || positions.length === 0) return false;
    if (limits.length === 0) return true;
    const ways = new Ways(positions, limits);
    return !touched.some((bucket) => ways.isNear(bucket, taken));
  });
}
