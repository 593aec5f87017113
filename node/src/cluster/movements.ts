/**
 * What a node gets when an operation changes who owns what, and from whom, so that no acknowledged write is lost.
 *
 * A write that was acknowledged has been taken by a quorum of the owners before. Any quorum of the owners after has to
 * meet one that has it. If the owner that gives a range up hands over all it has, the new one stands in its place and
 * nothing changes. If it is dead, the new one has to ask so many of the others that it meets every write which the dead
 * one had together with fewest of them.
 */
import type { NodeInfo, OperationPlan, TopologyOperation } from './cluster-state.ts';
import { type Replication, Ring, type RingState, replicationFactors } from './ring.ts';

/** A run of buckets that a node gets. */
export interface Movement {
  /** Buckets, both inclusive. */
  readonly first: number;
  readonly last: number;
  /** Have the range before and not after. */
  readonly losers: readonly NodeInfo[];
  /** Have it before and after. */
  readonly keepers: readonly NodeInfo[];
}

/** The owners before and after one operation, whatever phase it is in; others in progress are about other ranges. */
function ringsOf({ nodes }: RingState, operation: TopologyOperation): readonly [Ring, Ring] {
  const before = new Ring({ nodes });
  const after = new Ring({ nodes, operations: [{ ...operation, phase: 'switched' }] });
  return [before, after];
}

type Movements = ReadonlyMap<string, readonly Movement[]>;

/** By the nodes of a state, which another state has only if they are the same: asked for at every step of a transfer. */
const known = new WeakMap<RingState['nodes'], Map<string, Movements>>();

/** Who gets something by an operation, of a keyspace with this replication: the movements of each, ascending. */
export function movementsOf(
  state: RingState,
  operation: TopologyOperation,
  replication: Replication,
): Movements {
  const { hostId, replaces, tokens } = operation;
  const name = JSON.stringify([hostId, replaces, tokens.join(), replication]);
  let ofNodes = known.get(state.nodes);
  if (ofNodes === undefined) {
    ofNodes = new Map();
    known.set(state.nodes, ofNodes);
  }
  let movements = ofNodes.get(name);
  if (movements === undefined) {
    movements = findMovements(state, operation, replication);
    ofNodes.set(name, movements);
  }
  return movements;
}

function findMovements(
  state: RingState,
  operation: TopologyOperation,
  replication: Replication,
): Movements {
  const [before, after] = ringsOf(state, operation);
  const old = before.placement(replication);
  const next = after.placement(replication);
  const ends = [old, next].flatMap((placement) => placement.ranges().map(({ last }) => last));
  const movements = new Map<string, Movement[]>();
  let first = 0;
  for (const last of [...new Set(ends)].sort((a, b) => a - b)) {
    const had = old.ofBucket(last);
    const has = next.ofBucket(last);
    const losers = had.filter((node) => !has.includes(node));
    const keepers = had.filter((node) => has.includes(node));
    for (const { hostId } of has.filter((node) => !had.includes(node))) {
      const list = movements.get(hostId);
      const movement = { first, last, losers, keepers };
      if (list === undefined) movements.set(hostId, [movement]);
      else list.push(movement);
    }
    first = last + 1;
  }
  return movements;
}

/** Whether both are the same nodes, in whatever order. */
export function isSameReplicas(a: readonly NodeInfo[], b: readonly NodeInfo[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

/** The ranges that an operation is about: those whose owners are others after it. Ascending. */
export function affectedRanges(
  state: RingState,
  operation: TopologyOperation,
  replication: Replication,
): readonly Pick<Movement, 'first' | 'last'>[] {
  const [before, after] = ringsOf(state, operation);
  const old = before.placement(replication);
  const next = after.placement(replication);
  const ends = [old, next].flatMap((placement) => placement.ranges().map(({ last }) => last));
  const ranges: { first: number; last: number }[] = [];
  let first = 0;
  for (const last of [...new Set(ends)].sort((a, b) => a - b)) {
    const had = old.ofBucket(last);
    const has = next.ofBucket(last);
    const isSame = isSameReplicas(had, has);
    const before = ranges.at(-1);
    if (!isSame && before !== undefined && before.last === first - 1) before.last = last;
    else if (!isSame) ranges.push({ first, last });
    first = last + 1;
  }
  return ranges;
}

/** More than half. */
export const quorumOf = (factor: number): number => Math.floor(factor / 2) + 1;

/**
 * How many of the others must be asked in place of one that is dead, of `factor` replicas: each write that it and
 * `quorum - 1` of them have is at one of these. Two quorums of an even factor have two nodes in common, so that one copy could be
 * lost, but only once, and nobody knows of which writes one was lost before.
 */
function standIns(factor: number): number {
  return factor - quorumOf(factor) + 1;
}

/** Whether an operation is there because this node is dead. */
export function isGoneBy({ kind, hostId, replaces, dead }: OperationPlan, node: NodeInfo): boolean {
  return node.hostId === replaces || (kind === 'leave' && dead === true && node.hostId === hostId);
}

export interface SourceChoice {
  /** Of the node that gets the range. */
  readonly datacenter: string;
  readonly replication: Replication;
  /** Alive, and not found to be of no use. */
  isUsable(node: NodeInfo): boolean;
  /** It is dead, and the operation is there because of it: what only it has is lost. */
  isGone(node: NodeInfo): boolean;
  /** Nearest first. */
  byProximity(nodes: readonly NodeInfo[]): readonly NodeInfo[];
}

/**
 * From whom a range is taken: from all of these.
 * @returns null: those that would have to be asked are not all usable now. Empty: nobody has it
 */
export function sourcesOf(
  { losers, keepers }: Movement,
  { datacenter, replication, isUsable, isGone, byProximity }: SourceChoice,
): readonly NodeInfo[] | null {
  if (losers.length === 0 && keepers.length === 0) return [];
  if (losers.length > 0 && losers.every(isUsable)) return losers;
  const usable = byProximity(keepers.filter(isUsable));
  const local = usable.filter((node) => node.datacenter === datacenter);
  const ordered = [...local, ...usable.filter((node) => !local.includes(node))];
  // Its factor was not met, so nobody gave anything up: each of the others counts as before.
  if (losers.length === 0) return ordered.length > 0 ? ordered.slice(0, 1) : null;
  const factors = replicationFactors(replication);
  const all = [...factors.values()].reduce((sum, factor) => sum + factor, 0);
  const localNeed = factors.has(null) ? 0 : standIns(factors.get(datacenter) ?? 0);
  const need = Math.max(1, localNeed, standIns(all));
  // There were never more copies than these and the lost ones; but one that is only down comes back with them.
  if (keepers.length === 0) return losers.every(isGone) ? [] : null;
  const localKeepers = keepers.filter((node) => node.datacenter === datacenter).length;
  if (local.length < Math.min(localNeed, localKeepers)) return null;
  if (ordered.length < Math.min(need, keepers.length)) return null;
  return ordered.slice(0, need);
}
