import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CqlError } from '../common/errors.ts';
import { Verb } from '../internode/links.ts';
import { Level } from './levels.ts';
import { type Join, startJoin } from './testing/join.ts';
import { TestCluster, type TestNode } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
  'CREATE TABLE ks.n (k int PRIMARY KEY, c counter)',
];

/** Three nodes and one that joins: of three replicas of most keys one is another afterwards. */
async function joining(): Promise<{ cluster: TestCluster; join: Join; key: number }> {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const join = await startJoin(cluster);
  join.streaming();
  cluster.learn(join.node);
  const { topology } = join.node.coordinator;
  const key = Array.from({ length: 100 }, (_, k) => k).find((k) => {
    const { placement, writes } = topology.replicatedOf(cluster.table('t'));
    const bucket = cluster.bucketOf('t', k);
    return writes.ofBucket(bucket).length > placement.ofBucket(bucket).length;
  });
  if (key === undefined) throw new TypeError('nothing moves');
  return { cluster, join, key };
}

function learnAll(cluster: TestCluster, except: readonly TestNode[] = []): void {
  for (const node of cluster.nodes) if (!except.includes(node)) cluster.learn(node);
}

const REQUESTS: readonly (readonly [string, (k: number) => string, string[]])[] = [
  ['a write', (k) => `INSERT INTO t (k, v) VALUES (${k}, 1)`, []],
  ['a read', (k) => `SELECT v FROM t WHERE k = ${k}`, ['7']],
  ['a scan', () => 'SELECT v FROM t', ['7']],
  ['a conditional write', (k) => `UPDATE t SET v = 8 WHERE k = ${k} IF v = 7`, ['true']],
  ['a count', (k) => `UPDATE n SET c = c + 1 WHERE k = ${k}`, []],
  [
    'a logged batch',
    (k) =>
      `BEGIN BATCH INSERT INTO t (k, v) VALUES (${k}, 1); INSERT INTO t (k, v) VALUES (${k + 1}, 1); APPLY BATCH`,
    [],
  ],
];

for (const [name, textOf, expected] of REQUESTS) {
  test(`${name} of a coordinator that is behind is begun again, unseen`, async () => {
    const { cluster, join, key } = await joining();
    const [a] = cluster.nodes;
    await cluster.run(a, `INSERT INTO t (k, v) VALUES (${key}, 7)`, Level.ALL);
    learnAll(cluster, [a]);
    join.switched();
    learnAll(cluster, [a]);
    // What was written before is there as if it had been streamed.
    for (const one of cluster.nodes) cluster.copy(a, one, 't');
    const sent = cluster.network.sent.length;
    // A quorum of those that are read before and after is enough for a read.
    const level = name === 'a read' || name === 'a scan' ? Level.ALL : Level.QUORUM;
    const answer = cluster.send(a, textOf(key), level);
    cluster.time.after(50, () => cluster.learn(a));
    assert.deepEqual(await cluster.time.until(answer), expected);
    assert.ok(a.coordinator.metrics.staleRestarts > 0);
    assert.ok(
      cluster.network.sent.slice(sent).some(({ to }) => to === join.node.info.hostId),
      'the node that gets the range takes part',
    );
  });

  test(`${name} waits for a replica that is behind`, async () => {
    const { cluster, join, key } = await joining();
    const [a, ...others] = cluster.nodes;
    await cluster.run(a, `INSERT INTO t (k, v) VALUES (${key}, 7)`, Level.ALL);
    learnAll(cluster, others);
    for (const one of cluster.nodes) cluster.copy(a, one, 't');
    const answer = cluster.send(a, textOf(key));
    cluster.time.after(100, () => learnAll(cluster));
    assert.deepEqual(await cluster.time.until(answer), expected);
    assert.ok(join.node.coordinator.topology.epoch === a.coordinator.topology.epoch);
  });
}

test('replicas that never catch up: a time out, as of replicas that do not answer', async () => {
  const { cluster, key } = await joining();
  const [a, ...others] = cluster.nodes;
  learnAll(cluster, others);
  const insert = `INSERT INTO t (k, v) VALUES (${key}, 1)`;
  const kinds: (string | undefined)[] = [];
  for (const text of [insert, `SELECT v FROM t WHERE k = ${key}`, 'SELECT v FROM t']) {
    const error: CqlError = await cluster.fail(a, text);
    kinds.push(error.detail?.kind);
  }
  assert.deepEqual(kinds, ['write-timeout', 'read-timeout', 'read-timeout']);
  const conditional = await cluster.fail(a, `${insert} IF NOT EXISTS`);
  assert.equal(conditional.detail?.kind, 'write-timeout');
});

test('a coordinator that never catches up: a time out, and nothing waits for ever', async () => {
  const { cluster, key } = await joining();
  const [a] = cluster.nodes;
  learnAll(cluster, [a]);
  const kinds: (string | undefined)[] = [];
  const insert = `INSERT INTO t (k, v) VALUES (${key}, 1)`;
  for (const text of [insert, `${insert} IF NOT EXISTS`]) {
    kinds.push((await cluster.fail(a, text)).detail?.kind);
  }
  const count = `UPDATE n SET c = c + 1 WHERE k = ${key}`;
  kinds.push((await cluster.fail(a, count)).detail?.kind);
  assert.deepEqual(kinds, ['write-timeout', 'write-timeout', 'write-timeout']);
  assert.ok(cluster.time.nowMillis < 10_000);
});

test('a write that is begun again while too few are left is not told as one that was not done', async () => {
  const { cluster, join, key } = await joining();
  const [a] = cluster.nodes;
  learnAll(cluster, [a]);
  join.switched();
  learnAll(cluster, [a]);
  cluster.time.after(50, () => {
    cluster.seemsDead = (_observer, hostId) => hostId !== a.info.hostId;
    cluster.learn(a);
  });
  const error = await cluster.fail(a, `INSERT INTO t (k, v) VALUES (${key}, 1)`);
  assert.equal(error.detail?.kind, 'write-timeout');
  assert.ok(a.coordinator.metrics.staleRestarts > 0);
});

test('what a scan shows of a range that moves is seen where it is read next', async () => {
  for (const level of [Level.QUORUM, Level.EACH_QUORUM, Level.ALL]) {
    const { cluster, join, key } = await joining();
    learnAll(cluster);
    const { placement, writes } = join.node.coordinator.topology.replicatedOf(cluster.table('t'));
    const bucket = cluster.bucketOf('t', key);
    const kept = writes.keptOf(writes.ofBucket(bucket)).map(({ hostId }) => hostId);
    const before = placement.ofBucket(bucket).map(({ hostId }) => cluster.byId(hostId));
    const loser = before.find(({ info }) => !kept.includes(info.hostId));
    assert.ok(loser !== undefined && kept.length === 2);
    // Only the one that gives it up has taken it, and one of the others seems to be down.
    const { hostId } = loser.info;
    cluster.network.fault = (_from, to, verb) =>
      verb === Verb.Mutation && to !== hostId ? 'lose' : undefined;
    const insert = `INSERT INTO t (k, v) VALUES (${key}, 7)`;
    assert.equal((await cluster.fail(loser, insert)).detail?.kind, 'write-timeout');
    cluster.network.fault = () => undefined;
    cluster.seemsDead = (_observer, other) => level !== Level.ALL && other === kept[0];
    assert.deepEqual(await cluster.run(loser, 'SELECT v FROM t', level), ['7']);
    const has = [...kept.map((id) => cluster.byId(id)), join.node].map(
      (node) => cluster.has(node, 't', key).length,
    );
    assert.ok(has[1] + has[2] + (level === Level.ALL ? has[0] : 0) >= 2, `${level}: ${has}`);
  }
});

test('owners of ranges that did not move are not told to catch up', async () => {
  const { cluster, join } = await joining();
  const [a] = cluster.nodes;
  learnAll(cluster, [a]);
  const { topology } = join.node.coordinator;
  const { placement, writes } = topology.replicatedOf(cluster.table('t'));
  const still = Array.from({ length: 1000 }, (_, k) => k).find((k) => {
    const bucket = cluster.bucketOf('t', k);
    return writes.ofBucket(bucket).length === placement.ofBucket(bucket).length;
  });
  assert.ok(still !== undefined);
  await cluster.run(a, `INSERT INTO t (k, v) VALUES (${still}, 1)`, Level.ALL);
  assert.equal(a.coordinator.metrics.staleRestarts, 0);
});

test('hints of a node that lost the range go to those that have it', async () => {
  const { cluster, join, key } = await joining();
  learnAll(cluster);
  const { topology } = join.node.coordinator;
  const bucket = cluster.bucketOf('t', key);
  const before = topology.replicatedOf(cluster.table('t')).placement.ofBucket(bucket);
  join.switched();
  const after = () => topology.replicatedOf(cluster.table('t')).placement.ofBucket(bucket);
  const streaming = cluster.state;
  cluster.learn(join.node, streaming);
  const loser = cluster.nodes.find(
    ({ info }) =>
      before.some(({ hostId }) => hostId === info.hostId) &&
      !after().some(({ hostId }) => hostId === info.hostId),
  );
  assert.ok(loser !== undefined);
  learnAll(cluster);
  const writer = cluster.nodes.find((node) => node !== loser && node !== join.node);
  assert.ok(writer !== undefined);
  const { hostId } = loser.info;
  cluster.network.fault = (_from, to, verb) =>
    verb === Verb.Mutation && (to === hostId || to === join.node.info.hostId) ? 'lose' : undefined;
  await cluster.run(writer, `INSERT INTO t (k, v) VALUES (${key}, 5)`, Level.ONE);
  // Three wait for the two that are there.
  join.finished();
  learnAll(cluster);
  await cluster.time.run(3_000);
  cluster.network.fault = () => undefined;
  await cluster.time.run(10_000);
  assert.deepEqual(cluster.has(join.node, 't', key), cluster.has(writer, 't', key));
  assert.deepEqual(cluster.has(loser, 't', key), []);
});
