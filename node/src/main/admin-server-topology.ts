/** What an operator can ask of the ring: who moves what, how far it is, that a node leaves, that a change is undone. */
import type { ClusterState, NodeInfo, TopologyOperation } from '../cluster/cluster-state.ts';
import { refusalOfStopping } from '../cluster/disruption.ts';
import { GRID_BUCKETS, gridToken } from '../cluster/grid.ts';
import { MetadataError } from '../cluster/metadata-errors.ts';
import { gainersOf, operationOfNode } from '../cluster/operations.ts';
import { TopologyRefusedError } from '../cluster/topology-requests.ts';
import { request, Verb } from '../internode/links.ts';
import type { DataMovements } from '../streaming/data-movements.ts';
import { decodeProgress, type MovementProgress } from '../streaming/movement-progress.ts';
import { StreamError } from '../streaming/ports.ts';
import { REBUILD } from '../streaming/rebuild.ts';
import {
  AdminError,
  type DisruptionReply,
  type MoveTokensRequest,
  type OperationGainer,
  type OperationInfo,
  type OperationList,
  type RebuildNodeRequest,
  type RemoveNodeRequest,
} from './admin-messages.ts';
import type { ControlPlane } from './control-plane.ts';

const PROGRESS_MILLIS = 2_000;
/** An operation waits so long for others that move the same ranges. */
const WAIT_MILLIS = 60 * 60_000;

const NO_LEADER =
  'the leader of the metadata log, which drives it, does not answer: more than half of those who vote have to be up';

/** What it asks of the part of a node that agrees with the others. */
export type TopologyControl = Pick<
  ControlPlane,
  'current' | 'alive' | 'agree' | 'waits' | 'requests' | 'propose' | 'links'
>;

export interface TopologyAdminDeps {
  readonly hostId: string;
  /** Null: the node is alone. */
  readonly control: TopologyControl | null;
  readonly movements: DataMovements | null;
}

export class TopologyAdmin {
  private readonly deps: TopologyAdminDeps;

  constructor(deps: TopologyAdminDeps) {
    this.deps = deps;
  }

  private cluster(): { readonly control: TopologyControl; readonly movements: DataMovements } {
    const { control, movements } = this.deps;
    if (control === null || movements === null) {
      throw new AdminError(
        'FAILED_PRECONDITION',
        'this node is alone: set listen_address to make it one of a cluster',
      );
    }
    return { control, movements };
  }

  async list(): Promise<OperationList> {
    const { control, movements } = this.deps;
    if (control === null || movements === null) return { operations: [], streamBytesPerSecond: 0 };
    const state = control.current();
    const waits = state.operations.length === 0 ? new Map<string, string>() : await control.waits();
    const operations = await Promise.all(
      state.operations.map(async (operation) => ({
        ...(await this.describe(state, operation)),
        waits: waits?.get(operation.id) ?? (waits === null ? NO_LEADER : ''),
      })),
    );
    const { nodes } = state;
    const self = nodes.get(this.deps.hostId);
    const rebuilds = movements.progress().filter(({ operation }) => operation.startsWith(REBUILD));
    const own = rebuilds.map((progress): OperationInfo => {
      const { hostId } = this.deps;
      const address = addressOf(self);
      const gainers = [{ hostId, address, done: false, ...shown(progress) }];
      const place = { id: progress.operation, kind: 'rebuild', hostId, address, replaces: '' };
      return { ...place, phase: 'streaming', gainers, waits: '' };
    });
    return {
      operations: [...operations, ...own],
      streamBytesPerSecond: movements.throttle.limit,
    };
  }

  private async describe(
    state: ClusterState,
    operation: TopologyOperation,
  ): Promise<Omit<OperationInfo, 'waits'>> {
    const { id, kind, hostId, replaces, phase } = operation;
    const gainers = [...gainersOf(state, operation)].flatMap((one) => state.nodes.get(one) ?? []);
    return {
      id,
      kind,
      hostId,
      address: addressOf(state.nodes.get(hostId)),
      replaces: replaces ?? '',
      phase,
      gainers: await Promise.all(gainers.map((node) => this.gainer(operation, node))),
    };
  }

  private async gainer(operation: TopologyOperation, node: NodeInfo): Promise<OperationGainer> {
    const all = await this.progressOf(node);
    const progress = all.find((one) => one.operation === operation.id);
    return {
      hostId: node.hostId,
      address: addressOf(node),
      done: operation.done.includes(node.hostId),
      ...shown(progress),
    };
  }

  private async progressOf(node: NodeInfo): Promise<readonly MovementProgress[]> {
    const { control, movements } = this.cluster();
    if (node.hostId === this.deps.hostId) return movements.progress();
    try {
      const body = new Uint8Array(0);
      const { links } = control;
      return decodeProgress(await request(links, node, Verb.StreamProgress, body, PROGRESS_MILLIS));
    } catch {
      // It is down, or busy: what it does is not known.
      return [];
    }
  }

  /** Resolves when this node knows all that was agreed before the call. @throws AdminError UNAVAILABLE */
  async agree(): Promise<void> {
    const { control } = this.deps;
    // A node that is alone agrees with itself.
    if (control !== null) await explained(() => control.agree());
  }

  /** Whether these nodes may stop at the same time. @throws AdminError NOT_FOUND */
  checkDisruption(hostIds: readonly string[]): DisruptionReply {
    const { control } = this.cluster();
    const state = control.current();
    const unknown = hostIds.find((hostId) => !state.nodes.has(hostId));
    if (unknown !== undefined) throw new AdminError('NOT_FOUND', `there is no node ${unknown}`);
    const alive = control.alive();
    const reason = refusalOfStopping({ state, isAlive: (id) => alive.has(id) }, hostIds);
    return { allowed: reason === null, reason: reason ?? '' };
  }

  /** @returns the id of the operation; empty: there was nothing to move @throws AdminError */
  async remove({ hostId: given, dead, atOnce }: RemoveNodeRequest): Promise<string> {
    const { control } = this.cluster();
    const hostId = given === '' ? this.deps.hostId : given;
    const state = control.current();
    const node = state.nodes.get(hostId);
    if (node === undefined) {
      throw new AdminError('NOT_FOUND', `there is no node ${hostId}: \`ilion status\` lists them`);
    }
    if (node.state === 'joining' && operationOfNode(state, hostId) === null) {
      await this.dismiss(node);
      return '';
    }
    const waitMillis = atOnce === true ? 0 : WAIT_MILLIS;
    return explained(() => control.requests.leave({ hostId, dead }, waitMillis));
  }

  /** It owns nothing, and nothing is on its way to it. */
  private async dismiss({ replaces: _, ...node }: NodeInfo): Promise<void> {
    const { control } = this.cluster();
    const left: NodeInfo = { ...node, tokens: [], state: 'left' };
    const { reason } = await explained(() => control.propose({ kind: 'update-node', node: left }));
    if (reason !== null) throw new AdminError('ABORTED', reason);
  }

  /** @throws AdminError */
  async cancel(id: string): Promise<void> {
    const { control } = this.cluster();
    await explained(() => control.requests.cancel(id, 'an operator cancelled it'));
  }

  /** @returns the id of the operation @throws AdminError */
  async move({ hostId, buckets }: MoveTokensRequest): Promise<string> {
    const { control } = this.cluster();
    if (!control.current().nodes.has(hostId)) {
      throw new AdminError('NOT_FOUND', `there is no node ${hostId}: \`ilion status\` lists them`);
    }
    const sorted = [...new Set(buckets)].sort((a, b) => a - b);
    if (
      sorted.length === 0 ||
      sorted.length !== buckets.length ||
      sorted[sorted.length - 1] >= GRID_BUCKETS
    ) {
      throw new AdminError(
        'INVALID_ARGUMENT',
        `there must be a token at least, each once, in buckets 0 to ${GRID_BUCKETS - 1}`,
      );
    }
    const tokens = sorted.map(gridToken);
    return explained(() => control.requests.move({ hostId, tokens }, WAIT_MILLIS));
  }

  /** @returns bytes that were moved @throws AdminError */
  async rebuild({ datacenter, keyspace }: RebuildNodeRequest): Promise<number> {
    const { control, movements } = this.cluster();
    const { nodes } = control.current();
    const known = [...nodes.values()].some((node) => node.datacenter === datacenter);
    if (!known) throw new AdminError('NOT_FOUND', `there is no datacenter '${datacenter}'`);
    const only = keyspace === '' ? null : keyspace;
    const { bytesDone } = await explained(() => movements.rebuild({ datacenter, keyspace: only }));
    return bytesDone;
  }
}

/** All 0: nothing is known. */
function shown(
  progress: MovementProgress | undefined,
): Omit<OperationGainer, 'hostId' | 'address' | 'done'> {
  return {
    bytesDone: progress?.bytesDone ?? 0,
    bytesTotal: progress?.bytesTotal ?? 0,
    filesDone: progress?.filesDone ?? 0,
    filesTotal: progress?.filesTotal ?? 0,
    rangesDone: progress?.rangesDone ?? 0,
    rangesTotal: progress?.rangesTotal ?? 0,
    wholeBytes: progress?.wholeBytes ?? 0,
    seconds: progress?.seconds ?? 0,
    problem: progress?.problem ?? '',
  };
}

/** Refusals as an operator should read them. */
async function explained<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof TopologyRefusedError && error.code === 'WAIT') {
      throw new AdminError('ABORTED', error.message, { cause: error });
    }
    if (error instanceof TopologyRefusedError) {
      throw new AdminError('FAILED_PRECONDITION', error.message, { cause: error });
    }
    if (error instanceof StreamError) {
      const code = error.code === 'NO_SPACE' ? 'RESOURCE_EXHAUSTED' : 'FAILED_PRECONDITION';
      throw new AdminError(error.code === 'CANCELLED' ? 'UNAVAILABLE' : code, error.message, {
        cause: error,
      });
    }
    if (error instanceof MetadataError) {
      throw new AdminError('UNAVAILABLE', error.message, { cause: error });
    }
    throw error;
  }
}

function addressOf(node: NodeInfo | undefined): string {
  return node === undefined ? '' : `${node.address}:${node.controlPort}`;
}
