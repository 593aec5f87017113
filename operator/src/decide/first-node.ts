/** Who starts the cluster: decided once, and written down before its pod is made. */

import { NEW_CLUSTER } from '../resources/names.ts';
import { blocked, NOTHING, type Step, step } from './actions.ts';
import type { Facts, NodeFacts } from './facts.ts';
import type { Numbers } from './numbers.ts';

/** Whether this is a cluster of which nothing runs yet, and that joins no other. */
export function startsByItself({ view }: Facts): boolean {
  return (view.cluster.spec.contactPoints ?? []).length === 0;
}

/** Some node is a member: whoever is new joins. */
export function hasMembers({ ring }: Facts): boolean {
  return ring.known && [...ring.members.values()].some(({ state }) => state === 'normal');
}

/** Its container would start another cluster if it were started again without data. */
export function isToldToStart({ view: { pod } }: NodeFacts): boolean {
  return pod?.metadata.annotations?.[NEW_CLUSTER] === 'true';
}

/** There is a cluster: who started it is not to start another, whatever becomes of its data. */
export function takeBackStart(node: NodeFacts, facts: Facts): Step {
  const { pod, object } = node.view;
  if (pod === null || !isToldToStart(node) || !hasMembers(facts)) return NOTHING;
  const { name, namespace, uid } = pod.metadata;
  const marks = { name, namespace, uid, annotations: { [NEW_CLUSTER]: 'false' } };
  const note = `${node.name} has started the cluster, and starts no other`;
  return step({
    actions: [{ do: 'annotate', pod: marks, about: object, reason: 'FirstNode', note }],
  });
}

/** Who starts the cluster is decided, or nobody does. */
export function mayStart(facts: Facts): boolean {
  const { firstNode } = facts.view.cluster.status ?? {};
  return !startsByItself(facts) || hasMembers(facts) || (firstNode ?? '') !== '';
}

export function planFirst(facts: Facts, { going }: Numbers): Step {
  const { cluster } = facts.view;
  const { firstNode } = cluster.status ?? {};
  if (!startsByItself(facts) || hasMembers(facts)) return NOTHING;
  if (firstNode !== undefined && firstNode !== '') {
    const first = facts.byHostId.get(firstNode);
    if (first === undefined) {
      return blocked(
        'FirstNodeLost',
        `the DatabaseNode with UID ${firstNode}, which started the cluster, is not there, and no member answers. If its data is lost, delete this DatacenterCluster and create it anew; nothing is started beside it by itself`,
      );
    }
    if (first.isVolumeLost) {
      return blocked(
        'FirstNodeLost',
        `the volume of ${first.name}, which started the cluster, is lost before another node had joined, and its data with it. Delete this DatacenterCluster and create it anew, or restore the volume; nothing is started beside it by itself`,
      );
    }
    if (!going.has(first.hostId) || first.hadVolume) return NOTHING;
    const note = `${first.name} is not wanted any more, and never ran: another one starts the cluster`;
    return step({
      actions: [{ do: 'choose-first', uid: '', about: cluster, reason: 'FirstNode', note }],
    });
  }
  const used = facts.nodes.find(({ hadVolume }) => hadVolume);
  if (used !== undefined) {
    return blocked(
      'FirstNodeUnknown',
      `status.firstNode is not set, but ${used.name} has data already: no new cluster is started. If the status was lost, set firstNode to the UID of the oldest DatabaseNode`,
    );
  }
  const candidates = facts.nodes.filter(({ hostId }) => !going.has(hostId));
  const age = ({ metadata }: { readonly metadata: { readonly creationTimestamp?: string } }) =>
    metadata.creationTimestamp ?? '';
  const [oldest] = candidates.toSorted((a, b) =>
    age(a.view.object) < age(b.view.object) ? -1 : age(a.view.object) > age(b.view.object) ? 1 : 0,
  );
  if (oldest === undefined) return NOTHING;
  const { uid } = oldest.view.object.metadata;
  const note = `${oldest.name} starts the cluster`;
  return step({
    actions: [{ do: 'choose-first', uid, about: cluster, reason: 'FirstNode', note }],
  });
}
