/** What a simulated node moves when the ring changes: the real code of the main thread, and the one worker that it tells. */
import type { ClusterState } from '../cluster/cluster-state.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { isVirtual, withoutSystemKeyspaces } from '../query/virtual/definitions.ts';
import { familyName, type Schema } from '../schema/schema.ts';
import { storedTables } from '../storage/families.ts';
import type { KvEngine, KvStore } from '../storage/kv.ts';
import type { LocalStore } from '../storage/local-store.ts';
import { DataMovements } from '../streaming/data-movements.ts';
import { createRowApplier } from '../streaming/row-applier.ts';
import { TopologyPublisher } from '../streaming/topology-publisher.ts';
import type { ControlNode } from './control-node.ts';
import { createFetcher, listenForStreams } from './stream-network.ts';
import { LEARNS_SWITCH } from './watched-links.ts';
import type { NodeWorld } from './world.ts';

const DIRECTORY = 'streams';
/** Between the main thread and a worker, at most. */
const POST_MILLIS = 1;

/** The worker's parts that are told. */
export interface MovingWorker {
  readonly store: LocalStore;
  readonly coordinator: Coordinator;
  leftAlone(): Promise<void>;
}

export interface NodeMovementsDeps {
  readonly facts: NodeWorld;
  readonly control: ControlNode;
  readonly schema: Schema;
  /** Of the main thread, and its store. */
  readonly engine: KvEngine;
  readonly kv: KvStore;
  readonly asRows: boolean;
}

export class NodeMovements {
  readonly movements: DataMovements;
  readonly publisher: TopologyPublisher<{ readonly state: ClusterState }>;
  private readonly deps: NodeMovementsDeps;
  private worker: MovingWorker | null = null;
  /** The worker takes one message after another. */
  private mail: Promise<unknown> = Promise.resolve();

  constructor(deps: NodeMovementsDeps) {
    this.deps = deps;
    const { facts, control, schema, engine, kv, asRows } = deps;
    const { hostId, datacenter, clock, random, files, log } = facts;
    const user = withoutSystemKeyspaces(schema);
    this.movements = new DataMovements({
      ...{ hostId, datacenter, files, clock, asRows },
      directory: DIRECTORY,
      bytesPerSecond: 0,
      apply: createRowApplier(engine, [kv], facts.schedule),
      fetcher: createFetcher(facts),
      listen: (send, throttle) => listenForStreams(facts, send, throttle),
      randomBytes: (count) => Buffer.from(Array.from({ length: count }, () => random.below(256))),
      stores: [kv],
      links: control.links,
      logger: log,
      state: () => control.log.current(),
      schema: () => user,
      isAlive: (id) => id === hostId || control.gossip.isAlive(id),
      done: async (id) => {
        await control.log.propose({ kind: 'operation-done', id, hostId }, 10_000);
      },
      fence: async (epoch) => {
        await this.publisher.reached(epoch);
        await this.tellAside();
        await this.post(({ coordinator }) => coordinator.settleMoving());
      },
      asideChanged: () => this.tellAside(),
    });
    this.publisher = new TopologyPublisher({
      view: () => ({ state: control.log.current() }),
      followSchema: async () => {},
      movements: this.movements,
      tell: ({ state }) => {
        const aside = this.movements.aside();
        return this.post(({ store, coordinator }) => {
          store.setAside(aside);
          coordinator.setNodes(state);
        });
      },
      reached: ({ state }) => control.announceTopology(state.topologyEpoch),
      clock,
      failed: (error) => log.error('workers cannot be told of the cluster', { error }),
    });
  }

  /** Before there is anybody who writes. @returns for which state it is prepared */
  async prepare(): Promise<ClusterState> {
    await this.movements.start();
    const state = this.deps.control.log.current();
    await this.movements.before(state);
    return state;
  }

  /** @param worker that goes by the state for which this is prepared */
  async follow(worker: MovingWorker): Promise<void> {
    this.worker = worker;
    const { control, facts } = this.deps;
    const switched = new Set<string>();
    control.log.onChange(({ operations }) => {
      for (const { id, phase } of operations) {
        if (phase !== 'switched' || switched.has(id)) continue;
        switched.add(id);
        facts.moment(LEARNS_SWITCH);
      }
      void this.publisher.follow();
    });
    await this.publisher.follow();
  }

  async stop(): Promise<void> {
    this.publisher.stop();
    await this.movements.stop();
  }

  private tellAside(): Promise<void> {
    const aside = this.movements.aside();
    return this.post(async ({ store, leftAlone }) => {
      store.setAside(aside);
      await leftAlone();
      await store.drained();
    });
  }

  /** @returns when the worker has answered */
  private post(work: (worker: MovingWorker) => unknown): Promise<void> {
    const { clock, random, mailAtMillis } = this.deps.facts;
    const after = (millis: number) => new Promise<void>((resolve) => clock.after(millis, resolve));
    const delivered = this.mail.then(async () => {
      await after(random.between(0, POST_MILLIS));
      const late = mailAtMillis() - clock.nowMillis();
      if (late > 0) await after(late);
    });
    this.mail = delivered;
    return delivered.then(async () => {
      if (this.worker !== null) await work(this.worker);
    });
  }
}

/** Families that the schema does not know, of which none must be left when nothing moves. */
export function strayFamilies(kv: KvStore, schema: Schema): string[] {
  const known = new Set(storedTables(schema, isVirtual).map(familyName));
  return [...kv.families().keys()].filter((name) => name !== 'default' && !known.has(name));
}
