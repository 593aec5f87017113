/** Where requests go: this node's store as long as it is the only one of the ring, else its coordinator. @hot */
import type { ClusterState } from '../cluster/cluster-state.ts';
import type { CqlError } from '../common/errors.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import {
  checkConditionalLevels,
  checkCounterLevel,
  checkReadLevel,
  checkWriteLevel,
} from '../coordinator/levels.ts';
import type { Replicated } from '../coordinator/replicated.ts';
import { Topology } from '../coordinator/topology.ts';
import type { DataPath } from '../query/data-path.ts';
import type { ModificationPlan } from '../query/modify.ts';
import type { Schema, TableDef } from '../schema/schema.ts';
import type { LocalStore } from '../storage/local-store.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';

/** The levels of a request, by number. */
export interface RequestedLevels {
  readonly consistency: number;
  readonly serialConsistency: number;
}

export interface DataPathsDeps {
  readonly store: LocalStore;
  readonly datacenter: string;
  /** Without one the node is alone, and no ring is known. */
  readonly coordinator?: Coordinator;
}

const HOST_ID = '00000000-0000-0000-0000-000000000000';

/** A ring of one node. */
function loneState(datacenter: string): Pick<ClusterState, 'nodes'> {
  const node = {
    hostId: HOST_ID,
    address: '127.0.0.1',
    controlPort: 0,
    dataPort: 0,
    datacenter,
    rack: 'rack1',
    rpcAddress: '127.0.0.1',
    rpcPort: 0,
    tokens: [2n ** 63n - 1n],
    state: 'normal' as const,
    releaseVersion: '',
  };
  return { nodes: new Map([[HOST_ID, node]]) };
}

function loneTopology(datacenter: string): Topology {
  const topology = new Topology({ hostId: HOST_ID, datacenter, rack: 'rack1' });
  topology.setNodes(loneState(datacenter));
  return topology;
}

export class DataPaths {
  readonly coordinator: Coordinator | null;
  private readonly store: LocalStore;
  private readonly topology: Topology;
  private aloneInFlight = 0;
  private readonly aloneWaiting: (() => void)[] = [];

  constructor(schema: Schema, deps: DataPathsDeps) {
    this.store = deps.store;
    this.coordinator = deps.coordinator ?? null;
    this.topology = deps.coordinator?.topology ?? loneTopology(deps.datacenter);
    this.setSchema(schema);
  }

  setSchema(schema: Schema): void {
    if (this.coordinator === null) this.topology.setSchema(schema);
    else this.coordinator.setSchema(schema);
  }

  /** Grows whenever what `replicatedOf` says may be different. */
  get version(): number {
    return this.topology.version;
  }

  /** @throws CqlError Invalid: the keyspace has been dropped */
  replicatedOf(table: Pick<TableDef, 'keyspace'>): Replicated {
    return this.topology.replicatedOf(table);
  }

  /** This node is the only one of the ring. */
  get isAlone(): boolean {
    return this.topology.isAlone;
  }

  /** Nothing of such a keyspace is anywhere else. */
  isHere(replicated: Replicated): boolean {
    return this.topology.isAlone || !replicated.isReplicated;
  }

  /** @returns Unavailable if a level asks for more than this node, or null */
  private refusedHere(level: number, replicated: Replicated): CqlError | null {
    if (!this.isHere(replicated)) return null;
    return replicated.refusal(level, replicated.placement.ofBucket(0));
  }

  /** @returns why nothing can be read at this level, as far as can be told before, or null */
  checkRead(level: number, replicated: Replicated): CqlError | null {
    return checkReadLevel(level) ?? this.refusedHere(level, replicated);
  }

  /** @returns why a modification cannot be served at the request's levels, as far as can be told before, or null */
  checkModification(
    plan: ModificationPlan,
    { consistency, serialConsistency }: RequestedLevels,
    replicated: Replicated,
  ): CqlError | null {
    if (plan.conditions !== null) {
      return (
        checkConditionalLevels(consistency, serialConsistency, replicated.isNetworkTopology) ??
        this.refusedHere(serialConsistency, replicated) ??
        this.refusedHere(consistency, replicated)
      );
    }
    const refused = plan.isCounter
      ? checkCounterLevel(consistency, plan.table.name)
      : checkWriteLevel(consistency);
    return refused ?? this.refusedHere(consistency, replicated);
  }

  /** Where a request reads rows; not at a serial level. */
  source(replicated: Replicated, level: number): RecordSource {
    return this.isHere(replicated) || this.coordinator === null
      ? this.store
      : this.coordinator.source(level);
  }

  /** After this, reads at `quorumOf(level)` see every conditional write that was answered before. @throws CqlError */
  async settle(
    handle: TableHandle,
    replicated: Replicated,
    partition: Uint8Array,
    level: number,
  ): Promise<void> {
    if (this.isHere(replicated)) return;
    await this.coordinator?.settle(handle, partition, level);
  }

  /** Where a request writes; null: to this node alone. */
  private path(levels: RequestedLevels): DataPath | null {
    return this.topology.isAlone ? null : (this.coordinator?.path(levels) ?? null);
  }

  /**
   * Runs a modification by its path. Those that run without one are counted: they go on without the ring when there is one.
   */
  async modify<T>(levels: RequestedLevels, run: (path: DataPath | null) => Promise<T>): Promise<T> {
    const path = this.path(levels);
    if (path !== null || this.coordinator === null) return run(path);
    this.aloneInFlight++;
    try {
      return await run(null);
    } finally {
      this.aloneInFlight--;
      if (this.aloneInFlight === 0) {
        for (const resolve of this.aloneWaiting.splice(0)) resolve();
      }
    }
  }

  /** Resolves when no modification goes on that began while this node was alone. To be asked when it is not any more. */
  leftAlone(): Promise<void> {
    if (this.aloneInFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.aloneWaiting.push(resolve);
    });
  }
}
