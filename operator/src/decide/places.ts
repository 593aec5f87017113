/** Pods that find no place, as their volumes are on machines that are gone or take none. */
import type { Machine, Pod } from '../ports/kube-objects.ts';
import { millisOf } from '../resources/values.ts';
import { showTime } from './conditions.ts';
import type { Facts, NodeFacts } from './facts.ts';

interface Toleration {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
}

type Taint = NonNullable<Machine['spec']['taints']>[number];

const KEEPS_OFF: ReadonlySet<string> = new Set(['NoSchedule', 'NoExecute']);

function tolerates(pod: Pod, taint: Taint): boolean {
  const tolerations = (pod.spec['tolerations'] ?? []) as readonly Toleration[];
  return tolerations.some(({ key, operator, value, effect }) => {
    if (effect !== undefined && effect !== '' && effect !== taint.effect) return false;
    if (key === undefined || key === '') return operator === 'Exists';
    if (key !== taint.key) return false;
    return operator === 'Exists' || (value ?? '') === (taint.value ?? '');
  });
}

/** Why the machine takes no pods such as this; null: it may. */
function refusalOf(machine: Machine, pod: Pod): string | null {
  const { unschedulable, taints = [] } = machine.spec;
  if (unschedulable === true) return 'is cordoned';
  const taint = taints.find((one) => KEEPS_OFF.has(one.effect) && !tolerates(pod, one));
  return taint === undefined ? null : `has the taint ${taint.key}:${taint.effect}`;
}

export interface Stuck {
  /** For people. */
  readonly why: string;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** @returns null: it has a place, or what is missing is something else than a machine */
export function stuckOn(
  { view }: NodeFacts,
  { view: { machines, nowMillis } }: Facts,
): Stuck | null {
  const { pod, homes, claim } = view;
  if (pod === null || homes === null) return null;
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  const time = scheduled?.lastTransitionTime;
  const since = time === undefined ? nowMillis : Date.parse(time);
  const volume = `its volume ${claim?.spec.volumeName ?? ''}`;
  if (homes.length === 0) {
    return { why: `${volume} is on a Kubernetes node that is not there any more`, since };
  }
  const refusals: string[] = [];
  for (const name of homes) {
    const machine = machines.get(name);
    const refusal = machine === undefined ? 'is not there' : refusalOf(machine, pod);
    if (refusal === null) return null;
    refusals.push(`${name}, which ${refusal}`);
  }
  const more = refusals.length > 1 ? ` and ${refusals.length - 1} more` : '';
  return { why: `${volume} is on the Kubernetes node ${refusals[0]}${more}`, since };
}

/** What is waited for, since when, and what becomes of it. */
export function showStuck(stuck: Stuck, node: NodeFacts, { view }: Facts): string {
  const { replaceAfter } = view.cluster.spec.healing;
  const since = node.downSince ?? stuck.since;
  const after =
    millisOf(replaceAfter) === 0
      ? 'it waits for it, as spec.healing.replaceAfter is 0s'
      : `another node takes its place when that has lasted for ${replaceAfter} (spec.healing.replaceAfter)`;
  return `no place since ${showTime(since)}: ${stuck.why}; ${after}`;
}

/** Condition of a DatabaseNode that was no member and is given up. */
export const STRANDED = 'Stranded';

/** It has had no place for so long that it will find none; that stays so when its pod is gone. */
export function isStranded(node: NodeFacts, facts: Facts): boolean {
  const { pod, object } = node.view;
  const isNoted = object.status?.conditions?.some(({ type }) => type === STRANDED) === true;
  if (isNoted && (pod === null || pod.metadata.deletionTimestamp !== undefined)) return true;
  const after = millisOf(facts.view.cluster.spec.healing.replaceAfter);
  const stuck = stuckOn(node, facts);
  return stuck !== null && after > 0 && facts.view.nowMillis - stuck.since >= after;
}

/** The Kubernetes node that it is on reports to the control plane; false: it has none, too. */
export function isOnReadyMachine({ view: { pod } }: NodeFacts, { view }: Facts): boolean {
  const machine = view.machines.get(pod?.spec.nodeName ?? '');
  const ready = machine?.status?.conditions?.find(({ type }) => type === 'Ready');
  return machine !== undefined && (ready === undefined || ready.status === 'True');
}

/** Beyond its grace period a pod that is still there hangs in something that may take for ever, such as an unmount. */
const STOPPING_MILLIS = 60_000;

/**
 * It is deleted, and its machine about to be free. Until then the scheduler takes that one to be as full as the machines of the
 * others, and could put a successor beside one of those: then a machine's failure would take two replicas.
 */
export function isMakingRoom(node: NodeFacts, facts: Facts): boolean {
  const { deletionTimestamp } = node.view.pod?.metadata ?? {};
  if (deletionTimestamp === undefined || !isOnReadyMachine(node, facts)) return false;
  return facts.view.nowMillis - Date.parse(deletionTimestamp) < STOPPING_MILLIS;
}

/** Its pod was to be gone long ago: nobody on its machine does it, and Kubernetes makes no other while it may run there. */
export function isCutOff({ view: { pod } }: NodeFacts, { view }: Facts): boolean {
  const { deletionTimestamp } = pod?.metadata ?? {};
  const after = millisOf(view.cluster.spec.healing.replaceAfter);
  if (deletionTimestamp === undefined || after === 0) return false;
  return view.nowMillis - Date.parse(deletionTimestamp) >= after;
}
