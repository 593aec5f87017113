/** Members of this cluster's datacenters that have no DatabaseNode. */
import type { Member } from '../observe/view.ts';
import { LABELS } from '../resources/names.ts';
import type { Blocked } from './actions.ts';
import type { Facts } from './facts.ts';
import { startsByItself } from './first-node.ts';
import { datacentersOf } from './numbers.ts';

function withoutObject({ view, ring, byHostId }: Facts): readonly Member[] {
  if (!ring.known) return [];
  const names = new Set(datacentersOf(view.cluster.spec).map(({ name }) => name));
  return [...ring.members.values()].filter(
    ({ hostId, datacenter, state }) =>
      state === 'normal' && names.has(datacenter) && !byHostId.has(hostId),
  );
}

/** In a ring that others had begun a member is ours only if its volume says so. */
function isOurs({ hostId }: Member, facts: Facts): boolean {
  const { strays } = facts.view;
  return (
    startsByItself(facts) ||
    strays.some(({ metadata }) => metadata.labels?.[LABELS.hostId] === hostId)
  );
}

/** They are down, and somebody deleted their objects. */
export function orphansOf(facts: Facts): readonly Member[] {
  return withoutObject(facts).filter((one) => one.aliveBy === 0 && isOurs(one, facts));
}

/** Others have a datacenter of the same name, or had: what is done about members of it would be done to theirs. */
export function takenDatacenters(facts: Facts): readonly Blocked[] {
  const strangers = withoutObject(facts).filter((one) => !isOurs(one, facts));
  if (strangers.length === 0) return [];
  const [{ datacenter }] = strangers;
  const named = strangers.map(({ hostId, address }) => `${hostId} (${address})`).join(', ');
  const message = `the ring has members in ${datacenter} that are not of this cluster: ${named}. If they are of another DatacenterCluster, delete this one and give it a datacenter of another name; if they are what is left of an earlier one, take them out of the ring (ilion removenode HOST_ID)`;
  return [{ reason: 'DatacenterTaken', message }];
}
