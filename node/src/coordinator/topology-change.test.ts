/**
 * A node joins while clients read, write, count and write conditionally, messages get lost, and every node hears of every
 * phase at a time of its own. What streaming does is done by hand, from the sources that the design names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Placement, Ring } from '../cluster/ring.ts';
import { seededRandom } from '../cluster/testing/nodes.ts';
import { CqlError } from '../common/errors.ts';
import { Level } from './levels.ts';
import { DEFAULT_COORDINATOR_OPTIONS } from './ports.ts';
import { type Join, startJoin } from './testing/join.ts';
import { TestCluster, type TestNode } from './testing/test-cluster.ts';

const TABLES = ['t', 'n', 'l'];
const DDL = [
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
  'CREATE TABLE ks.n (k int PRIMARY KEY, c counter)',
  'CREATE TABLE ks.l (k int PRIMARY KEY, v int)',
];
const KEYS = 4;
const RUN_MILLIS = 4_000;

/** Nobody waits long for what is lost, and nothing is healed by hints: that leaves more to find. */
const IMPATIENT = {
  readTimeoutMillis: 150,
  writeTimeoutMillis: 150,
  counterTimeoutMillis: 150,
  casContentionTimeoutMillis: 150,
  schemaWaitMillis: 60,
  staleWaitMillis: 60,
  hints: { ...DEFAULT_COORDINATOR_OPTIONS.hints, intervalMillis: 100_000 },
};

/** What is known of a number that only grows. */
class Register {
  /** Nobody may see less from now on. */
  least = 0;
  most = 0;
}

class Run {
  readonly cluster: TestCluster;
  readonly random: () => number;
  private readonly join: Join;
  private readonly registers = Array.from({ length: KEYS }, () => new Register());
  private readonly conditionals = Array.from({ length: KEYS }, () => new Register());
  private readonly counters = Array.from({ length: KEYS }, () => ({ done: 0, tried: 0 }));
  /** Each conditional change that was told as done: nobody else may be told so. */
  private readonly changes = new Set<string>();
  private placementAfter: Placement | null = null;
  private isOver = false;
  failures = 0;
  private readonly tellMillis: number;

  private constructor(cluster: TestCluster, join: Join, random: () => number, tellMillis: number) {
    this.tellMillis = tellMillis;
    this.cluster = cluster;
    this.join = join;
    this.random = random;
  }

  static async start(seed: number, factor: number, losses: number): Promise<Run> {
    const replication = `{'class': 'SimpleStrategy', 'replication_factor': ${factor}}`;
    const ddl = [`CREATE KEYSPACE ks WITH replication = ${replication}`, ...DDL];
    const cluster = await TestCluster.start({
      datacenters: { dc1: 3 },
      ddl,
      seed,
      ...(losses === 0 ? {} : { coordinator: IMPATIENT }),
    });
    for (let key = 0; key < KEYS; key++) {
      await cluster.run(cluster.nodes[0], `INSERT INTO l (k, v) VALUES (${key}, 0)`, Level.ALL);
    }
    const random = seededRandom(seed);
    cluster.network.fault = () => {
      if (random() < losses) return random() < 0.5 ? 'lose' : 'lose-answer';
      return random() < 0.1 ? { delayMillis: random() * 40 } : undefined;
    };
    // Where nothing fails nobody is behind for longer than others wait for it.
    return new Run(cluster, await startJoin(cluster), random, losses === 0 ? 300 : 1_500);
  }

  private sleep(millis: number): Promise<void> {
    return new Promise((resolve) => {
      this.cluster.time.after(millis, resolve);
    });
  }

  /** Who serves clients. */
  private coordinator(): TestNode {
    const { nodes } = this.cluster;
    const serving = nodes.filter((node) =>
      node.coordinator.topology.ringNodes('dc1').some(({ hostId }) => hostId === node.info.hostId),
    );
    return serving[Math.floor(this.random() * serving.length)];
  }

  /** @returns null: nobody knows what came of it */
  private async attempt(text: string, level: number): Promise<string[] | null> {
    try {
      return await this.cluster.send(this.coordinator(), text, level);
    } catch (error) {
      if (!(error instanceof CqlError)) throw error;
      this.failures++;
      return null;
    }
  }

  private saw(register: Register, value: number, least: number, what: string): void {
    assert.ok(value >= least, `${what}: ${value} after ${least} was known`);
    assert.ok(value <= register.most, `${what}: ${value}, which nobody has written`);
    register.least = Math.max(register.least, value);
  }

  private async write(key: number): Promise<void> {
    const register = this.registers[key];
    const value = ++register.most;
    const text = `INSERT INTO t (k, v) VALUES (${key}, ${value})`;
    if ((await this.attempt(text, Level.QUORUM)) === null) return;
    register.least = Math.max(register.least, value);
  }

  private async read(key: number): Promise<void> {
    const register = this.registers[key];
    const { least } = register;
    const rows = await this.attempt(`SELECT v FROM t WHERE k = ${key}`, Level.QUORUM);
    if (rows !== null) this.saw(register, Number(rows[0] ?? 0), least, `t ${key}`);
  }

  /** All keys in pages; whichever client has this. */
  private async scan(_key: number): Promise<void> {
    const known = this.registers.map(({ least }) => least);
    const rows = await this.attempt('SELECT k, v FROM t', Level.QUORUM);
    if (rows === null) return;
    const seen = new Map(rows.map((row) => row.split(' ').map(Number) as [number, number]));
    for (const [key, register] of this.registers.entries()) {
      this.saw(register, seen.get(key) ?? 0, known[key], `t ${key} of a scan`);
    }
  }

  private async count(key: number): Promise<void> {
    const counter = this.counters[key];
    counter.tried++;
    const text = `UPDATE n SET c = c + 1 WHERE k = ${key}`;
    if ((await this.attempt(text, Level.QUORUM)) !== null) counter.done++;
  }

  private async change(key: number): Promise<void> {
    const register = this.conditionals[key];
    const { least } = register;
    const [found] = (await this.attempt(`SELECT v FROM l WHERE k = ${key}`, Level.SERIAL)) ?? [];
    if (found === undefined) return;
    const from = Number(found);
    this.saw(register, from, least, `l ${key}`);
    register.most = Math.max(register.most, from + 1);
    const text = `UPDATE l SET v = ${from + 1} WHERE k = ${key} IF v = ${from}`;
    const before = register.least;
    const [answer] = (await this.attempt(text, Level.QUORUM)) ?? [];
    if (answer === undefined) return;
    if (answer !== 'true') {
      this.saw(register, Number(answer.split(' ')[1]), before, `l ${key}`);
      return;
    }
    assert.ok(before <= from, `l ${key}: changed from ${from} when ${before} was known`);
    const name = `${key} ${from}`;
    assert.ok(!this.changes.has(name), `l ${key}: ${from} was changed twice`);
    this.changes.add(name);
    register.least = Math.max(register.least, from + 1);
  }

  private async client(key: number, work: (key: number) => Promise<void>): Promise<void> {
    while (!this.isOver) {
      await work.call(this, key);
      await this.sleep(this.random() * 60);
    }
  }

  /** Everyone hears of it, each some time. */
  private async tell(): Promise<void> {
    const { cluster } = this;
    const { state } = cluster;
    await Promise.all(
      cluster.nodes.map(async (node) => {
        await this.sleep(this.random() * this.tellMillis);
        cluster.learn(node, state);
      }),
    );
  }

  /** Whose records of a bucket the new node takes: of who gives it up, else of anyone. */
  private sourceOf(bucket: number): TestNode | null {
    const { cluster, join } = this;
    const { topology } = join.node.coordinator;
    const { placement, writes } = topology.replicatedOf(cluster.table('t'));
    const owners = writes.ofBucket(bucket);
    if (!writes.extrasOf(owners).some(({ hostId }) => hostId === join.node.info.hostId))
      return null;
    const base = placement.ofBucket(bucket);
    const keeps = this.target.ofBucket(bucket);
    const loser = base.find(({ hostId }) => !keeps.some((node) => node.hostId === hostId));
    return cluster.byId((loser ?? base[0]).hostId);
  }

  private get target(): Placement {
    if (this.placementAfter !== null) return this.placementAfter;
    const { cluster, join } = this;
    const { tokens } = cluster.state.operations[0];
    const after = { ...join.node.info, tokens, state: 'normal' as const };
    const nodes = new Map([...cluster.state.nodes, [after.hostId, after]]);
    this.placementAfter = new Ring({ nodes }).placement({
      ...cluster.schema.keyspaces.get('ks')?.replication,
    });
    return this.placementAfter;
  }

  private async settle(source: TestNode): Promise<void> {
    for (;;) {
      try {
        await source.coordinator.settleMoving();
        return;
      } catch (error) {
        if (!(error instanceof CqlError)) throw error;
      }
    }
  }

  /** Moves the ranges, and takes its time. */
  private async move(): Promise<void> {
    const { cluster, join } = this;
    const { store } = join.node;
    await this.sleep(300);
    join.streaming();
    const isAside = (bucket: number) => this.sourceOf(bucket) !== null;
    cluster.learn(join.node);
    store.setAside(isAside);
    const told = this.tell();
    const { epoch } = cluster.state;
    for (const source of cluster.nodes.slice(0, 3)) {
      while (source.coordinator.topology.epoch < epoch) await this.sleep(5);
      await this.settle(source);
      await this.sleep(1);
      const records = TABLES.map((name) => cluster.contents(source, name));
      await this.sleep(this.random() * 300);
      for (const [i, name] of TABLES.entries()) {
        for (const { key, record, bucket } of records[i]) {
          if (this.sourceOf(bucket) !== source) continue;
          store.ingest(cluster.table(name), key, record);
        }
      }
    }
    store.setAside(null);
    await this.sleep(1);
    store.ingestAside();
    // Nobody waits for those who have not heard that the range moves.
    join.switched();
    await Promise.all([told, this.tell()]);
    join.finished();
    await this.tell();
    await this.sleep(200);
    for (const node of cluster.nodes) this.clear(node);
  }

  /** What others own now is gone. */
  private clear(node: TestNode): void {
    const { cluster } = this;
    const { placement } = node.coordinator.topology.replicatedOf(cluster.table('t'));
    const isLost = (bucket: number) =>
      !placement.ofBucket(bucket).some(({ hostId }) => hostId === node.info.hostId);
    for (const name of TABLES) node.store.clear(cluster.table(name), isLost);
  }

  async toTheEnd(): Promise<void> {
    const { cluster } = this;
    const keys = Array.from({ length: KEYS }, (_, key) => key);
    const clients = keys.flatMap((key) => [
      this.client(key, this.write),
      this.client(key, this.read),
      this.client(key, this.scan),
      this.client(key, this.count),
      this.client(key, this.change),
      this.client(key, this.change),
    ]);
    const work = Promise.all([...clients, this.move()]);
    cluster.time.after(RUN_MILLIS, () => {
      this.isOver = true;
    });
    await cluster.time.until(work, 10 * RUN_MILLIS);
    cluster.network.fault = () => undefined;
    await cluster.time.run(5_000);
    for (const key of keys) await cluster.time.until(this.look(key));
  }

  private async look(key: number): Promise<void> {
    await this.read(key);
    await this.change(key);
    const [rows] = (await this.attempt(`SELECT c FROM n WHERE k = ${key}`, Level.QUORUM)) ?? [];
    const counted = Number(rows ?? 0);
    const { done, tried } = this.counters[key];
    assert.ok(counted >= done && counted <= tried, `n ${key}: ${counted} of ${done} to ${tried}`);
  }
}

for (const [seed, factor] of [
  [1, 3],
  [2, 2],
]) {
  test(`a node joins, nothing fails: everything is answered (factor ${factor})`, async () => {
    const run = await Run.start(seed, factor, 0);
    await run.toTheEnd();
    assert.equal(run.failures, 0);
  });
}

for (const seed of [2, 5, 11]) {
  test(`a node joins, messages get lost (seed ${seed})`, async () => {
    const run = await Run.start(seed, 3, 0.1);
    await run.toTheEnd();
  });
}
