/** `ilion rebalance`: a node that has next to nothing gets its part; clients notice nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Rebalanced } from '../node/src/main/cli-rebalance.ts';
import { startCluster } from './support/cluster-processes.ts';
import { runIlion } from './support/node-process.ts';
import { connectTo, fillTable, requireEach, settled, withAdmin } from './support/ring-checks.ts';
import { requireWritten, startLoad } from './support/steady-load.ts';
import { pause, until } from './support/wait.ts';

const ROWS = 6_000;
const TOLERANCE = 0.05;
/** And their replication factors. */
const KEYSPACES: ReadonlyMap<string, number> = new Map([
  ['ks', 2],
  ['lone', 1],
]);
/** What a node has given up is cleared after 10 s. */
const CLEARED_MILLIS = 12_000;

test('bytes are evened out', { timeout: 180_000 }, async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const ilion = async (...args: readonly string[]) => {
    const admin = `${cluster.addresses[0]}:${cluster.nodes[0].adminPort}`;
    const { code, stdout, stderr } = await runIlion([...args, '--admin', admin]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const rebalance = async (...args: readonly string[]) =>
    JSON.parse(await ilion('rebalance', '--json', ...args)) as Rebalanced;
  /** Files are of what there is, and nothing else. */
  const compact = async () => {
    for (const index of cluster.nodes.keys()) {
      await withAdmin(cluster, index, async (admin) => {
        await admin.flush({ keyspace: '', table: '' });
        await admin.compact({ keyspace: '', table: '' });
      });
    }
  };
  const client = await connectTo(cluster, [0, 1, 2]);
  try {
    for (const [keyspace, factor] of KEYSPACES) {
      await client.execute(
        `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': ${factor}}`,
      );
      await client.execute(`CREATE TABLE ${keyspace}.t (k int PRIMARY KEY, v int, filler blob)`);
    }
    await client.execute('CREATE TABLE ks.live (k int PRIMARY KEY, v int, filler blob)');

    // All tokens of one node side by side, before there is anything.
    const { nodes } = await withAdmin(cluster, 0, (admin) => admin.ringBytes());
    const taken = new Set(nodes.flatMap(({ buckets }) => buckets));
    const { hostId, buckets } = nodes[2];
    const bunch = Array.from({ length: 1000 }, (_, i) => 1 + i).filter((one) => !taken.has(one));
    const moved = await withAdmin(cluster, 0, (admin) =>
      admin.moveTokens({ hostId, buckets: bunch.slice(0, buckets.length) }),
    );
    await until('the tokens are moved', async () => {
      const { operations } = await withAdmin(cluster, 0, (admin) => admin.operations());
      return !operations.some(({ id }) => id === moved);
    });
    for (const keyspace of KEYSPACES.keys()) await fillTable(client, `${keyspace}.t`, ROWS, 1_000);
    await compact();

    const planned = await rebalance('--dry-run');
    assert.ok(planned.deviationBefore > 0.3, `${planned.deviationBefore} before`);
    assert.ok(planned.deviationAfter <= TOLERANCE, `${planned.deviationAfter} planned`);
    assert.ok(planned.moves.length > 0 && planned.moves.every(({ operation }) => operation === ''));
    const text = await ilion('rebalance', '--dry-run');
    assert.match(text, /nodes would take other tokens/);

    const load = startLoad({ client, table: 'ks.live', writers: 4, keys: 20, pauseMillis: 10 });
    const done = await rebalance();
    await settled(cluster, 0, 3);
    const { failures, written } = await load.stop();
    assert.deepEqual(failures, []);
    await requireWritten(client, 'ks.live', written);
    assert.ok(done.moves.every(({ operation }) => operation !== ''));
    await pause(CLEARED_MILLIS);
    await compact();
    const after = await rebalance('--dry-run');
    console.log(
      `${done.movedTokens} tokens of ${done.moves.length} nodes; off by ${done.deviationBefore.toFixed(3)}, then ${after.deviationBefore.toFixed(3)}`,
    );
    assert.ok(after.deviationBefore <= TOLERANCE, `${after.deviationBefore} after`);
    assert.deepEqual(after.moves, []);
    await requireEach(cluster, [0, 1, 2], 'ks.t', ROWS);
    await requireEach(cluster, [0, 1, 2], 'lone.t', ROWS);
    const unknown = await runIlion([
      ...['rebalance', '--datacenter', 'nowhere'],
      ...['--admin', `${cluster.addresses[0]}:${cluster.nodes[0].adminPort}`],
    ]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no datacenter 'nowhere'/);
  } finally {
    await client.shutdown();
  }
});
