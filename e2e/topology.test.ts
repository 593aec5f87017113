/** The ring changes while clients read and write: nodes join, leave and are replaced, with data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type AdminClient, connectAdmin } from '../node/src/main/admin-client.ts';
import type { AdminNodeStatus } from '../node/src/main/admin-messages.ts';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import { requireWritten, startLoad } from './support/steady-load.ts';

const { consistencies } = cassandra.types;

function connect(cluster: ClusterProcesses, contacts: readonly number[]): cassandra.Client {
  return new cassandra.Client({
    contactPoints: contacts.map((i) => cluster.addresses[i]),
    localDataCenter: 'dc1',
    queryOptions: { consistency: consistencies.quorum, prepare: true },
    socketOptions: { readTimeout: 30_000 },
  });
}

async function withAdmin<T>(
  cluster: ClusterProcesses,
  index: number,
  run: (admin: AdminClient) => Promise<T>,
): Promise<T> {
  const admin = connectAdmin(`${cluster.addresses[index]}:${cluster.nodes[index].adminPort}`);
  try {
    return await run(admin);
  } finally {
    admin.close();
  }
}

async function until(what: string, holds: () => Promise<boolean>, seconds = 60): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await holds().catch(() => false))) {
    assert.ok(Date.now() < end, `not in ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function membersOf(cluster: ClusterProcesses, index: number): Promise<readonly AdminNodeStatus[]> {
  return withAdmin(cluster, index, async (admin) => (await admin.status()).nodes);
}

async function settled(cluster: ClusterProcesses, index: number, count: number): Promise<void> {
  await until(`${count} members and nothing that moves`, async () => {
    const members = (await membersOf(cluster, index)).filter(({ state }) => state !== 'left');
    const { operations } = await withAdmin(cluster, index, (admin) => admin.operations());
    return (
      members.length === count &&
      members.every(({ state }) => state === 'normal') &&
      operations.length === 0
    );
  });
}

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
  const client = connect(cluster, [0, 1, 2]);
  await client.connect();
  await fill(client);
  const load = startLoad({ client, table: TABLE, writers: 8, keys: 50, pauseMillis: 5 });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const before = load.lap();
  // All at once: they get their turns.
  const added = await Promise.all([cluster.add('dc1'), cluster.add('dc1'), cluster.add('dc1')]);
  await settled(cluster, 0, 6);
  const joining = load.lap();
  await requireCold(client);
  load.lap();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
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
    `${requests} requests; p99 in ms: ${before.toFixed(1)} before, ${joining.toFixed(1)} while three joined, ${six.toFixed(1)} with six, ${leaving.toFixed(1)} while three left`,
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
  const client = connect(cluster, [0, 1]);
  await client.connect();
  await fill(client);
  const load = startLoad({ client, table: TABLE, writers: 4, keys: 50, pauseMillis: 5 });
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const dead = (await membersOf(cluster, 0)).find(({ address }) =>
    address.startsWith(`${cluster.addresses[2]}:`),
  );
  assert.ok(dead !== undefined);
  await cluster.nodes[2].kill9();
  await until('it is seen dead', async () =>
    (await membersOf(cluster, 0)).some(({ hostId, alive }) => hostId === dead.hostId && !alive),
  );
  await cluster.add('dc1', { 'replace-host-id': dead.hostId });
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
  const client = connect(cluster, [0]);
  await client.connect();
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
  await cluster.add('dc1');
  await settled(cluster, 0, 2);
  await client.shutdown();
  const both = connect(cluster, [0, 1]);
  await both.connect();
  const { rows } = await both.execute('SELECT COUNT(*) FROM ks.cold');
  assert.equal(Number(rows[0]['count']), ROWS);
  await both.shutdown();
});
