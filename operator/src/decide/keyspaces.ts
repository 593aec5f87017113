/** Keyspaces that there are to be: made when there are nodes enough, looked at now and then, never changed or dropped. */
import { keyspaceKey } from '../observe/view.ts';
import type { EnsureKeyspaceRequest } from '../ports/nodes.ts';
import { type Action, type Blocked, NOTHING, type Step } from './actions.ts';
import { type Assertion, isTrue, unlessBlocked } from './conditions.ts';
import type { Facts } from './facts.ts';

/** Somebody may drop it. */
const LOOK_MILLIS = 600_000;
const RETRY_MILLIS = 60_000;

function nodesIn({ ring }: Facts, datacenter: string): number {
  if (!ring.known) return 0;
  return [...ring.members.values()].filter(
    (one) => one.datacenter === datacenter && one.state === 'normal',
  ).length;
}

export function planKeyspaces(facts: Facts): Step {
  const { cluster, keyspaces, nowMillis } = facts.view;
  const { stopped, keyspaces: wanted = [] } = cluster.spec;
  if (stopped || wanted.length === 0 || !facts.ring.known) return NOTHING;
  const actions: Action[] = [];
  const blocked: Blocked[] = [];
  for (const { name, replication, durableWrites } of wanted) {
    const few = Object.entries(replication).find(([dc, count]) => nodesIn(facts, dc) < count);
    if (few !== undefined) {
      const [dc, count] = few;
      const message = `${name} is to have ${count} replicas in ${dc}, which has ${nodesIn(facts, dc)} nodes: it is made when there are more`;
      blocked.push({ reason: 'FewNodes', message });
      continue;
    }
    const options = Object.entries(replication).map(([dc, count]) => [dc, String(count)]);
    const keyspace: EnsureKeyspaceRequest = {
      ...{ name, durableWrites },
      replication: { class: 'NetworkTopologyStrategy', ...Object.fromEntries(options) },
    };
    const key = keyspaceKey(cluster.metadata.uid, keyspace);
    const known = keyspaces.get(key);
    const problem = known?.problem ?? null;
    if (problem !== null) blocked.push({ reason: 'Refused', message: problem });
    const after = problem === null ? LOOK_MILLIS : RETRY_MILLIS;
    if (known !== undefined && nowMillis - known.atMillis < after) continue;
    const note = `makes the keyspace ${name}`;
    const told = { about: cluster, reason: 'Keyspace', note };
    actions.push({ do: 'ensure-keyspace', keyspace, key, ...told });
  }
  return { actions, blocked, asks: [] };
}

/** @returns none: the spec names no keyspaces */
export function keyspacesReady(facts: Facts, { actions, blocked }: Step): readonly Assertion[] {
  const { cluster } = facts.view;
  if ((cluster.spec.keyspaces ?? []).length === 0) return [];
  const before = cluster.status?.conditions?.find(({ type }) => type === 'KeyspacesReady');
  const asking = { reason: 'Asking', message: 'They are being made, or looked for.' };
  // What was so when it was looked at last stays so while it is looked at again.
  const isOpen = (actions.length > 0 || !facts.ring.known) && before?.status !== 'True';
  const problems = blocked.length > 0 ? blocked : isOpen ? [asking] : [];
  return [unlessBlocked('KeyspacesReady', problems, isTrue('KeyspacesReady', 'There'))];
}
