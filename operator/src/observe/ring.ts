/** Asks some nodes what the ring is. */

import type { DatacenterCluster } from '../api/objects.ts';
import type { Pod } from '../ports/kube-objects.ts';
import {
  type AdminNodeStatus,
  type AdminStatus,
  type DatabaseNodes,
  NodeCallError,
  type NodePlace,
} from '../ports/nodes.ts';
import { PORTS } from '../resources/names.ts';
import type { RingView } from './view.ts';
import { hostIdOf, isPodReady, type Member, type MemberState, type NodeView } from './view.ts';

const ANSWERS_MAX = 3;
/** So many are tried for them. */
const ASKED_MAX = 6;
/** With fewer answers of nodes here members that are elsewhere are asked, too: one alone is not believed that others are down. */
const ENOUGH = 2;
const ELSEWHERE_MAX = 2;
const STATES: ReadonlySet<string> = new Set(['joining', 'normal', 'leaving', 'left']);

interface Answer {
  readonly hostId: string;
  readonly place: NodePlace;
  readonly status: AdminStatus;
}

export function isRunningPod(pod: Pod | null): boolean {
  return pod?.status?.podIP !== undefined && pod.status.phase === 'Running';
}

/** Those whose process may answer: the ready ones first, as they are members, and of different racks. */
function candidates(nodes: readonly NodeView[]): readonly NodeView[] {
  const up = nodes.filter(({ pod }) => isRunningPod(pod));
  const seen = new Map<string, number>();
  const ranked = up.map((node) => {
    const { datacenter, rack } = node.object.spec;
    const key = `${datacenter}/${rack}`;
    const turn = seen.get(key) ?? 0;
    seen.set(key, turn + 1);
    return { node, rank: (isPodReady(node.pod) ? 0 : 1_000_000) + turn };
  });
  return ranked
    .sort((a, b) => a.rank - b.rank)
    .slice(0, ASKED_MAX)
    .map(({ node }) => node);
}

export function placeOf(cluster: DatacenterCluster, address: string): NodePlace {
  const { namespace, name } = cluster.metadata;
  const encrypted = cluster.spec.tls.mode !== 'None';
  return { namespace, cluster: name, address, port: PORTS.admin, encrypted };
}

/** Whom to ask. */
interface Contact {
  readonly name: string;
  readonly address: string;
  /** An address may be another's by now. Null: whoever is there. */
  readonly hostId: string | null;
}

/** @throws what is not a NodeCallError */
async function ask(
  database: DatabaseNodes,
  cluster: DatacenterCluster,
  { name, address, hostId }: Contact,
  agreed: boolean,
): Promise<Answer | string> {
  const place = placeOf(cluster, address);
  try {
    const status = await database.status(place, agreed);
    if (hostId !== null && status.hostId !== hostId) return `${name} is another node`;
    return { hostId: status.hostId, place, status };
  } catch (error) {
    if (!(error instanceof NodeCallError)) throw error;
    return `${name}: ${error.message}`;
  }
}

/** It has the volume that it had. */
function hasData({ object, claim }: NodeView): boolean {
  const volume = object.status?.volume;
  return volume !== undefined && claim?.metadata.uid === volume;
}

/** Where members that other operators care for are said to be. Those of another ring are told by its id, or take nobody's data for none. */
function contactPointsOf(
  { spec, status }: DatacenterCluster,
  nodes: readonly NodeView[],
): readonly Contact[] {
  if ((status?.clusterId ?? '') === '' && nodes.some(hasData)) return [];
  return (spec.contactPoints ?? []).slice(0, ELSEWHERE_MAX).map((name) => {
    return { name, address: name.replace(/:\d+$/, ''), hostId: null };
  });
}

/** Members that other operators care for. */
function membersElsewhere(
  [{ status }]: readonly Answer[],
  nodes: readonly NodeView[],
): readonly Contact[] {
  const own = new Set(nodes.map(hostIdOf));
  return status.nodes
    .filter(({ hostId, state, alive }) => state === 'normal' && alive && !own.has(hostId))
    .slice(0, ELSEWHERE_MAX)
    .map(({ hostId, address }) => {
      return { name: hostId, address: address.replace(/:\d+$/, ''), hostId };
    });
}

function memberOf(one: AdminNodeStatus, answers: readonly Answer[]): Member {
  const others = answers.filter(({ hostId }) => hostId !== one.hostId);
  const asked = others.length > 0 ? others : answers;
  const aliveBy = asked.filter(({ status }) =>
    status.nodes.some(({ hostId, alive }) => hostId === one.hostId && alive),
  ).length;
  const { hostId, address, datacenter, rack, tokens, version } = one;
  const state = one.state as MemberState;
  return {
    hostId,
    address,
    datacenter,
    rack,
    state,
    tokens,
    version,
    aliveBy,
    askedBy: asked.length,
  };
}

/**
 * The first that answers does so with what a majority has agreed on, after everything that was read before the call: who is not among its
 * members then was none when a pod that is gone by now was still there.
 */
export async function observeRing(
  database: DatabaseNodes,
  cluster: DatacenterCluster,
  nodes: readonly NodeView[],
): Promise<RingView> {
  const answers: Answer[] = [];
  const known = cluster.status?.clusterId ?? '';
  let why = 'no node runs that could be asked';
  /** @returns false: it is not known which of the clusters this is */
  const consult = async (contact: Contact): Promise<boolean> => {
    const answer = await ask(database, cluster, contact, answers.length === 0);
    if (typeof answer === 'string') {
      why = answer;
      return true;
    }
    const { clusterId } = answer.status;
    const own = known === '' ? (answers[0]?.status.clusterId ?? '') : known;
    // Its members are others: ours would look as if they were none. It may have none yet, before it joins.
    if (own !== '' && clusterId !== '' && clusterId !== own) {
      why = `${contact.name} is in another cluster, ${clusterId}; this one is ${own} (status.clusterId)`;
      return known !== '';
    }
    answers.push(answer);
    return true;
  };
  for (const { object, pod } of candidates(nodes)) {
    if (answers.length === ANSWERS_MAX) break;
    const { name, uid } = object.metadata;
    const own = { name, address: pod?.status?.podIP ?? '', hostId: uid };
    if (!(await consult(own))) return { known: false, why };
  }
  for (const contact of contactPointsOf(cluster, nodes))
    if (answers.length === 0) await consult(contact);
  if (answers.length === 1) {
    for (const contact of membersElsewhere(answers, nodes)) {
      if (answers.length < ENOUGH) await consult(contact);
    }
  }
  const [first] = answers;
  if (first === undefined) return { known: false, why };
  const strange = first.status.nodes.find(({ state }) => !STATES.has(state));
  if (strange !== undefined) {
    return {
      known: false,
      why: `the node ${strange.hostId} is in a state that is not known here: ${strange.state}`,
    };
  }
  try {
    const operations = await database.operations(first.place);
    return {
      known: true,
      members: new Map(first.status.nodes.map((one) => [one.hostId, memberOf(one, answers)])),
      operations,
      clusterId: first.status.clusterId,
      places: answers.map(({ place }) => place),
    };
  } catch (error) {
    if (!(error instanceof NodeCallError)) throw error;
    return { known: false, why: `operations are not known: ${error.message}` };
  }
}
