/** Nodes that cannot reach each other: the minority says so and serves what it can; after healing all are the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { startCluster } from './support/cluster-processes.ts';
import { createNetwork, networkProblem } from './support/network.ts';
import { until } from './support/wait.ts';

const { consistencies } = cassandra.types;
const UNAVAILABLE = 0x1000;
const problem = networkProblem();

/** A client that speaks to one node only. */
async function only(address: string): Promise<cassandra.Client> {
  const { loadBalancing, retry } = cassandra.policies;
  const client = new cassandra.Client({
    contactPoints: [address],
    localDataCenter: 'dc1',
    policies: {
      loadBalancing: new loadBalancing.AllowListPolicy(new loadBalancing.RoundRobinPolicy(), [
        `${address}:9042`,
      ]),
      retry: new retry.FallthroughRetryPolicy(),
    },
    queryOptions: { prepare: true },
  });
  await client.connect();
  return client;
}

async function codeOf(request: Promise<unknown>): Promise<number | null> {
  return request.then(
    () => null,
    (error: unknown) => (error as { code?: number }).code ?? -1,
  );
}

test('a cut-off minority refuses QUORUM and serves ONE; after healing all replicas agree', {
  skip: problem ?? false,
}, async () => {
  using network = createNetwork(3);
  await using cluster = await startCluster({ datacenters: { dc1: 3 }, network });
  const clients = await Promise.all(cluster.addresses.map(only));
  const [first, second, third] = clients;
  await first.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await first.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  const put = (client: cassandra.Client, k: number, consistency: number) =>
    client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k, k], { consistency });
  const get = async (client: cassandra.Client, k: number, consistency: number) =>
    (await client.execute('SELECT v FROM ks.t WHERE k = ?', [k], { consistency })).first()?.['v'];
  for (let k = 0; k < 50; k++) await put(clients[k % 3], k, consistencies.all);

  network.cut([2], [0, 1]);
  await until(
    'the minority notices',
    async () => (await codeOf(put(third, 1000, consistencies.quorum))) === UNAVAILABLE,
  );
  await until(
    'the majority notices',
    async () => (await codeOf(put(first, 1001, consistencies.all))) === UNAVAILABLE,
  );
  assert.equal(await codeOf(get(third, 1, consistencies.quorum)), UNAVAILABLE);
  assert.equal(await get(third, 1, consistencies.one), 1);
  const refusal = await codeOf(third.execute('CREATE TABLE ks.other (k int PRIMARY KEY)'));
  assert.notEqual(refusal, null);
  for (let k = 50; k < 100; k++) await put(clients[k % 2], k, consistencies.quorum);
  for (let k = 100; k < 150; k++) await put(third, k, consistencies.one);
  assert.equal(await get(second, 70, consistencies.quorum), 70);

  network.heal();
  await until('all replicas have everything', async () => {
    for (const client of clients) {
      for (let k = 0; k < 150; k++) {
        if ((await get(client, k, consistencies.one)) !== k) return false;
      }
    }
    return true;
  });
  assert.equal(await codeOf(put(third, 1002, consistencies.all)), null);
  await Promise.all(clients.map((client) => client.shutdown()));
});
