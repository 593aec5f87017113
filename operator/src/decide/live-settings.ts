/** Settings that nodes take while they run. The pod is told first, for its next start, then the process. */
import { settingsKey } from '../observe/view.ts';
import type { ContainerStatus, Pod } from '../ports/kube-objects.ts';
import { SETTINGS_HASH } from '../resources/names.ts';
import { liveSettings, type PodInputs, settingMarks, settingsHash } from '../resources/node-pod.ts';
import { hasAll } from '../resources/values.ts';
import { type Action, blocked, NOTHING, type Step, step } from './actions.ts';
import { type Facts, isRunning, type NodeFacts } from './facts.ts';

/** What was refused is tried again after so long. */
const REFUSED_MILLIS = 60_000;

function containerOf(pod: Pod): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(({ name }) => name === 'ilion');
}

/** A start of a pod: what it was told before it has forgotten. */
function startOf(pod: Pod): string {
  return `${pod.metadata.uid}/${containerOf(pod)?.restartCount ?? 0}`;
}

/** As it stands in the status when a node has taken settings. */
function takenBy(pod: Pod, inputs: PodInputs): string {
  return `${settingsHash(inputs)} ${startOf(pod)}`;
}

/** As it stands in the status before a node is told: it may have taken them and nobody may have heard of it. */
function beingTold(pod: Pod): string {
  return `? ${startOf(pod)}`;
}

/** What the process of a node has, as far as it is known. */
function known(pod: Pod, { hostId, view: { object } }: NodeFacts, { view }: Facts): string {
  const said = view.taken.get(hostId) ?? object.status?.settings;
  const start = startOf(pod);
  if (said?.endsWith(` ${start}`) === true) return said;
  return `${pod.metadata.annotations?.[SETTINGS_HASH] ?? ''} ${start}`;
}

function canBeTold(node: NodeFacts): boolean {
  return node.view.pod?.status?.podIP !== undefined && isRunning(node) && node.isReady;
}

/** @param made what its pod is to be made of @returns what its status is to say; undefined: it has no pod */
export function settingsTaken(
  node: NodeFacts,
  facts: Facts,
  made: PodInputs | undefined,
): string | undefined {
  const { pod } = node.view;
  if (pod === null) return undefined;
  const has = known(pod, node, facts);
  const isAsWanted = made === undefined || has === takenBy(pod, made);
  return isAsWanted || !canBeTold(node) ? has : beingTold(pod);
}

/** @param made what its pod is to be made of */
export function tellSettings(node: NodeFacts, facts: Facts, made: PodInputs | undefined): Step {
  const { pod, object } = node.view;
  if (pod === null || made === undefined || pod.metadata.deletionTimestamp !== undefined) {
    return NOTHING;
  }
  const actions: Action[] = [];
  const about = object;
  const { name, namespace, uid, annotations = {} } = pod.metadata;
  const marks = settingMarks(made, annotations);
  const note = `tells ${node.name} settings that take effect at once`;
  const told = { about, reason: 'Settings', note };
  if (!hasAll(annotations, marks)) {
    const marked = { name, namespace, uid, annotations: marks };
    actions.push({ do: 'annotate', pod: marked, ...told });
  }
  const taken = takenBy(pod, made);
  const address = pod.status?.podIP;
  if (known(pod, node, facts) === taken || address === undefined || !canBeTold(node)) {
    return step({ actions });
  }
  const unknown = beingTold(pod);
  if (object.status?.settings !== unknown) return step({ actions });
  const refusal = facts.view.refusals.get(settingsKey(node.hostId));
  if (refusal !== undefined && facts.view.nowMillis - refusal.atMillis < REFUSED_MILLIS) {
    const { reason } = refusal;
    const message = `${node.name} does not take the settings of spec.config: ${reason}`;
    return { ...blocked('SettingsRefused', message), actions };
  }
  const { hostId } = node;
  const settings = liveSettings(made);
  actions.push({ do: 'configure', hostId, address, settings, unknown, taken, ...told });
  return step({ actions });
}
