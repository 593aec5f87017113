/** Services, and how many nodes may be disturbed by others. */
import { clientService, disruptionBudgets, seedsService } from '../resources/cluster-objects.ts';
import { hasAll, isSame } from '../resources/values.ts';
import { type Action, type Step, step } from './actions.ts';
import { evictable } from './evictions.ts';
import type { Facts } from './facts.ts';

const NOTE_MAX = 500;

/** @param shut whether a node is about to be stopped by us */
export function upkeepOfCluster(facts: Facts, shut: boolean): Step {
  const { cluster, seeds, client, budgets } = facts.view;
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
  const { free, least, asks } = evictable(facts, shut);
  const note = `one may be evicted of: ${free === 'all' ? 'all nodes' : free.join(', ') || 'none'}`;
  for (const wanted of disruptionBudgets(cluster, free, { least, all: facts.nodes.length })) {
    const budget = budgets.get(wanted.metadata.name);
    // A selector with more in it is another one.
    const isOther = !isSame(budget?.spec.selector, wanted.spec.selector);
    if (budget !== undefined && !isOther && hasAll(budget, wanted)) continue;
    const told = { about, reason: 'Evictions', note: note.slice(0, NOTE_MAX) };
    actions.push({ do: 'apply', kind: 'PodDisruptionBudget', object: wanted, ...told });
  }
  return step({ actions, asks });
}
