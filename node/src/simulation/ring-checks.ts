/** What must hold of a ring when its changes have come to their end. */

import type { NodeInfo } from '../cluster/cluster-state.ts';
import { bucketOfKey } from '../cluster/grid.ts';
import { Ring } from '../cluster/ring.ts';
import type { Schema } from '../schema/schema.ts';
import type { ReplicaContents } from './checkers.ts';
import type { ClusterNode } from './cluster-node.ts';
import { strayFamilies } from './node-movements.ts';
import type { World } from './world.ts';

const KEYSPACE = 'sim';

/** All nodes have the same state, and each range the replicas that it is to have. */
export function checkRing(world: World<ClusterNode>, schema: Schema): string[] {
  const states = world.nodes.map(({ running }) => running?.control.logIfStarted?.current());
  const [first] = states;
  if (first === undefined) return ['a node has no state'];
  const problems = states.flatMap((state, i) =>
    state?.epoch === first.epoch ? [] : [`node ${i} is at ${state?.epoch}, not at ${first.epoch}`],
  );
  const replication = schema.keyspaces.get(KEYSPACE)?.replication ?? {};
  const ring = new Ring(first);
  const members = [...first.nodes.values()].filter(({ state }) => state === 'normal');
  for (const { first: from, replicas } of ring.placement(replication).ranges()) {
    const wanted = wantedOf(replication, members);
    if (replicas.length !== wanted) {
      problems.push(`the range from ${from} has ${replicas.length} replicas, not ${wanted}`);
    }
  }
  return problems;
}

function wantedOf(
  replication: Readonly<Record<string, string>>,
  members: readonly NodeInfo[],
): number {
  return Object.entries(replication).reduce((sum, [datacenter, factor]) => {
    if (datacenter === 'class') return sum;
    const isSimple = datacenter === 'replication_factor';
    const here = members.filter((node) => isSimple || node.datacenter === datacenter);
    return sum + Math.min(Number(factor), here.length);
  }, 0);
}

/** Nothing is left of what was on its way, and nobody has what is not its own. @param held of nodes, by host id */
export function checkLeftovers(
  world: World<ClusterNode>,
  schema: Schema,
  held: readonly ReplicaContents[],
): string[] {
  const [first] = world.nodes;
  const state = first.node.control.log.current();
  const replication = schema.keyspaces.get(KEYSPACE)?.replication ?? {};
  const placement = new Ring(state).placement(replication);
  const problems: string[] = [];
  for (const { hostId, entries } of held.map(({ name, entries }) => ({ hostId: name, entries }))) {
    const foreign = [...entries.keys()].filter((entry) => {
      const bucket = bucketOfKey(Buffer.from(entry.split(' ')[1] ?? '', 'hex'));
      return !placement.ofBucket(bucket).some((node) => node.hostId === hostId);
    });
    if (foreign.length === 0) continue;
    problems.push(`${hostId} has ${foreign.length} records that are not its own: ${foreign[0]}`);
  }
  for (const { hostId, node, disk } of world.nodes) {
    const families = strayFamilies(node.kv, schema);
    if (families.length > 0) problems.push(`${hostId} has families left: ${families.join()}`);
    const files = [...disk.files.keys(), ...disk.blobs.keys()];
    if (files.length > 0) problems.push(`${hostId} has files left: ${files.slice(0, 3).join()}`);
  }
  return problems;
}
