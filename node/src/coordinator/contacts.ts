/** Which replicas a read asks. @hot */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import type { CoordinatorContext } from './context.ts';
import { isDatacenterLocal } from './levels.ts';
import type { Move, Replicated } from './replicated.ts';

/** Whom a read asks, nearest first, and who may stand in for them. */
export interface Contacts {
  readonly contacts: readonly NodeInfo[];
  readonly spares: readonly NodeInfo[];
}

/** How long a choice by latency holds. */
const CHOICE_MILLIS = 100;

/**
 * Which replicas a read at `level` asks. The same for a while for the same `live`.
 * @param live replicas that are alive, enough for the level
 */
export function contactsOf(
  context: CoordinatorContext,
  replicated: Replicated,
  level: number,
  live: readonly NodeInfo[],
): Contacts {
  const { choices } = context;
  const now = context.deps.clock.monotonicMillis();
  if (now >= choices.untilMillis) {
    choices.untilMillis = now + CHOICE_MILLIS;
    choices.byReplicas = new WeakMap();
  }
  let byLevel = choices.byReplicas.get(live);
  if (byLevel === undefined) {
    byLevel = [];
    choices.byReplicas.set(live, byLevel);
  }
  return (byLevel[level] ??= chooseContacts(context, replicated, level, live, null));
}

/** `contactsOf`, chosen anew. @param move of a range that moves: who owns it before and after comes first */
export function chooseContacts(
  context: CoordinatorContext,
  replicated: Replicated,
  level: number,
  live: readonly NodeInfo[],
  move: Move | null,
): Contacts {
  let sorted = context.byProximity(live);
  if (move !== null) {
    // What two of these have is seen as well by those who read the others.
    const isKept = (node: NodeInfo) => move.kept.includes(node);
    sorted = [...sorted.filter(isKept), ...sorted.filter((node) => !isKept(node))];
  }
  if (isDatacenterLocal(level)) {
    sorted = sorted.filter((node) => replicated.counts(level, node));
  }
  if (!replicated.isPerDatacenter(level)) {
    const count = replicated.blockFor(level);
    return { contacts: sorted.slice(0, count), spares: sorted.slice(count) };
  }
  const left = new Map(replicated.quorums);
  const contacts: NodeInfo[] = [];
  const spares: NodeInfo[] = [];
  for (const node of sorted) {
    const wanted = left.get(node.datacenter) ?? 0;
    (wanted > 0 ? contacts : spares).push(node);
    left.set(node.datacenter, wanted - 1);
  }
  return { contacts, spares };
}
