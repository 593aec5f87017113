/** What a DatabaseNode says of itself. */
import type { NodePhase, NodeStatus } from '../api/database-node.ts';
import type { NodeView } from '../observe/view.ts';
import type { Pod } from '../ports/kube-objects.ts';
import { LABELS } from '../resources/names.ts';
import type { PodInputs } from '../resources/node-pod.ts';
import { bytesOf } from '../resources/values.ts';
import {
  type Assertion,
  isFalse,
  isTrue,
  showTime,
  unlessBlocked,
  withTimes,
} from './conditions.ts';
import { GONE } from './departures.ts';
import type { Facts, NodeFacts } from './facts.ts';
import { mayStart } from './first-node.ts';
import { settingsTaken } from './live-settings.ts';
import { upkeepOfVolume } from './node-upkeep.ts';
import { isOnReadyMachine, isStranded, STRANDED, showStuck, stuckOn } from './places.ts';
import { amountOf } from './progress.ts';

export function phaseOf(
  { view, state, isReady, isAlive, isKnown }: NodeFacts,
  isStopped: boolean,
): NodePhase {
  if (isStopped && view.pod === null) return 'Stopped';
  switch (state) {
    case 'left':
      return 'Left';
    case 'leaving':
      return 'Leaving';
    case 'joining':
      return 'Joining';
    case 'normal':
      return isReady && isAlive ? 'Ready' : 'NotReady';
    default: {
      const { phase } = view.object.status ?? {};
      if (view.pod === null) return 'Pending';
      // What was known of it still holds while its pod is ready.
      const wasMember = phase === 'Ready' || phase === 'Leaving' || phase === 'Joining';
      if (!isKnown && wasMember && isReady) return phase;
      return !isKnown && (wasMember || phase === 'NotReady') ? 'NotReady' : 'Starting';
    }
  }
}

const PULL_CURE =
  'correct spec.image, load the image where spec.imagePullPolicy is Never, or give spec.podTemplate.imagePullSecrets';
/** What people can do, by the reason that Kubernetes gives. */
const CURES: Readonly<Record<string, string>> = {
  ErrImagePull: PULL_CURE,
  ErrImageNeverPull: PULL_CURE,
  ImagePullBackOff: PULL_CURE,
  InvalidImageName: 'correct spec.image',
};

/** Both come in turn, about the same. */
const isPull = (reason: string) => reason === 'ErrImagePull' || reason === 'ImagePullBackOff';

function unscheduledOf(pod: Pod, message: string): string {
  const wants = Object.entries(pod.spec.nodeSelector ?? {}).map(
    ([key, value]) => `${key}=${value}`,
  );
  const asks = wants.length === 0 ? '' : ` It asks for ${wants.join(', ')}.`;
  const cure =
    'change zone, nodeSelector or tolerations in spec.racks or spec.podTemplate, or spec.resources.requests, or add such nodes to Kubernetes';
  return `not scheduled: ${message}${asks} To cure it, ${cure}`;
}

/** Why its container does not run, as Kubernetes says it. */
function troubleOf({ pod }: NodeView): string {
  const container = pod?.status?.containerStatuses?.find(({ name }) => name === 'ilion');
  const waiting = container?.state?.waiting;
  if (waiting?.reason !== undefined && waiting.reason !== 'ContainerCreating') {
    const last = container?.lastState?.terminated;
    const ended =
      last === undefined
        ? ''
        : ` (it ended with code ${last.exitCode}${last.message === undefined ? '' : `: ${last.message}`})`;
    const { image = '' } = pod?.spec.containers?.find(({ name }) => name === 'ilion') ?? {};
    const said = isPull(waiting.reason)
      ? `the image ${image} cannot be pulled`
      : `${waiting.reason}: ${waiting.message ?? 'see its log'}`;
    const cure = CURES[waiting.reason];
    return `${said}${ended}${cure === undefined ? '' : `: ${cure}`}`;
  }
  const scheduled = pod?.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  return pod !== null && scheduled?.status === 'False'
    ? unscheduledOf(pod, scheduled.message ?? '')
    : '';
}

function machineOf(node: NodeFacts, facts: Facts): string {
  const name = node.view.pod?.spec.nodeName;
  if (name === undefined || isOnReadyMachine(node, facts)) return '';
  return `the Kubernetes node ${name} is not ${facts.view.machines.has(name) ? 'ready' : 'there'}`;
}

function readiness(node: NodeFacts, facts: Facts, phase: NodePhase): Assertion {
  if (phase === 'Ready') return isTrue('Ready', 'Serves', 'It serves, and its peers see it.');
  const stuck = stuckOn(node, facts);
  const trouble =
    stuck === null ? troubleOf(node.view) || machineOf(node, facts) : showStuck(stuck, node, facts);
  const seen =
    node.state === 'normal' && node.isReady ? 'its pod is ready, its peers do not see it' : '';
  return isFalse('Ready', phase, trouble || seen);
}

function conditionsOf(
  node: NodeFacts,
  facts: Facts,
  { phase, isGoing }: { readonly phase: NodePhase; readonly isGoing: boolean },
): readonly Assertion[] {
  const storage = upkeepOfVolume(node, facts);
  const isBound = node.view.claim?.status?.phase === 'Bound';
  const { capacity } = node.view.claim?.status ?? {};
  const asked = node.view.claim?.spec.resources.requests.storage ?? '';
  const isGrowing = capacity?.storage !== undefined && bytesOf(capacity.storage) < bytesOf(asked);
  const bound = isGrowing
    ? isTrue('StorageReady', 'Growing', `The volume grows from ${capacity.storage} to ${asked}.`)
    : isBound
      ? isTrue('StorageReady', 'Bound')
      : isFalse('StorageReady', 'Waiting', 'The volume is not bound yet.');
  const isStrange = isGoing && node.state === 'none' && node.hadVolume && node.view.pod === null;
  return [
    readiness(node, facts, phase),
    unlessBlocked('StorageReady', storage.blocked, bound),
    ...(isGoing && isStranded(node, facts) ? [isTrue(STRANDED, 'NoPlace')] : []),
    ...(isStrange ? [isTrue(GONE, 'NoMember', 'No pod, and no member of the ring.')] : []),
  ];
}

/**
 * The volume that it is to be known by: the one that was made for it, once. A node with a volume may have run, so it gets none before
 * it may run.
 */
function volumeOf({ view, hostId }: NodeFacts, facts: Facts, isGoing: boolean): string | undefined {
  const { object, claim } = view;
  const known = object.status?.volume;
  if (known !== undefined) return known;
  if (isGoing || !mayStart(facts)) return undefined;
  const isOwn = claim?.metadata.labels?.[LABELS.hostId] === hostId;
  return isOwn && claim?.metadata.deletionTimestamp === undefined ? claim?.metadata.uid : undefined;
}

export interface NodePlan {
  /** It is not wanted any more. */
  readonly isGoing: boolean;
  /** What its pod is made of. */
  readonly made: PodInputs | undefined;
}

export function statusOfNode(
  node: NodeFacts,
  facts: Facts,
  { isGoing, made }: NodePlan,
): NodeStatus {
  const { view, member, operation, downSince } = node;
  const { cluster, nowMillis } = facts.view;
  const phase = phaseOf(node, cluster.spec.stopped);
  const generation = view.object.metadata.generation ?? 0;
  const address = member?.address.split(':')[0] ?? view.pod?.status?.podIP;
  const volume = volumeOf(node, facts, isGoing);
  const settings = settingsTaken(node, facts, made);
  const progress =
    operation === null || operation.hostId !== node.hostId ? '' : amountOf(operation);
  const old = view.object.status;
  const version = node.isKnown ? member?.version : old?.version;
  return {
    observedGeneration: generation,
    phase,
    hostId: node.hostId,
    ...(volume === undefined ? {} : { volume }),
    ...(address === undefined ? {} : { address }),
    ...(member === null
      ? old?.tokens === undefined || node.isKnown
        ? {}
        : { tokens: old.tokens }
      : { tokens: member.tokens }),
    ...(version === undefined || version === '' ? {} : { version }),
    ...(progress === '' ? {} : { progress }),
    ...(settings === undefined ? {} : { settings }),
    ...(made === undefined ? {} : { made }),
    ...(downSince === null ? {} : { downSince: showTime(downSince) }),
    conditions: withTimes(conditionsOf(node, facts, { phase, isGoing }), old?.conditions, {
      ...{ generation, nowMillis },
    }),
  };
}
