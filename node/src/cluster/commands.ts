/** What the entries of the metadata log do to the agreed state: a pure function, the same on every node. */
import { SCHEMA_FORMAT } from '../schema/schema-json.ts';
import type { ClusterCommand, ClusterState, NodeInfo } from './cluster-state.ts';
import { type NodesDraft, withNodeIn } from './node-map.ts';
import {
  describeOperation,
  isSameTokens,
  refusalOfReplace,
  refusalOfTokens,
  replicationName,
} from './operation-rules.ts';
import { applyOperation, operationOfNode } from './operations.ts';
import { applySchemaChange, type SchemaChange } from './schema-change.ts';

export interface CommandOutcome {
  /** The same object if nothing changes. */
  readonly state: ClusterState;
  /** Why nothing was changed; null: it was, or was so already. */
  readonly refused: string | null;
}

/** A cluster of which nothing is known yet. */
export const EMPTY_CLUSTER: ClusterState = {
  epoch: 0,
  clusterName: '',
  clusterId: '',
  nodes: new Map(),
  topologyEpoch: 0,
  operations: [],
  ended: [],
  schema: { format: SCHEMA_FORMAT, epoch: 0, version: '', keyspaces: [] },
};

/**
 * @param index of the entry: the epoch of the state after it
 * @param draft the same for entries that follow each other, whose states between are not kept; without one `state` is as
 *   it was afterwards
 */
export function applyCommand(
  state: ClusterState,
  command: ClusterCommand,
  index: number,
  draft: NodesDraft = { nodes: null },
): CommandOutcome {
  const withNode = (node: NodeInfo, refused: string | null): CommandOutcome => {
    if (refused !== null) return refuse(state, refused);
    const known = state.nodes.get(node.hostId);
    if (isSameNode(known, node)) return { state, refused: null };
    const nodes = withNodeIn(state.nodes, node, draft);
    const topologyEpoch = movesTokens(known, node) ? index : state.topologyEpoch;
    return { state: { ...state, epoch: index, topologyEpoch, nodes }, refused: null };
  };
  switch (command.kind) {
    case 'add-node':
      return withNode(command.node, refusalOfNewNode(state, command.node));
    case 'update-node':
      return withNode(command.node, refusalOfUpdate(state, command.node));
    case 'schema': {
      const refusal = refusalOfReplication(state, command.change);
      if (refusal !== null) return refuse(state, refusal);
      const outcome = applySchemaChange(state.schema, command.change);
      if ('refused' in outcome) {
        return refuse(state, `the schema was changed by another node: ${outcome.refused}`);
      }
      const { schema } = outcome;
      return { state: { ...state, epoch: index, schema }, refused: null };
    }
    default:
      return applyOperation(state, command, index, draft);
  }
}

function refuse(state: ClusterState, refused: string): CommandOutcome {
  return { state, refused };
}

/** Whether nothing is different between what is known of a node and `b`. */
export function isSameNode(a: NodeInfo | undefined, b: NodeInfo): boolean {
  return (
    a !== undefined &&
    a.address === b.address &&
    a.controlPort === b.controlPort &&
    a.dataPort === b.dataPort &&
    a.rpcAddress === b.rpcAddress &&
    a.rpcPort === b.rpcPort &&
    a.datacenter === b.datacenter &&
    a.rack === b.rack &&
    a.state === b.state &&
    a.releaseVersion === b.releaseVersion &&
    a.replaces === b.replaces &&
    isSameTokens(a.tokens, b.tokens)
  );
}

/** The node with the tokens, state and place that it has by the log. */
export function asAgreed({ replaces: _, ...node }: NodeInfo, known: NodeInfo): NodeInfo {
  const place = known.replaces === undefined ? {} : { replaces: known.replaces };
  return { ...node, tokens: known.tokens, state: known.state, ...place };
}

/** Whether who owns what is another with `b` in place of `a`. */
function movesTokens(a: NodeInfo | undefined, b: NodeInfo): boolean {
  const before = a === undefined || a.state === 'joining' ? [] : a.tokens;
  return !isSameTokens(before, b.state === 'joining' || b.state === 'left' ? [] : b.tokens);
}

/** Why a node cannot become a member now; null: it can. */
export function refusalOfNewNode(state: ClusterState, node: NodeInfo): string | null {
  const known = state.nodes.get(node.hostId);
  if (known?.state === 'left') {
    return `the node ${node.hostId} has left this cluster for good: start it with a new data directory`;
  }
  if (isSameNode(known, node)) return null;
  if (known !== undefined) {
    return `the host id ${node.hostId} is a member already, at ${known.address}: start it with the data directory that it had, or with a new one`;
  }
  if (node.state === 'normal') {
    return refusalOfOwning(state) ?? refusalOfTokens(state, node);
  }
  if (node.state !== 'joining') return `a new node is joining or normal, not ${node.state}`;
  return node.replaces === undefined ? refusalOfTokens(state, node) : refusalOfReplace(state, node);
}

/** Whether there may be data. */
export function hasTables({ schema }: Pick<ClusterState, 'schema'>): boolean {
  return schema.keyspaces.some(({ tables }) => tables.length > 0);
}

/** Why a new node cannot own its tokens at once, without getting the data: it has to be taken in as joining. */
export function refusalOfOwning(state: ClusterState): string | null {
  const { operations } = state;
  if (hasTables(state)) {
    return 'a node can join only while there are no user tables, unless its data is moved to it first';
  }
  const [operation] = operations;
  return operation === undefined ? null : `${describeOperation(operation)} has to end first`;
}

function refusalOfUpdate(state: ClusterState, node: NodeInfo): string | null {
  const known = state.nodes.get(node.hostId);
  if (known === undefined) return `the node ${node.hostId} is not a member`;
  if (known.state === 'left') {
    return node.state === 'left' ? null : `the node ${node.hostId} has left the cluster for good`;
  }
  if (known.datacenter !== node.datacenter || known.rack !== node.rack) {
    return `the node ${node.hostId} is in ${known.datacenter}/${known.rack}, which cannot be changed: data would not be where it is looked for`;
  }
  const operation = operationOfNode(state, node.hostId);
  if (known.state === 'joining' && node.state === 'left' && operation === null) return null;
  if (known.state !== node.state) {
    return `the node ${node.hostId} is ${known.state}, and becomes ${node.state} by an operation only`;
  }
  if (!isSameTokens(known.tokens, node.tokens) || known.replaces !== node.replaces) {
    return `the tokens of the node ${node.hostId} are changed by an operation only`;
  }
  return null;
}

/**
 * Why a change of the schema has to wait for topology changes: what these move is planned with the replications that
 * there were when they began. Null: it need not.
 */
export function refusalOfReplication(
  { operations, schema }: Pick<ClusterState, 'operations' | 'schema'>,
  { edits }: SchemaChange,
): string | null {
  const [operation] = operations;
  if (operation === undefined) return null;
  const known = new Set(schema.keyspaces.map(({ replication }) => replicationName(replication)));
  for (const edit of edits) {
    if (edit.kind !== 'put-keyspace') continue;
    const old = schema.keyspaces.find(({ name }) => name === edit.keyspace);
    const name = replicationName(edit.replication);
    // As another keyspace: it is moved as that one is.
    if (old === undefined ? known.has(name) : replicationName(old.replication) === name) continue;
    return `the replication of the keyspace ${edit.keyspace} cannot be set now: ${describeOperation(operation)} (operation ${operation.id}) is in progress. Try again when it has ended`;
  }
  return null;
}
