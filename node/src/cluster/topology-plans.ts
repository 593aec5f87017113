/**
 * Planning topology changes: what is asked for becomes the command that begins it, or the reason why it cannot begin. Who
 * plans knows who is alive, which the log does not.
 */
import type {
  ClusterState,
  NodeInfo,
  OperationCommand,
  OperationPlan,
  TopologyOperation,
} from './cluster-state.ts';
import { affectedRanges, isGoneBy, movementsOf, quorumOf, sourcesOf } from './movements.ts';
import { type OperationRefusal, refusalOfBegin, replicationsOf } from './operation-rules.ts';
import { refusalOfCancel } from './operations.ts';
import { type Replication, Ring, replicationFactors } from './ring.ts';

/** What is known where it is planned. */
export interface TopologyView {
  readonly state: ClusterState;
  /** Of any member, this node among them. */
  isAlive(hostId: string): boolean;
}

export type TopologyPlan =
  | { readonly command: OperationCommand }
  | { readonly refusal: OperationRefusal };

const refuse = (code: OperationRefusal['code'], reason: string): TopologyPlan => ({
  refusal: { code, reason },
});

/** A node gives up all it has. @param dead it is down, and the others have to do with what they have */
export function planLeave(
  view: TopologyView,
  { id, hostId, dead }: { readonly id: string; readonly hostId: string; readonly dead: boolean },
): TopologyPlan {
  const isMember = view.state.nodes.has(hostId);
  if (isMember && dead && view.isAlive(hostId)) {
    return refuse('INVALID', `the node ${hostId} is up: decommission it, or stop it first`);
  }
  if (isMember && !dead && !view.isAlive(hostId)) {
    return refuse('INVALID', `the node ${hostId} is down: start it, or remove it as a dead node`);
  }
  const plan: OperationPlan = { id, kind: 'leave', hostId, replaces: null, tokens: [] };
  return planned(view, dead ? { ...plan, dead } : plan);
}

/** A node takes other tokens. @param tokens ascending, on the grid */
export function planMove(
  view: TopologyView,
  move: { readonly id: string; readonly hostId: string; readonly tokens: readonly bigint[] },
): TopologyPlan {
  const { id, hostId, tokens } = move;
  if (view.state.nodes.has(hostId) && !view.isAlive(hostId)) {
    return refuse('DOWN', `the node ${hostId} is down: start it first`);
  }
  return planned(view, { id, kind: 'move', hostId, replaces: null, tokens });
}

/** A node that was taken in as joining gets what it is to own, or what the dead node has whose place it takes. */
export function planEntry(
  view: TopologyView,
  { id, hostId }: { readonly id: string; readonly hostId: string },
): TopologyPlan {
  const { nodes } = view.state;
  const node = nodes.get(hostId);
  if (node?.replaces === undefined) {
    const tokens = node?.tokens ?? [];
    return planned(view, { id, kind: 'join', hostId, replaces: null, tokens });
  }
  const { replaces } = node;
  const dead = nodes.get(replaces);
  if (dead !== undefined && view.isAlive(replaces)) {
    return refuse('DOWN', `the node ${replaces}, which is to be replaced, is up: stop it first`);
  }
  return planned(view, { id, kind: 'replace', hostId, replaces, tokens: dead?.tokens ?? [] });
}

/** Undoes an operation that still streams. @param reason for people */
export function planCancel({ operations }: ClusterState, id: string, reason: string): TopologyPlan {
  const operation = operations.find((one) => one.id === id);
  if (operation === undefined) {
    return refuse('INVALID', `there is no operation ${id}: it has ended, or never began`);
  }
  if (operation.phase === 'switched') return refuse('INVALID', refusalOfCancel(operation));
  return { command: { kind: 'cancel-operation', id, reason } };
}

function planned(view: TopologyView, plan: OperationPlan): TopologyPlan {
  const base = view.state.topologyEpoch;
  const refusal = refusalOfBegin(view.state, plan, base) ?? refusalOfDown(view, plan);
  return refusal === null ? { command: { kind: 'begin-operation', plan, base } } : { refusal };
}

/** Whether nodes that are down are needed: as sources, or to make a quorum of the owners afterwards. */
function refusalOfDown(view: TopologyView, plan: OperationPlan): OperationRefusal | null {
  const operation: TopologyOperation = {
    ...{ ...plan, phase: 'switched', startEpoch: 0, phaseEpoch: 0, done: [] },
  };
  for (const replication of replicationsOf(view.state.schema)) {
    const refusal = refusalOfQuorum(view, operation, replication);
    if (refusal !== null) return { code: 'DOWN', reason: refusal };
    const sources = missingSources(view, operation, replication);
    if (sources === null) continue;
    const reason = `the data of a range is on nodes that are down: ${sources}. Start or replace them first`;
    return { code: 'DOWN', reason };
  }
  return null;
}

/** Those of these nodes that are down. */
function downOf({ isAlive }: TopologyView, nodes: readonly NodeInfo[]): string {
  const down = nodes.filter(({ hostId }) => !isAlive(hostId));
  return down.map(({ hostId, address }) => `${hostId} (${address})`).join(', ');
}

function refusalOfQuorum(
  view: TopologyView,
  operation: TopologyOperation,
  replication: Replication,
): string | null {
  const { nodes } = view.state;
  const before = new Ring({ nodes }).placement(replication);
  const after = new Ring({ nodes, operations: [operation] }).placement(replication);
  const affected = affectedRanges(view.state, operation, replication);
  const isAffected = (bucket: number) =>
    affected.some(({ first, last }) => first <= bucket && bucket <= last);
  for (const { last } of after.ranges()) {
    if (!isAffected(last)) continue;
    for (const [datacenter, factor] of replicationFactors(replication)) {
      const quorum = quorumOf(factor);
      const isHere = (node: NodeInfo) => datacenter === null || node.datacenter === datacenter;
      const isUp = (node: NodeInfo) => isHere(node) && view.isAlive(node.hostId);
      const owners = after.ofBucket(last);
      const hadQuorum = before.ofBucket(last).filter(isUp).length >= quorum;
      if (!hadQuorum || owners.filter(isUp).length >= quorum) continue;
      return `a range would lose its quorum, as of its owners afterwards these are down: ${downOf(view, owners.filter(isHere))}. Start or replace them first`;
    }
  }
  return null;
}

/**
 * Nodes that are down and have data without which nothing can be moved, for people; null: none.
 * @param gainers those who are to get it; not given: all who get something
 */
export function missingSources(
  view: TopologyView,
  operation: TopologyOperation,
  replication: Replication,
  gainers?: readonly string[],
): string | null {
  for (const [hostId, movements] of movementsOf(view.state, operation, replication)) {
    if (gainers?.includes(hostId) === false) continue;
    const datacenter = view.state.nodes.get(hostId)?.datacenter ?? '';
    for (const movement of movements) {
      const sources = sourcesOf(movement, {
        ...{ datacenter, replication, byProximity: (nodes: readonly NodeInfo[]) => nodes },
        isUsable: (node) => view.isAlive(node.hostId),
        isGone: (node) => isGoneBy(operation, node),
      });
      if (sources === null) return downOf(view, [...movement.losers, ...movement.keepers]);
    }
  }
  return null;
}
