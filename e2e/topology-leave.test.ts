/** What a change of the ring leaves behind: whoever goes takes nothing along, and the next one may die at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import {
  connectTo,
  fillTable,
  hostIdOf,
  membersOf,
  metric,
  requireEach,
  scan,
  settled,
  withAdmin,
} from './support/ring-checks.ts';
import { pause, until } from './support/wait.ts';

const { consistencies } = cassandra.types;
const ROWS = 300;
const FIRST_LINE = '"message":"';

async function createTables(client: cassandra.Client): Promise<void> {
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  // What a row's replicas lack nobody repairs by reading it.
  await client.execute(
    "CREATE TABLE ks.t (k int PRIMARY KEY, v int, filler blob) WITH read_repair = 'NONE'",
  );
}

async function seenDown(cluster: ClusterProcesses, by: number, hostId: string): Promise<void> {
  await until(`${hostId} is seen down`, async () =>
    (await membersOf(cluster, by)).some((one) => one.hostId === hostId && !one.alive),
  );
}

async function leave(cluster: ClusterProcesses, index: number, witness: number): Promise<void> {
  const id = await withAdmin(cluster, index, (admin) =>
    admin.removeNode({ hostId: '', dead: false }),
  );
  let waits = '';
  await until(
    () => `it has left, but ${waits}`,
    async () => {
      const { operations } = await withAdmin(cluster, witness, (admin) => admin.operations());
      const operation = operations.find((one) => one.id === id);
      waits = operation?.waits ?? '';
      return operation === undefined;
    },
  );
}

test('hints of a node that leaves reach the node that was down', { timeout: 120_000 }, async () => {
  // One replica in each rack: what the leaver has goes to the other one of its rack, nothing to who is down.
  await using cluster = await startCluster({
    datacenters: { dc1: 4 },
    flagsOf: (address) => ({ rack: ['r1', 'r2', 'r3', 'r1'][Number(address.split('.')[3]) - 1] }),
  });
  const setup = await connectTo(cluster, [0]);
  await createTables(setup);
  await setup.shutdown();
  const [witness, away, leaver] = [0, 1, 3];
  const awayId = await hostIdOf(cluster, away);
  await cluster.nodes[away].kill9();
  await seenDown(cluster, leaver, awayId);
  await seenDown(cluster, witness, awayId);
  // All go by the one that is to leave: it has the hints.
  const client = await connectTo(cluster, [leaver], { only: true });
  const insert = 'INSERT INTO ks.t (k, v) VALUES (?, ?)';
  const options = { prepare: true, consistency: consistencies.quorum };
  for (let k = 0; k < ROWS; k += 50) {
    const keys = Array.from({ length: 50 }, (_, i) => k + i);
    await Promise.all(keys.map((one) => client.execute(insert, [one, one], options)));
  }
  await client.shutdown();
  assert.ok((await metric(cluster, leaver, 'ilion_hints_stored_total')) > 0, 'no hints to bring');
  await leave(cluster, leaver, witness);
  assert.match(cluster.nodes[leaver].output(), /nothing is kept for others any more/);
  await cluster.nodes[leaver].kill9();
  await cluster.restart(away);
  await settled(cluster, witness, 3);
  // By itself, as it is the first to be asked: each row of which it is a replica.
  const pinned = await connectTo(cluster, [away], { only: true });
  const rows = async () => (await scan(pinned, 'SELECT k, v FROM ks.t', consistencies.one)).size;
  let found = 0;
  await until(
    () => `${ROWS} rows at the node that was down, but ${found}`,
    async () => {
      found = await rows();
      return found === ROWS;
    },
  );
  await pinned.shutdown();
});

test('one dead node after another is replaced, without a pause', { timeout: 170_000 }, async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 4 } });
  const client = await connectTo(cluster, [0]);
  await createTables(client);
  await fillTable(client, 'ks.t', ROWS, 100);
  await client.shutdown();
  let members = [0, 1, 2, 3];
  // Those who vote on the metadata log among them.
  for (const dead of [1, 0, 2]) {
    const hostId = await hostIdOf(cluster, dead);
    await cluster.nodes[dead].kill9();
    members = members.filter((index) => index !== dead);
    for (const by of members) await seenDown(cluster, by, hostId);
    const seeds = members.map((index) => cluster.addresses[index]).join(',');
    const flags = { seeds, 'replace-host-id': hostId };
    const added = await cluster.add('dc1', flags, FIRST_LINE);
    const [witness] = members;
    await until('it was replaced', async () => {
      const found = await membersOf(cluster, witness);
      return found.length === 4 && found.every((one) => one.hostId !== hostId);
    });
    members.push(added);
  }
  await settled(cluster, members[0], 4);
  await pause(500);
  await requireEach(cluster, members, 'ks.t', ROWS);
});
