/** The cluster as requests see it now: its ring, its keyspaces, and how each is replicated. */
import type { ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { bucketOfKey, GRID_BUCKETS } from '../cluster/grid.ts';
import { type Placement, type Replication, Ring, type RingState } from '../cluster/ring.ts';
import { invalidRequest } from '../common/errors.ts';
import { EMPTY_SCHEMA, type Schema, type TableDef } from '../schema/schema.ts';
import type { CoordinatorDeps } from './ports.ts';
import { Replicated } from './replicated.ts';

/** What a topology is made of; without an epoch there is never another one. */
export type TopologyState = RingState & Partial<Pick<ClusterState, 'topologyEpoch'>>;

/** Which of a range's owners a request goes by; `all`: by how many of each there are. */
export type Concern = 'read' | 'write' | 'all';

/** Rings before this one that are remembered. A request that goes by one from before them goes by a wrong one. */
const PAST_MAX = 64;

interface Past {
  readonly epoch: number;
  readonly ring: Ring;
}

export class Topology {
  private readonly self: CoordinatorDeps['self'];
  private ring = new Ring({ nodes: new Map() });
  private past: readonly Past[] = [];
  private schema: Schema = EMPTY_SCHEMA;
  private byReplication = new WeakMap<Replication, Replicated>();
  nodes: ReadonlyMap<string, NodeInfo> = new Map();
  /** This node is the only one of the ring, and nobody is about to be in it. */
  isAlone = false;
  /** This node owns nothing any more, or is about to: what it keeps for others is to go to those who stay. */
  isLeaving = false;
  /** Grows with every change. */
  version = 0;
  /** `ClusterState.topologyEpoch`: since when this is how the ring is. */
  epoch = 0;

  constructor(self: CoordinatorDeps['self']) {
    this.self = self;
  }

  setNodes(state: TopologyState): void {
    const { topologyEpoch = 0, operations = [] } = state;
    if (topologyEpoch !== this.epoch) {
      this.past = [...this.past, { epoch: this.epoch, ring: this.ring }].slice(-PAST_MAX);
    }
    this.epoch = topologyEpoch;
    this.version++;
    this.nodes = state.nodes;
    this.ring = new Ring(state);
    this.byReplication = new WeakMap();
    const [first, ...others] = this.ring.nodes;
    const isOnly = first?.hostId === this.self.hostId && others.length === 0;
    this.isAlone = isOnly && operations.length === 0;
    const { hostId } = this.self;
    const goes = operations.some(
      (one) => one.kind === 'leave' && one.phase === 'switched' && one.hostId === hostId,
    );
    this.isLeaving = goes || state.nodes.get(hostId)?.state === 'left';
  }

  setSchema(schema: Schema): void {
    if (schema !== this.schema) this.version++;
    this.schema = schema;
  }

  replicated(replication: Replication): Replicated {
    let replicated = this.byReplication.get(replication);
    if (replicated === undefined) {
      const { ring, epoch, self } = this;
      const placement = ring.placement(replication);
      const writes = ring.writes(replication);
      replicated = new Replicated(replication, placement, self.datacenter, writes, epoch);
      this.byReplication.set(replication, replicated);
    }
    return replicated;
  }

  /** @throws CqlError Invalid: the keyspace has been dropped */
  replicatedOf(table: Pick<TableDef, 'keyspace'>): Replicated {
    const keyspace = this.schema.keyspaces.get(table.keyspace);
    if (keyspace === undefined) throw invalidRequest(`keyspace ${table.keyspace} does not exist`);
    return this.replicated(keyspace.replication);
  }

  /**
   * Whether the owners of a key have changed between `epoch` and now, so that a request that goes by it is wrong. True as
   * well if nobody here knows how the ring was then. False for an epoch that is not over.
   * @hot if it is the epoch of now
   */
  hasMoved(
    epoch: number,
    table: Pick<TableDef, 'keyspace'>,
    key: Uint8Array,
    concern: Concern,
  ): boolean {
    if (epoch >= this.epoch) return false;
    const bucket = bucketOfKey(key);
    return this.hasAnyMoved(epoch, table, concern, () => [bucket]);
  }

  /** `hasMoved` for a run of keys, of all owners. @param lower inclusive @param upper exclusive */
  hasRunMoved(
    epoch: number,
    table: Pick<TableDef, 'keyspace'>,
    lower: Uint8Array | null,
    upper: Uint8Array | null,
  ): boolean {
    if (epoch >= this.epoch) return false;
    const first = lower === null ? 0 : bucketOfBound(lower);
    const last = upper === null ? GRID_BUCKETS - 1 : bucketOfBound(upper);
    return this.hasAnyMoved(epoch, table, 'all', (placements) => {
      const ends = placements.flatMap((one) => one.ranges().map((range) => range.last));
      return [last, ...ends.filter((end) => end >= first && end < last)];
    });
  }

  private hasAnyMoved(
    epoch: number,
    table: Pick<TableDef, 'keyspace'>,
    concern: Concern,
    bucketsOf: (placements: readonly Placement[]) => readonly number[],
  ): boolean {
    const replication = this.schema.keyspaces.get(table.keyspace)?.replication;
    if (replication === undefined || !this.replicated(replication).isReplicated) return false;
    const at = this.past.findIndex((one) => one.epoch === epoch);
    if (at < 0) return true;
    const rings = [...this.past.slice(at).map(({ ring }) => ring), this.ring];
    const differ = (placements: readonly Placement[]) =>
      bucketsOf(placements).some((bucket) => {
        const [before, ...later] = placements.map((one) => one.ofBucket(bucket));
        return later.some((nodes) => !isSameNodes(before, nodes));
      });
    const isOtherRead = () => differ(rings.map((ring) => ring.placement(replication)));
    const isOtherWrite = () => differ(rings.map((ring) => ring.writes(replication)));
    if (concern === 'read') return isOtherRead();
    return isOtherWrite() || (concern === 'all' && isOtherRead());
  }

  /** Members of the ring of one datacenter. */
  ringNodes(datacenter: string): readonly NodeInfo[] {
    return this.ring.nodes.filter((node) => node.datacenter === datacenter);
  }

  /** The node with this id as the ring knows it, whatever its state. */
  node(hostId: string): NodeInfo | undefined {
    return this.nodes.get(hostId);
  }
}

function isSameNodes(a: readonly NodeInfo[], b: readonly NodeInfo[]): boolean {
  return a.length === b.length && a.every(({ hostId }) => b.some((one) => one.hostId === hostId));
}

function bucketOfBound(bound: Uint8Array): number {
  const padded = Buffer.alloc(2);
  padded.set(bound.subarray(0, 2));
  return bucketOfKey(padded);
}
