/** New nodes: where some are missing, and in the place of dead ones. */
import { GROUP, VERSION } from '../api/crds.ts';
import type { DatabaseNode } from '../api/objects.ts';
import { findsNoPlace } from '../observe/homes.ts';
import { disruptionKey } from '../observe/view.ts';
import { type Draft, ownedBy } from '../ports/kube-objects.ts';
import { LABELS, type NodePlacement, newNodeName, nodeLabels } from '../resources/names.ts';
import { type Action, blocked, deletion, NOTHING, type Step, step, together } from './actions.ts';
import { type Facts, isDead, isRunning, isUp, type NodeFacts, withDown } from './facts.ts';
import { hasMembers, isToldToStart, startsByItself } from './first-node.ts';
import { isCounted, type Numbers } from './numbers.ts';
import { orphansOf, takenDatacenters } from './orphans.ts';
import { isMakingRoom, stuckOn } from './places.ts';
import { takenNames } from './taken-names.ts';

/** The same failure would meet a new node. */
const NOT_THE_NODES_FAULT: ReadonlySet<string> = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'CreateContainerConfigError',
  'ErrImageNeverPull',
]);

function newNode(
  { view }: Facts,
  place: Omit<NodePlacement, 'cluster'>,
  { replaces, random }: { readonly replaces: string | null; readonly random: () => number },
): Action {
  const { cluster } = view;
  const placement = { cluster: cluster.metadata.name, ...place };
  const name = newNodeName(placement, random);
  const object: Draft<DatabaseNode> = {
    apiVersion: `${GROUP}/${VERSION}`,
    kind: 'DatabaseNode',
    metadata: {
      name,
      namespace: cluster.metadata.namespace,
      labels: { ...nodeLabels(name, placement), [LABELS.clusterUid]: cluster.metadata.uid },
      ownerReferences: [ownedBy(cluster)],
    },
    spec: {
      ...placement,
      ...(replaces === null ? {} : { replaces }),
      replace: false,
      remove: false,
    },
  };
  const why = replaces === null ? '' : ` in the place of ${replaces}`;
  return {
    ...{ do: 'create', kind: 'DatabaseNode', object, about: cluster },
    ...{ reason: 'NewNode', note: `adds the node ${name}${why}` },
  };
}

/** So many more may be on their way into the ring. */
function roomForJoins({ view, nodes }: Facts, going: ReadonlySet<string>): number {
  const onTheirWay = nodes.filter(
    (node) =>
      isCounted(node) &&
      !going.has(node.hostId) &&
      (node.state === 'none' || node.state === 'joining' || (!node.isKnown && !node.hadVolume)),
  );
  // Of a ring that others have begun something is known when the first one here is in it.
  const most = view.ring.known ? view.cluster.spec.joinsAtOnce : 1;
  return Math.max(0, most - onTheirWay.length);
}

export function addMissing(facts: Facts, numbers: Numbers, random: () => number): Step {
  const { cluster } = facts.view;
  if (cluster.spec.stopped || numbers.missing.length === 0) return NOTHING;
  const taken = takenNames(facts.view);
  if (facts.nodes.length === 0 && taken.length > 0) return step({ blocked: taken });
  if (startsByItself(facts) && !hasMembers(facts)) {
    const [place] = numbers.missing;
    const isNew = facts.nodes.length === 0 && (cluster.status?.firstNode ?? '') === '';
    if (isNew) {
      return step({ actions: [newNode(facts, place, { replaces: null, random })] });
    }
    return blocked('FirstNode', 'the first node has to be a member before others can join');
  }
  if (!facts.ring.known && facts.nodes.some(({ hadVolume }) => hadVolume)) {
    return blocked('RingUnknown', `no node is added, as the ring is not known: ${facts.ring.why}`);
  }
  if (facts.nodes.some(isToldToStart)) {
    return blocked('FirstNode', 'the first node is told first that its cluster is there');
  }
  const strangers = takenDatacenters(facts);
  if (strangers.length > 0) return step({ blocked: strangers });
  const orphans = [...orphansOf(facts)].filter(
    ({ hostId }) => !facts.nodes.some(({ view }) => view.object.spec.replaces === hostId),
  );
  let room = roomForJoins(facts, numbers.going);
  const actions: Action[] = [];
  // A node of each rack in turn.
  const left = numbers.missing.map((number) => ({ ...number }));
  while (room > 0 && left.some(({ replicas }) => replicas > 0)) {
    for (const number of left) {
      if (number.replicas === 0 || room === 0) continue;
      number.replicas--;
      room--;
      const { datacenter, rack } = number;
      const at = orphans.findIndex((one) => one.datacenter === datacenter && one.rack === rack);
      const replaces = at < 0 ? null : orphans.splice(at, 1)[0].hostId;
      actions.push(newNode(facts, { datacenter, rack }, { replaces, random }));
    }
  }
  const more = left.reduce((sum, { replicas }) => sum + replicas, 0);
  const waits = {
    reason: 'Joining',
    message: `${more} more follow when some of those that join are members (spec.joinsAtOnce)`,
  };
  return step({ actions, blocked: more === 0 ? [] : [waits] });
}

/** Why another, of the same making, would do no better; null: it may. */
function faultOfOthers(node: NodeFacts, facts: Facts): string | null {
  const { pod, claim } = node.view;
  const container = pod?.status?.containerStatuses?.find(({ name }) => name === 'ilion');
  const { reason = '' } = container?.state?.waiting ?? {};
  if (NOT_THE_NODES_FAULT.has(reason)) return `${reason} would meet another one, too`;
  // Its data is safe, and where it can be machines only have no room; those that are gone or closed are another matter.
  const isSafe = findsNoPlace(pod) && claim?.status?.phase === 'Bound';
  return isSafe && stuckOn(node, facts) === null
    ? 'Kubernetes has no room for its pod, nor would it have for one of another node; its volume is there'
    : null;
}

function replaceOne(node: NodeFacts, facts: Facts, random: () => number): Step {
  const { pod, object } = node.view;
  const about = object;
  const { spec } = object;
  if (pod !== null && pod.metadata.deletionTimestamp === undefined) {
    const note = 'another node takes its place';
    const action = deletion('Pod', pod, { about, reason: 'Replaced', note });
    if (!isRunning(node) || node.isDown) return step({ actions: [action] });
    const asked = withDown(facts, [node]);
    const answer = facts.view.disruptions.get(disruptionKey(asked));
    if (answer === undefined) return step({ asks: [asked] });
    if (answer.allowed) return step({ actions: [action] });
    return blocked('Quorum', `${node.name} cannot be stopped to be replaced: ${answer.reason}`);
  }
  if (!node.isDown) {
    return blocked('StillUp', `${node.name} is replaced as soon as its peers see it down`);
  }
  if (isMakingRoom(node, facts)) {
    return blocked('Stopping', `${node.name} is replaced as soon as its pod is gone`);
  }
  const { datacenter, rack } = spec;
  const replaces = node.hostId;
  return step({ actions: [newNode(facts, { datacenter, rack }, { replaces, random })] });
}

/** Whether a process may stop by it, or is to. */
export function disturbs({ actions, asks }: Step): boolean {
  return asks.length > 0 || actions.some((one) => one.do === 'delete' && one.kind === 'Pod');
}

/**
 * Its successor has come and gets no data, while others are dead, too. The database gives nothing up that a majority had
 * acknowledged: it waits for one of them.
 */
function lacksData(node: NodeFacts, facts: Facts): Step {
  const { byHostId, nodes } = facts;
  const next = byHostId.get(node.successor?.object.metadata.uid ?? '');
  const isWaiting = next?.state === 'joining' && next.isAlive && next.operation === null;
  const lost = nodes.filter(
    (one) => one !== node && one.state === 'normal' && one.isDown && isDead(one, facts),
  );
  if (!isWaiting || lost.length === 0) return NOTHING;
  const names = lost.map(({ name }) => name).join(', ');
  return blocked(
    'DataMissing',
    `${next.name} takes the place of ${node.name} when it gets its data, of which parts may only have been on ${names} besides: if that lasts, bring one of them back with its volume. What a majority of replicas had and all of those have lost is not given up by itself: with no volume left, make a new cluster and copy what this one still has (reads at ONE)`,
  );
}

/** @returns besides the step: those whose pods stay away */
export function replaceDead(
  facts: Facts,
  { going }: Numbers,
  random: () => number,
): { readonly step: Step; readonly keptOff: ReadonlySet<string> } {
  const { spec } = facts.view.cluster;
  const keptOff = new Set<string>();
  const steps: Step[] = [];
  if (spec.stopped) return { step: NOTHING, keptOff };
  const inProgress = facts.nodes.filter(
    ({ successor, state }) =>
      state !== 'left' && successor !== null && !going.has(successor.object.metadata.uid),
  );
  for (const { hostId } of inProgress) keptOff.add(hostId);
  let room = spec.healing.maxReplacements - inProgress.length;
  // Those that serve nothing any more first: until they are back, the others cannot be stopped.
  const inTurn = facts.nodes.toSorted((a, b) => Number(isUp(a)) - Number(isUp(b)));
  for (const node of inTurn) {
    if (keptOff.has(node.hostId) || going.has(node.hostId)) continue;
    if (node.state !== 'normal' || node.operation !== null || !isDead(node, facts)) continue;
    if (node.successor !== null) continue;
    const isAsked = node.view.object.spec.replace || node.isVolumeLost;
    const fault = isAsked ? null : faultOfOthers(node, facts);
    if (fault !== null) {
      steps.push(blocked('NotReplaced', `${node.name} is not replaced: ${fault}`));
      continue;
    }
    if (room <= 0) {
      const message = `${node.name} is to be replaced, too, when others are (spec.healing.maxReplacements)`;
      steps.push(blocked('Replacements', message));
      continue;
    }
    const one = replaceOne(node, facts, random);
    steps.push(one);
    if (one.blocked.some(({ reason }) => reason === 'Quorum')) continue;
    room--;
    keptOff.add(node.hostId);
    // What the database has said holds for one of them.
    if (disturbs(one)) break;
  }
  for (const node of inProgress) {
    const { pod, object } = node.view;
    steps.push(lacksData(node, facts));
    if (pod === null || pod.metadata.deletionTimestamp !== undefined) continue;
    if (isRunning(node) && !node.isDown && node.state === 'normal') continue;
    const note = 'another node takes its place';
    steps.push(
      step({ actions: [deletion('Pod', pod, { about: object, reason: 'Replaced', note })] }),
    );
  }
  return { step: together(steps), keptOff };
}
