/**
 * When the owners before an operation are not needed any more: when no request that knows only them can succeed. Who has
 * heard of the switch refuses older requests; so many have to have heard of it that no quorum is left without one of them.
 */
import type { ClusterState, TopologyOperation } from './cluster-state.ts';
import { affectedRanges, quorumOf } from './movements.ts';
import { replicationsOf } from './operation-rules.ts';
import { Ring, replicationFactors } from './ring.ts';

/** Nodes that had a range before, of one datacenter if its replicas are counted by datacenter. */
export type OwnerGroup = readonly string[];

/** The groups of all ranges that an operation is about, each once. */
export function ownerGroups(
  { nodes, schema }: Pick<ClusterState, 'nodes' | 'schema'>,
  operation: TopologyOperation,
): readonly OwnerGroup[] {
  const groups = new Map<string, OwnerGroup>();
  for (const replication of replicationsOf(schema)) {
    const before = new Ring({ nodes }).placement(replication);
    const affected = affectedRanges({ nodes }, operation, replication);
    const datacenters = [...replicationFactors(replication).keys()];
    for (const range of before.ranges()) {
      const isMeant = affected.some(
        ({ first, last }) => first <= range.last && range.first <= last,
      );
      if (!isMeant) continue;
      for (const datacenter of datacenters) {
        const isHere = (one: string) => datacenter === null || one === datacenter;
        const group = range.replicas.filter((node) => isHere(node.datacenter));
        const hostIds = group.map(({ hostId }) => hostId);
        if (hostIds.length > 0) groups.set([...hostIds].sort().join(), hostIds);
      }
    }
  }
  return [...groups.values()];
}

/**
 * @param reached nodes whose workers all know the switch
 * @returns why the operation cannot be finished yet; null: it can
 */
export function refusalOfFinish(
  operation: TopologyOperation,
  groups: readonly OwnerGroup[],
  reached: ReadonlySet<string>,
  isAlive: (hostId: string) => boolean,
): string | null {
  const { kind, hostId, replaces } = operation;
  const departing = kind === 'leave' ? hostId : replaces;
  for (const group of groups) {
    // One that is dead and goes is never heard of again.
    const rest = group.filter((id) => id !== departing || isAlive(id));
    const needed = Math.min(rest.length, group.length - quorumOf(group.length) + 1);
    if (rest.filter((id) => reached.has(id)).length >= needed) continue;
    return `too few of the owners before know of the switch: ${rest.join(', ')}`;
  }
  return null;
}
