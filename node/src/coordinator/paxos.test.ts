import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CqlError } from '../common/errors.ts';
import { Verb } from '../internode/links.ts';
import { decodeRecord } from '../storage/record.ts';
import { Level } from './levels.ts';
import { systemTable } from './system-rows.ts';
import { TestCluster, type TestNode } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
  'CREATE TABLE ks.c (k int, c int, s int static, v int, PRIMARY KEY (k, c))',
];

test('conditions hold once', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  const insert = 'INSERT INTO t (k, v) VALUES (1, 10) IF NOT EXISTS';
  assert.deepEqual(await cluster.run(a, insert), ['true']);
  assert.deepEqual(await cluster.run(b, insert), ['false 1 10']);
  assert.deepEqual(await cluster.run(c, 'UPDATE t SET v = 11 WHERE k = 1 IF v = 10'), ['true']);
  assert.deepEqual(await cluster.run(a, 'UPDATE t SET v = 12 WHERE k = 1 IF v = 10'), ['false 11']);
  assert.deepEqual(await cluster.run(a, 'SELECT v FROM t WHERE k = 1', Level.SERIAL), ['11']);
  const batch =
    'BEGIN BATCH INSERT INTO c (k, c, v) VALUES (1, 1, 1) IF NOT EXISTS; UPDATE c SET s = 5 WHERE k = 1; APPLY BATCH';
  assert.deepEqual(await cluster.run(b, batch), ['true']);
  assert.deepEqual(await cluster.run(c, 'SELECT c, s, v FROM c WHERE k = 1'), ['1 5 1']);
  assert.deepEqual(await cluster.run(c, batch), ['false 1 1 5 1']);
});

test('the state of a partition goes gc_grace_seconds after its last change', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a] = cluster.nodes;
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 10) IF NOT EXISTS');
  const states = [...a.store.contents(systemTable('paxos_state')).values()];
  const [cell] = states.map(({ record }) => decodeRecord(record).cells[0]);
  const seconds = Number(cell.timestamp / 1_000_000n);
  assert.deepEqual([cell.ttl, cell.localSeconds], [864_000, seconds + 864_000]);
});

test('a majority is enough, less is Unavailable', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  cluster.kill(c);
  assert.deepEqual(await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 1) IF NOT EXISTS'), [
    'true',
  ]);
  cluster.kill(b);
  const error = await cluster.fail(a, 'UPDATE t SET v = 2 WHERE k = 1 IF v = 1');
  assert.deepEqual(error.detail, {
    kind: 'unavailable',
    consistency: Level.SERIAL,
    required: 2,
    alive: 1,
  });
  await cluster.restart(c);
  assert.deepEqual(await cluster.run(c, 'UPDATE t SET v = 2 WHERE k = 1 IF v = 1'), ['true']);
  assert.deepEqual(await cluster.run(a, 'SELECT v FROM t WHERE k = 1', Level.SERIAL), ['2']);
});

test('what was accepted and never committed is finished by the next', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  cluster.network.fault = (from, _to, verb) =>
    from === a.info.hostId && verb === Verb.PaxosCommit ? 'lose' : undefined;
  const error = await cluster.fail(a, 'INSERT INTO t (k, v) VALUES (1, 1) IF NOT EXISTS');
  assert.equal(error.detail?.kind === 'write-timeout' && error.detail.writeType, 'SIMPLE');
  cluster.kill(a);
  assert.deepEqual(cluster.has(b, 't', 1), []);
  assert.deepEqual(await cluster.run(b, 'SELECT v FROM t WHERE k = 1', Level.SERIAL), ['1']);
  assert.deepEqual(await cluster.run(c, 'UPDATE t SET v = 2 WHERE k = 1 IF v = 1'), ['true']);
});

test('a commit that only one replica has is brought to a quorum before the next', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  cluster.network.fault = (_from, _to, verb) => (verb === Verb.PaxosCommit ? 'lose' : undefined);
  const insert = 'INSERT INTO c (k, c, v) VALUES (1, 1, 1) IF NOT EXISTS';
  assert.deepEqual(await cluster.run(a, insert, Level.ONE), ['true']);
  cluster.network.fault = () => undefined;
  cluster.seemsDead = (_observer, other) => other === b.info.hostId;
  // c takes part, b does not; the row is another one.
  const other = 'INSERT INTO c (k, c, v) VALUES (1, 2, 2) IF NOT EXISTS';
  assert.deepEqual(await cluster.run(c, other), ['true']);
  cluster.seemsDead = () => false;
  cluster.kill(a);
  assert.deepEqual(await cluster.run(b, 'SELECT c, v FROM c WHERE k = 1', Level.SERIAL), [
    '1 1',
    '2 2',
  ]);
});

/** Adds one until it is sure that it has. @returns how often nobody knew */
async function increment(cluster: TestCluster, node: TestNode, tag: number): Promise<boolean> {
  for (;;) {
    if (!node.isUp) return false;
    try {
      const [value] = await cluster.send(node, 'SELECT v FROM t WHERE k = 1', Level.SERIAL);
      const text = `UPDATE t SET v = ${Number(value) + 1} WHERE k = 1 IF v = ${value}`;
      const [row] = await cluster.send(node, text);
      if (row === 'true') return true;
    } catch (error) {
      if (!(error instanceof CqlError)) throw error;
      if (error.detail?.kind === 'cas-write-unknown') throw new RangeError(`unknown: ${tag}`);
    }
  }
}

test('contended increments are exact', async () => {
  const cluster = await TestCluster.start({
    datacenters: { dc1: 3 },
    ddl: DDL,
    coordinator: { casContentionTimeoutMillis: 20_000 },
  });
  await cluster.run(cluster.nodes[0], 'INSERT INTO t (k, v) VALUES (1, 0)');
  const work = Array.from({ length: 45 }, (_, i) => increment(cluster, cluster.nodes[i % 3], i));
  await cluster.time.until(Promise.all(work), 600_000);
  for (const node of cluster.nodes) {
    assert.deepEqual(await cluster.run(node, 'SELECT v FROM t WHERE k = 1', Level.SERIAL), ['45']);
  }
});

for (const seed of [1, 2, 3, 4]) {
  test(`increments over lost messages and restarts: between what is known and what is possible (seed ${seed})`, async () => {
    const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL, seed });
    const { nodes, random, time } = cluster;
    await cluster.run(nodes[0], 'INSERT INTO t (k, v) VALUES (1, 0)');
    cluster.network.fault = () => {
      const dice = random();
      if (dice < 0.01) return 'lose';
      if (dice < 0.02) return 'lose-answer';
      return dice < 0.2 ? { delayMillis: random() * 20 } : undefined;
    };
    let sure = 0;
    let unsure = 0;
    const client = async (node: TestNode) => {
      for (let i = 0; i < 8; i++) {
        await new Promise<void>((resolve) => time.after(random() * 50, resolve));
        if (!node.isUp) continue;
        // Until it is heard of, it may have happened; a dead coordinator tells nothing.
        let isTold = false;
        unsure++;
        const attempt = (async () => {
          const [value] = await cluster.send(node, 'SELECT v FROM t WHERE k = 1', Level.SERIAL);
          const text = `UPDATE t SET v = ${Number(value) + 1} WHERE k = 1 IF v = ${value}`;
          const [row] = await cluster.send(node, text);
          if (isTold) return;
          unsure--;
          if (row === 'true') sure++;
        })().catch((error: unknown) => {
          if (!(error instanceof CqlError)) throw error;
          const { detail } = error;
          if (isTold) return;
          if (detail?.kind === 'read-timeout' || detail?.kind === 'unavailable') unsure--;
          if (detail?.kind === 'write-timeout') {
            unsure--;
            // Decided; only its commit was slow. A CAS timeout has written nothing.
            if (detail.writeType === 'SIMPLE') sure++;
          }
        });
        await Promise.race([
          attempt,
          new Promise<void>((resolve) => time.after(6_000, resolve)),
        ]).then(() => {
          isTold = true;
        });
      }
    };
    const clients = Promise.all([...nodes, ...nodes].map(client));
    const [, second] = nodes;
    time.after(150, () => cluster.kill(second));
    time.after(400, () => {
      cluster.restart(second).catch(assert.fail);
    });
    await time.until(clients, 600_000);
    cluster.network.fault = () => undefined;
    await time.run(10_000);
    const [value] = await cluster.run(nodes[0], 'SELECT v FROM t WHERE k = 1', Level.SERIAL);
    assert.ok(Number(value) >= sure, `${value} of at least ${sure}`);
    assert.ok(Number(value) <= sure + unsure, `${value} of at most ${sure} + ${unsure}`);
    assert.ok(sure > 5, `only ${sure} went through`);
  });
}
