/**
 * Nodes that go. What a node is to the ring says how: a member leaves by the database, one that joins is undone there, one that
 * never was a member has only to be gone. Objects and volumes go last, and only by what a majority has agreed on.
 */

import type { DatacenterCluster } from '../api/objects.ts';
import type { Claim } from '../ports/kube-objects.ts';
import { LABELS } from '../resources/names.ts';
import { releasedClaim } from '../resources/node-objects.ts';
import { type Action, blocked, deletion, NOTHING, type Step, step, together } from './actions.ts';
import { type Facts, isDead, type NodeFacts } from './facts.ts';
import type { Numbers } from './numbers.ts';
import { orphansOf } from './orphans.ts';
import { showOperation } from './progress.ts';

/** What the database refused is asked for again after so long. */
const REFUSED_MILLIS = 30_000;
/** What has to wait for others. */
const BUSY_MILLIS = 10_000;
/** The database is asked for so many at one time: each is planned by it. */
const REMOVALS_MAX = 4;
/** A request to join that was on its way when its pod went has come to nothing after so long. */
export const SETTLED_MILLIS = 20_000;
/** Condition of a DatabaseNode whose pod is gone, and that was no member then. */
export const GONE = 'Gone';

function removeMember(
  {
    hostId,
    name,
    dead,
  }: { readonly hostId: string; readonly name: string; readonly dead: boolean },
  facts: Facts,
  about: Action['about'],
): Step {
  const { ring, view } = facts;
  if (!ring.known)
    return blocked('RingUnknown', `${name} stays: the ring is not known: ${ring.why}`);
  const refusal = view.refusals.get(hostId);
  const isRecent = (millis: number) =>
    refusal !== undefined && view.nowMillis - refusal.atMillis < millis;
  if (refusal?.waits === true && isRecent(BUSY_MILLIS)) {
    const others = ring.operations.map((one) => showOperation(one, facts)).join(', ');
    return blocked('Waiting', `${name} leaves after what is in progress: ${others}`);
  }
  const isRefused = refusal !== undefined && !refusal.waits;
  const told = {
    reason: 'Refused',
    message: `${name} cannot leave, says the database: ${refusal?.reason ?? ''}. To keep the node, set the replicas back`,
  };
  if (isRefused && isRecent(REFUSED_MILLIS)) return step({ blocked: [told] });
  const note = dead ? `has the ring go on without ${name}, which is dead` : `has ${name} leave`;
  return step({
    actions: [{ do: 'remove-node', hostId, dead, about, reason: 'Leaves', note }],
    blocked: isRefused ? [told] : [],
  });
}

function cancelJoin(node: NodeFacts, why: string): Step {
  const { operation, view, name } = node;
  const about = view.object;
  if (operation === null) {
    const told = { about, reason: 'Undone', note: `its join does not begin: ${why}` };
    return step({ actions: [{ do: 'remove-node', hostId: node.hostId, dead: false, ...told }] });
  }
  if (operation.phase !== 'streaming') {
    return blocked('Waiting', `${name} is nearly a member: it leaves when it is`);
  }
  const { id: operationId } = operation;
  const note = `its join is undone: ${why}`;
  const { hostId } = node;
  return step({
    actions: [{ do: 'cancel', operationId, hostId, about, reason: 'Undone', note }],
  });
}

/** It is no member, and becomes none: first the process, then the proof, then the rest. */
function dropStranger(node: NodeFacts, facts: Facts): Step {
  const { pod, object } = node.view;
  const about = object;
  if (pod !== null) {
    if (pod.metadata.deletionTimestamp !== undefined) return NOTHING;
    const told = { about, reason: 'NotWanted', note: 'it is not wanted any more, and no member' };
    return step({ actions: [deletion('Pod', pod, told)] });
  }
  if (!node.hadVolume) return cleanUp(node, facts);
  const gone = object.status?.conditions?.find(({ type }) => type === GONE);
  if (gone?.status !== 'True') return NOTHING;
  const since = Date.parse(gone.lastTransitionTime);
  return facts.view.nowMillis - since < SETTLED_MILLIS ? NOTHING : cleanUp(node, facts);
}

/** The volume of who is no member (any more), by policy; null: nothing is to be done about it. */
function settleVolume(
  claim: Claim,
  cluster: DatacenterCluster,
  about: Action['about'],
): Step | null {
  if (claim.metadata.deletionTimestamp !== undefined) return null;
  if (cluster.spec.deletionPolicy === 'Delete') {
    const told = {
      about,
      reason: 'VolumeDeleted',
      note: `the volume ${claim.metadata.name} goes: its node has left`,
    };
    return step({ actions: [deletion('PersistentVolumeClaim', claim, told, true)] });
  }
  const isReleased = claim.metadata.labels?.[LABELS.released] === 'true';
  return isReleased && (claim.metadata.ownerReferences ?? []).length === 0
    ? null
    : release(claim, about);
}

function release(claim: Claim, about: Action['about']): Step {
  const note = `the volume ${claim.metadata.name} is kept`;
  const told = { about, reason: 'VolumeKept', note };
  const object = releasedClaim(claim);
  return step({ actions: [{ do: 'apply', kind: 'PersistentVolumeClaim', object, ...told }] });
}

/** Volumes of nodes whose objects somebody deleted. */
function settleStrays({ view, ring }: Facts): Step {
  const { cluster, strays } = view;
  if (!ring.known) return NOTHING;
  return together(
    strays.map((claim) => {
      const member = ring.members.get(claim.metadata.labels?.[LABELS.hostId] ?? '');
      if (member === undefined) return release(claim, cluster);
      return (member.state === 'left' ? settleVolume(claim, cluster, cluster) : null) ?? NOTHING;
    }),
  );
}

/** The volume by policy, then the object. Only for those who are proven to be no members. */
function cleanUp({ view, name }: NodeFacts, { view: { cluster } }: Facts): Step {
  const { claim, object } = view;
  const isOwn = claim?.metadata.labels?.[LABELS.hostId] === object.metadata.uid;
  const volume = claim !== null && isOwn ? settleVolume(claim, cluster, object) : null;
  if (volume !== null) return volume;
  const told = { about: cluster, reason: 'Gone', note: `${name} is gone` };
  return step({ actions: [deletion('DatabaseNode', object, told, true)] });
}

function leave(node: NodeFacts, facts: Facts): Step {
  const { ring } = facts;
  const { name, hostId, view } = node;
  if (!ring.known) {
    if (!node.hadVolume && node.view.pod === null) {
      const isFirst = facts.view.cluster.status?.firstNode === hostId;
      return isFirst ? NOTHING : cleanUp(node, facts);
    }
    return blocked('RingUnknown', `${name} stays: the ring is not known: ${ring.why}`);
  }
  switch (node.state) {
    case 'none':
      return dropStranger(node, facts);
    case 'joining':
      return cancelJoin(node, 'it is not wanted any more');
    case 'normal': {
      if (node.operation !== null) {
        const what = showOperation(node.operation, facts);
        return blocked(
          'Waiting',
          `${name} leaves after the operation that is in progress: ${what}`,
        );
      }
      const dead = node.isDown && isDead(node, facts);
      return removeMember({ hostId, name, dead }, facts, view.object);
    }
    default:
      return NOTHING;
  }
}

/** It leaves, and is wanted again. */
function stay(node: NodeFacts): Step {
  const { operation, name, view } = node;
  if (operation?.kind !== 'leave') return NOTHING;
  if (operation.phase !== 'streaming') {
    return blocked('Waiting', `${name} has nearly left: another node is made for it`);
  }
  const { id: operationId } = operation;
  const told = { about: view.object, reason: 'Stays', note: 'it is wanted again' };
  return step({ actions: [{ do: 'cancel', operationId, hostId: node.hostId, ...told }] });
}

/** What has left for good, and everything that concerned it is over. */
function forget(node: NodeFacts, facts: Facts): Step {
  const { pod, object } = node.view;
  if (node.operation !== null) return NOTHING;
  if (pod === null) return cleanUp(node, facts);
  const told = { about: object, reason: 'Left', note: 'it has left the ring' };
  // It may run where nobody hears of it; its volume goes when it does, and it serves nothing.
  const isGoing = pod.metadata.deletionTimestamp !== undefined;
  return isGoing ? cleanUp(node, facts) : step({ actions: [deletion('Pod', pod, told)] });
}

/** Members that are replaced, or to be: they do not come back. */
function lostOf(facts: Facts): readonly string[] {
  return facts.nodes
    .filter((node) => node.state === 'normal' && node.isDown && isDead(node, facts))
    .map(({ hostId }) => hostId);
}

/** What waits for data of nodes that do not come back waits for ever, and what is to be done about those nodes waits for it. */
function undoHopeless(lost: readonly string[], facts: Facts): Step {
  const { ring, view, byHostId } = facts;
  if (!ring.known) return NOTHING;
  const actions = ring.operations.flatMap((one): readonly Action[] => {
    const { id: operationId, hostId, replaces, phase, waits } = one;
    const needed = lost.find((id) => id !== hostId && id !== replaces && waits.includes(id));
    if (phase !== 'streaming' || needed === undefined) return [];
    const name = byHostId.get(needed)?.name ?? needed;
    const note = `is undone: it waits for ${name}, which does not come back: ${showOperation(one, facts)}`;
    const about = byHostId.get(hostId)?.view.object ?? view.cluster;
    return [{ do: 'cancel', operationId, hostId, about, reason: 'Hopeless', note }];
  });
  return step({ actions });
}

export function planDepartures(facts: Facts, { going, missing }: Numbers): Step {
  if (facts.view.cluster.spec.stopped) return NOTHING;
  const isLeft = (node: NodeFacts) => node.state === 'left';
  const isGoing = (node: NodeFacts) => going.has(node.hostId);
  const steps = facts.nodes.map((node) => {
    if (node.view.object.metadata.deletionTimestamp !== undefined) return NOTHING;
    if (isLeft(node)) return forget(node, facts);
    return isGoing(node) ? leave(node, facts) : stay(node);
  });
  const orphans = orphansOf(facts).filter(
    ({ hostId, datacenter, rack }) =>
      !facts.nodes.some(({ view }) => view.object.spec.replaces === hostId) &&
      !missing.some((one) => one.datacenter === datacenter && one.rack === rack),
  );
  const dead = orphans.map(({ hostId }) =>
    removeMember({ hostId, name: hostId, dead: true }, facts, facts.view.cluster),
  );
  const lost = [...orphans.map(({ hostId }) => hostId), ...lostOf(facts)];
  const all = [...steps, ...dead, undoHopeless(lost, facts), settleStrays(facts)];
  return fewRemovals(together(all));
}

/** Those that have to wait for others are told so by the database. */
function fewRemovals({ actions, ...rest }: Step): Step {
  const removals = actions.filter((action) => action.do === 'remove-node').slice(0, REMOVALS_MAX);
  return {
    ...rest,
    actions: actions.filter((action) => action.do !== 'remove-node' || removals.includes(action)),
  };
}
