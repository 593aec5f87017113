/** Which pods others may evict: what the database can do without. */
import { disruptionKey } from '../observe/view.ts';
import type { NodeSet } from '../resources/cluster-objects.ts';
import { type Facts, isUp, type NodeFacts, withDown } from './facts.ts';

/** On machines that are emptied; the others are looked at when it is their turn. */
const ASKED_MAX = 8;
const EMPTYING: ReadonlySet<string> = new Set(['NoSchedule', 'NoExecute']);

export interface Evictable {
  readonly free: NodeSet;
  /** How many of them serve. */
  readonly ready: number;
  /** Sets of host ids: with answers more may be free. */
  readonly asks: readonly (readonly string[])[];
}

/** All members are there, and no range is on its way: then each range can do without any one node. */
function isCalm({ ring, nodes }: Facts): boolean {
  if (!ring.known || ring.operations.length > 0) return false;
  const members = [...ring.members.values()].filter(({ state }) => state !== 'left');
  return (
    members.length > 0 &&
    members.every(({ state, aliveBy, askedBy }) => state === 'normal' && aliveBy === askedBy) &&
    nodes.every(({ state, isReady }) => state !== 'normal' || isReady)
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

export function evictable(facts: Facts): Evictable {
  const { ring, nodes, view } = facts;
  const serving = nodes.filter(({ state }) => state === 'normal').length;
  if (isCalm(facts)) return { free: 'all', ready: serving, asks: [] };
  const idle = nodes.filter((node) => !node.isReady && !getsData(node));
  const emptied = ring.known
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
  const free = [...idle, ...allowed].map(({ name }) => name).sort();
  return { free, ready: allowed.filter(({ isReady }) => isReady).length, asks };
}
