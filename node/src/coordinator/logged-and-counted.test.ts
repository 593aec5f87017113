import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Verb } from '../internode/links.ts';
import { Level } from './levels.ts';
import { TestCluster } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
  'CREATE TABLE ks.n (k int PRIMARY KEY, a counter, b counter)',
  "CREATE KEYSPACE one WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
];

const BATCH =
  'BEGIN BATCH INSERT INTO t (k, v) VALUES (1, 1); INSERT INTO t (k, v) VALUES (2, 2); INSERT INTO t (k, v) VALUES (3, 3); APPLY BATCH';

test('a logged batch is kept on two nodes of other racks, and forgotten when it is done', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, racks: 3, ddl: DDL });
  const [a, b] = cluster.nodes;
  await cluster.run(a, BATCH);
  const stores = cluster.network.sent.filter(({ verb }) => verb === Verb.BatchStore);
  assert.equal(stores.length, 2);
  const racks = stores.map(({ to }) => cluster.byId(to).info.rack).sort();
  assert.deepEqual(racks, ['r1', 'r2']);
  assert.deepEqual((await cluster.run(b, 'SELECT k, v FROM t')).sort(), ['1 1', '2 2', '3 3']);
  await cluster.time.run(60_000);
  assert.ok(cluster.nodes.every(({ coordinator }) => coordinator.metrics.batchesReplayed === 0));
});

test('a batch of a coordinator that dies is finished by others', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, racks: 3, ddl: DDL });
  const [a, b] = cluster.nodes;
  // Nothing but the batch itself leaves the coordinator.
  cluster.network.fault = (from, _to, verb) =>
    from === a.info.hostId && verb === Verb.Mutation ? 'lose' : undefined;
  const sent = cluster.send(a, BATCH);
  sent.catch(() => {});
  await cluster.time.run(20);
  cluster.kill(a);
  await cluster.time.run(30_000);
  assert.deepEqual((await cluster.run(b, 'SELECT k, v FROM t')).sort(), ['1 1', '2 2', '3 3']);
  await cluster.restart(a);
  await cluster.time.run(30_000);
  for (const k of [1, 2, 3]) {
    const versions = cluster.replicasOf('t', k).map((node) => cluster.has(node, 't', k).join());
    assert.equal(new Set(versions).size, 1);
  }
  const replays = cluster.nodes.map(({ coordinator }) => coordinator.metrics.batchesReplayed);
  assert.equal(
    replays.reduce((sum, count) => sum + count, 0),
    2,
  );
});

test('a batch that nobody can keep is refused', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  cluster.network.fault = (_from, _to, verb) => (verb === Verb.BatchStore ? 'lose' : undefined);
  const error = await cluster.fail(a, BATCH);
  assert.deepEqual(error.detail, {
    kind: 'write-timeout',
    consistency: Level.TWO,
    received: 0,
    required: 2,
    writeType: 'BATCH_LOG',
    contentions: 0,
  });
  cluster.kill(b);
  cluster.kill(c);
  const alone = await cluster.fail(a, BATCH, Level.ONE);
  assert.deepEqual(alone.detail, {
    kind: 'unavailable',
    consistency: Level.ONE,
    required: 1,
    alive: 0,
  });
});

test('counters are exact over any leader, with a replica away for a while', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: DDL });
  const add = (i: number, by: number) =>
    cluster.run(cluster.nodes[i], `UPDATE n SET a = a + ${by}, b = b - 1 WHERE k = 1`);
  for (let i = 0; i < 5; i++) await add(i, 10);
  const [first] = cluster.replicasOf('n', 1);
  cluster.kill(first);
  for (const [i, node] of cluster.nodes.entries()) if (node.isUp) await add(i, 1);
  await cluster.restart(first);
  await cluster.time.run(5_000);
  for (let i = 0; i < 5; i++) await add(i, 100);
  for (const node of cluster.nodes) {
    assert.deepEqual(await cluster.run(node, 'SELECT a, b FROM n WHERE k = 1'), ['554 -14']);
  }
  await cluster.time.run(5_000);
  const versions = cluster.replicasOf('n', 1).map((node) => cluster.has(node, 'n', 1).join());
  assert.equal(new Set(versions).size, 1);
  const both =
    'BEGIN COUNTER BATCH UPDATE n SET a = a + 1 WHERE k = 1; UPDATE n SET a = a + 1 WHERE k = 1; UPDATE n SET a = a + 1 WHERE k = 2; APPLY BATCH';
  await cluster.run(cluster.nodes[3], both);
  assert.deepEqual((await cluster.run(cluster.nodes[0], 'SELECT k, a FROM n')).sort(), [
    '1 556',
    '2 1',
  ]);
});

test('concurrent counts of one counter are all there', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const work: Promise<string[]>[] = [];
  for (let i = 0; i < 60; i++) {
    work.push(cluster.send(cluster.nodes[i % 3], 'UPDATE n SET a = a + 1 WHERE k = 7'));
  }
  await cluster.time.until(Promise.all(work));
  assert.deepEqual(await cluster.run(cluster.nodes[0], 'SELECT a FROM n WHERE k = 7', Level.ALL), [
    '60',
  ]);
});

test('a leader that does not answer may have counted: nobody else is asked', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: DDL });
  const replicas = new Set(cluster.replicasOf('n', 1));
  const outsider = cluster.nodes.find((node) => !replicas.has(node)) ?? cluster.nodes[0];
  cluster.network.fault = (_from, _to, verb) => (verb === Verb.Counter ? 'lose-answer' : undefined);
  const error = await cluster.fail(outsider, 'UPDATE n SET a = a + 1 WHERE k = 1');
  assert.equal(error.detail?.kind === 'write-timeout' && error.detail.writeType, 'COUNTER');
  assert.equal(cluster.network.sent.filter(({ verb }) => verb === Verb.Counter).length, 1);
  assert.deepEqual(await cluster.run(outsider, 'SELECT a FROM n WHERE k = 1'), ['1']);
  const any = await cluster.fail(outsider, 'UPDATE n SET a = a + 1 WHERE k = 1', Level.ALL);
  assert.equal(any.detail?.kind, 'write-timeout');
});

test('a leader that has counted when the other replicas are gone tells of a timeout', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 4 }, ddl: DDL });
  const [leader] = cluster.replicasOf('n', 1);
  cluster.seemsDead = (observer) =>
    observer === leader.info.hostId && cluster.has(leader, 'n', 1).length > 0;
  const add = 'UPDATE n SET a = a + 1 WHERE k = 1';
  const timeout = {
    kind: 'write-timeout',
    consistency: Level.QUORUM,
    received: 1,
    required: 2,
    writeType: 'COUNTER',
    contentions: 0,
  };
  assert.deepEqual((await cluster.fail(leader, add)).detail, timeout);
  // Whoever looks first, and counts nothing, says so.
  assert.equal((await cluster.fail(leader, add)).detail?.kind, 'unavailable');
  cluster.seemsDead = () => false;
  assert.deepEqual(await cluster.run(leader, 'SELECT a FROM n WHERE k = 1'), ['1']);
});
