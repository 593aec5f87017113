/** What follows from a view about each node, for all steps. */

import type { DatabaseNode } from '../api/objects.ts';
import {
  type ClusterView,
  hostIdOf,
  isPodReady,
  type Member,
  mayRun,
  type NodeView,
  type RingView,
} from '../observe/view.ts';
import type { OperationInfo } from '../ports/nodes.ts';
import { millisOf } from '../resources/values.ts';

export interface NodeFacts {
  readonly view: NodeView;
  readonly name: string;
  readonly hostId: string;
  /** Null: it is none, or that is not known. */
  readonly member: Member | null;
  /** Whether it is a member is known. */
  readonly isKnown: boolean;
  /** In the ring, as what; 'unknown': the ring is not known. */
  readonly state: Member['state'] | 'none' | 'unknown';
  readonly isReady: boolean;
  /** As its peers see it; false: not known, too. */
  readonly isAlive: boolean;
  /** All that were asked see it down, and they are enough. */
  readonly isDown: boolean;
  /** Since when, milliseconds since 1970; null: it is not down. */
  readonly downSince: number | null;
  /** Its data is gone: its volume is another one, or none. */
  readonly isVolumeLost: boolean;
  /** It has had a volume, and so perhaps a process. */
  readonly hadVolume: boolean;
  /** In which it joins, leaves, replaces, moves, or is replaced. */
  readonly operation: OperationInfo | null;
  /** The new node that is to take its place. */
  readonly successor: NodeView | null;
}

export interface Facts {
  readonly view: ClusterView;
  readonly nodes: readonly NodeFacts[];
  readonly byHostId: ReadonlyMap<string, NodeFacts>;
  readonly ring: RingView;
}

function operationOf(ring: RingView, hostId: string): OperationInfo | null {
  if (!ring.known) return null;
  return ring.operations.find((one) => one.hostId === hostId || one.replaces === hostId) ?? null;
}

/** With three nodes or more, one alone is not believed. */
function isSeenDown(ring: RingView, member: Member | null): boolean {
  if (!ring.known || member === null || member.aliveBy > 0) return false;
  const others = [...ring.members.values()].filter(
    ({ state, hostId }) => (state === 'normal' || state === 'leaving') && hostId !== member.hostId,
  );
  return member.askedBy >= Math.min(2, others.length) && member.askedBy > 0;
}

function isLost({ object, claim }: NodeView): boolean {
  const volume = object.status?.volume;
  return volume !== undefined && claim?.metadata.uid !== volume;
}

/** One that was given up does not count: another is made. */
function successorOf(hostId: string, nodes: readonly NodeView[], ring: RingView): NodeView | null {
  const isGivenUp = (node: NodeView) =>
    node.object.metadata.deletionTimestamp !== undefined ||
    (ring.known && ring.members.get(hostIdOf(node))?.state === 'left');
  return nodes.find((node) => node.object.spec.replaces === hostId && !isGivenUp(node)) ?? null;
}

/** A pod begins by not being ready, and may say so with a time shortly after it was made. */
const NEW_MILLIS = 60_000;

/**
 * When its pod was ready last, as far as that is sure; 0: it is not. While no operator looked, a node may have come back and
 * gone down again: then it has not been down since what was written down before.
 */
function lastReadyMillis({ pod }: NodeView): number {
  const ready = pod?.status?.conditions?.find(({ type }) => type === 'Ready');
  const changed = Date.parse(ready?.lastTransitionTime ?? '');
  const made = Date.parse(pod?.metadata.creationTimestamp ?? '');
  return ready?.status === 'True' || changed - made >= NEW_MILLIS ? changed || 0 : 0;
}

/** Who has left has done so for good: of the last node here nobody may be there to be asked. */
function stateUnasked(status: DatabaseNode['status']): 'left' | 'unknown' {
  return status?.phase === 'Left' ? 'left' : 'unknown';
}

function factsOf(view: NodeView, cluster: ClusterView): NodeFacts {
  const { ring, nowMillis, nodes } = cluster;
  const hostId = hostIdOf(view);
  const member = ring.known ? (ring.members.get(hostId) ?? null) : null;
  const isDown = isSeenDown(ring, member);
  const { status } = view.object;
  const known = status?.downSince === undefined ? nowMillis : Date.parse(status.downSince);
  const downSince = Math.min(nowMillis, Math.max(known, lastReadyMillis(view)));
  return {
    view,
    name: view.object.metadata.name,
    hostId,
    member,
    isKnown: ring.known,
    state: ring.known ? (member?.state ?? 'none') : stateUnasked(status),
    isReady: isPodReady(view.pod),
    isAlive: member !== null && member.aliveBy > 0,
    isDown,
    downSince: isDown ? downSince : null,
    isVolumeLost: isLost(view),
    hadVolume: status?.volume !== undefined,
    operation: operationOf(ring, hostId),
    successor: successorOf(hostId, nodes, ring),
  };
}

export function gatherFacts(view: ClusterView): Facts {
  const nodes = view.nodes.map((node) => factsOf(node, view));
  const byHostId = new Map(nodes.map((node) => [node.hostId, node]));
  return { view, nodes, byHostId, ring: view.ring };
}

/** It is not coming back: its data is gone, people say so, or its peers have seen it down for long. */
export function isDead(node: NodeFacts, { view }: Facts): boolean {
  const { spec } = view.cluster;
  if (node.view.object.spec.replace || node.isVolumeLost) return true;
  const after = millisOf(spec.healing.replaceAfter);
  return after > 0 && node.downSince !== null && view.nowMillis - node.downSince >= after;
}

/** It serves its part of the data. */
export function isUp({ isReady, isAlive }: NodeFacts): boolean {
  return isReady && isAlive;
}

/**
 * What to ask the database before these are stopped: also whether it can do without those that do not serve now. Its members may
 * not have noticed yet.
 */
export function withDown({ nodes }: Facts, stopping: readonly NodeFacts[]): readonly string[] {
  const isMember = ({ state }: NodeFacts) => state === 'normal' || state === 'leaving';
  const down = nodes.filter((node) => isMember(node) && !isUp(node));
  return [...new Set([...stopping, ...down].map(({ hostId }) => hostId))];
}

/** Its process runs, as far as Kubernetes knows. */
export function isRunning({ view }: NodeFacts): boolean {
  return view.pod !== null && mayRun(view.pod);
}
