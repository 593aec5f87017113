/** Node processes that die, stop or are too few: how soon it is noticed, and what goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import { listenToStatus } from './support/status-events.ts';

const { consistencies } = cassandra.types;
const SERVER_ERROR = 0;
const UNAVAILABLE = 0x1000;

/** A client of one node alone. */
function connectTo(cluster: ClusterProcesses, index: number): cassandra.Client {
  const { AllowListPolicy, RoundRobinPolicy } = cassandra.policies.loadBalancing;
  const address = `${cluster.addresses[index]}:9042`;
  return new cassandra.Client({
    contactPoints: [cluster.addresses[index]],
    localDataCenter: 'dc1',
    policies: { loadBalancing: new AllowListPolicy(new RoundRobinPolicy(), [address]) },
    queryOptions: { consistency: consistencies.one },
    socketOptions: { readTimeout: 60_000 },
  });
}

async function seconds(
  what: string,
  secondsMax: number,
  isSo: () => boolean | Promise<boolean>,
): Promise<number> {
  const started = performance.now();
  while (!(await isSo())) {
    assert.ok(performance.now() - started < secondsMax * 1000, `not in ${secondsMax} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return (performance.now() - started) / 1000;
}

test('a node that is killed is down in seconds, one that stops at once, and clients hear of it', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  await using first = await listenToStatus(cluster.addresses[0]);
  await using second = await listenToStatus(cluster.addresses[1]);
  const heard = (change: string) =>
    [first, second].every(({ events }) => {
      const last = events.filter(({ address }) => address === cluster.addresses[2]).at(-1);
      return last?.change === change;
    });
  // As regular as it is in a cluster that has run for a while.
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  await cluster.nodes[2].kill9();
  await seconds('both others say that the killed node is down', 8, () => heard('DOWN'));
  await cluster.restart(2);
  await seconds('both others say that it is up', 10, () => heard('UP'));
  const stopping = cluster.nodes[2].stop();
  await seconds('both others say that the stopped node is down', 2, () => heard('DOWN'));
  assert.equal((await stopping).code, 0);
});

test('a node that starts is not asked before it can answer', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  await using status = await listenToStatus(cluster.addresses[0]);
  const client = connectTo(cluster, 0);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  await cluster.nodes[2].stop();
  await seconds('it is down', 5, () => status.events.at(-1)?.change === 'DOWN');
  const retry = new cassandra.policies.retry.FallthroughRetryPolicy();
  const options = { prepare: true, retry, consistency: consistencies.all };
  const outcomes: string[] = [];
  const write = async () => {
    const k = outcomes.length;
    const outcome = await client
      .execute('INSERT INTO ks.t (k, v) VALUES (?, 0)', [k], options)
      .then(
        () => 'done',
        (error: Error & { readonly code?: number }) =>
          error.code === UNAVAILABLE ? 'unavailable' : error.message,
      );
    outcomes.push(outcome);
  };
  await write();
  let isOver = false;
  const restarted = cluster.restart(2).then(() => {
    isOver = true;
  });
  while (!isOver) await write();
  await restarted;
  await seconds('all have it', 5, async () => {
    await write();
    return outcomes.at(-1) === 'done';
  });
  await client.shutdown();
  assert.equal(outcomes[0], 'unavailable');
  const first = outcomes.indexOf('done');
  assert.deepEqual(new Set(outcomes.slice(0, first)), new Set(['unavailable']));
  assert.deepEqual(new Set(outcomes.slice(first)), new Set(['done']));
});

test('without a majority of the voters the schema stays, soon and with a clear error; reads and writes go on', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const client = connectTo(cluster, 0);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  await Promise.all([cluster.nodes[1].kill9(), cluster.nodes[2].kill9()]);
  const failed = async () => {
    const started = performance.now();
    const error = await client.execute('CREATE TABLE ks.u (k int PRIMARY KEY)').then(
      () => assert.fail('the table was made'),
      (cause: unknown) => cause as Error & { readonly code: number },
    );
    assert.match(error.message, /need a majority of the voters of the metadata log/);
    assert.match(error.message, /Reads and writes go on/);
    assert.equal(error.code, SERVER_ERROR);
    assert.ok(performance.now() - started < 12_000);
    return error;
  };
  // The first one may have been taken by a leader that does not know yet.
  await failed();
  const started = performance.now();
  assert.match((await failed()).message, /there is none now.* down/);
  assert.ok(performance.now() - started < 4_000);
  for (let k = 0; k < 20; k++) {
    await client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k, k], { prepare: true });
    const row = (
      await client.execute('SELECT v FROM ks.t WHERE k = ?', [k], { prepare: true })
    ).first();
    assert.equal(row?.['v'], k);
  }
  await cluster.restart(1);
  await seconds('the schema can be changed again', 15, () =>
    client.execute('CREATE TABLE IF NOT EXISTS ks.w (k int PRIMARY KEY)').then(
      () => true,
      () => false,
    ),
  );
  await client.shutdown();
});
