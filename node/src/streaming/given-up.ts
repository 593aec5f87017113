/** Clears what a node has given up to others. */
import { isDeepStrictEqual } from 'node:util';
import type { ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { Ring } from '../cluster/ring.ts';
import { familyName, type Schema, type TableDef } from '../schema/schema.ts';
import type { KvStore } from '../storage/kv.ts';
import { keysOf, normalized } from './file-plan.ts';
import type { BucketRange, StreamClock, StreamStores } from './ports.ts';

/** What was given up is kept for so long: reads that began before go on. */
const KEEP_MILLIS = 10_000;
const LAST_KEY = Buffer.alloc(64, 0xff);

type Fields = Readonly<Record<string, unknown>>;

export interface GivenUpDeps {
  readonly hostId: string;
  readonly stores: StreamStores;
  readonly clock: StreamClock;
  readonly logger: {
    debug(message: string, fields: Fields): void;
    error(message: string, fields: Fields): void;
  };
  /** As the log has it now. */
  state(): ClusterState;
  /** User keyspaces as the workers have them. */
  schema(): Schema;
}

export class GivenUp {
  private readonly deps: GivenUpDeps;
  private clearing: Promise<void> = Promise.resolve();
  /** The range that is being cleared, or was last. */
  private step: Promise<void> = Promise.resolve();
  private endKeeping = (): void => {};
  private isStopped = false;

  constructor(deps: GivenUpDeps) {
    this.deps = deps;
  }

  /** Begins to clear, in a while, what this node does not own (any more), unless something moves again until then. */
  clear(): void {
    this.clearing = this.clearing
      .then(() => this.clearAll())
      .catch((error: unknown) =>
        this.deps.logger.error('what was given up cannot be cleared', { error }),
      );
  }

  /** Resolves when no range is being cleared. */
  async stepped(): Promise<void> {
    await this.step.catch(() => {});
  }

  stop(): void {
    this.isStopped = true;
    this.endKeeping();
  }

  private keep(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.deps.clock.after(KEEP_MILLIS, resolve);
      this.endKeeping = () => {
        cancel();
        resolve();
      };
    });
  }

  private async clearAll(): Promise<void> {
    await this.keep();
    if (this.isStopped) return;
    const state = this.deps.state();
    for (const keyspace of this.deps.schema().keyspaces.values()) {
      const { name, replication, tables } = keyspace;
      const ranges = this.notOwned(state, replication);
      if (ranges.length === 0) continue;
      // By what has begun meanwhile, or by more replicas, a range may be this node's again.
      const isStill = () =>
        this.deps.state().topologyEpoch === state.topologyEpoch &&
        isDeepStrictEqual(this.deps.schema().keyspaces.get(name)?.replication, replication);
      for (const table of tables.values()) await this.clearTable(table, ranges, isStill);
    }
  }

  /** Buckets that this node neither reads nor writes. */
  private notOwned(
    state: ClusterState,
    replication: Readonly<Record<string, string>>,
  ): readonly BucketRange[] {
    const ring = new Ring(state);
    const isOwn = (replicas: readonly NodeInfo[]) =>
      replicas.some(({ hostId }) => hostId === this.deps.hostId);
    return normalized(
      ring
        .writes(replication)
        .ranges()
        .filter(({ replicas }) => !isOwn(replicas)),
    );
  }

  private async clearTable(
    table: TableDef,
    ranges: readonly BucketRange[],
    isStill: () => boolean,
  ): Promise<void> {
    const { stores, logger } = this.deps;
    const perShard = 0x10000 / stores.count;
    for (let shard = 0; shard < stores.count; shard++) {
      const store = stores.store(shard);
      const family = store.families().get(familyName(table));
      if (family === undefined) continue;
      for (const range of ranges) {
        const first = Math.max(range.first, shard * perShard);
        const last = Math.min(range.last, (shard + 1) * perShard - 1);
        if (first > last) continue;
        const { lower, upper } = keysOf({ first, last });
        if (await isEmpty(store, family, lower, upper)) continue;
        if (this.isStopped || !isStill()) return;
        this.step = store.clearRange(family, lower, upper ?? LAST_KEY);
        await this.step;
        logger.debug('cleared a range that was given up', {
          table: `${table.keyspace}.${table.name}`,
          first,
          last,
        });
      }
    }
  }
}

async function isEmpty(
  store: KvStore,
  family: number,
  lower: Uint8Array,
  upper: Uint8Array | null,
): Promise<boolean> {
  const iterator = store.iterator(family, lower, upper, { noFill: true });
  try {
    return (await iterator.nextAsync(Buffer.alloc(64), 1)) === 0;
  } finally {
    iterator.close();
  }
}
