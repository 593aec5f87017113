import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Level } from './levels.ts';
import { TestCluster } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
  'CREATE TABLE ks.c (k int, c int, s int static, v int, PRIMARY KEY (k, c))',
];

test('what is written on one node is read on another, with one replica down', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 10)');
  assert.deepEqual(await cluster.run(b, 'SELECT v FROM t WHERE k = 1'), ['10']);
  cluster.kill(c);
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 11)');
  assert.deepEqual(await cluster.run(b, 'SELECT v FROM t WHERE k = 1'), ['11']);
  assert.deepEqual(await cluster.run(a, 'SELECT v FROM t WHERE k = 1'), ['11']);
  const error = await cluster.fail(a, 'INSERT INTO t (k, v) VALUES (1, 12)', Level.ALL);
  assert.deepEqual(error.detail, {
    kind: 'unavailable',
    consistency: Level.ALL,
    required: 3,
    alive: 2,
  });
  assert.equal(a.coordinator.hintsFor(c.info.hostId).count, 1);
  await cluster.restart(c);
  assert.deepEqual(cluster.has(c, 't', 1).length, 1);
  await cluster.time.run(3_000);
  assert.equal(a.coordinator.hintsFor(c.info.hostId).count, 0);
  assert.equal(a.coordinator.metrics.hintsReplayed, 1);
  assert.deepEqual(cluster.has(c, 't', 1), cluster.has(a, 't', 1));
  assert.deepEqual(await cluster.run(c, 'SELECT v FROM t WHERE k = 1', Level.ONE), ['11']);
});

test('a replica that missed something is repaired by a quorum read', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  // The others never hear of it: only a has it, and the client is told that it timed out.
  cluster.network.fault = (from) => (from === a.info.hostId ? 'lose' : undefined);
  const error = await cluster.fail(a, 'INSERT INTO t (k, v) VALUES (1, 10)');
  assert.deepEqual(error.detail, {
    kind: 'write-timeout',
    consistency: Level.QUORUM,
    received: 1,
    required: 2,
    writeType: 'SIMPLE',
    contentions: 0,
  });
  cluster.network.fault = () => undefined;
  assert.deepEqual(cluster.has(b, 't', 1), []);
  cluster.seemsDead = (_observer, other) => other === c.info.hostId;
  assert.deepEqual(await cluster.run(b, 'SELECT v FROM t WHERE k = 1'), ['10']);
  assert.equal(b.coordinator.metrics.digestMismatches, 1);
  assert.deepEqual(cluster.has(b, 't', 1), cluster.has(a, 't', 1));
  cluster.kill(a);
  cluster.seemsDead = () => false;
  assert.deepEqual(await cluster.run(c, 'SELECT v FROM t WHERE k = 1'), ['10']);
});

test('a deletion under a row that has all of its cells makes no difference between replicas', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b, c] = cluster.nodes;
  // As it is where the row took the place of the deletion, and where it did not.
  cluster.network.fault = () => 'lose';
  await cluster.run(b, 'DELETE FROM t USING TIMESTAMP 5 WHERE k = 1', Level.ONE);
  cluster.network.fault = () => undefined;
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 10) USING TIMESTAMP 6', Level.ALL);
  const differ = () => assert.notDeepEqual(cluster.has(a, 't', 1), cluster.has(b, 't', 1));
  differ();
  for (const node of [a, b, c]) {
    for (const text of ['SELECT v FROM t WHERE k = 1', 'SELECT v FROM t']) {
      assert.deepEqual(await cluster.run(node, text, Level.ALL), ['10']);
    }
    assert.equal(node.coordinator.metrics.digestMismatches, 0);
  }
  differ();
});

test('scans go around the ring, merge and repair', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: DDL });
  const [a, b] = cluster.nodes;
  const expected: string[] = [];
  for (let k = 0; k < 60; k++) {
    await cluster.run(a, `INSERT INTO c (k, c, v) VALUES (${k}, ${k % 3}, ${k})`);
    await cluster.run(a, `INSERT INTO c (k, c, s, v) VALUES (${k}, 9, ${k}, 1)`);
    expected.push(`${k} ${k % 3} ${k} ${k}`, `${k} 9 ${k} 1`);
  }
  for (const level of [Level.ONE, Level.QUORUM, Level.ALL]) {
    const found = await cluster.run(b, 'SELECT k, c, s, v FROM c', level);
    assert.deepEqual([...found].sort(), [...expected].sort());
  }
  assert.deepEqual(await cluster.run(b, 'SELECT c, v FROM c WHERE k = 7 ORDER BY c DESC'), [
    '9 1',
    '1 7',
  ]);
  // One replica of everything loses all it has.
  const store = cluster.nodes[2].store.contents(cluster.table('c')) as Map<string, unknown>;
  const before = [...store].map(([key]) => key).sort();
  store.clear();
  const found = await cluster.run(b, 'SELECT k, c, s, v FROM c', Level.ALL);
  assert.deepEqual([...found].sort(), [...expected].sort());
  assert.deepEqual([...store].map(([key]) => key).sort(), before);
});
