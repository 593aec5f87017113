/** What a node that leaves still keeps for others reaches them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopologyOperation } from '../cluster/cluster-state.ts';
import { isNothing } from '../cluster/left-over.ts';
import { request, Verb } from '../internode/links.ts';
import { Level } from './levels.ts';
import { type CoordinatorOptions, DEFAULT_COORDINATOR_OPTIONS } from './ports.ts';
import { TestCluster, type TestNode } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
];
const KEYS = 40;

function start(coordinator: Partial<CoordinatorOptions> = {}): Promise<TestCluster> {
  return TestCluster.start({ datacenters: { dc1: 5 }, ddl: DDL, coordinator });
}

async function write(cluster: TestCluster, by: TestNode, first = 0): Promise<void> {
  for (let k = first; k < first + KEYS; k++) {
    await cluster.run(by, `INSERT INTO t (k, v) VALUES (${k}, ${k})`, Level.QUORUM);
  }
}

/** The last phase of a leave; everyone knows. */
function leave(cluster: TestCluster, { info }: TestNode): void {
  const operation: TopologyOperation = {
    ...{ id: 'o', kind: 'leave', hostId: info.hostId, replaces: null, tokens: [], done: [] },
    ...{ phase: 'switched', startEpoch: 0, phaseEpoch: 0 },
  };
  const nodes = new Map([
    ...cluster.state.nodes,
    [info.hostId, { ...info, state: 'leaving' as const }],
  ]);
  cluster.move({ nodes, operations: [operation] });
  for (const node of cluster.nodes) cluster.learn(node);
}

function finish(cluster: TestCluster, { info }: TestNode): void {
  const left = { ...info, state: 'left' as const, tokens: [] };
  cluster.move({ nodes: new Map([...cluster.state.nodes, [info.hostId, left]]), operations: [] });
  for (const node of cluster.nodes) cluster.learn(node);
}

/** Keys of a node, which it has whoever else leaves. */
function keysOf(cluster: TestCluster, node: TestNode): readonly number[] {
  const keys = Array.from({ length: 2 * KEYS }, (_, k) => k);
  return keys.filter((k) => cluster.replicasOf('t', k).includes(node));
}

/** Those of the keys that it lacks. */
function lacking(cluster: TestCluster, node: TestNode, keys: readonly number[]): number[] {
  return keys.filter((k) => cluster.has(node, 't', k).length === 0);
}

test('hints for a node that is down go to nodes that stay, and to it when it is back', async () => {
  const cluster = await start();
  const [away, leaver, ...others] = cluster.nodes;
  const own = keysOf(cluster, away);
  cluster.kill(away);
  await write(cluster, leaver);
  const { count } = leaver.coordinator.hintsFor(away.info.hostId);
  assert.ok(count > 5);
  leave(cluster, leaver);
  await cluster.time.run(2_000);
  assert.ok(isNothing(leaver.coordinator.leftOver()));
  const kept = others.map(({ coordinator }) => coordinator.hintsFor(away.info.hostId).count);
  assert.equal(
    kept.reduce((sum, one) => sum + one, 0),
    count,
  );
  // What it still writes as a coordinator it does not keep either.
  await write(cluster, leaver, KEYS);
  assert.ok(isNothing(leaver.coordinator.leftOver()));
  finish(cluster, leaver);
  cluster.kill(leaver);
  await cluster.restart(away);
  cluster.learn(away);
  assert.ok(lacking(cluster, away, own).length > 0);
  await cluster.time.run(20_000);
  assert.deepEqual(lacking(cluster, away, own), []);
  for (const { coordinator } of others) assert.ok(isNothing(coordinator.leftOver()));
});

test('hints for a node that is up are delivered before it leaves', async () => {
  const hints = { ...DEFAULT_COORDINATOR_OPTIONS.hints, intervalMillis: 1_000 };
  const cluster = await start({ hints });
  const [slow, leaver] = cluster.nodes;
  const own = keysOf(cluster, slow).filter((k) => k < KEYS);
  cluster.network.fault = (_from, to) => (to === slow.info.hostId ? 'lose' : undefined);
  await write(cluster, leaver);
  await cluster.time.run(500);
  cluster.network.fault = () => undefined;
  leave(cluster, leaver);
  assert.ok(!isNothing(leaver.coordinator.leftOver()));
  await cluster.time.run(5_000);
  assert.ok(isNothing(leaver.coordinator.leftOver()));
  assert.deepEqual(lacking(cluster, slow, own), []);
});

test('a leaver whose hints nobody takes keeps them, tries again, and gives them up after long', async () => {
  const cluster = await start();
  const [away, leaver] = cluster.nodes;
  cluster.kill(away);
  await write(cluster, leaver);
  const { count } = leaver.coordinator.hintsFor(away.info.hostId);
  cluster.network.fault = (_from, _to, verb) => (verb === Verb.HintKeep ? 'overload' : undefined);
  leave(cluster, leaver);
  await write(cluster, leaver, KEYS);
  const { hints } = leaver.coordinator.leftOver();
  assert.ok(hints > count);
  // The process dies and goes on where it was.
  cluster.kill(leaver);
  await cluster.restart(leaver);
  cluster.learn(leaver);
  assert.equal(leaver.coordinator.leftOver().hints, hints);
  cluster.network.fault = () => undefined;
  await cluster.time.run(5_000);
  assert.ok(isNothing(leaver.coordinator.leftOver()));

  cluster.network.fault = (_from, _to, verb) => (verb === Verb.HintKeep ? 'overload' : undefined);
  await write(cluster, leaver, 2 * KEYS);
  const told: string[] = [];
  cluster.onError = (message) => told.push(message);
  await cluster.time.run(9 * 60_000);
  assert.ok(!isNothing(leaver.coordinator.leftOver()));
  await cluster.time.run(2 * 60_000);
  assert.ok(isNothing(leaver.coordinator.leftOver()));
  assert.ok(told.length > 0 && told.every((one) => /hints are lost/.test(one)));
});

test('batches that a leaver keeps are finished before it leaves, by hints where it must be', async () => {
  const cluster = await start();
  const [away, leaver, writer, ...others] = cluster.nodes;
  const back = [writer, others[0], away];
  const own = back.map((node) => keysOf(cluster, node).filter((k) => k < KEYS));
  // Nothing but the batch itself leaves the coordinator, which dies; of the two that keep it one leaves.
  const isFor = (to: string) => to === leaver.info.hostId || to === others[0].info.hostId;
  cluster.network.fault = (from, to, verb) =>
    from === writer.info.hostId && (verb === Verb.Mutation || !isFor(to)) ? 'lose' : undefined;
  const insert = (k: number) => `INSERT INTO t (k, v) VALUES (${k}, ${k});`;
  const keys = Array.from({ length: KEYS }, (_, k) => k);
  const sent = cluster.send(writer, `BEGIN BATCH ${keys.map(insert).join(' ')} APPLY BATCH`);
  sent.catch(() => {});
  await cluster.time.run(6_100);
  cluster.kill(writer);
  cluster.kill(others[0]);
  cluster.kill(away);
  cluster.network.fault = () => undefined;
  leave(cluster, leaver);
  assert.equal(leaver.coordinator.leftOver().batches, null);
  await cluster.time.run(1_500);
  assert.notEqual(leaver.coordinator.leftOver().batches, null);
  await cluster.time.run(20_000);
  assert.ok(isNothing(leaver.coordinator.leftOver()));
  assert.equal(leaver.coordinator.metrics.batchesReplayed, 1);
  finish(cluster, leaver);
  cluster.kill(leaver);
  for (const node of back) {
    await cluster.restart(node);
    cluster.learn(node);
  }
  await cluster.time.run(20_000);
  for (const [i, node] of back.entries()) assert.deepEqual(lacking(cluster, node, own[i]), []);
});

test('a hint that comes twice is kept once; bytes that are none are refused', async () => {
  const cluster = await start();
  const [away, leaver, keeper] = cluster.nodes;
  cluster.kill(away);
  for (const node of cluster.nodes) if (node !== keeper && node !== leaver) cluster.kill(node);
  // Its answer is lost once: it is sent again.
  cluster.network.fault = (_from, _to, verb) =>
    verb === Verb.HintKeep && cluster.time.nowMillis < 4_000 ? 'lose-answer' : undefined;
  await write(cluster, leaver).catch(() => {});
  leave(cluster, leaver);
  await cluster.time.run(20_000);
  const links = cluster.network.find(leaver.info.hostId);
  assert.ok(links !== undefined);
  for (const body of [Buffer.alloc(0), Buffer.of(9), Buffer.alloc(40, 1)]) {
    const asked = request(links, keeper.info, Verb.HintKeep, body, 1_000);
    await assert.rejects(cluster.time.until(asked), { code: 'FAILED' });
  }
  for (const node of cluster.nodes) {
    if (node.isUp) continue;
    await cluster.restart(node);
    cluster.learn(node);
  }
  await cluster.time.run(30_000);
  assert.ok(isNothing(keeper.coordinator.leftOver()));
});
