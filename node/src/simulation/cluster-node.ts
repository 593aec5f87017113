/**
 * A whole node in a world: links, gossip, metadata log, coordinator, storage, and the CQL server's request handler, all of
 * the real code. Clients are in the same process and speak the native protocol to it.
 */
import type { ClusterState } from '../cluster/cluster-state.ts';
import { type Coordinator, createCoordinator } from '../coordinator/coordinator.ts';
import type { LinkHub } from '../internode/link-hub.ts';
import { BatchLog } from '../query/batch-log.ts';
import { Executor, type PartitionLocks } from '../query/execute.ts';
import { isVirtual } from '../query/virtual/definitions.ts';
import { familyName, findTable, type Schema } from '../schema/schema.ts';
import { Latencies } from '../server/latency.ts';
import { RequestHandlerImpl } from '../server/request-handler.ts';
import { asideName, familyOptions, storedTables } from '../storage/families.ts';
import type { KvOpenOptions, KvStore } from '../storage/kv.ts';
import { LocalStore } from '../storage/local-store.ts';
import type { Answer, QueryParameters } from '../transport/client-codec.ts';
import { type MemoryClient, MemoryWorld } from '../transport/memory-world.ts';
import {
  clockSeqAndNode,
  createListPaths,
  createTimeUuidGenerator,
  parseUuid,
  randomUuid,
} from '../types/uuid.ts';
import { ControlNode, type NodeEntry } from './control-node.ts';
import { NodeMovements, savedSchema, strayFamilies } from './node-movements.ts';
import type { Sabotage } from './sabotage.ts';
import { WatchedLinks } from './watched-links.ts';
import type { NodeWorld, SimulatedNode } from './world.ts';

const CLUSTER_NAME = 'simulation';
/** Of the native protocol. Before 5 a conditional write with an unknown end is told like one that was not done. */
export const CLIENT_VERSION = 5;
const SYNC_PERIOD_MILLIS = 1000;
const QUEUE_BYTES = 32 << 20;
/** How often a client looks whether its answer has come. */
const LOOK_MILLIS = 0.5;

export interface ClusterNodeOptions {
  /** With the system's keyspaces. Agreed before the world begins; it changes only where nodes move. */
  readonly schema: Schema;
  /** Breaks something on purpose, for tests that the checkers see it. */
  readonly sabotage?: Sabotage;
  /** Nodes join, leave, move; by files, or row by row. */
  readonly moves?: 'files' | 'rows';
  readonly entry?: NodeEntry;
}

/** Partitions of one process, each with its line. */
function createLocks({ clock }: NodeWorld): PartitionLocks {
  const lines = new Map<string, (() => void)[]>();
  const take = (name: string, millis: number): Promise<boolean> => {
    const line = lines.get(name);
    if (line === undefined) {
      lines.set(name, []);
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const turn = () => {
        cancel();
        resolve(true);
      };
      const cancel = clock.after(millis, () => {
        line.splice(line.indexOf(turn), 1);
        resolve(false);
      });
      line.push(turn);
    });
  };
  const leave = (name: string) => {
    const next = lines.get(name)?.shift();
    if (next === undefined) lines.delete(name);
    else next();
  };
  return {
    acquire: async (partitions, timeoutMs) => {
      const names = [...new Set(partitions.map((key) => Buffer.from(key).toString('hex')))].sort();
      const held: string[] = [];
      for (const name of names) {
        if (!(await take(name, timeoutMs))) {
          held.forEach(leave);
          return null;
        }
        held.push(name);
      }
      return () => held.forEach(leave);
    },
  };
}

/** Parts that no client of a simulation asks for. */
function unused(): never {
  throw new TypeError('not part of the simulation');
}

/** As when a node starts for which nothing moves. */
async function dropStray(kv: KvStore, schema: Schema, { operations }: ClusterState): Promise<void> {
  const keepsAside = operations.length > 0;
  for (const name of strayFamilies(kv, schema)) {
    if (!keepsAside || !name.startsWith(asideName(''))) await kv.dropFamily(name);
  }
}

export class ClusterNode implements SimulatedNode {
  readonly facts: NodeWorld;
  readonly control: ControlNode;
  readonly dataLinks: LinkHub;
  private readonly options: ClusterNodeOptions;
  private readonly transport = new MemoryWorld();
  private readonly client: MemoryClient;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private nextStream = 0;
  private parts: {
    readonly store: LocalStore;
    readonly kv: KvStore;
    readonly coordinator: Coordinator;
  } | null = null;
  private moving: NodeMovements | null = null;

  constructor(facts: NodeWorld, options: ClusterNodeOptions) {
    this.facts = facts;
    this.options = options;
    this.control = new ControlNode(facts, {
      ...{ tokenCount: 4, moves: options.moves !== undefined },
      ...(options.entry === undefined ? {} : { entry: options.entry }),
    });
    const { hostId, carrier, clock, log, schedule, random } = facts;
    const links = {
      ...{ hostId, carrier, clock, log, schedule },
      random: () => random.next(),
      clusterName: CLUSTER_NAME,
      clusterId: () => this.control.clusterId,
    };
    this.dataLinks = new WatchedLinks(links, facts.moment);
    this.client = this.transport.client(CLIENT_VERSION);
  }

  /** @throws TypeError before `start` has resolved */
  get coordinator(): Coordinator {
    return this.started.coordinator;
  }

  get kv(): KvStore {
    return this.started.kv;
  }

  /** Null: nothing moves, or `start` has not come so far. */
  get movements(): NodeMovements | null {
    return this.moving;
  }

  /** As this node has taken it up. */
  get schema(): Schema {
    return this.moving?.authority.current ?? this.options.schema;
  }

  /** Clients are served by those that own something. */
  get isServing(): boolean {
    if (this.parts === null) return false;
    const { state } = this.control.log.current().nodes.get(this.facts.hostId) ?? {};
    return state === 'normal' || state === 'leaving';
  }

  get isStarted(): boolean {
    return this.parts !== null;
  }

  private get started() {
    if (this.parts === null) throw new TypeError('the node has not started');
    return this.parts;
  }

  async start(): Promise<void> {
    const { facts, options } = this;
    const { sabotage } = options;
    const isMoving = options.moves !== undefined;
    const schema = isMoving ? await savedSchema(facts, options.schema) : options.schema;
    sabotage?.before?.(this);
    const engine = facts.engine();
    const tables = storedTables(schema, isVirtual);
    const opening: KvOpenOptions = {
      durability: sabotage?.durability ?? 'group',
      syncPeriodMs: SYNC_PERIOD_MILLIS,
      queueBytesMax: QUEUE_BYTES,
      families: new Map(tables.map((table) => [familyName(table), familyOptions(table)])),
    };
    const kv = await engine.open('shard', opening);
    const store = new LocalStore(engine, [kv], {
      scheduleFlush: facts.schedule,
      afterAnswers: () => {},
    });
    await this.control.start();
    let state = this.control.log.current();
    if (isMoving) {
      const main = facts.engine();
      const deps = { facts, control: this.control, schema, asRows: options.moves === 'rows' };
      const mainKv = await main.open('shard', opening);
      await dropStray(mainKv, schema, state);
      this.moving = new NodeMovements({ ...deps, engine: main, kv: mainKv });
      sabotage?.moving?.(this);
      state = await this.moving.prepare();
      store.setAside(this.moving.movements.aside());
    }
    const { coordinator, handler } = this.serve(store, state, this.schema);
    facts.listen(facts.dataPort, this.dataLinks.accept);
    await coordinator.start();
    await this.control.gossip.serve();
    this.parts = { store, kv, coordinator };
    this.control.serveLeftOver(() => coordinator.leftOver());
    const leftAlone = () => handler.leftAlone();
    const setSchema = (next: Schema) => {
      store.flush();
      handler.setSchema(next);
      store.retain(storedTables(next, isVirtual));
    };
    sabotage?.after?.(this);
    if (this.moving === null) this.control.log.onChange((next) => coordinator.setNodes(next));
    else await this.moving.follow({ store, coordinator, leftAlone, setSchema });
  }

  private serve(
    store: LocalStore,
    state: ClusterState,
    schema: Schema,
  ): { readonly coordinator: Coordinator; readonly handler: RequestHandlerImpl } {
    const { facts, control, options } = this;
    const { hostId, datacenter, rack, clock, random } = facts;
    const bytes = (count: number) =>
      Buffer.from(Array.from({ length: count }, () => random.below(256)));
    const uuids = createTimeUuidGenerator(clockSeqAndNode(bytes(8)));
    const lists = createListPaths(clockSeqAndNode(bytes(8)));
    const now = () => BigInt(Math.floor(clock.micros()));
    let last = 0n;
    const serialMicros = () => {
      last = now() > last ? now() : last + 1n;
      return last;
    };
    const locks = createLocks(facts);
    const timeUuid = () => uuids.next(now());
    const logError = (message: string, error: unknown) => facts.log.error(message, { error });
    const coordinator = createCoordinator({
      store,
      links: this.dataLinks,
      liveness: { isAlive: (id) => control.gossip.isServing(id) },
      clock,
      timers: clock,
      random: () => random.next(),
      timeUuid,
      locks,
      serialMicros,
      self: { hostId, datacenter, rack },
      logError,
    });
    coordinator.setNodes(state);
    const batches = findTable(options.schema, 'system', 'batches');
    if (batches === undefined) throw new TypeError('system.batches is not defined');
    const handler = new RequestHandlerImpl(schema, {
      store,
      coordinator,
      executor: new Executor({
        store,
        locks,
        batchLog: new BatchLog({
          store,
          table: batches,
          newId: timeUuid,
          nowMicros: now,
          findTable: () => undefined,
        }),
        hostId: parseUuid(hostId) ?? new Uint8Array(16),
        serialMicros,
      }),
      virtualTables: { records: unused } as never,
      schemaDoor: {
        apply: async (text, keyspace) => {
          const { warnings } = await (this.moving?.authority.apply(text, keyspace) ?? unused());
          return { event: null, warnings };
        },
      },
      directory: { add: () => {}, find: async () => null },
      clock,
      context: { timeUuid, randomUuid: () => randomUuid(bytes(16)), random: () => random.next() },
      listPlace: (end) => (end === 'last' ? lists.append(now()) : lists.prepend(now(), 1)[0]),
      latencies: new Latencies(clock.nowMillis),
      datacenter,
      clusterName: CLUSTER_NAME,
      tracer: { start: unused } as never,
      logError,
    });
    this.transport.onRequest = (request, connection) => handler.handle(request, connection);
    return { coordinator, handler };
  }

  /** Runs a statement as a client of this node; never settles if the node dies. */
  query(text: string, parameters: QueryParameters): Promise<Answer> {
    const stream = this.nextStream++ % 0x7fff;
    return new Promise((resolve) => {
      this.waiting.set(stream, resolve);
      this.client.codec.query(stream, text, parameters);
      this.deliver(this.client.exchange());
      if (this.waiting.size === 1) this.look();
    });
  }

  private look(): void {
    this.deliver(this.client.poll());
    if (this.waiting.size > 0) this.facts.clock.after(LOOK_MILLIS, () => this.look());
  }

  private deliver(answers: readonly Answer[]): void {
    for (const answer of answers) {
      this.waiting.get(answer.stream)?.(answer);
      this.waiting.delete(answer.stream);
    }
  }

  async stop(): Promise<void> {
    await this.moving?.stop();
    this.parts?.coordinator.stop();
    this.dataLinks.close();
    await this.control.stop();
    await this.parts?.kv.close();
  }
}
