/** A cluster of coordinators in one process, on virtual time, over stores in memory. */
import type { ClusterState, NodeInfo } from '../../cluster/cluster-state.ts';
import { bucketOfKey } from '../../cluster/grid.ts';
import { seededRandom, testNode, testState } from '../../cluster/testing/nodes.ts';
import { chooseTokens } from '../../cluster/tokens.ts';
import { Reader, Writer } from '../../common/bytes.ts';
import { CqlError } from '../../common/errors.ts';
import type { SchemaStatement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import { planSchemaChange } from '../../query/ddl.ts';
import { Executor } from '../../query/execute.ts';
import { type RowsResult, runSelect, type SelectPlan } from '../../query/select.ts';
import { planStatement } from '../../query/statement.ts';
import type { Binding } from '../../query/term-values.ts';
import { withSystemKeyspaces } from '../../query/virtual/definitions.ts';
import { EMPTY_SCHEMA, type Schema, type TableDef } from '../../schema/schema.ts';
import { writePartitionKey } from '../../storage/keys.ts';
import { clockSeqAndNode, createTimeUuidGenerator, parseUuid } from '../../types/uuid.ts';
import { type Coordinator, createCoordinator } from '../coordinator.ts';
import { isSerial, Level, quorumOf } from '../levels.ts';
import type { CoordinatorOptions } from '../ports.ts';
import { MemoryNetwork } from './memory-links.ts';
import { MemoryStore } from './memory-store.ts';
import { VirtualTime } from './virtual-time.ts';

const START_MICROS = 1_700_000_000_000_000;

/** Locks of one process. */
class Locks {
  private readonly lines = new Map<string, (() => void)[]>();
  private readonly time: VirtualTime;

  constructor(time: VirtualTime) {
    this.time = time;
  }

  acquire(partitions: readonly Uint8Array[], timeoutMs: number): Promise<(() => void) | null> {
    const name = Buffer.from(partitions[0]).toString('hex');
    const line = this.lines.get(name);
    const release = () => {
      const next = this.lines.get(name)?.shift();
      if (next === undefined) this.lines.delete(name);
      else next();
    };
    if (line === undefined) {
      this.lines.set(name, []);
      return Promise.resolve(release);
    }
    return new Promise((resolve) => {
      const turn = () => {
        cancel();
        resolve(release);
      };
      const cancel = this.time.after(timeoutMs, () => {
        line.splice(line.indexOf(turn), 1);
        resolve(null);
      });
      line.push(turn);
    });
  }
}

export interface TestNode {
  readonly info: NodeInfo;
  readonly store: MemoryStore;
  /** As far as it has heard. */
  state: ClusterState;
  coordinator: Coordinator;
  executor: Executor;
  isUp: boolean;
}

export interface TestClusterOptions {
  /** Nodes of each datacenter, each node's rack in turn one of `racks`. */
  readonly datacenters: Readonly<Record<string, number>>;
  readonly racks?: number;
  readonly seed?: number;
  readonly ddl: readonly string[];
  readonly coordinator?: Partial<CoordinatorOptions>;
}

export class TestCluster {
  readonly time = new VirtualTime();
  readonly network = new MemoryNetwork(this.time);
  readonly nodes: TestNode[] = [];
  schema: Schema = withSystemKeyspaces(EMPTY_SCHEMA);
  /** Of new nodes; `move` makes the next. */
  state: ClusterState = testState([]);
  readonly random: () => number;
  /** Of all wall clocks. */
  skewMillis = 0;
  /** What a node takes for dead; by default who is down. */
  seemsDead: (observer: string, hostId: string) => boolean = () => false;
  /** Hears of what the coordinators log. */
  onError: (message: string, error: unknown) => void = (message, error) => {
    throw new TypeError(message, { cause: error });
  };
  private readonly options: TestClusterOptions;
  private ids = 0;

  private constructor(options: TestClusterOptions) {
    this.options = options;
    this.random = seededRandom(options.seed ?? 1);
  }

  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    for (const text of options.ddl) cluster.change(text);
    const infos: NodeInfo[] = [];
    for (const [datacenter, count] of Object.entries(options.datacenters)) {
      for (let i = 0; i < count; i++) {
        const { random } = cluster;
        const tokens = chooseTokens({ nodes: infos, datacenter, count: 4, random });
        const rack = `r${i % (options.racks ?? 1)}`;
        infos.push(testNode(infos.length + 1, { datacenter, rack, tokens }));
      }
    }
    cluster.state = testState(infos);
    for (const info of infos) cluster.newNode(info);
    for (const node of cluster.nodes) await cluster.boot(node);
    return cluster;
  }

  private newNode(info: NodeInfo): TestNode {
    const store = new MemoryStore(4, (run) => this.time.after(0.1, run));
    const node = { info, store, state: this.state, isUp: true } as TestNode;
    this.nodes.push(node);
    return node;
  }

  /** A node that owns nothing yet; nobody hears of it before the state changes. */
  async add(parts: Partial<NodeInfo>): Promise<TestNode> {
    const node = this.newNode(testNode(this.nodes.length + 1, { ...parts, state: 'joining' }));
    await this.boot(node);
    return node;
  }

  /** The next state of the cluster, at the epoch after the one before. Nodes hear of it by `learn`. */
  move(parts: Partial<Pick<ClusterState, 'nodes' | 'operations'>>): ClusterState {
    const epoch = this.state.topologyEpoch + 1;
    this.state = { ...this.state, ...parts, epoch, topologyEpoch: epoch };
    return this.state;
  }

  learn(node: TestNode, state: ClusterState = this.state): void {
    if (state.topologyEpoch < node.state.topologyEpoch) return;
    node.state = state;
    if (node.isUp) node.coordinator.setNodes(state);
  }

  private change(text: string): void {
    const newId = () => `00000000-0000-1000-8000-${String(++this.ids).padStart(12, '0')}`;
    const statement = parseStatement(text) as SchemaStatement;
    this.schema = planSchemaChange(statement, this.schema, null, { newId, nowMicros: 0 }).schema;
  }

  /** Runs DDL; only `nodes` hear of it. */
  ddl(text: string, nodes: readonly TestNode[] = this.nodes): void {
    this.change(text);
    for (const { coordinator } of nodes) coordinator.setSchema(this.schema);
  }

  table(name: string): TableDef {
    const table = this.schema.keyspaces.get('ks')?.tables.get(name);
    if (table === undefined) throw new TypeError(`no table ${name}`);
    return table;
  }

  private async boot(node: TestNode): Promise<void> {
    const { time, network } = this;
    const { hostId } = node.info;
    const clock = {
      micros: () => START_MICROS + Math.floor((time.nowMillis + this.skewMillis) * 1000),
      monotonicMillis: () => time.nowMillis,
    };
    const tail = clockSeqAndNode(Buffer.from(Array.from({ length: 8 }, () => this.random() * 256)));
    const uuids = createTimeUuidGenerator(tail);
    let last = 0n;
    const serialMicros = () => {
      const now = BigInt(clock.micros());
      last = now > last ? now : last + 1n;
      return last;
    };
    const deps = {
      store: node.store,
      links: network.join(hostId),
      liveness: {
        isAlive: (other: string) => !this.seemsDead(hostId, other) && this.byId(other).isUp,
      },
      clock,
      timers: {
        after: (millis: number, run: () => void) => {
          const links = network.find(hostId);
          return time.after(millis, () => {
            if (links?.isDead === false) run();
          });
        },
      },
      random: this.random,
      timeUuid: () => uuids.next(BigInt(clock.micros())),
      locks: new Locks(time),
      serialMicros,
      self: node.info,
      logError: (message: string, error: unknown) => this.onError(message, error),
    };
    node.coordinator = createCoordinator(deps, this.options.coordinator);
    node.executor = new Executor({
      ...deps,
      hostId: parseUuid(hostId) ?? Buffer.alloc(16),
      batchLog: null as never,
    });
    node.isUp = true;
    node.coordinator.setNodes(node.state);
    node.coordinator.setSchema(this.schema);
    await time.until(node.coordinator.start());
  }

  byId(hostId: string): TestNode {
    const node = this.nodes.find(({ info }) => info.hostId === hostId);
    if (node === undefined) throw new TypeError(`no node ${hostId}`);
    return node;
  }

  /** The process dies at once; everyone knows. */
  kill(node: TestNode): void {
    this.network.leave(node.info.hostId);
    node.store.crash();
    node.coordinator.stop();
    node.isUp = false;
  }

  restart(node: TestNode): Promise<void> {
    return this.boot(node);
  }

  /** The nodes that have the partition of `key`, an int. */
  replicasOf(name: string, key: number): TestNode[] {
    const { handle, partition } = this.partitionOf(name, key);
    const { topology } = this.nodes[0].coordinator;
    const replicated = topology.replicatedOf(handle.table);
    return replicated.placement.ofKey(partition).map(({ hostId }) => this.byId(hostId));
  }

  private partitionOf(name: string, key: number) {
    const table = this.table(name);
    const handle = this.nodes[0].store.handle(table);
    const value = Buffer.alloc(4);
    value.writeInt32BE(key);
    const out = new Writer(32);
    writePartitionKey(handle.keys, [value], out);
    return { handle, partition: out.copy() };
  }

  bucketOf(name: string, key: number): number {
    return bucketOfKey(this.partition(name, key));
  }

  partition(name: string, key: number): Buffer {
    return this.partitionOf(name, key).partition;
  }

  /** All records of a table, as they are now. */
  contents(node: TestNode, name: string): { key: Buffer; record: Buffer; bucket: number }[] {
    return [...node.store.contents(this.table(name)).values()].map(({ key, record }) => ({
      key: Buffer.from(key),
      record: Buffer.from(record),
      bucket: bucketOfKey(key),
    }));
  }

  /** As streaming does. @param isMeant by bucket */
  copy(
    from: TestNode,
    to: TestNode,
    name: string,
    isMeant: (bucket: number) => boolean = () => true,
  ): void {
    const { handle } = this.partitionOf(name, 0);
    for (const { key, record } of from.store.contents(handle.table).values()) {
      if (isMeant(bucketOfKey(key))) to.store.ingest(handle.table, key, record);
    }
  }

  /** What a replica has of a partition, all records as hex. */
  has(node: TestNode, name: string, key: number): string[] {
    const { handle, partition } = this.partitionOf(name, key);
    return [...node.store.contents(handle.table).values()]
      .filter((one) => Buffer.compare(one.key.subarray(0, partition.length), partition) === 0)
      .map(
        (one) =>
          `${Buffer.from(one.key).toString('hex')}=${Buffer.from(one.record).toString('hex')}`,
      )
      .sort();
  }

  /** Starts a statement; its rows, each as values in hex. */
  async send(
    node: TestNode,
    text: string,
    level: number = Level.QUORUM,
    serial: number = Level.SERIAL,
  ): Promise<string[]> {
    const { plan } = planStatement(text, this.schema, 'ks', 0);
    const micros = START_MICROS + Math.floor(this.time.nowMillis * 1000);
    const context = {
      timeUuid: () => new Uint8Array(16),
      randomUuid: () => new Uint8Array(16),
      random: () => 0,
      nowMillis: Math.floor(micros / 1000),
    };
    const binding: Binding = { values: [], context };
    const nowSeconds = Math.floor(micros / 1e6);
    const options = {
      stampHigh: Math.floor(micros / 2 ** 32),
      stampLow: micros | 0,
      nowSeconds,
      listPlace: () => new Uint8Array(16),
    };
    const path = node.coordinator.path({ consistency: level, serialConsistency: serial });
    if (plan.kind === 'select') return this.select(node, plan, binding, nowSeconds, level);
    if (plan.kind === 'modification') {
      const handle = node.store.handle(plan.table);
      const result = await node.executor.modify({ plan, handle, binding }, options, path);
      return result === null ? [] : shown(result);
    }
    if (plan.kind !== 'batch') throw new TypeError(`not for tests: ${plan.kind}`);
    const parts = plan.modifications.map((one) => ({
      plan: one,
      handle: node.store.handle(one.table),
      binding,
    }));
    const result = await node.executor.batch(plan.batchKind, parts, options, path);
    return result === null ? [] : shown(result);
  }

  private async select(
    node: TestNode,
    plan: SelectPlan,
    binding: Binding,
    nowSeconds: number,
    level: number,
  ): Promise<string[]> {
    const handle = node.store.handle(plan.table);
    let readLevel = level;
    if (isSerial(level)) {
      const { partition } = plan.read.restrictions;
      if (partition.kind !== 'keys') throw new TypeError('a serial read of several partitions');
      const out = new Writer(32);
      writePartitionKey(handle.keys, partition.keys(binding)[0], out);
      await node.coordinator.settle(handle, out.copy(), level);
      readLevel = quorumOf(level);
    }
    const source = node.coordinator.source(readLevel);
    const found: string[] = [];
    let pagingState: Uint8Array | null = null;
    do {
      const options = { pageSize: 7, pagingState, nowSeconds };
      const result: RowsResult = await runSelect(plan, source, handle, binding, options);
      found.push(...shown(result));
      pagingState = result.pagingState;
    } while (pagingState !== null);
    return found;
  }

  /** Runs a statement to its end. */
  run(node: TestNode, text: string, level?: number, serial?: number): Promise<string[]> {
    return this.time.until(this.send(node, text, level, serial));
  }

  /** Runs a statement that fails. */
  async fail(node: TestNode, text: string, level?: number, serial?: number): Promise<CqlError> {
    try {
      await this.run(node, text, level, serial);
    } catch (error) {
      if (error instanceof CqlError) return error;
      throw error;
    }
    throw new TypeError(`${text} did not fail`);
  }
}

/** Each row's values, ints as numbers, booleans as such, others as hex. */
function shown({ columns, rowCount, content }: RowsResult): string[] {
  const reader = new Reader(content);
  return Array.from({ length: rowCount }, () =>
    columns
      .map(({ type }) => {
        const value = reader.bytes();
        if (value === null) return 'null';
        const name = type.kind === 'native' ? type.name : '';
        if (name === 'int') return String(value.readInt32BE(0));
        if (name === 'bigint' || name === 'counter') return String(value.readBigInt64BE(0));
        if (name === 'boolean') return value[0] === 1 ? 'true' : 'false';
        return name === 'text' ? value.toString('utf8') : value.toString('hex');
      })
      .join(' '),
  );
}
