/** Whether nodes may stop: what the ranges of the ring would lose by it. */
import type { NodeInfo } from './cluster-state.ts';
import { quorumOf } from './movements.ts';
import { replicationsOf } from './operation-rules.ts';
import { type Placement, type Replication, Ring, replicationFactors } from './ring.ts';
import type { TopologyView } from './topology-plans.ts';

/**
 * Looks for a range that can be read and written at QUORUM now, and could not be if these nodes stopped. Of a range with one
 * or two replicas a quorum is all of them, so that it loses it with each node that stops: one at a time may, as otherwise
 * none ever could.
 * @param stopping host ids
 * @returns what is lost, for people; null: nothing
 */
export function refusalOfStopping(view: TopologyView, stopping: readonly string[]): string | null {
  const { state } = view;
  const unknown = stopping.find((hostId) => !state.nodes.has(hostId));
  if (unknown !== undefined) return `there is no node ${unknown}`;
  const going = new Set(stopping);
  const ring = new Ring(state);
  for (const replication of replicationsOf(state.schema)) {
    const lost = lostBy(view, going, ring.writes(replication), replication);
    if (lost !== null) return lost;
  }
  return null;
}

function lostBy(
  view: TopologyView,
  going: ReadonlySet<string>,
  placement: Placement,
  replication: Replication,
): string | null {
  for (const { replicas } of placement.ranges()) {
    if (!replicas.some(({ hostId }) => going.has(hostId))) continue;
    for (const [datacenter, factor] of replicationFactors(replication)) {
      const isHere = (node: NodeInfo) => datacenter === null || node.datacenter === datacenter;
      const here = replicas.filter(isHere);
      if (!here.some(({ hostId }) => going.has(hostId))) continue;
      // Those that are about to own the range have to take each write, besides a quorum of the owners.
      const extras = placement.extrasOf(replicas).filter(isHere);
      const owners = here.filter((node) => !extras.includes(node));
      const quorum = quorumOf(factor);
      const isUp = ({ hostId }: NodeInfo) => view.isAlive(hostId);
      const stays = (node: NodeInfo) => isUp(node) && !going.has(node.hostId);
      const canNow = owners.filter(isUp).length >= quorum && extras.every(isUp);
      const canThen = owners.filter(stays).length >= quorum && extras.every(stays);
      if (!canNow || canThen) continue;
      const down = here.filter((node) => !stays(node));
      if (quorum === factor && extras.length === 0 && down.length === 1) continue;
      const names = down.map(({ hostId, address }) => `${hostId} (${address})`).join(', ');
      const where = datacenter === null ? '' : ` in ${datacenter}`;
      return `a range${where} would lose its quorum: of its ${owners.length} replicas these would be down: ${names}`;
    }
  }
  return null;
}
