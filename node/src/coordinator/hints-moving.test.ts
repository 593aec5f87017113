/** Hints for a node whose ranges move while it is down. Found by `npm run simulate -- --topology --interval 1000 --from 6`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopologyOperation } from '../cluster/cluster-state.ts';
import { Level } from './levels.ts';
import { TestCluster } from './testing/test-cluster.ts';

const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int)',
];

for (const phase of ['streaming', 'switched'] as const) {
  test(`a hint for who loses a range is for who gets it, too: ${phase}`, async () => {
    const cluster = await TestCluster.start({ datacenters: { dc1: 4 }, ddl: DDL });
    const [away, by, ...others] = cluster.nodes;
    const keys = Array.from({ length: 60 }, (_, k) => k);
    const own = keys.filter((k) => cluster.replicasOf('t', k).includes(away));
    assert.ok(own.length > 3);
    cluster.kill(away);
    for (const k of own) {
      await cluster.run(by, `INSERT INTO t (k, v) VALUES (${k}, ${k})`, Level.ANY);
    }
    const operation: TopologyOperation = {
      ...{ id: 'o', kind: 'leave', hostId: away.info.hostId, replaces: null, tokens: [] },
      ...{ done: [], phase, startEpoch: 0, phaseEpoch: 0 },
    };
    const leaving = { ...away.info, state: 'leaving' as const };
    const nodes = new Map([...cluster.state.nodes, [away.info.hostId, leaving]]);
    cluster.move({ nodes, operations: [operation] });
    for (const node of [by, ...others]) cluster.learn(node);
    await cluster.restart(away);
    cluster.learn(away);
    await cluster.time.run(30_000);
    assert.equal(by.coordinator.hintsFor(away.info.hostId).count, 0);
    for (const k of own) {
      assert.equal(cluster.has(away, 't', k).length, 1);
      assert.ok([by, ...others].some((node) => cluster.has(node, 't', k).length === 1));
    }
  });
}
