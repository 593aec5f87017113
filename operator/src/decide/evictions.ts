/** Which pods others may evict: what the database can do without. */
import { disruptionKey } from '../observe/view.ts';
import type { NodeSet } from '../resources/cluster-objects.ts';
import { type Facts, isUp, type NodeFacts, withDown } from './facts.ts';

/** On machines that are emptied; the others are looked at when it is their turn. */
const ASKED_MAX = 8;
const EMPTYING: ReadonlySet<string> = new Set(['NoSchedule', 'NoExecute']);

export interface Evictable {
  readonly free: NodeSet;
  /** So many of them have to stay healthy. */
  readonly least: number;
  /** Sets of host ids: with answers more may be free. */
  readonly asks: readonly (readonly string[])[];
}

/**
 * All nodes serve, and no range is on its way: then each range can do without any one. Nobody is on the way in, either: numbers of
 * pods that have to stay would be too low when they have come, if nobody is there then to change them.
 */
function isCalm({ ring, nodes }: Facts): boolean {
  if (!ring.known || ring.operations.length > 0) return false;
  const members = [...ring.members.values()].filter(({ state }) => state !== 'left');
  return (
    members.length > 0 &&
    members.every(({ state, aliveBy, askedBy }) => state === 'normal' && aliveBy === askedBy) &&
    nodes.every(({ state, isReady }) => state === 'normal' && isReady)
  );
}

/** Its machine takes no pods any more: it is being drained, or about to go. */
function isBeingEmptied({ view }: NodeFacts, facts: Facts): boolean {
  const machine = facts.view.machines.get(view.pod?.spec.nodeName ?? '');
  const { unschedulable, taints } = machine?.spec ?? {};
  return unschedulable === true || taints?.some(({ effect }) => EMPTYING.has(effect)) === true;
}

/** Writes wait for it: it counts though it does not serve. */
function getsData({ state, operation }: NodeFacts): boolean {
  return state === 'joining' || (operation !== null && operation.kind !== 'leave');
}

/** Whether any one can be evicted now: pods that are new count, too. */
export function isOpen({ view }: Facts): boolean {
  const budget = view.budgets.get(view.cluster.metadata.name);
  return budget !== undefined && (budget.spec.selector.matchExpressions ?? []).length === 0;
}

/** Whether nobody who serves can be evicted now. */
export function isShut({ view }: Facts): boolean {
  const { name } = view.cluster.metadata;
  const { selector, minAvailable = 0 } = view.budgets.get(name)?.spec ?? {};
  const [only] = selector?.matchExpressions ?? [];
  return only !== undefined && minAvailable >= (only.values ?? []).length;
}

/** @param shut whether a node is about to be stopped by us: then nobody else may stop one */
export function evictable(facts: Facts, shut: boolean): Evictable {
  const { ring, nodes, view } = facts;
  if (!shut && isCalm(facts))
    return { free: 'all', least: Math.max(0, nodes.length - 1), asks: [] };
  const idle = nodes.filter((node) => !node.isReady && !getsData(node));
  const emptied =
    ring.known && !shut
      ? nodes
          .filter(
            (node) => !idle.includes(node) && node.state !== 'none' && isBeingEmptied(node, facts),
          )
          .toSorted((a, b) => Number(isUp(a)) - Number(isUp(b)) || (a.name < b.name ? -1 : 1))
          .slice(0, ASKED_MAX)
      : [];
  const asks: (readonly string[])[] = [];
  const allowed = emptied.filter((node) => {
    const ids = withDown(facts, [node]);
    const answer = view.disruptions.get(disruptionKey(ids));
    if (answer === undefined) asks.push(ids);
    return answer?.allowed === true;
  });
  const names = (of: readonly NodeFacts[]) => of.map(({ name }) => name).sort();
  // Who gets healthy meanwhile does not go.
  if (allowed.length === 0) return { free: names(idle), least: idle.length, asks };
  return { free: names(allowed), least: allowed.length - 1, asks };
}
