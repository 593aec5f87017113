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

/** Nodes that are gone for good: what they are about is that they go, or others are to take their places. */
export function goneOf(
  { nodes }: Pick<ClusterState, 'nodes'>,
  { kind, hostId, replaces }: TopologyOperation,
): ReadonlySet<string> {
  const gone = new Set([...nodes.values()].flatMap((node) => node.replaces ?? []));
  if (kind === 'leave') gone.add(hostId);
  if (replaces !== null) gone.add(replaces);
  return gone;
}

/**
 * @param gone nodes that nobody waits for while they are down
 * @param reached nodes whose workers all know the switch
 * @returns why the operation cannot be finished yet; null: it can
 */
export function refusalOfFinish(
  gone: ReadonlySet<string>,
  groups: readonly OwnerGroup[],
  reached: ReadonlySet<string>,
  isAlive: (hostId: string) => boolean,
): string | null {
  for (const group of groups) {
    // One that is dead and goes is never heard of again.
    const rest = group.filter((id) => !gone.has(id) || isAlive(id));
    const needed = Math.min(rest.length, group.length - quorumOf(group.length) + 1);
    if (rest.filter((id) => reached.has(id)).length >= needed) continue;
    return `too few of the owners before know of the switch: ${rest.join(', ')}. Start those that are down, or new nodes in their places`;
  }
  return null;
}
