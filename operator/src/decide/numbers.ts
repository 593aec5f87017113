/** How many nodes there are to be where, and which of those that there are too many. */
import type { ClusterSpec, RackSpec } from '../api/datacenter-cluster.ts';
import { hostIdOf } from '../observe/view.ts';
import { type Facts, isDead, type NodeFacts } from './facts.ts';
import { hasMembers } from './first-node.ts';
import { isCutOff, isStranded } from './places.ts';

export interface RackNumber {
  readonly datacenter: string;
  readonly rack: string;
  readonly replicas: number;
}

interface Datacenter {
  readonly name: string;
  readonly replicas: number;
  readonly racks: readonly RackSpec[];
}

const ONE_RACK: readonly RackSpec[] = [{ name: 'rack1' }];

export function datacentersOf(spec: ClusterSpec): readonly Datacenter[] {
  const racksOf = (racks: readonly RackSpec[] | undefined) =>
    racks === undefined || racks.length === 0 ? ONE_RACK : racks;
  if (spec.datacenters !== undefined) {
    return spec.datacenters.map(({ name, replicas, racks }) => ({
      ...{ name, replicas },
      racks: racksOf(racks),
    }));
  }
  const { datacenterName: name, replicas = 0 } = spec;
  return [{ name, replicas, racks: racksOf(spec.racks) }];
}

/** Nodes that are to be. */
export function desiredNodes(spec: ClusterSpec): number {
  return datacentersOf(spec).reduce((sum, { replicas }) => sum + replicas, 0);
}

/** Evenly; what cannot be even goes where most are already. */
function spread(
  { replicas, racks }: Datacenter,
  staying: (rack: string) => number,
): ReadonlyMap<string, number> {
  if (racks.every((rack) => rack.replicas !== undefined)) {
    return new Map(racks.map(({ name, replicas: own = 0 }) => [name, own]));
  }
  const each = Math.floor(replicas / racks.length);
  const byMost = racks.toSorted((a, b) => staying(b.name) - staying(a.name));
  const more = new Set(byMost.slice(0, replicas % racks.length));
  return new Map(racks.map((rack) => [rack.name, each + (more.has(rack) ? 1 : 0)]));
}

/** It is one of those that are counted: there, and nobody is there in its place. */
export function isCounted({ state, view, successor }: NodeFacts): boolean {
  return (
    state !== 'left' && view.object.metadata.deletionTimestamp === undefined && successor === null
  );
}

/** Whether it would stay if it were counted out evenly. */
function stays({ view, state }: NodeFacts): boolean {
  return !view.object.spec.remove && state !== 'leaving';
}

export function numbersOf({ view, nodes }: Facts): readonly RackNumber[] {
  return datacentersOf(view.cluster.spec).flatMap((datacenter) => {
    const counts = spread(
      datacenter,
      (rack) =>
        nodes.filter(
          (node) =>
            isCounted(node) &&
            stays(node) &&
            node.view.object.spec.datacenter === datacenter.name &&
            node.view.object.spec.rack === rack,
        ).length,
    );
    return datacenter.racks.map(({ name: rack }) => {
      return { datacenter: datacenter.name, rack, replicas: counts.get(rack) ?? 0 };
    });
  });
}

function rank(node: NodeFacts, facts: Facts): number {
  if (node.view.object.spec.remove) return 0;
  if (node.state === 'leaving') return 1;
  // It stands for the one whose place it takes, which would count again: others go first.
  const isNew = node.state === 'none' || node.state === 'joining' || node.state === 'unknown';
  if (isNew && node.view.object.spec.replaces !== undefined) return 5;
  if (node.state === 'none' || (node.state === 'unknown' && !node.hadVolume)) return 2;
  if (node.state === 'joining') return 3;
  if (isDead(node, facts)) return 4;
  return 6;
}

function inOrderOfLeaving(nodes: readonly NodeFacts[], facts: Facts): readonly NodeFacts[] {
  const { firstNode } = facts.view.cluster.status ?? {};
  const isFirst = ({ hostId, isKnown }: NodeFacts) => (hostId === firstNode && !isKnown ? 1 : 0);
  const age = ({ view }: NodeFacts) => view.object.metadata.creationTimestamp ?? '';
  return nodes.toSorted(
    (a, b) =>
      isFirst(a) - isFirst(b) ||
      rank(a, facts) - rank(b, facts) ||
      (age(a) < age(b) ? 1 : age(a) > age(b) ? -1 : 0) ||
      (a.name < b.name ? 1 : -1),
  );
}

export interface Numbers {
  /** Those that are not wanted any more, by host id. */
  readonly going: ReadonlySet<string>;
  /** Where nodes are missing, and how many. */
  readonly missing: readonly RackNumber[];
  readonly desired: number;
}

/** A replacement of a node that lives again, or is there no more as one to be replaced. */
function isNeedless(node: NodeFacts, { byHostId, ring }: Facts): boolean {
  const { replaces } = node.view.object.spec;
  if (replaces === undefined || !ring.known) return false;
  if (node.state !== 'none' && node.state !== 'joining') return false;
  const old = byHostId.get(replaces);
  const member = ring.members.get(replaces);
  if (member === undefined || member.state === 'left') return true;
  if (old === undefined) return false;
  return old.isAlive && !old.view.object.spec.replace && !old.isVolumeLost;
}

/** It never was a member and can become none: there is nothing to wait for. */
function isHopeless(node: NodeFacts, facts: Facts): boolean {
  if (node.state !== 'none' && node.state !== 'joining') return false;
  return (
    node.isVolumeLost || (hasMembers(facts) && (isStranded(node, facts) || isCutOff(node, facts)))
  );
}

export function planNumbers(facts: Facts): Numbers {
  const wanted = numbersOf(facts);
  const dropped = facts.nodes.filter((node) => isNeedless(node, facts) || isHopeless(node, facts));
  const going = new Set(dropped.map(({ hostId }) => hostId));
  // Who is to be replaced counts again when the replacement goes.
  const counts = (node: NodeFacts) => {
    if (going.has(node.hostId)) return false;
    const { successor } = node;
    return isCounted(
      successor !== null && going.has(hostIdOf(successor)) ? { ...node, successor: null } : node,
    );
  };
  const missing: RackNumber[] = [];
  const isAt = ({ datacenter, rack }: RackNumber, { view }: NodeFacts) =>
    view.object.spec.datacenter === datacenter && view.object.spec.rack === rack;
  for (const number of wanted) {
    const there = facts.nodes.filter((node) => counts(node) && isAt(number, node));
    const surplus = there.length - number.replicas;
    for (const node of inOrderOfLeaving(there, facts).slice(0, Math.max(0, surplus))) {
      going.add(node.hostId);
    }
    if (surplus < 0) missing.push({ ...number, replicas: -surplus });
  }
  for (const node of facts.nodes) {
    if (!wanted.some((number) => isAt(number, node)) && isCounted(node)) going.add(node.hostId);
  }
  const desired = wanted.reduce((sum, { replicas }) => sum + replicas, 0);
  return { going, missing, desired };
}
