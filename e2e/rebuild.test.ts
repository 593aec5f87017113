/** A datacenter that a keyspace did not replicate to gets its data from another one, while it is written to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { connectAdmin } from '../node/src/main/admin-client.ts';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';

const { consistencies } = cassandra.types;
const ROWS = 2_000;

function connect(cluster: ClusterProcesses, contact: number, datacenter: string): cassandra.Client {
  return new cassandra.Client({
    contactPoints: [cluster.addresses[contact]],
    localDataCenter: datacenter,
    queryOptions: { consistency: consistencies.localQuorum, prepare: true },
    socketOptions: { readTimeout: 30_000 },
  });
}

test('a new datacenter is rebuilt from another, and what it got meanwhile stays', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 2, dc2: 2 } });
  const client = connect(cluster, 0, 'dc1');
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  const write = async (from: number, v: number, to = ROWS) => {
    for (let k = from; k < to; k += 100) {
      const keys = Array.from({ length: Math.min(100, to - k) }, (_, i) => k + i);
      await Promise.all(
        keys.map((one) => client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [one, v])),
      );
    }
  };
  await write(0, 1);
  await client.execute('DELETE FROM ks.t WHERE k = 7');
  await client.execute(
    "ALTER KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2, 'dc2': 2}",
  );
  // Newer than what comes.
  await write(500, 2, 600);
  const rebuild = async (index: number, from: string) => {
    const admin = connectAdmin(`${cluster.addresses[index]}:${cluster.nodes[index].adminPort}`);
    try {
      return await admin.rebuild({ datacenter: from, keyspace: 'ks' });
    } finally {
      admin.close();
    }
  };
  await assert.rejects(rebuild(2, 'dc9'), /there is no datacenter 'dc9'/);
  assert.ok((await rebuild(2, 'dc1')) > 0);
  assert.ok((await rebuild(3, 'dc1')) > 0);
  // Each node alone has every row.
  await client.shutdown();
  await cluster.nodes[0].kill9();
  await cluster.nodes[1].kill9();
  const there = connect(cluster, 2, 'dc2');
  await there.connect();
  const select = 'SELECT v FROM ks.t WHERE k = ?';
  for (let k = 0; k < ROWS; k++) {
    const options = { prepare: true, consistency: consistencies.localOne };
    const row = (await there.execute(select, [k], options)).first();
    const expected = k === 7 ? undefined : k >= 500 && k < 600 ? 2 : 1;
    assert.equal(row?.['v'], expected, `key ${k}`);
  }
  await there.shutdown();
});
