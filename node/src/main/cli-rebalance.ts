/** `ilion rebalance`: plans which tokens move, in this process, and has the nodes move them, one node after another. */
import type { ClusterState, NodeState } from '../cluster/cluster-state.ts';
import { bucketOfToken, gridToken } from '../cluster/grid.ts';
import { planRebalance, type RebalancePlan } from '../cluster/rebalance.ts';
import { bucketsOfCells, nodeOnRing } from '../cluster/ring-bytes.ts';
import { type Admin, AdminError, type RingBytes } from './admin-messages.ts';
import { showTable } from './cli-report.ts';

const WATCH_MILLIS = 500;
const STATES: readonly NodeState[] = ['joining', 'normal', 'leaving', 'left'];

export interface RebalanceRequest {
  /** Null: that of the node that is asked. */
  readonly datacenter: string | null;
  readonly isDryRun: boolean;
  /** Something for people to read meanwhile. */
  tell(line: string): void;
}

export interface Rebalanced {
  readonly datacenter: string;
  /** Nodes with other tokens, in the order in which they got them. */
  readonly moves: readonly {
    readonly hostId: string;
    readonly address: string;
    readonly tokens: readonly string[];
    /** Empty: it was only planned. */
    readonly operation: string;
  }[];
  readonly movedTokens: number;
  /** Of the node that is off most, in parts of the mean. */
  readonly deviationBefore: number;
  /** As it was planned. */
  readonly deviationAfter: number;
  /** Nodes that did not say what they have: the others' copies count for them. */
  readonly silent: readonly string[];
  /** Nodes whose move was undone: they have the tokens that they had. */
  readonly undone: readonly string[];
}

function stateOf({ nodes }: RingBytes): Pick<ClusterState, 'nodes' | 'operations'> {
  const all = nodes.map(({ hostId, datacenter, rack, state: name, buckets }) => {
    const state = STATES.find((one) => one === name);
    if (state === undefined) {
      throw new AdminError('INTERNAL', `the node ${hostId} is '${name}': it is of another version`);
    }
    return nodeOnRing({ hostId, datacenter, rack, state, tokens: buckets.map(gridToken) });
  });
  return { nodes: new Map(all.map((node) => [node.hostId, node])), operations: [] };
}

function planOf(ring: RingBytes, datacenter: string): RebalancePlan {
  const loads = ring.loads.map(({ replication, cells }) => ({
    replication,
    bytes: bucketsOfCells(cells),
  }));
  return planRebalance(stateOf(ring), loads, { datacenter });
}

/** @throws AdminError FAILED_PRECONDITION: something moves already, or there is no such datacenter */
export async function rebalance(
  admin: Pick<Admin, 'status' | 'ringBytes' | 'moveTokens' | 'operations'>,
  { datacenter: given, isDryRun, tell }: RebalanceRequest,
): Promise<Rebalanced> {
  const datacenter = given ?? (await admin.status()).datacenter;
  const ring = await admin.ringBytes();
  if (!ring.nodes.some((node) => node.datacenter === datacenter)) {
    throw new AdminError('NOT_FOUND', `there is no datacenter '${datacenter}'`);
  }
  const [busy] = ring.operations;
  if (busy !== undefined) {
    throw new AdminError(
      'FAILED_PRECONDITION',
      `operation ${busy} is in progress: wait until nothing moves (\`ilion operations\`)`,
    );
  }
  const plan = planOf(ring, datacenter);
  const planned = new Map<string, string>();
  const addresses = new Map(ring.nodes.map(({ hostId, address }) => [hostId, address]));
  const moves: Rebalanced['moves'][number][] = [];
  for (const { hostId, tokens } of plan.moves) {
    const address = addresses.get(hostId) ?? '';
    let operation = '';
    if (!isDryRun) {
      tell(`${address} takes other tokens (${moves.length + 1} of ${plan.moves.length})`);
      const buckets = tokens.map(bucketOfToken);
      planned.set(hostId, buckets.join());
      operation = await admin.moveTokens({ hostId, buckets });
      await over(admin, operation);
    }
    moves.push({ hostId, address, tokens: tokens.map(String), operation });
  }
  return {
    ...{ datacenter, moves },
    movedTokens: plan.movedCount,
    deviationBefore: plan.deviationBefore,
    deviationAfter: plan.deviationAfter,
    undone: planned.size === 0 ? [] : undoneOf(await admin.ringBytes(), planned),
    silent: ring.nodes.flatMap(({ address, answered }) => (answered ? [] : [address])),
  };
}

/** @param planned buckets, by host id */
function undoneOf({ nodes }: RingBytes, planned: ReadonlyMap<string, string>): string[] {
  return nodes.flatMap(({ hostId, address, buckets }) => {
    const wanted = planned.get(hostId);
    return wanted === undefined || wanted === buckets.join() ? [] : [address];
  });
}

async function over(admin: Pick<Admin, 'operations'>, id: string): Promise<void> {
  for (;;) {
    const { operations } = await admin.operations();
    if (!operations.some((one) => one.id === id)) return;
    await new Promise((resolve) => setTimeout(resolve, WATCH_MILLIS));
  }
}

/** @param isDryRun nothing was moved */
export function showRebalanced(result: Rebalanced, isDryRun: boolean): string {
  const percent = (part: number) => `${(part * 100).toFixed(1)} %`;
  const { datacenter, moves, movedTokens, deviationBefore, deviationAfter } = result;
  const { silent, undone } = result;
  const lines = [
    `Nodes of ${datacenter} are off their mean by ${percent(deviationBefore)} at most.`,
  ];
  if (silent.length > 0) {
    lines.push(
      `These did not say what they have, others' copies count for them: ${silent.join(', ')}`,
    );
  }
  if (moves.length === 0) {
    lines.push('No move of tokens would make it better.');
    return lines.join('\n');
  }
  const verb = isDryRun ? 'would take' : 'took';
  lines.push(
    `${moves.length} nodes ${verb} other tokens, ${movedTokens} tokens in all; then ${percent(deviationAfter)}.`,
    showTable(
      moves.map(({ address, hostId, tokens }) => [address, hostId, `${tokens.length} tokens`]),
    ),
  );
  if (undone.length > 0) {
    lines.push(`These were undone meanwhile, run it again: ${undone.join(', ')}`);
  }
  return lines.join('\n');
}
