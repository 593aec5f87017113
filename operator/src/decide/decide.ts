/** What is to be done about a cluster: a pure function of its view. No step waits for another; what a step waits for is in the status. */
import type { NodeStatus } from '../api/database-node.ts';
import type { ClusterStatus } from '../api/datacenter-cluster.ts';
import type { ClusterView, Defaults } from '../observe/view.ts';
import { isSame } from '../resources/values.ts';
import { type Action, blocked, type Step, together } from './actions.ts';
import { addMissing, disturbs, replaceDead } from './arrivals.ts';
import { upkeepOfCluster } from './cluster-objects.ts';
import { type Outcome, statusOfCluster } from './cluster-status.ts';
import { planDepartures } from './departures.ts';
import { isShut } from './evictions.ts';
import { type Facts, gatherFacts, isRunning, type NodeFacts } from './facts.ts';
import { planFirst } from './first-node.ts';
import { planKeyspaces } from './keyspaces.ts';
import { tellSettings } from './live-settings.ts';
import { statusOfNode } from './node-status.ts';
import { stopAll, upkeepOfNode } from './node-upkeep.ts';
import { planNumbers } from './numbers.ts';
import { heldBack, isOutdated, madeOf, planRolling } from './rolling.ts';

const SOON_SECONDS = 3;
const LATER_SECONDS = 30;

export interface Decision {
  readonly actions: readonly Action[];
  /** Sets of host ids: with answers to whether they may stop more could be decided. */
  readonly asks: readonly (readonly string[])[];
  readonly clusterStatus: ClusterStatus;
  /** By host id. */
  readonly nodeStatuses: ReadonlyMap<string, NodeStatus>;
  /** Some status is another than the one that is written. */
  readonly isStatusNew: boolean;
  /** When to look again if nothing is heard, seconds. */
  readonly again: number;
}

export interface DecideOptions {
  readonly defaults: Defaults;
  /** Evenly in [0, 1). */
  random(): number;
}

/** Who is to be no member, and is none yet, is not started again. What may be a member runs: others count on it. */
function isUndone({ state, hadVolume, operation }: NodeFacts): boolean {
  if (state === 'unknown') return !hadVolume;
  return state === 'none' || (state === 'joining' && operation?.phase !== 'switched');
}

function againAfter({ state }: ClusterStatus, actions: readonly Action[]): number {
  const isQuiet = state === 'Ready' || state === 'Stopped';
  return isQuiet && actions.length === 0 ? LATER_SECONDS : SOON_SECONDS;
}

export function decide(view: ClusterView, { defaults, random }: DecideOptions): Decision {
  const facts = gatherFacts(view);
  const numbers = planNumbers(facts);
  const { going } = numbers;
  const replaced = replaceDead(facts, numbers, random);
  const held = heldBack(facts, defaults);
  const made = new Map(
    facts.nodes.map((node) => [node.hostId, madeOf(node, facts, { defaults, held })]),
  );
  const upkeep: Step = together(
    facts.nodes.map((node) =>
      upkeepOfNode(node, facts, {
        defaults,
        made: made.get(node.hostId),
        isKeptOff: replaced.keptOff.has(node.hostId) || (going.has(node.hostId) && isUndone(node)),
      }),
    ),
  );
  const nodeStatuses = new Map(
    facts.nodes.map((node) => {
      const { hostId } = node;
      const plan = { isGoing: going.has(hostId), made: made.get(hostId) };
      return [hostId, statusOfNode(node, facts, plan)];
    }),
  );
  const outcome: Outcome = {
    numbers,
    keyspaces: planKeyspaces(facts),
    settings: together(facts.nodes.map((node) => tellSettings(node, facts, made.get(node.hostId)))),
    nodes: nodeStatuses,
    first: planFirst(facts, numbers),
    arrivals: addMissing(facts, numbers, random),
    departures: planDepartures(facts, numbers),
    replacing: replaced.step,
    rolling: disturbs(replaced.step)
      ? blocked('NotReady', 'a node stops to be replaced')
      : planRolling(facts, new Set([...going, ...replaced.keptOff]), { defaults, held }),
    outdated: facts.nodes.filter(
      (node) => node.state !== 'left' && isOutdated(node, facts, defaults),
    ).length,
  };
  const { first, arrivals, departures, replacing, rolling } = outcome;
  const isStop = (action: Action) => stopsMember(action, facts);
  const stopping = [replacing, rolling].some((one) => one.actions.some(isStop));
  const stop = view.cluster.spec.stopped ? [stopAll(facts)] : [];
  const all = together([
    first,
    upkeepOfCluster(facts, stopping),
    upkeep,
    outcome.settings,
    outcome.keyspaces,
    ...stop,
    departures,
    replacing,
    rolling,
    arrivals,
  ]);
  // First nobody else may stop one, then it is looked at whether somebody did.
  const waits = stopping && !isShut(facts);
  const actions = onlyOnce(waits ? all.actions.filter((one) => !isStop(one)) : all.actions);
  const clusterStatus = statusOfCluster(facts, outcome);
  const isStatusNew =
    !isSame(clusterStatus, view.cluster.status) ||
    facts.nodes.some(
      ({ view: { object }, hostId }) => !isSame(nodeStatuses.get(hostId), object.status),
    );
  const again = againAfter(clusterStatus, actions);
  return { actions, asks: all.asks, clusterStatus, nodeStatuses, isStatusNew, again };
}

/** Stops the process of a member, so that its ranges do without it. */
function stopsMember(action: Action, { nodes }: Facts): boolean {
  if (action.do !== 'delete' || action.kind !== 'Pod') return false;
  const node = nodes.find(({ view }) => view.pod?.metadata.uid === action.metadata.uid);
  return (
    node !== undefined && isRunning(node) && (node.state === 'normal' || node.state === 'leaving')
  );
}

/** Several steps may want the same object to go. */
function onlyOnce(actions: readonly Action[]): readonly Action[] {
  const seen = new Set<string>();
  return actions.filter((action) => {
    if (action.do !== 'delete') return true;
    const { kind, metadata } = action;
    const key = `${kind} ${metadata.uid}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}
