/**
 * Whether an operation may run beside others. Each may end at any time, or be undone, so the ranges of one must be as if
 * the others were not there, whichever of them have been carried out.
 */
import type { NodeInfo, TopologyOperation } from './cluster-state.ts';
import { isSameReplicas } from './movements.ts';
import { type Placement, type Replication, Ring, type RingState } from './ring.ts';

type Operation = Pick<TopologyOperation, 'hostId' | 'replaces' | 'tokens'>;

/** The owners after these operations alone. */
function ringAfter(nodes: RingState['nodes'], operations: readonly Operation[]): Ring {
  const switched = operations.map(
    (operation): TopologyOperation => ({
      ...{ id: '', kind: 'move', startEpoch: 0, phaseEpoch: 0, done: [] },
      ...operation,
      phase: 'switched',
    }),
  );
  return new Ring({ nodes, operations: switched });
}

function subsetsOf<T>(items: readonly T[]): readonly (readonly T[])[] {
  const subsets: (readonly T[])[] = [[]];
  for (const item of items) {
    for (const subset of subsets.slice()) subsets.push([...subset, item]);
  }
  return subsets;
}

/** Of one bucket: who has it without the operation, and with it, for each set of others that have been carried out. */
function isApart(
  without: readonly (readonly NodeInfo[])[],
  beside: readonly (readonly NodeInfo[])[],
): boolean {
  const isOfOthers = without.every((nodes, i) => isSameReplicas(nodes, beside[i]));
  if (isOfOthers) return true;
  return (
    without.every((nodes) => isSameReplicas(nodes, without[0])) &&
    beside.every((nodes) => isSameReplicas(nodes, beside[0]))
  );
}

/**
 * @param others in progress, few: all sets of them are looked at
 * @returns whether no range is changed by both, and none is changed by one otherwise than without the other
 */
export function isIndependent(
  { nodes }: RingState,
  operation: Operation,
  others: readonly Operation[],
  replications: readonly Replication[],
): boolean {
  if (others.length === 0) return true;
  const sets = subsetsOf(others);
  const rings = sets.map((set) => ringAfter(nodes, set));
  const ringsBeside = sets.map((set) => ringAfter(nodes, [...set, operation]));
  return replications.every((replication) => {
    const without = rings.map((ring) => ring.placement(replication));
    const beside = ringsBeside.map((ring) => ring.placement(replication));
    const at = (placements: readonly Placement[], bucket: number) =>
      placements.map((placement) => placement.ofBucket(bucket));
    const ends = new Set([...without, ...beside].flatMap((one) => one.ranges().map((r) => r.last)));
    for (const last of ends) {
      if (!isApart(at(without, last), at(beside, last))) return false;
    }
    return true;
  });
}
