/** How many bytes lie where on the ring: each node knows of its own files, the one that is asked puts all together. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { bucketOfToken } from '../cluster/grid.ts';
import {
  addSpans,
  bytesOfOneCopy,
  CELLS,
  type CellBytes,
  cellsOfBuckets,
  decodeCells,
  encodeCells,
  type NodeCells,
  replicationName,
} from '../cluster/ring-bytes.ts';
import { request, Verb } from '../internode/links.ts';
import { familyName, type Schema } from '../schema/schema.ts';
import type { KvStore, LiveFile } from '../storage/kv.ts';
import { bucketsOf } from '../streaming/file-plan.ts';
import { AdminError, type RingBytes } from './admin-messages.ts';
import type { ControlPlane } from './control-plane.ts';

const ASK_MILLIS = 10_000;
/** Asked at one time. */
const ASKS_MAX = 16;

export interface RingAdminDeps {
  readonly hostId: string;
  /** Null: the node is alone. */
  readonly control: ControlPlane | null;
  readonly stores: readonly KvStore[];
  /** User keyspaces. */
  schema(): Schema;
}

/** On disk; what is in memory is not in files yet. */
function ownCells(stores: readonly Pick<KvStore, 'liveFiles'>[], schema: Schema): CellBytes[] {
  const byFamily = new Map<string, LiveFile[]>();
  for (const file of stores.flatMap((store) => store.liveFiles())) {
    const files = byFamily.get(file.family);
    if (files === undefined) byFamily.set(file.family, [file]);
    else files.push(file);
  }
  const all = new Map<string, CellBytes>();
  for (const { replication, tables } of schema.keyspaces.values()) {
    const name = replicationName(replication);
    const cells = all.get(name) ?? { replication, bytes: new Float32Array(CELLS) };
    all.set(name, cells);
    for (const table of tables.values()) {
      const files = byFamily.get(familyName(table)) ?? [];
      addSpans(
        cells.bytes,
        files.map((file) => ({ ...bucketsOf(file), bytes: file.bytes })),
      );
    }
  }
  return [...all.values()];
}

export class RingAdmin {
  private readonly deps: RingAdminDeps;

  constructor(deps: RingAdminDeps) {
    this.deps = deps;
    deps.control?.links.handle(Verb.RingBytes, (_from, _body, responder) =>
      responder.answer(encodeCells(this.own())),
    );
  }

  private own(): readonly CellBytes[] {
    return ownCells(this.deps.stores, this.deps.schema());
  }

  /** @throws AdminError FAILED_PRECONDITION: the node is alone */
  async bytes(): Promise<RingBytes> {
    const { control } = this.deps;
    if (control === null) {
      throw new AdminError(
        'FAILED_PRECONDITION',
        'this node is alone: set listen_address to make it one of a cluster',
      );
    }
    const state = control.current();
    const members = [...state.nodes.values()].filter(({ state: one }) => one !== 'left');
    const answers: NodeCells[] = [];
    const next = members.values();
    const ask = async () => {
      for (const node of next) {
        const cells = await this.cellsOf(node, control);
        if (cells !== null) answers.push({ hostId: node.hostId, cells });
      }
    };
    await Promise.all(Array.from({ length: ASKS_MAX }, ask));
    const answered = new Set(answers.map(({ hostId }) => hostId));
    return {
      nodes: members.map(({ hostId, address, datacenter, rack, state: nodeState, tokens }) => ({
        ...{ hostId, address, datacenter, rack, state: nodeState },
        buckets: tokens.map(bucketOfToken),
        answered: answered.has(hostId),
      })),
      loads: bytesOfOneCopy({ nodes: state.nodes }, answers).map(({ replication, bytes }) => ({
        replication,
        cells: cellsOfBuckets(bytes),
      })),
      operations: state.operations.map(({ id }) => id),
    };
  }

  /** Null: it does not answer, or not what can be read. */
  private async cellsOf(
    node: NodeInfo,
    { links }: ControlPlane,
  ): Promise<readonly CellBytes[] | null> {
    if (node.hostId === this.deps.hostId) return this.own();
    try {
      const body = new Uint8Array(0);
      return decodeCells(await request(links, node, Verb.RingBytes, body, ASK_MILLIS));
    } catch {
      return null;
    }
  }
}
