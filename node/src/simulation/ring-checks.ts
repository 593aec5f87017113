/** What must hold of a ring when its changes have come to their end. */

import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Ring } from '../cluster/ring.ts';
import { withoutSystemKeyspaces } from '../query/virtual/definitions.ts';
import type { Schema } from '../schema/schema.ts';
import type { ReplicaContents } from './checkers.ts';
import type { ClusterNode } from './cluster-node.ts';
import { METADATA_FILE, strayFamilies } from './node-movements.ts';
import { ownersBy } from './replica-contents.ts';
import type { World } from './world.ts';

/** All nodes have the same state, and each range the replicas that it is to have. */
export function checkRing(world: World<ClusterNode>, schema: Schema): string[] {
  const states = world.nodes.map(({ running }) => running?.control.logIfStarted?.current());
  const [first] = states;
  if (first === undefined) return ['a node has no state'];
  const problems = states.flatMap((state, i) =>
    state?.epoch === first.epoch ? [] : [`node ${i} is at ${state?.epoch}, not at ${first.epoch}`],
  );
  const ring = new Ring(first);
  const members = [...first.nodes.values()].filter(({ state }) => state === 'normal');
  for (const { name, replication } of withoutSystemKeyspaces(schema).keyspaces.values()) {
    const wanted = wantedOf(replication, members);
    for (const { first: from, replicas } of ring.placement(replication).ranges()) {
      if (replicas.length === wanted) continue;
      const what = `the range of ${name} from ${from}`;
      problems.push(`${what} has ${replicas.length} replicas, not ${wanted}`);
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
  held: readonly ReplicaContents[],
): string[] {
  const owners = ownersBy(world);
  const problems: string[] = [];
  for (const { hostId, entries } of held.map(({ name, entries }) => ({ hostId: name, entries }))) {
    const foreign = [...entries.keys()].filter((entry) => !owners(entry).includes(hostId));
    if (foreign.length === 0) continue;
    problems.push(`${hostId} has ${foreign.length} records that are not its own: ${foreign[0]}`);
  }
  for (const { hostId, node, disk } of world.nodes) {
    const families = strayFamilies(node.kv, node.schema);
    if (families.length > 0) problems.push(`${hostId} has families left: ${families.join()}`);
    const files = [...disk.files.keys(), ...disk.blobs.keys()].filter(
      (one) => one !== METADATA_FILE,
    );
    if (files.length > 0) problems.push(`${hostId} has files left: ${files.slice(0, 3).join()}`);
  }
  return problems;
}
