/**
 * Who votes on the metadata log: up to five members, an odd number, in as many datacenters and racks as there are. One is
 * replaced when it has been dead for a while, and when another place for it would spread them better.
 */
import type { ClusterState, NodeInfo } from './cluster-state.ts';

export const VOTERS_TARGET = 5;

export interface VotersView {
  readonly nodes: Iterable<NodeInfo>;
  readonly voters: readonly string[];
  /** The leader, who asks: it does not remove itself while there is a choice. */
  readonly self: string;
  isAlive(hostId: string): boolean;
  /** Dead for so long that somebody else should have its place. */
  isGone(hostId: string): boolean;
  /** Has all of the log but for its last entries, so that it counts at once. */
  isCaughtUp(hostId: string): boolean;
}

/**
 * Nodes as far as their votes go. A change that can only go on has happened for them: when it has ended, another node may
 * die at once, and those who vote have to be complete by then.
 */
export function nodesThatVote({
  nodes,
  operations,
}: Pick<ClusterState, 'nodes' | 'operations'>): readonly NodeInfo[] {
  const entered = new Set<string>();
  const replaced = new Set<string | null>();
  for (const { phase, kind, hostId, replaces } of operations) {
    if (phase !== 'switched' || (kind !== 'join' && kind !== 'replace')) continue;
    entered.add(hostId);
    replaced.add(replaces);
  }
  return [...nodes.values()].map((node): NodeInfo => {
    if (entered.has(node.hostId)) return { ...node, state: 'normal' };
    return replaced.has(node.hostId) ? { ...node, state: 'left' } : node;
  });
}

/** How unevenly nodes lie: first by datacenter, then by rack. */
function crowding(nodes: readonly NodeInfo[]): number {
  const datacenters = new Map<string, number>();
  const racks = new Map<string, number>();
  for (const { datacenter, rack } of nodes) {
    datacenters.set(datacenter, (datacenters.get(datacenter) ?? 0) + 1);
    const place = JSON.stringify([datacenter, rack]);
    racks.set(place, (racks.get(place) ?? 0) + 1);
  }
  const squares = (counts: Iterable<number>) =>
    [...counts].reduce((sum, count) => sum + count * count, 0);
  return squares(datacenters.values()) * 1000 + squares(racks.values());
}

function least<T>(items: readonly T[], cost: (item: T) => number): T | undefined {
  let best: T | undefined;
  for (const item of items) if (best === undefined || cost(item) < cost(best)) best = item;
  return best;
}

/** @returns the voters as they should be next, one more or one fewer; null: they are right, or it cannot be now */
export function planVoters(view: VotersView): readonly string[] | null {
  const nodes = [...view.nodes];
  const members = nodes
    .filter(({ state }) => state === 'normal')
    .sort((a, b) => (a.hostId < b.hostId ? -1 : 1));
  const byId = new Map(members.map((node) => [node.hostId, node]));
  const without = (id: string) => view.voters.filter((one) => one !== id);
  const stranger = view.voters.find((id) => !byId.has(id));
  const voters = view.voters.flatMap((id) => byId.get(id) ?? []);
  const candidates = members.filter(
    ({ hostId }) =>
      !view.voters.includes(hostId) && view.isAlive(hostId) && view.isCaughtUp(hostId),
  );
  const best = least(candidates, (node) => crowding([...voters, node]));
  const gone = voters.find(({ hostId }) => view.isGone(hostId));
  const target = Math.min(VOTERS_TARGET, members.length - 1 + (members.length % 2));
  if (stranger !== undefined && view.voters.length > 1) {
    const rest = without(stranger);
    // Who is leaving counts while it is up: it goes when the others can do without it.
    const leaves = nodes.some((one) => one.hostId === stranger && one.state === 'leaving');
    if (!leaves || !view.isAlive(stranger)) return rest;
    if (rest.length < target && best !== undefined) return [...view.voters, best.hostId];
    return hasMajority(rest, view) ? rest : null;
  }
  // Without one in its place nothing is gained.
  if (gone !== undefined && best !== undefined) return without(gone.hostId);
  if (voters.length > target) return withoutWorst(voters, view);
  if (best === undefined) return null;
  const added = [...view.voters, best.hostId];
  if (voters.length < target) return added;
  return isBetterWith(best, voters, view) ? added : null;
}

function hasMajority(voters: readonly string[], { isAlive }: VotersView): boolean {
  return voters.filter(isAlive).length * 2 > voters.length;
}

function removable(voters: readonly NodeInfo[], view: VotersView): readonly NodeInfo[] {
  return voters.filter(({ hostId }) => hostId !== view.self);
}

function withoutWorst(voters: readonly NodeInfo[], view: VotersView): readonly string[] | null {
  const rest = (node: NodeInfo) => voters.filter((one) => one !== node);
  const worst = least(
    removable(voters, view),
    // A dead one goes first.
    (node) => crowding(rest(node)) + (view.isAlive(node.hostId) ? 1e9 : 0),
  );
  return worst === undefined ? null : rest(worst).map(({ hostId }) => hostId);
}

/** Whether one voter's place would be better taken by `best`. */
function isBetterWith(best: NodeInfo, voters: readonly NodeInfo[], view: VotersView): boolean {
  const now = crowding(voters);
  return removable(voters, view).some(
    (node) => crowding([...voters.filter((one) => one !== node), best]) < now,
  );
}
