/**
 * Topology changes as a state machine: what the entries of the metadata log do to them. Pure.
 *
 *     begin ──▶ streaming ── every gaining node is done ──▶ switched ── all know it ──▶ finished
 *                   └─────── cancelled
 */
import type {
  ClusterState,
  EndedOperation,
  NodeInfo,
  OperationCommand,
  OperationPlan,
  TopologyOperation,
} from './cluster-state.ts';
import { movementsOf } from './movements.ts';
import { type NodesDraft, withNodeIn } from './node-map.ts';
import { describeOperation, refusalOfBegin, replicationsOf } from './operation-rules.ts';

/** Kept for people who ask what became of one. */
const ENDED_MAX = 32;

export interface OperationOutcome {
  /** The same object if nothing changes. */
  readonly state: ClusterState;
  /** Why nothing was changed; null: it was, or was so already. */
  readonly refused: string | null;
}

/** Host ids of the nodes that get data by an operation. */
export function gainersOf(
  state: Pick<ClusterState, 'nodes' | 'schema'>,
  operation: TopologyOperation,
): ReadonlySet<string> {
  const gainers = new Set<string>();
  for (const replication of replicationsOf(state.schema)) {
    for (const hostId of movementsOf(state, operation, replication).keys()) gainers.add(hostId);
  }
  return gainers;
}

/** Those of them that do not have all of it yet. */
export function missingGainers(
  state: Pick<ClusterState, 'nodes' | 'schema'>,
  operation: TopologyOperation,
): readonly string[] {
  return [...gainersOf(state, operation)].filter((hostId) => !operation.done.includes(hostId));
}

/** The operation in which a node joins, leaves, replaces, moves, or is replaced. */
export function operationOfNode(
  { operations }: Pick<ClusterState, 'operations'>,
  hostId: string,
): TopologyOperation | null {
  const concerns = (one: TopologyOperation) => one.hostId === hostId || one.replaces === hostId;
  return operations.find(concerns) ?? null;
}

/**
 * @param index of the entry
 * @param draft as for `applyCommand`
 */
export function applyOperation(
  state: ClusterState,
  command: OperationCommand,
  index: number,
  draft: NodesDraft,
): OperationOutcome {
  if (command.kind === 'begin-operation') {
    const refusal = refusalOfBegin(state, command.plan, command.base);
    if (refusal !== null) return { state, refused: refusal.reason };
    return accept(begin(state, command.plan, index, draft));
  }
  const operation = state.operations.find(({ id }) => id === command.id);
  if (operation === undefined) {
    const refused = `there is no operation ${command.id}: it has ended, or never began`;
    return { state, refused };
  }
  const { phase, done } = operation;
  switch (command.kind) {
    case 'operation-done': {
      const { hostId } = command;
      if (done.includes(hostId)) return accept(state);
      // Of one that gets nothing it does no harm; who gets something is worked out for the switch.
      const nodeState = state.nodes.get(hostId)?.state ?? 'left';
      if (phase === 'switched' || nodeState === 'left') {
        const refused = `the node ${hostId} gets nothing by ${describeOperation(operation)}`;
        return { state, refused };
      }
      return accept(changed(state, { ...operation, done: [...done, hostId] }, index));
    }
    case 'switch-operation': {
      if (phase === 'switched') return accept(state);
      const missing = missingGainers(state, operation);
      if (missing.length > 0) {
        const refused = `${describeOperation(operation)} cannot go on: ${missing.join(', ')} do not have their data yet`;
        return { state, refused };
      }
      const next = changed(state, { ...operation, phase: 'switched', phaseEpoch: index }, index);
      return accept({ ...next, topologyEpoch: index });
    }
    case 'finish-operation':
      return phase === 'switched'
        ? accept(end(state, operation, { outcome: 'finished', reason: '', index }, draft))
        : { state, refused: `${describeOperation(operation)} still streams` };
    case 'cancel-operation':
      return phase === 'streaming'
        ? accept(
            end(state, operation, { outcome: 'cancelled', reason: command.reason, index }, draft),
          )
        : { state, refused: refusalOfCancel(operation) };
  }
}

/** Why it cannot be undone any more, for people. */
export function refusalOfCancel(operation: TopologyOperation): string {
  return `${describeOperation(operation)} is nearly over: its new owners are read already, so it can only go on`;
}

function accept(state: ClusterState): OperationOutcome {
  return { state, refused: null };
}

function changed(state: ClusterState, operation: TopologyOperation, index: number): ClusterState {
  const at = state.operations.findIndex(({ id }) => id === operation.id);
  return { ...state, epoch: index, operations: state.operations.with(at, operation) };
}

function begin(
  state: ClusterState,
  plan: OperationPlan,
  index: number,
  draft: NodesDraft,
): ClusterState {
  const { id, kind, hostId, replaces, tokens, dead } = plan;
  const operation: TopologyOperation = {
    ...{ id, kind, hostId, replaces, tokens },
    ...(dead === true ? { dead } : {}),
    phase: 'streaming',
    startEpoch: index,
    phaseEpoch: index,
    done: [],
  };
  const node = state.nodes.get(hostId);
  const leaves = kind === 'leave' && node !== undefined;
  const nodes = leaves
    ? withNodeIn(state.nodes, { ...node, state: 'leaving' }, draft)
    : state.nodes;
  const operations = [...state.operations, operation];
  return { ...state, epoch: index, topologyEpoch: index, nodes, operations };
}

type End = Pick<EndedOperation, 'outcome' | 'reason'> & { readonly index: number };

function end(
  state: ClusterState,
  operation: TopologyOperation,
  { outcome, reason, index }: End,
  draft: NodesDraft,
): ClusterState {
  const { id, kind, hostId, replaces } = operation;
  const after =
    outcome === 'finished' ? nodesAfter(state, operation) : nodesAsBefore(state, operation);
  let { nodes } = state;
  for (const node of after) nodes = withNodeIn(nodes, node, draft);
  const ended = [...state.ended, { id, kind, hostId, replaces, outcome, reason, epoch: index }];
  return {
    ...state,
    epoch: index,
    topologyEpoch: index,
    nodes,
    operations: state.operations.filter((one) => one !== operation),
    ended: ended.slice(-ENDED_MAX),
  };
}

/** What of a node is left when it is gone. */
function gone({ replaces: _, ...node }: NodeInfo): NodeInfo {
  return { ...node, tokens: [], state: 'left' };
}

/** The nodes that are others when an operation is finished. */
function nodesAfter(
  { nodes }: ClusterState,
  { kind, hostId, replaces, tokens }: TopologyOperation,
): readonly NodeInfo[] {
  const node = nodes.get(hostId);
  if (node === undefined) return [];
  if (kind === 'leave') return [gone(node)];
  const dead = nodes.get(replaces ?? '');
  const { replaces: _, ...rest } = node;
  const owner: NodeInfo = { ...rest, tokens, state: 'normal' };
  // First who gives the tokens up: nobody has them twice.
  return dead === undefined ? [owner] : [gone(dead), owner];
}

/** The nodes that are others when an operation is undone. */
function nodesAsBefore(
  { nodes }: ClusterState,
  { kind, hostId }: TopologyOperation,
): readonly NodeInfo[] {
  const node = nodes.get(hostId);
  if (node === undefined || kind === 'move') return [];
  return [kind === 'leave' ? { ...node, state: 'normal' } : gone(node)];
}
