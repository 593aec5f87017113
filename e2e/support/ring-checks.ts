/** What tests of the ring ask of nodes and of clients, of a cluster of processes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import cassandra from 'cassandra-driver';
import { type AdminClient, connectAdmin } from '../../node/src/main/admin-client.ts';
import type { AdminNodeStatus } from '../../node/src/main/admin-messages.ts';
import type { ClusterProcesses } from './cluster-processes.ts';
import { until } from './wait.ts';

const { consistencies } = cassandra.types;
const CONCURRENCY = 50;
const ATTEMPTS = 5;

export async function withAdmin<T>(
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

/** Those that have not left, as one of them knows it. */
export async function membersOf(
  cluster: ClusterProcesses,
  index: number,
): Promise<readonly AdminNodeStatus[]> {
  const { nodes } = await withAdmin(cluster, index, (admin) => admin.status());
  return nodes.filter(({ state }) => state !== 'left');
}

/** @throws AssertionError */
export async function hostIdOf(
  cluster: ClusterProcesses,
  index: number,
  asked = index,
): Promise<string> {
  const found = (await membersOf(cluster, asked)).find(({ address }) =>
    address.startsWith(`${cluster.addresses[index]}:`),
  );
  assert.ok(found !== undefined, `no member at ${cluster.addresses[index]}`);
  return found.hostId;
}

/** Whether each of these takes clients: a process that has just come up gossips before it does. */
async function areServing(
  cluster: ClusterProcesses,
  members: readonly AdminNodeStatus[],
): Promise<boolean> {
  const isServing = async ({ address }: AdminNodeStatus) => {
    const index = cluster.addresses.findIndex((one) => address.startsWith(`${one}:`));
    const { metricsPort } = cluster.nodes[index];
    return (await fetch(`http://${cluster.addresses[index]}:${metricsPort}/readyz`)).ok;
  };
  return (await Promise.all(members.map(isServing))).every((one) => one);
}

/** All are members as any other, up, and take clients; nothing moves. */
export async function settled(
  cluster: ClusterProcesses,
  index: number,
  count: number,
  seconds = 60,
): Promise<void> {
  let seen = '';
  const holds = async () => {
    const members = await membersOf(cluster, index);
    const { operations } = await withAdmin(cluster, index, (admin) => admin.operations());
    seen = JSON.stringify({ members, operations });
    return (
      members.length === count &&
      members.every(({ state, alive }) => state === 'normal' && alive) &&
      operations.length === 0 &&
      (await areServing(cluster, members))
    );
  };
  await until(
    () => `${count} members that serve and nothing that moves, but ${seen}`,
    holds,
    seconds,
  );
}

/** The sum of a metric's values at a node. */
export async function metric(
  cluster: ClusterProcesses,
  index: number,
  name: string,
): Promise<number> {
  const { metricsPort } = cluster.nodes[index];
  const answer = await fetch(`http://${cluster.addresses[index]}:${metricsPort}/metrics`);
  return (await answer.text())
    .split('\n')
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** A client of these nodes; `only`: whoever owns a row, they are asked. */
export async function connectTo(
  cluster: ClusterProcesses,
  contacts: readonly number[],
  options: { readonly only?: boolean; readonly datacenter?: string } = {},
): Promise<cassandra.Client> {
  const { datacenter = 'dc1', only = false } = options;
  const { loadBalancing } = cassandra.policies;
  const contactPoints = contacts.map((i) => `${cluster.addresses[i]}:${cluster.nodes[i].cqlPort}`);
  const all = new loadBalancing.DCAwareRoundRobinPolicy(datacenter);
  const client = new cassandra.Client({
    contactPoints,
    localDataCenter: datacenter,
    queryOptions: { consistency: consistencies.quorum, prepare: true },
    socketOptions: { readTimeout: 30_000 },
    ...(only
      ? { policies: { loadBalancing: new loadBalancing.AllowListPolicy(all, contactPoints) } }
      : {}),
  });
  await client.connect();
  return client;
}

/** Runs for each number below `count`, many at a time. */
async function forEachBelow(
  count: number,
  run: (number: number) => Promise<unknown>,
): Promise<void> {
  for (let first = 0; first < count; first += CONCURRENCY) {
    const length = Math.min(CONCURRENCY, count - first);
    await Promise.all(Array.from({ length }, (_, i) => run(first + i)));
  }
}

/** Keys of a table and one column of each, in pages. */
export async function scan(
  client: cassandra.Client,
  query: string,
  consistency: number,
): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  let pageState: string | null = null;
  do {
    const options: cassandra.QueryOptions = { prepare: true, consistency, fetchSize: 1_000 };
    if (pageState !== null) options.pageState = pageState;
    const page: cassandra.types.ResultSet = await client.execute(query, [], options);
    for (const row of page.rows) found.set(row['k'], row['v']);
    pageState = page.pageState ?? null;
  } while (pageState !== null);
  return found;
}

/** Rows `k`, `v` = k, `filler` of bytes that do not compress; every replica has them. */
export async function fillTable(
  client: cassandra.Client,
  table: string,
  rows: number,
  bytes: number,
): Promise<void> {
  const options = { prepare: true, consistency: consistencies.all };
  const insert = `INSERT INTO ${table} (k, v, filler) VALUES (?, ?, ?)`;
  await forEachBelow(rows, async (k) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await client.execute(insert, [k, k, randomBytes(bytes)], options);
        return;
      } catch (error) {
        // The machine is busy with others, too.
        if (attempt === ATTEMPTS) throw error;
      }
    }
  });
}

/** Each of these nodes has, of its own ranges, what `fillTable` wrote. @throws AssertionError */
export async function requireEach(
  cluster: ClusterProcesses,
  members: readonly number[],
  table: string,
  rows: number,
): Promise<void> {
  for (const index of members) {
    const client = await connectTo(cluster, [index], { only: true });
    try {
      // Before anything of it is repaired by reading.
      const found = await scan(client, `SELECT k, v FROM ${table}`, consistencies.one);
      assert.equal(found.size, rows, `rows at ${cluster.addresses[index]}`);
      for (const [k, v] of found) assert.equal(v, k);
    } finally {
      await client.shutdown();
    }
  }
}
