/** What a DatacenterCluster says of itself. */
import type { NodeStatus } from '../api/database-node.ts';
import type { ClusterStatus } from '../api/datacenter-cluster.ts';
import { LABELS } from '../resources/names.ts';
import type { Blocked, Step } from './actions.ts';
import { type Assertion, isFalse, isTrue, unlessBlocked, withTimes } from './conditions.ts';
import type { Facts } from './facts.ts';
import { keyspacesReady } from './keyspaces.ts';
import { datacentersOf, type Numbers } from './numbers.ts';
import { showOperation, showProblems } from './progress.ts';
import { takenNames } from './taken-names.ts';
import { oldestVersion } from './versions.ts';

/** What the steps have come to. */
export interface Outcome {
  readonly numbers: Numbers;
  readonly nodes: ReadonlyMap<string, NodeStatus>;
  readonly first: Step;
  readonly arrivals: Step;
  readonly departures: Step;
  readonly replacing: Step;
  readonly rolling: Step;
  readonly keyspaces: Step;
  /** Those that take effect at once. */
  readonly settings: Step;
  /** Nodes that are made of something else than the spec says. */
  readonly outdated: number;
}

const PROGRESS_SHOWN = 3;
const REFUSED_SHOWN = 5;
const REFUSED_CURE =
  'Correct what that names in spec.podTemplate, spec.resources or spec.storage, or the quota, policy or role that is in the way';

function stateOf(facts: Facts, outcome: Outcome, ready: number): string {
  const { spec } = facts.view.cluster;
  const { numbers, nodes } = outcome;
  if (spec.stopped)
    return facts.nodes.some(({ view }) => view.pod !== null) ? 'Stopping' : 'Stopped';
  const isStarted = facts.nodes.some(({ hadVolume }) => hadVolume);
  const wasUp = [...nodes.values()].some(({ tokens }) => tokens !== undefined);
  if (!facts.ring.known)
    return wasUp || (isStarted && hasBeenReady(facts)) ? 'Unknown' : 'Creating';
  const replacing = facts.nodes.some(
    ({ successor, state }) => successor !== null && state !== 'left',
  );
  if (replacing || outcome.replacing.actions.length > 0) return 'Replacing';
  if (
    numbers.going.size > 0 ||
    facts.nodes.some(({ state }) => state === 'left' || state === 'leaving')
  ) {
    return 'ScalingDown';
  }
  if (outcome.outdated > 0) return 'Updating';
  const joining = facts.nodes.some(({ state }) => state === 'none' || state === 'joining');
  if (joining || numbers.missing.length > 0) return hasBeenReady(facts) ? 'ScalingUp' : 'Creating';
  return ready < numbers.desired ? 'Degraded' : 'Ready';
}

/** All nodes that were wanted once were there. */
function hasBeenReady({ view }: Facts): boolean {
  const { conditions, state } = view.cluster.status ?? {};
  return (
    conditions?.some(({ type, status }) => type === 'Created' && status === 'True') === true ||
    (state !== undefined && state !== 'Creating')
  );
}

function progressOf(facts: Facts, state: string): string {
  const { ring } = facts;
  if (!ring.known) return '';
  const names = new Set(datacentersOf(facts.view.cluster.spec).map(({ name }) => name));
  const isOwn = (hostId: string) => names.has(ring.members.get(hostId)?.datacenter ?? '');
  const own = ring.operations.filter((one) => isOwn(one.hostId) || isOwn(one.replaces));
  const shown = own.slice(0, PROGRESS_SHOWN).map((one) => showOperation(one, facts));
  const more = own.length - shown.length;
  if (shown.length > 0) return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(', ');
  if (state === 'Ready' || state === 'Stopped') return '';
  const waiting = facts.nodes.find(({ isReady, state: one }) => !isReady && one !== 'left');
  return waiting === undefined ? '' : `start ${waiting.name}`;
}

function scalingUp({ arrivals, numbers, first }: Outcome, facts: Facts): Assertion {
  const missing = numbers.missing.reduce((sum, { replicas }) => sum + replicas, 0);
  const joining = facts.nodes.filter(({ state }) => state === 'none' || state === 'joining').length;
  const problems = [
    ...first.blocked,
    ...arrivals.blocked.filter(({ reason }) => reason !== 'Joining'),
  ];
  const going = missing + joining;
  return unlessBlocked(
    'ScalingUp',
    problems,
    going > 0
      ? isTrue('ScalingUp', 'Joining', `${going} nodes are on their way.${showProblems(facts)}`)
      : isFalse('ScalingUp', 'Done'),
  );
}

function scalingDown({ departures, numbers }: Outcome, facts: Facts): Assertion {
  const { going } = numbers;
  const problems = departures.blocked.filter(({ reason }) => reason !== 'Waiting');
  const names = facts.nodes.filter(({ hostId }) => going.has(hostId)).map(({ name }) => name);
  const waits = departures.blocked.map(({ message }) => ` ${message}.`).join('');
  return unlessBlocked(
    'ScalingDown',
    problems,
    names.length > 0
      ? isTrue('ScalingDown', 'Leaving', `Leaving: ${names.join(', ')}.${waits}`)
      : isFalse('ScalingDown', 'Done'),
  );
}

function updating({ rolling, outdated, settings }: Outcome): Assertion {
  const hold = (reason: string) =>
    ['Paused', 'Canary', 'RingUnknown', 'Quorum', 'VersionRefused'].includes(reason);
  const problems = [...settings.blocked, ...rolling.blocked.filter(({ reason }) => hold(reason))];
  return unlessBlocked(
    'Updating',
    problems,
    outdated > 0
      ? isTrue('Updating', 'Restarting', `${outdated} nodes do not have the change yet.`)
      : isFalse('Updating', 'Done'),
  );
}

/** Why nodes do not serve, where Kubernetes says it. */
function troublesOf({ nodes }: Outcome): string {
  const said = [...nodes.values()].flatMap(({ conditions }) => {
    const one = conditions?.find(({ type }) => type === 'Ready');
    return one === undefined || one.status === 'True' || one.message === '' ? [] : [one.message];
  });
  return [...new Set(said)].map((message) => `\n${message}`).join('');
}

function degraded(facts: Facts, { replacing, nodes }: Outcome): Assertion {
  if (facts.view.cluster.spec.stopped) return isFalse('Degraded', 'Stopped');
  const bad = facts.nodes.filter(
    ({ hostId, state }) => state === 'normal' && nodes.get(hostId)?.phase !== 'Ready',
  );
  const why = (one: Blocked) => one.message;
  if (bad.length === 0) return isFalse('Degraded', 'AllServe');
  const names = bad.map(({ name }) => name).join(', ');
  const message = [`These do not serve: ${names}.`, ...replacing.blocked.map(why)].join('\n');
  return isTrue('Degraded', 'NotServing', message);
}

function objects({ view }: Facts): Assertion {
  const refused = view.refusedWrites
    .slice(0, REFUSED_SHOWN)
    .map((message): Blocked => ({ reason: 'Refused', message: `${message}. ${REFUSED_CURE}` }));
  const problems = [...takenNames(view), ...refused];
  return unlessBlocked('ObjectsReady', problems, isTrue('ObjectsReady', 'Made'));
}

function storage({ nodes }: Outcome): Assertion {
  const bad: Blocked[] = [...nodes.values()].flatMap(({ conditions }) => {
    const one = conditions?.find(({ type }) => type === 'StorageReady');
    return one === undefined || one.status === 'True'
      ? []
      : [{ reason: one.reason, message: one.message }];
  });
  return unlessBlocked('StorageReady', bad, isTrue('StorageReady', 'Bound'));
}

function assertionsOf(
  facts: Facts,
  outcome: Outcome,
  state: string,
  ready: number,
): readonly Assertion[] {
  const { numbers } = outcome;
  const { ring } = facts;
  const isSettled = ['Ready', 'Degraded', 'Stopped'].includes(state);
  const isReady = ready >= numbers.desired && state !== 'Stopped' && state !== 'Stopping';
  const certificates = facts.view.certificates;
  const problem = certificates?.problem ?? null;
  return [
    isReady
      ? isTrue('Ready', 'AllServe', `${ready} of ${numbers.desired} nodes serve.`)
      : isFalse(
          'Ready',
          state,
          `${ready} of ${numbers.desired} nodes serve.${troublesOf(outcome)}`,
        ),
    isSettled
      ? isFalse('Progressing', state)
      : isTrue('Progressing', state, progressOf(facts, state)),
    degraded(facts, outcome),
    ring.known ? isTrue('RingKnown', 'Asked') : isFalse('RingKnown', 'Unknown', ring.why),
    scalingUp(outcome, facts),
    scalingDown(outcome, facts),
    updating(outcome),
    storage(outcome),
    objects(facts),
    ...keyspacesReady(facts, outcome.keyspaces),
    ...(certificates === null
      ? []
      : [
          problem === null
            ? isTrue('CertificatesReady', 'Valid')
            : isFalse('CertificatesReady', 'Problem', problem),
        ]),
    ...(isReady || hasBeenReady(facts)
      ? [isTrue('Created', 'AllServed', 'All nodes were there once.')]
      : []),
  ];
}

export function statusOfCluster(facts: Facts, outcome: Outcome): ClusterStatus {
  const { cluster, nowMillis } = facts.view;
  const { metadata, status: old } = cluster;
  const ready = [...outcome.nodes.values()].filter(({ phase }) => phase === 'Ready').length;
  const state = stateOf(facts, outcome, ready);
  const progress = progressOf(facts, state);
  const generation = metadata.generation ?? 0;
  const version = oldestVersion(facts);
  const clusterId = facts.ring.known ? facts.ring.clusterId : old?.clusterId;
  const replicas = facts.nodes.filter((node) => node.state !== 'left').length;
  return {
    observedGeneration: generation,
    ...{ state, ready, desired: outcome.numbers.desired, replicas },
    ...(progress === '' ? {} : { progress }),
    selector: `${LABELS.cluster}=${metadata.name}`,
    ...(version === undefined ? {} : { version }),
    ...(old?.firstNode === undefined ? {} : { firstNode: old.firstNode }),
    ...(clusterId === undefined || clusterId === '' ? {} : { clusterId }),
    conditions: withTimes(assertionsOf(facts, outcome, state, ready), old?.conditions, {
      ...{ generation, nowMillis },
    }),
  };
}
