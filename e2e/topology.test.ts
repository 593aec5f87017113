/** The ring changes while clients read and write: nodes join, leave and are replaced, with data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { startCluster } from './support/cluster-processes.ts';
import { connectTo, hostIdOf, membersOf, settled, withAdmin } from './support/ring-checks.ts';
import { requireWritten, startLoad } from './support/steady-load.ts';
import { pause, until } from './support/wait.ts';

const { consistencies } = cassandra.types;

const TABLE = 'ks.t';
const ROWS = 20_000;

async function fill(client: cassandra.Client, factor = 3): Promise<void> {
  await client.execute(
    `CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': ${factor}}`,
  );
  await client.execute(`CREATE TABLE ${TABLE} (k int PRIMARY KEY, v int, filler blob)`);
  await client.execute('CREATE TABLE ks.cold (k int PRIMARY KEY, v int, filler blob)');
  const filler = Buffer.alloc(300, 1);
  const insert = 'INSERT INTO ks.cold (k, v, filler) VALUES (?, ?, ?)';
  for (let k = 0; k < ROWS; k += 200) {
    const keys = Array.from({ length: 200 }, (_, i) => k + i);
    await Promise.all(
      keys.map((one) => client.execute(insert, [one, one, filler], { prepare: true })),
    );
  }
}

/** All rows that nobody has written since, with one replica asked for each and with all of them. */
async function requireCold(client: cassandra.Client): Promise<void> {
  for (const consistency of [consistencies.one, consistencies.all]) {
    const seen = new Set<number>();
    let pageState: string | null = null;
    do {
      const options: cassandra.QueryOptions = { prepare: true, consistency, fetchSize: 1_000 };
      if (pageState !== null) options.pageState = pageState;
      const page: cassandra.types.ResultSet = await client.execute(
        'SELECT k, v FROM ks.cold',
        [],
        options,
      );
      for (const row of page.rows) {
        assert.equal(row['v'], row['k']);
        seen.add(row['k']);
      }
      pageState = page.pageState ?? null;
    } while (pageState !== null);
    assert.equal(seen.size, ROWS);
  }
}

test('three nodes become six and three again under load; no request fails, nothing is lost', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const client = await connectTo(cluster, [0, 1, 2]);
  await fill(client);
  const load = startLoad({ client, table: TABLE, writers: 8, keys: 50, pauseMillis: 5 });
  await pause(3_000);
  const before = load.lap();
  // All at once: they get their turns.
  const adding = Promise.all([cluster.add('dc1'), cluster.add('dc1'), cluster.add('dc1')]);
  await until('the first join has begun', async () => {
    const { operations } = await withAdmin(cluster, 0, (admin) => admin.operations());
    return operations.length > 0;
  });
  // Three processes that start on the cores of those that serve: each would have a machine of its own.
  const starting = load.lap();
  const added = await adding;
  await settled(cluster, 0, 6);
  const joining = load.lap();
  await requireCold(client);
  load.lap();
  await pause(3_000);
  // Six processes on the cores of three: what they cost by themselves.
  const six = load.lap();
  for (const index of added) {
    const id = await withAdmin(cluster, index, (admin) =>
      admin.removeNode({ hostId: '', dead: false }),
    );
    await until('the node has left', async () => {
      const { operations } = await withAdmin(cluster, 0, (admin) => admin.operations());
      return !operations.some((operation) => operation.id === id);
    });
  }
  await settled(cluster, 0, 3);
  const leaving = load.lap();
  const { failures, written, requests } = await load.stop();
  console.log(
    `${requests} requests; p99 in ms: ${before.p99.toFixed(1)} before, ${starting.p99.toFixed(1)} while three processes started, ${joining.p99.toFixed(1)} while three joined, ${six.p99.toFixed(1)} with six, ${leaving.p99.toFixed(1)} while three left`,
  );
  assert.deepEqual(failures, []);
  for (const index of added) await cluster.nodes[index].stop();
  await requireWritten(client, TABLE, written);
  await requireWritten(client, TABLE, written, consistencies.all);
  await requireCold(client);
  await client.shutdown();
});

test('a dead node is replaced by a new one, which has every row', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const client = await connectTo(cluster, [0, 1]);
  await fill(client);
  const load = startLoad({ client, table: TABLE, writers: 4, keys: 50, pauseMillis: 5 });
  await pause(2_000);
  const dead = await hostIdOf(cluster, 2, 0);
  await cluster.nodes[2].kill9();
  await until('it is seen dead', async () =>
    (await membersOf(cluster, 0)).some(({ hostId, alive }) => hostId === dead && !alive),
  );
  await cluster.add('dc1', { 'replace-host-id': dead });
  await settled(cluster, 0, 3);
  const { failures, written } = await load.stop();
  assert.deepEqual(failures, []);
  await requireWritten(client, TABLE, written, consistencies.all);
  await requireCold(client);
  await client.shutdown();
});

test('a join that is cancelled leaves the cluster as it was, and the new node says why', async () => {
  await using cluster = await startCluster({
    datacenters: { dc1: 1 },
    flags: { 'stream-throughput-outbound': '16KiB' },
  });
  const client = await connectTo(cluster, [0]);
  await fill(client, 1);
  const joining = cluster.add('dc1');
  const ended = assert.rejects(joining, /the join was undone: an operator cancelled it/);
  await until('the join has begun', async () => {
    const { operations } = await withAdmin(cluster, 0, (admin) => admin.operations());
    const [operation] = operations;
    if (operation === undefined) return false;
    await withAdmin(cluster, 0, (admin) => admin.cancelOperation(operation.id));
    return true;
  });
  await ended;
  await settled(cluster, 0, 1);
  await withAdmin(cluster, 0, (admin) => admin.reloadSettings({ stream_throughput_outbound: '0' }));
  const added = await cluster.add('dc1');
  await settled(cluster, 0, 2);
  await client.shutdown();
  const both = await connectTo(cluster, [0, added]);
  const { rows } = await both.execute('SELECT COUNT(*) FROM ks.cold');
  assert.equal(Number(rows[0]['count']), ROWS);
  await both.shutdown();
});
