/** Services, and how many nodes may be disturbed by others. */
import { clientService, disruptionBudget, seedsService } from '../resources/cluster-objects.ts';
import { hasAll } from '../resources/values.ts';
import { type Action, type Step, step } from './actions.ts';
import type { Facts } from './facts.ts';

/** All members are there, and no range is on its way: then each range can do without any one node. */
export function mayOneGo({ ring, nodes }: Facts): boolean {
  if (!ring.known || ring.operations.length > 0) return false;
  const members = [...ring.members.values()].filter(({ state }) => state !== 'left');
  return (
    members.length > 0 &&
    members.every(({ state, aliveBy, askedBy }) => state === 'normal' && aliveBy === askedBy) &&
    nodes.every(({ state, isReady }) => state !== 'normal' || isReady)
  );
}

export function upkeepOfCluster(facts: Facts): Step {
  const { cluster, seeds, client, budget } = facts.view;
  const actions: Action[] = [];
  const about = cluster;
  for (const [live, object] of [
    [seeds, seedsService(cluster)],
    [client, clientService(cluster)],
  ] as const) {
    if (live !== null && hasAll(live, object)) continue;
    const note = `${live === null ? 'makes' : 'puts right'} the Service ${object.metadata.name}`;
    actions.push({ do: 'apply', kind: 'Service', object, about, reason: 'Service', note });
  }
  const wanted = disruptionBudget(cluster, mayOneGo(facts));
  if (budget === null || !hasAll(budget, wanted)) {
    const may = wanted.spec.maxUnavailable;
    const note = `so many nodes may be evicted now: ${may}`;
    const told = { about, reason: 'Evictions', note };
    actions.push({ do: 'apply', kind: 'PodDisruptionBudget', object: wanted, ...told });
  }
  return step({ actions });
}
