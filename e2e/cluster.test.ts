/** Three node processes and the unmodified driver: writes survive a killed node, which gets what it missed as hints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import { startNode } from './support/node-process.ts';
import { metric } from './support/ring-checks.ts';
import { until } from './support/wait.ts';

const { consistencies } = cassandra.types;

function connect(cluster: ClusterProcesses, datacenter = 'dc1', address = 0): cassandra.Client {
  return new cassandra.Client({
    contactPoints: [cluster.addresses[address]],
    localDataCenter: datacenter,
    queryOptions: { consistency: consistencies.quorum, prepare: true },
    socketOptions: { readTimeout: 60_000 },
  });
}

test('a killed node costs no error and no write, and catches up', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const client = connect(cluster);
  await client.connect();
  assert.equal(client.getState().getConnectedHosts().length > 0, true);
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');

  const written = new Set<number>();
  let next = 0;
  let going = true;
  const failures: unknown[] = [];
  const writer = async () => {
    while (going) {
      const k = next++;
      try {
        await client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k, k * 2], {
          isIdempotent: true,
        });
        written.add(k);
        const row = (
          await client.execute('SELECT v FROM ks.t WHERE k = ?', [k], { isIdempotent: true })
        ).first();
        if (row?.['v'] !== k * 2) failures.push(`key ${k} reads ${row?.['v']}`);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const writers = Array.from({ length: 8 }, writer);
  const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));
  await pause(1500);
  await cluster.nodes[1].kill9();
  await pause(3000);
  const hinted =
    (await metric(cluster, 0, 'ilion_hints_stored_total')) +
    (await metric(cluster, 2, 'ilion_hints_stored_total'));
  await cluster.restart(1);
  await pause(2000);
  going = false;
  await Promise.all(writers);
  assert.deepEqual(failures, []);
  assert.ok(written.size > 100, `only ${written.size} writes`);
  assert.ok(hinted > 0, 'no hints were kept for the killed node');

  await until('all hints are replayed', async () => {
    const kept = await Promise.all(
      [0, 2].map((i) => metric(cluster, i, 'ilion_hints_pending_bytes')),
    );
    return kept.every((bytes) => bytes === 0);
  });
  // The returned node has every row by itself.
  const alone = new cassandra.Client({
    contactPoints: [cluster.addresses[1]],
    localDataCenter: 'dc1',
    policies: {
      loadBalancing: new cassandra.policies.loadBalancing.AllowListPolicy(
        new cassandra.policies.loadBalancing.RoundRobinPolicy(),
        [`${cluster.addresses[1]}:9042`],
      ),
    },
    queryOptions: { consistency: consistencies.one, prepare: true },
  });
  for (const k of written) {
    const row = (await alone.execute('SELECT v FROM ks.t WHERE k = ?', [k])).first();
    assert.equal(row?.['v'], k * 2, `key ${k} on the node that came back`);
  }
  await Promise.all([client.shutdown(), alone.shutdown()]);
});

test('tables made on three nodes at once are all there, in one schema', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const clients = cluster.addresses.map((_, i) => connect(cluster, 'dc1', i));
  await Promise.all(clients.map((client) => client.connect()));
  await clients[0].execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  );
  await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      clients[i % 3].execute(`CREATE TABLE ks.t${i} (k int PRIMARY KEY)`),
    ),
  );
  const versions = new Set<string>();
  for (const client of clients) {
    const local = (await client.execute('SELECT schema_version FROM system.local')).first();
    versions.add(String(local?.['schema_version']));
    const peers = await client.execute('SELECT schema_version FROM system.peers_v2');
    assert.equal(peers.rowLength, 2);
    for (const row of peers.rows) versions.add(String(row['schema_version']));
    const tables = await client.execute(
      "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'ks'",
    );
    assert.equal(tables.rowLength, 100);
  }
  assert.equal(versions.size, 1);
  await Promise.all(clients.map((client) => client.shutdown()));
});

test('a whole datacenter may fail', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3, dc2: 3 } });
  const client = connect(cluster);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  const insert = (k: number, consistency: number) =>
    client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k, k], { consistency });
  for (let k = 0; k < 100; k++) await insert(k, consistencies.eachQuorum);
  await Promise.all([3, 4, 5].map((i) => cluster.nodes[i].kill9()));
  await until('the failure is noticed', async () => {
    const error = await insert(0, consistencies.eachQuorum).then(
      () => null,
      (e: unknown) => e as { code?: number },
    );
    return error?.code === 0x1000;
  });
  for (let k = 100; k < 300; k++) await insert(k, consistencies.localQuorum);
  await Promise.all([3, 4, 5].map((i) => cluster.restart(i)));
  await until('hints are replayed', async () => {
    const kept = await Promise.all(
      [0, 1, 2].map((i) => metric(cluster, i, 'ilion_hints_pending_bytes')),
    );
    return kept.every((bytes) => bytes === 0);
  });
  const other = connect(cluster, 'dc2', 3);
  for (let k = 0; k < 300; k++) {
    const found = await other.execute('SELECT v FROM ks.t WHERE k = ?', [k], {
      consistency: consistencies.localQuorum,
    });
    assert.equal(found.first()?.['v'], k);
  }
  await insert(0, consistencies.eachQuorum);
  await Promise.all([client.shutdown(), other.shutdown()]);
});

// The issue asks for 10,000: INCREMENTS=10000 node --test e2e/cluster.test.ts
const INCREMENTS = Number(process.env['INCREMENTS'] ?? 300);

test(`${INCREMENTS} contended conditional increments, with a node killed among them, are exact`, async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const clients = cluster.addresses.map((_, i) => connect(cluster, 'dc1', i));
  await Promise.all(clients.map((client) => client.connect()));
  await clients[0].execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await clients[0].execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  await clients[0].execute('CREATE TABLE ks.total (k int PRIMARY KEY, v int, who text)');
  await clients[0].execute("INSERT INTO ks.total (k, v, who) VALUES (0, 0, '') IF NOT EXISTS");
  let applied = 0;
  let unknown = 0;
  let known = 0;
  const worker = async (name: number) => {
    const client = clients[name % clients.length];
    while (applied + unknown < INCREMENTS) {
      try {
        const seen = known;
        const row = (
          await client.execute('UPDATE ks.total SET v = ?, who = ? WHERE k = 0 IF v = ?', [
            seen + 1,
            String(name),
            seen,
          ])
        ).first();
        if (row?.['[applied]'] === true) {
          applied++;
          known = Math.max(known, seen + 1);
        } else known = Math.max(known, row?.['v'] ?? 0);
      } catch {
        unknown++;
      }
    }
  };
  const workers = [0, 1, 2, 3, 4, 5].map(worker);
  await until('a third of them', async () => applied > INCREMENTS / 3, 120);
  await cluster.nodes[2].kill9();
  await until('two thirds of them', async () => applied + unknown > (INCREMENTS * 2) / 3, 120);
  await cluster.restart(2);
  await Promise.all(workers);
  const total = (
    await clients[0].execute('SELECT v FROM ks.total WHERE k = 0', [], {
      consistency: consistencies.serial,
    })
  ).first()?.['v'];
  assert.ok(total >= applied && total <= applied + unknown, `${total}, ${applied} + ${unknown}`);
  assert.ok(unknown < INCREMENTS / 3, `${unknown} of ${INCREMENTS} with an unknown outcome`);
  await Promise.all(clients.map((client) => client.shutdown()));
});

test('logged batches and counters over three nodes', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const client = connect(cluster);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  await client.execute('CREATE TABLE ks.c (k int PRIMARY KEY, n counter)');
  for (let i = 0; i < 50; i++) {
    await client.batch(
      [0, 1, 2].map((part) => ({
        query: 'INSERT INTO ks.t (k, v) VALUES (?, ?)',
        params: [i * 3 + part, i],
      })),
      { prepare: true },
    );
  }
  const adds = Array.from({ length: 200 }, (_, i) =>
    client.execute('UPDATE ks.c SET n = n + ? WHERE k = 1', [i], { prepare: true }),
  );
  await Promise.all(adds);
  const rows = await client.execute('SELECT count(*) AS n FROM ks.t');
  assert.equal(Number(rows.first()?.['n']), 150);
  const counted = await client.execute('SELECT n FROM ks.c WHERE k = 1');
  assert.equal(Number(counted.first()?.['n']), (199 * 200) / 2);
  await client.shutdown();
});

test('a node that does not belong is told why', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 1 } });
  const client = connect(cluster);
  await client.connect();
  const [, a, b] = cluster.addresses[0].split('.');
  const strange = (flags: Readonly<Record<string, string>>) => {
    const address = `127.${a}.${b}.9`;
    return startNode({
      until: 'the node did not start',
      flags: {
        'data-center': 'dc1',
        'listen-address': address,
        'rpc-address': address,
        'admin-address': address,
        'metrics-address': address,
        seeds: cluster.addresses[0],
        workers: '1',
        shards: '1',
        ...flags,
      },
    });
  };
  const refused = async (flags: Readonly<Record<string, string>>, reason: RegExp) => {
    await using node = await strange(flags);
    assert.equal((await node.waitExit()).code, 1);
    assert.match(node.output(), reason);
  };
  await refused({ 'cluster-name': 'other' }, /the cluster here is 'Ilion', not 'other'/);
  // The cluster is as it was.
  assert.equal((await client.execute('SELECT * FROM system.peers')).rowLength, 0);
  await client.shutdown();
});
