/** The cluster as requests see it now: its ring, its keyspaces, and how each is replicated. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { type Replication, Ring, type RingState } from '../cluster/ring.ts';
import { invalidRequest } from '../common/errors.ts';
import { EMPTY_SCHEMA, type Schema, type TableDef } from '../schema/schema.ts';
import type { CoordinatorDeps } from './ports.ts';
import { Replicated } from './replicated.ts';

export class Topology {
  private readonly self: CoordinatorDeps['self'];
  private ring = new Ring({ nodes: new Map() });
  private schema: Schema = EMPTY_SCHEMA;
  private byReplication = new WeakMap<Replication, Replicated>();
  nodes: ReadonlyMap<string, NodeInfo> = new Map();
  /** This node is the only one of the ring, and nobody is about to be in it. */
  isAlone = false;
  /** Grows with every change. */
  version = 0;

  constructor(self: CoordinatorDeps['self']) {
    this.self = self;
  }

  setNodes(state: RingState): void {
    this.version++;
    this.nodes = state.nodes;
    this.ring = new Ring(state);
    this.byReplication = new WeakMap();
    const [first, ...others] = this.ring.nodes;
    const isOnly = first?.hostId === this.self.hostId && others.length === 0;
    this.isAlone = isOnly && (state.operations ?? []).length === 0;
  }

  setSchema(schema: Schema): void {
    if (schema !== this.schema) this.version++;
    this.schema = schema;
  }

  replicated(replication: Replication): Replicated {
    let replicated = this.byReplication.get(replication);
    if (replicated === undefined) {
      const placement = this.ring.placement(replication);
      const writes = this.ring.writes(replication);
      replicated = new Replicated(replication, placement, this.self.datacenter, writes);
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

  /** Members of the ring of one datacenter. */
  ringNodes(datacenter: string): readonly NodeInfo[] {
    return this.ring.nodes.filter((node) => node.datacenter === datacenter);
  }

  /** The node with this id as the ring knows it, whatever its state. */
  node(hostId: string): NodeInfo | undefined {
    return this.nodes.get(hostId);
  }
}
