import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Verb } from '../internode/links.ts';
import { Level } from './levels.ts';
import { startJoin } from './testing/join.ts';
import { TestCluster, type TestNode } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
];

/**
 * A conditional write that was decided by a node that keeps the range and the one that gives it up, and that nobody but
 * they know of; then the range moves, and the one that keeps it is away.
 */
async function decidedByTwo(settles: boolean): Promise<string[]> {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const join = await startJoin(cluster);
  join.streaming();
  const { state } = cluster;
  cluster.learn(join.node);
  const { topology } = join.node.coordinator;
  const key = Array.from({ length: 100 }, (_, k) => k).find(
    (k) => topology.replicatedOf(cluster.table('t')).moveOf(cluster.partition('t', k)) !== null,
  );
  assert.ok(key !== undefined);
  const move = topology.replicatedOf(cluster.table('t')).moveOf(cluster.partition('t', key));
  const isKept = ({ info }: TestNode) =>
    move?.kept.some(({ hostId }) => hostId === info.hostId) === true;
  const base = cluster.nodes.slice(0, 3);
  const [keeper, other] = base.filter(isKept);
  const loser = base.find((node) => !isKept(node));
  assert.ok(loser !== undefined);
  await cluster.run(keeper, `INSERT INTO t (k, v) VALUES (${key}, 1)`, Level.ALL);
  cluster.network.fault = (_from, to, verb) =>
    to === other.info.hostId || verb === Verb.PaxosCommit ? 'lose' : undefined;
  const lost = await cluster.fail(keeper, `UPDATE t SET v = 2 WHERE k = ${key} IF v = 1`);
  assert.equal(lost.detail?.kind === 'write-timeout' && lost.detail.writeType, 'SIMPLE');
  cluster.network.fault = () => undefined;
  for (const node of base) cluster.learn(node, state);
  if (settles) assert.equal(await cluster.time.until(loser.coordinator.settleMoving()), 1);
  cluster.copy(loser, join.node, 't');
  join.switched();
  for (const node of cluster.nodes) cluster.learn(node);
  join.finished();
  for (const node of cluster.nodes) cluster.learn(node);
  cluster.kill(keeper);
  return cluster.run(join.node, `SELECT v FROM t WHERE k = ${key}`, Level.SERIAL);
}

test('what was decided before a range moved is known afterwards', async () => {
  assert.deepEqual(await decidedByTwo(true), ['2']);
});

test('without it, it would not be', async () => {
  assert.deepEqual(await decidedByTwo(false), ['1']);
});
