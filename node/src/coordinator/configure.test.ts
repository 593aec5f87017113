/** Limits of requests that change while the coordinator runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Level } from './levels.ts';
import type { CoordinatorTuning } from './ports.ts';
import { TestCluster } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
];
const TUNING: CoordinatorTuning = {
  readTimeoutMillis: 300,
  rangeTimeoutMillis: 300,
  writeTimeoutMillis: 200,
  counterTimeoutMillis: 300,
  casContentionTimeoutMillis: 100,
  hints: { windowMillis: 3_600_000, bytesMax: 1 << 20 },
};

test('requests that begin later have the new timeouts', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a] = cluster.nodes;
  cluster.network.fault = () => 'lose';
  const millis = async (text: string) => {
    const before = cluster.time.nowMillis;
    await cluster.fail(a, text, Level.ALL);
    return Math.round(cluster.time.nowMillis - before);
  };
  assert.equal(await millis('INSERT INTO t (k, v) VALUES (1, 1)'), 2_000);
  assert.equal(await millis('SELECT v FROM t WHERE k = 1'), 5_000);
  a.coordinator.configure(TUNING);
  assert.equal(await millis('INSERT INTO t (k, v) VALUES (1, 1)'), 200);
  assert.equal(await millis('SELECT v FROM t WHERE k = 1'), 300);
});

test('hints are kept by the newest bounds', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: DDL });
  const [a, b] = cluster.nodes;
  cluster.kill(b);
  const write = () => cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 1)');
  const kept = () => a.coordinator.hintsFor(b.info.hostId).count;
  a.coordinator.configure({ ...TUNING, hints: { ...TUNING.hints, bytesMax: 0 } });
  await write();
  assert.equal(kept(), 0);
  a.coordinator.configure(TUNING);
  await write();
  assert.equal(kept(), 1);
});
