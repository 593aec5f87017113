/** What the entries of the metadata log do to the agreed state: a pure function, the same on every node. */
import { SCHEMA_FORMAT } from '../schema/schema-json.ts';
import type { ClusterCommand, ClusterState, NodeInfo } from './cluster-state.ts';
import { isGridToken } from './grid.ts';
import { type NodesDraft, ownsAny, withNodeIn } from './node-map.ts';
import { applySchemaChange } from './schema-change.ts';

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
      const outcome = applySchemaChange(state.schema, command.change);
      if ('refused' in outcome) {
        return refuse(state, `the schema was changed by another node: ${outcome.refused}`);
      }
      const { schema } = outcome;
      return { state: { ...state, epoch: index, schema }, refused: null };
    }
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
    isSameTokens(a.tokens, b.tokens)
  );
}

/** Whether who owns what is another with `b` in place of `a`. */
function movesTokens(a: NodeInfo | undefined, b: NodeInfo): boolean {
  return a === undefined || a.state !== b.state || !isSameTokens(a.tokens, b.tokens);
}

function isSameTokens(a: readonly bigint[], b: readonly bigint[]): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
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
  if (state.schema.keyspaces.some(({ tables }) => tables.length > 0)) {
    return 'a node can join only while there are no user tables: moving data to a new node is not supported yet';
  }
  return refusalOfTokens(state, node);
}

function refusalOfTokens(state: ClusterState, node: NodeInfo): string | null {
  if (node.tokens.length === 0) return 'the node has no tokens';
  const ascending = node.tokens.every((token, i) => i === 0 || node.tokens[i - 1] < token);
  if (!ascending) return 'the tokens of the node are not in ascending order';
  const astray = node.tokens.find((token) => !isGridToken(token));
  if (astray !== undefined) {
    return `the token ${astray} is not on the grid of 2^16: take one of the form n * 2^48 - 1`;
  }
  if (!ownsAny(state.nodes, node.tokens)) return null;
  const wanted = new Set(node.tokens);
  for (const other of state.nodes.values()) {
    if (other.state === 'left' || other.hostId === node.hostId) continue;
    const clash = other.tokens.find((token) => wanted.has(token));
    if (clash !== undefined) {
      return `the token ${clash} belongs to the node ${other.hostId} at ${other.address}`;
    }
  }
  return null;
}

function refusalOfUpdate(state: ClusterState, node: NodeInfo): string | null {
  const known = state.nodes.get(node.hostId);
  if (known === undefined) return `the node ${node.hostId} is not a member`;
  if (known.state === 'left') {
    return node.state === 'left' ? null : `the node ${node.hostId} has left the cluster for good`;
  }
  if (known.state === 'normal' && node.state === 'joining') {
    return `the node ${node.hostId} has joined already`;
  }
  if (node.state !== 'left' && !isSameTokens(known.tokens, node.tokens)) {
    return `the tokens of the node ${node.hostId} cannot be changed`;
  }
  if (known.datacenter !== node.datacenter || known.rack !== node.rack) {
    return `the node ${node.hostId} is in ${known.datacenter}/${known.rack}, which cannot be changed: data would not be where it is looked for`;
  }
  return null;
}
