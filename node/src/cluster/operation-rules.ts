/** What must be so for a topology change to begin: pure, and the same on every node. */
import type { ClusterState, NodeInfo, OperationPlan } from './cluster-state.ts';
import { isGridToken } from './grid.ts';
import { ownsAny } from './node-map.ts';
import { isIndependent } from './operation-overlap.ts';
import { isReplicated, type Replication, replicationFactors } from './ring.ts';

export const OPERATIONS_MAX = 16;
/** Who owns what is agreed on even if nothing is kept yet. */
const PRIMARY: Replication = { class: 'SimpleStrategy', replication_factor: '1' };

export interface OperationRefusal {
  /**
   * STALE: planned on another topology; plan again. WAIT: once others have ended it may begin. DOWN: once nodes are up, or
   * down, it may. INVALID: not as things are. The reason says what to do.
   */
  readonly code: 'STALE' | 'WAIT' | 'DOWN' | 'INVALID';
  readonly reason: string;
}

const invalid = (reason: string): OperationRefusal => ({ code: 'INVALID', reason });
const wait = (reason: string): OperationRefusal => ({ code: 'WAIT', reason });

/** For people: 'the join of the node …'. */
export function describeOperation({
  kind,
  hostId,
  replaces,
}: Omit<OperationPlan, 'tokens'>): string {
  const place = replaces === null ? '' : ` in the place of ${replaces}`;
  return `the ${kind} of the node ${hostId}${place}`;
}

/** One of each kind that user keyspaces have. */
export function replicationsOf({ keyspaces }: ClusterState['schema']): readonly Replication[] {
  const distinct = new Map<string, Replication>();
  for (const { replication } of keyspaces) {
    if (isReplicated(replication)) distinct.set(replicationName(replication), replication);
  }
  return [...distinct.values()];
}

/** The same for replications that are the same. */
export function replicationName(replication: Replication): string {
  return JSON.stringify(Object.entries(replication).sort());
}

/** @param state of which the topology is still that one @returns null: it can begin now */
export function refusalOfBegin(
  state: ClusterState,
  plan: OperationPlan,
  base: number,
): OperationRefusal | null {
  const { operations } = state;
  if (operations.some(({ id }) => id === plan.id)) {
    return invalid(`there is an operation ${plan.id} already: take another id`);
  }
  if (base !== state.topologyEpoch) {
    return {
      code: 'STALE',
      reason: `it was planned when the topology was that of entry ${base}, and now it is that of entry ${state.topologyEpoch}: plan it again`,
    };
  }
  const busy = operations.find((operation) => concernsNode(operation, plan));
  if (busy !== undefined) return wait(`${describeOperation(busy)} has to end first`);
  const refused = refusalOfPlan(state, plan);
  if (refused !== null) return invalid(refused);
  if (operations.length >= OPERATIONS_MAX) {
    return wait(`${operations.length} operations are in progress: one of them has to end first`);
  }
  const replications = [PRIMARY, ...replicationsOf(state.schema)];
  const isApart = (others: ClusterState['operations']) =>
    isIndependent(state, plan, others, replications);
  if (isApart(operations)) return null;
  const others = operations.filter((operation) => !isApart([operation]));
  const what = others.length > 0 ? others : operations;
  return wait(`it is about the same ranges as ${what.map(describeOperation).join(' and ')}`);
}

type Concerned = Pick<OperationPlan, 'hostId' | 'replaces'>;

function concernsNode(a: Concerned, b: Concerned): boolean {
  const nodes = [a.hostId, a.replaces];
  return nodes.includes(b.hostId) || (b.replaces !== null && nodes.includes(b.replaces));
}

function refusalOfPlan(state: ClusterState, plan: OperationPlan): string | null {
  const { kind, hostId, replaces, tokens } = plan;
  const node = state.nodes.get(hostId);
  if (node === undefined) return `the node ${hostId} is not a member`;
  const isNew = kind === 'join' || kind === 'replace';
  const wanted = isNew ? 'joining' : 'normal';
  if (node.state !== wanted) {
    return `the node ${hostId} is ${node.state}: a ${kind} is for a node that is ${wanted}`;
  }
  if ((kind === 'replace') !== (replaces !== null) || (node.replaces ?? null) !== replaces) {
    return `the node ${hostId} is not to replace ${replaces ?? 'nothing'}`;
  }
  switch (kind) {
    case 'join':
      return isSameTokens(tokens, node.tokens)
        ? refusalOfTokens(state, node)
        : `the tokens are not those with which the node ${hostId} was taken in`;
    case 'replace':
      return refusalOfReplace(state, node) ?? refusalOfTakenTokens(state, plan);
    case 'leave':
      return tokens.length === 0 ? refusalOfLeave(state, node) : 'who leaves has no tokens';
    case 'move':
      return isSameTokens(tokens, node.tokens)
        ? `the node ${hostId} has these tokens already`
        : refusalOfTokens(state, { hostId, tokens });
  }
}

/** Whether both are the same, in the same order. */
export function isSameTokens(a: readonly bigint[], b: readonly bigint[]): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}

/** Why a node cannot have these tokens; null: it can. */
export function refusalOfTokens(
  { nodes, operations }: Pick<ClusterState, 'nodes' | 'operations'>,
  { hostId, tokens }: Pick<NodeInfo, 'hostId' | 'tokens'>,
): string | null {
  if (tokens.length === 0) return 'the node has no tokens';
  const ascending = tokens.every((token, i) => i === 0 || tokens[i - 1] < token);
  if (!ascending) return 'the tokens of the node are not in ascending order';
  const astray = tokens.find((token) => !isGridToken(token));
  if (astray !== undefined) {
    return `the token ${astray} is not on the grid of 2^16: take one of the form n * 2^48 - 1`;
  }
  const wanted = new Set(tokens);
  const moving = operations.filter((operation) => operation.hostId !== hostId);
  for (const operation of moving) {
    const clash = operation.tokens.find((token) => wanted.has(token));
    if (clash !== undefined)
      return `the token ${clash} is taken by ${describeOperation(operation)}`;
  }
  if (!ownsAny(nodes, tokens)) return null;
  for (const other of nodes.values()) {
    if (other.state === 'left' || other.hostId === hostId) continue;
    const clash = other.tokens.find((token) => wanted.has(token));
    if (clash !== undefined) {
      return `the token ${clash} belongs to the node ${other.hostId} at ${other.address}`;
    }
  }
  return null;
}

/** Why a node cannot take the place of another; null: it can, if that one is dead. @param node with `replaces` */
export function refusalOfReplace(
  { nodes }: Pick<ClusterState, 'nodes'>,
  { hostId, datacenter, rack, replaces = '', tokens }: NodeInfo,
): string | null {
  const dead = nodes.get(replaces);
  if (dead === undefined || replaces === hostId) {
    return `the node ${replaces}, which is to be replaced, is not another member: give the host id of one`;
  }
  if (dead.state === 'left' || dead.state === 'joining') {
    return `the node ${replaces}, which is to be replaced, is ${dead.state} and owns nothing: join without replacing it`;
  }
  if (dead.datacenter !== datacenter || dead.rack !== rack) {
    return `the node ${replaces} is in ${dead.datacenter}/${dead.rack}: who replaces it has to be there too, not in ${datacenter}/${rack}`;
  }
  if (tokens.length > 0) return 'who replaces a node takes the tokens of that one: give none';
  for (const other of nodes.values()) {
    if (other.replaces === replaces && other.hostId !== hostId && other.state === 'joining') {
      return `the node ${other.hostId} at ${other.address} replaces ${replaces} already`;
    }
  }
  return null;
}

function refusalOfTakenTokens({ nodes }: ClusterState, plan: OperationPlan): string | null {
  const dead = nodes.get(plan.replaces ?? '');
  if (dead !== undefined && isSameTokens(dead.tokens, plan.tokens)) return null;
  return `the tokens are not those of the node ${plan.replaces}`;
}

/** Those that own something whichever operations are carried out and whichever are not. */
function stayingNodes({ nodes, operations }: ClusterState, leaving: string): readonly NodeInfo[] {
  const goes = ({ hostId, state }: NodeInfo) =>
    hostId === leaving ||
    state === 'joining' ||
    state === 'left' ||
    operations.some((operation) => operation.kind === 'leave' && operation.hostId === hostId);
  return [...nodes.values()].filter((node) => !goes(node));
}

function refusalOfLeave(state: ClusterState, { hostId, datacenter }: NodeInfo): string | null {
  const staying = stayingNodes(state, hostId);
  if (staying.length === 0) return `the node ${hostId} is the last one of the cluster`;
  const neighbours = staying.filter((node) => node.datacenter === datacenter);
  for (const { name, replication } of state.schema.keyspaces) {
    const factors = replicationFactors(replication);
    const local = factors.get(datacenter) ?? 0;
    if (local > 0 && neighbours.length === 0) {
      return `the node ${hostId} is the last one of ${datacenter}, and the keyspace ${name} has ${local} replicas there: alter the keyspace to have none there first`;
    }
    if (neighbours.length < local) {
      return `the keyspace ${name} has ${local} replicas in ${datacenter}, and there would be only ${neighbours.length} nodes left: add a node first, or alter the keyspace to have fewer`;
    }
    const anywhere = factors.get(null) ?? 0;
    if (staying.length < anywhere) {
      return `the keyspace ${name} has ${anywhere} replicas, and there would be only ${staying.length} nodes left: add a node first, or alter the keyspace to have fewer`;
    }
  }
  return null;
}
