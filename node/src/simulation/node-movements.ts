/** What a simulated node moves when the ring or the schema changes: the real code of the main thread, and the one worker that it tells. */
import type { ClusterState } from '../cluster/cluster-state.ts';
import { schemaChangeOf } from '../cluster/schema-change.ts';
import { overloaded } from '../common/errors.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { SchemaAuthority, type SchemaStep } from '../query/schema-authority.ts';
import {
  isVirtual,
  withoutSystemKeyspaces,
  withSystemKeyspaces,
} from '../query/virtual/definitions.ts';
import { familyName, type Schema } from '../schema/schema.ts';
import { schemaFromJson, schemaToJson } from '../schema/schema-json.ts';
import { storedTables } from '../storage/families.ts';
import type { KvEngine, KvStore } from '../storage/kv.ts';
import type { LocalStore } from '../storage/local-store.ts';
import { DataMovements } from '../streaming/data-movements.ts';
import { createRowApplier } from '../streaming/row-applier.ts';
import { TopologyPublisher } from '../streaming/topology-publisher.ts';
import { formatUuid, randomUuid } from '../types/uuid.ts';
import type { ControlNode } from './control-node.ts';
import { createFetcher, listenForStreams } from './stream-network.ts';
import { LEARNS_SWITCH } from './watched-links.ts';
import type { NodeWorld } from './world.ts';

const DIRECTORY = 'streams';
/** With the schema that a node starts with. */
export const METADATA_FILE = 'metadata.json';
const SCHEMA_MILLIS = 10_000;
const SCHEMA_CHANGES_MAX = 64;
/** Between the main thread and a worker, at most. */
const POST_MILLIS = 1;

/** The worker's parts that are told. */
export interface MovingWorker {
  readonly store: LocalStore;
  readonly coordinator: Coordinator;
  leftAlone(): Promise<void>;
  setSchema(schema: Schema): void;
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

const schemaOf = ({ schema }: ClusterState) => withSystemKeyspaces(schemaFromJson(schema));

/** As this node has saved it last; not given: `first`, before which nothing was agreed. */
export async function savedSchema({ files }: NodeWorld, first: Schema): Promise<Schema> {
  const text = await files.read(METADATA_FILE);
  if (text === null) return { ...first, epoch: 0 };
  return withSystemKeyspaces(schemaFromJson(JSON.parse(text)));
}

export class NodeMovements {
  readonly movements: DataMovements;
  readonly publisher: TopologyPublisher<{ readonly state: ClusterState }, SchemaStep>;
  readonly authority: SchemaAuthority;
  private readonly deps: NodeMovementsDeps;
  private worker: MovingWorker | null = null;
  /** The worker takes one message after another. */
  private mail: Promise<unknown> = Promise.resolve();

  constructor(deps: NodeMovementsDeps) {
    this.deps = deps;
    const { facts, control, schema, engine, kv, asRows } = deps;
    const { hostId, datacenter, clock, random, files, log } = facts;
    this.authority = this.createAuthority(schema);
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
      schema: () => withoutSystemKeyspaces(this.authority.current),
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
      position: () => ({ state: control.log.current() }),
      followSchema: (state, tell) => this.authority.follow(schemaOf(state), tell),
      movements: this.movements,
      tell: ({ state }, step) => {
        const aside = this.movements.aside();
        return this.post(({ store, coordinator, setSchema }) => {
          if (step !== null) setSchema(step.schema);
          store.setAside(aside);
          coordinator.setNodes(state);
        });
      },
      reached: ({ state }) => control.announceTopology(state.topologyEpoch),
      clock,
      failed: (error) => log.error('workers cannot be told of the cluster', { error }),
    });
  }

  private createAuthority(schema: Schema): SchemaAuthority {
    const { facts, control, kv } = this.deps;
    const { clock, random, files } = facts;
    const followLog = async () => {
      const failure = await this.publisher.follow();
      if (failure !== null) throw failure;
    };
    return new SchemaAuthority(schema, {
      stores: [kv],
      changesMax: SCHEMA_CHANGES_MAX,
      agree: async (base, next) => {
        const change = schemaChangeOf(base, next);
        const { applied } = await control.log
          .propose({ kind: 'schema', change }, SCHEMA_MILLIS)
          .catch((error: unknown) => {
            throw overloaded(`the schema could not be agreed: ${String(error)}`);
          });
        await followLog();
        return applied;
      },
      refresh: async () => {
        await control.log.barrier(SCHEMA_MILLIS).catch(() => {});
        await followLog();
      },
      // Clients write at once what other nodes may not know yet.
      settled: async () => {},
      save: (next) =>
        files.write(METADATA_FILE, JSON.stringify(schemaToJson(withoutSystemKeyspaces(next)))),
      newId: () => formatUuid(randomUuid(Uint8Array.from({ length: 16 }, () => random.below(256)))),
      nowMicros: () => clock.micros(),
      datacenters: () => new Map(),
    });
  }

  /** Before there is anybody who writes. @returns for which state it is prepared */
  async prepare(): Promise<ClusterState> {
    await this.movements.start();
    const state = this.deps.control.log.current();
    await this.authority.follow(schemaOf(state), () => this.movements.before(state));
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
