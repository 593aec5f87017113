/** Changes that need a restart: a rack after the other, and only what each range can do without. */
import { type Defaults, disruptionKey } from '../observe/view.ts';
import { POD_HASH } from '../resources/names.ts';
import { inputsOf, type PodInputs, podHash } from '../resources/node-pod.ts';
import { isSame } from '../resources/values.ts';
import { blocked, deletion, NOTHING, type Step, step, together } from './actions.ts';
import { type Facts, isRunning, isUp, type NodeFacts, withDown } from './facts.ts';
import { datacentersOf } from './numbers.ts';
import { refusalOfVersion } from './versions.ts';

function planOf({ view }: NodeFacts, { view: { cluster } }: Facts, { image }: Defaults) {
  return { cluster, node: view.object, image };
}

export function isOutdated(node: NodeFacts, facts: Facts, defaults: Defaults): boolean {
  const { pod } = node.view;
  if (pod === null || pod.metadata.deletionTimestamp !== undefined) return false;
  return pod.metadata.annotations?.[POD_HASH] !== podHash(planOf(node, facts, defaults));
}

/** What the pod of a node is, or is to be, made of; undefined: of nothing that the spec says now. */
export function madeOf(
  node: NodeFacts,
  facts: Facts,
  { defaults, held }: { readonly defaults: Defaults; readonly held: ReadonlySet<string> },
): PodInputs | undefined {
  const { object } = node.view;
  const known = object.status?.made as PodInputs | undefined;
  const isKept = held.has(node.hostId) || isOutdated(node, facts, defaults);
  if (known !== undefined && isKept) return known;
  const isRefused = refusalOfVersion(facts, defaults) !== null;
  return isRefused ? undefined : inputsOf(planOf(node, facts, defaults));
}

/** Was given what the spec says now, by what is written down of it. */
function hasChange(node: NodeFacts, facts: Facts, defaults: Defaults): boolean {
  const { made } = node.view.object.status ?? {};
  const isNew = isSame(made, inputsOf(planOf(node, facts, defaults)));
  return isNew && !isOutdated(node, facts, defaults);
}

function hasNoPod({ view: { pod } }: NodeFacts): boolean {
  return pod === null || pod.metadata.deletionTimestamp !== undefined;
}

/** Nodes that stay as they are for now, also if their pods have to be made anew. */
export function heldBack(facts: Facts, defaults: Defaults): ReadonlySet<string> {
  const { paused: isPaused, canary } = facts.view.cluster.spec.update;
  const paused = isPaused || refusalOfVersion(facts, defaults) !== null;
  if (!paused && canary === undefined) return new Set();
  const staying = facts.nodes.filter(({ state }) => state !== 'left');
  const changed = staying.filter((node) => hasChange(node, facts, defaults));
  const others = staying.filter((node) => !changed.includes(node));
  const room = paused ? 0 : Math.max(0, (canary ?? 0) - changed.length);
  // Those whose pods have to be made anyway first.
  const inTurn = others.toSorted(
    (a, b) => Number(hasNoPod(b)) - Number(hasNoPod(a)) || (a.name < b.name ? -1 : 1),
  );
  return new Set(inTurn.slice(room).map(({ hostId }) => hostId));
}

function restart(node: NodeFacts): Step {
  const { pod, object } = node.view;
  if (pod === null) return NOTHING;
  const told = { about: object, reason: 'Updated', note: 'restarts with what has changed' };
  return step({ actions: [deletion('Pod', pod, told)] });
}

function rackKey({ view }: NodeFacts): string {
  return `${view.object.spec.datacenter}/${view.object.spec.rack}`;
}

function inOrderOfRacks(facts: Facts, outdated: readonly NodeFacts[]): readonly string[] {
  const racks = datacentersOf(facts.view.cluster.spec).flatMap(({ name, racks: all }) =>
    all.map((rack) => `${name}/${rack.name}`),
  );
  const strange = outdated.map(rackKey).filter((key) => !racks.includes(key));
  return [...racks, ...new Set(strange)];
}

/** Restarts as many as may stop at the same time. */
function restartSome(candidates: readonly NodeFacts[], facts: Facts): Step {
  const { disruptions } = facts.view;
  const asks: (readonly string[])[] = [];
  let refused = '';
  for (const count of new Set([candidates.length, 1])) {
    const chosen = candidates.slice(0, count);
    const ids = withDown(facts, chosen);
    const answer = disruptions.get(disruptionKey(ids));
    if (answer === undefined) asks.push(ids);
    else if (answer.allowed) return together(chosen.map(restart));
    else refused = answer.reason;
  }
  if (asks.length > 0) return step({ asks });
  return blocked('Quorum', `${candidates[0].name} is not restarted yet: ${refused}`);
}

/** @param updated nodes that have the change, or are about to get it */
function planSafely(facts: Facts, outdated: readonly NodeFacts[], updated: number): Step {
  const { spec } = facts.view.cluster;
  const { ring } = facts;
  const { maxUnavailable, paused, canary } = spec.update;
  if (paused) return blocked('Paused', `${outdated.length} nodes wait: spec.update.paused is set`);
  const room = canary === undefined ? outdated.length : canary - updated;
  if (room <= 0) {
    const message = `${updated} nodes have the change, ${outdated.length} get it when spec.update.canary is taken away`;
    return blocked('Canary', message);
  }
  const [only] = facts.nodes;
  if (!ring.known && facts.nodes.length === 1 && !only.isReady) return restart(only);
  if (!ring.known) {
    return blocked('RingUnknown', `no node is restarted, as the ring is not known: ${ring.why}`);
  }
  const order = inOrderOfRacks(facts, outdated);
  const [rack] = order.filter((key) => outdated.some((node) => rackKey(node) === key));
  // Others that are members and do not serve: of other racks none, of this one so many as may.
  const members = facts.nodes.filter(({ state }) => state === 'normal' || state === 'leaving');
  const down = members.filter(
    (node) => !isUp(node) && !(outdated.includes(node) && rackKey(node) === rack),
  );
  const elsewhere = down.find((node) => rackKey(node) !== rack);
  if (elsewhere !== undefined) {
    return blocked('NotReady', `no node is restarted while ${elsewhere.name} does not serve`);
  }
  const free = Math.min(maxUnavailable - down.length, room);
  if (free <= 0) {
    return blocked(
      'NotReady',
      `the next follows when ${down.map(({ name }) => name).join(', ')} serves again`,
    );
  }
  // Those that do not serve anyway first.
  const here = outdated
    .filter((node) => rackKey(node) === rack)
    .toSorted((a, b) => Number(isUp(a)) - Number(isUp(b)) || (a.name < b.name ? -1 : 1));
  return restartSome(here.slice(0, free), facts);
}

/** @param apart who goes, or is replaced: their pods are made anew only if they do not run */
export function planRolling(
  facts: Facts,
  apart: ReadonlySet<string>,
  { defaults, held }: { readonly defaults: Defaults; readonly held: ReadonlySet<string> },
): Step {
  if (facts.view.cluster.spec.stopped) return NOTHING;
  const staying = facts.nodes.filter(({ state }) => state !== 'left');
  const outdated = staying.filter((node) => isOutdated(node, facts, defaults));
  if (outdated.length === 0) return NOTHING;
  const updated = staying.filter(
    (node) => hasChange(node, facts, defaults) || (hasNoPod(node) && !held.has(node.hostId)),
  ).length;
  // Their process does not run: there is nothing to lose, and the change may be the cure.
  const idle = outdated.filter((node) => !isRunning(node));
  const running = outdated.filter((node) => isRunning(node) && !apart.has(node.hostId));
  // One that is no member serves nobody, and holds nobody up.
  const refusal = refusalOfVersion(facts, defaults);
  const isStranger = ({ state }: NodeFacts) => state === 'none';
  const free = [...idle, ...running.filter(isStranger)].filter(({ hostId }) => !held.has(hostId));
  const members = running.filter((node) => !isStranger(node));
  return together([
    ...free.map(restart),
    refusal !== null
      ? blocked('VersionRefused', refusal)
      : members.length === 0
        ? NOTHING
        : planSafely(facts, members, updated),
  ]);
}
