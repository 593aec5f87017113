/** Services, and how many nodes may be disturbed by others. */
import type { DisruptionBudget, Draft } from '../ports/kube-objects.ts';
import {
  clientService,
  disruptionBudgets,
  freeBy,
  type NodeSet,
  seedsService,
} from '../resources/cluster-objects.ts';
import { hasAll, isSame } from '../resources/values.ts';
import { type Action, type Step, step } from './actions.ts';
import { type Evictable, evictable } from './evictions.ts';
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
    if (
      facts.view.foreign.includes(`Service ${object.metadata.name}`) ||
      (live !== null && hasAll(live, object))
    )
      continue;
    const note = `${live === null ? 'makes' : 'puts right'} the Service ${object.metadata.name}`;
    actions.push({ do: 'apply', kind: 'Service', object, about, reason: 'Service', note });
  }
  const wanted = evictable(facts, shut);
  const live = budgets.get(cluster.metadata.name);
  const objects = budgetsTowards(facts, wanted, live === undefined ? 'all' : freeBy(live.spec));
  if (objects.length > 0) {
    const { free } = wanted;
    const note = `one may be evicted of: ${free === 'all' ? 'all nodes' : free.join(', ') || 'none'}`;
    const told = { about, reason: 'Evictions', note: note.slice(0, NOTE_MAX) };
    actions.push({ do: 'apply-budgets', objects, ...told });
  }
  return step({ actions, asks: wanted.asks });
}

/**
 * In such an order that at no time a pod is in neither budget: nothing would keep it. Who is to be held is so before it is no more
 * free, who is to be free is so before it is no more held; what needs both takes two turns.
 * @param now who is free
 */
function budgetsTowards(
  { view, nodes }: Facts,
  { free, least }: Evictable,
  now: NodeSet,
): readonly Draft<DisruptionBudget>[] {
  const isOpening = free === 'all' || (now !== 'all' && now.every((name) => free.includes(name)));
  const next = isOpening || now === 'all' ? free : free.filter((name) => now.includes(name));
  const numbers = { least: isSame(next, free) ? least : next.length, all: nodes.length };
  const [held, open] = disruptionBudgets(view.cluster, next, numbers);
  return (isOpening ? [open, held] : [held, open]).filter((wanted) => {
    const budget = view.budgets.get(wanted.metadata.name);
    // A selector with more in it is another one.
    if (view.foreign.includes(`PodDisruptionBudget ${wanted.metadata.name}`)) return false;
    const isOther = !isSame(budget?.spec.selector, wanted.spec.selector);
    return budget === undefined || isOther || !hasAll(budget, wanted);
  });
}
