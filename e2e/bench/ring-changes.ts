/**
 * `npm run bench:changes`: what clients feel while the ring changes. Three nodes become six, are rebalanced, become three
 * again, one is killed and replaced, while the unmodified driver writes and reads at QUORUM and checks what it reads.
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import cassandra from 'cassandra-driver';
import { Report } from '../../node/bench/report.ts';
import { startCluster } from '../support/cluster-processes.ts';
import { runIlion } from '../support/node-process.ts';
import {
  connectTo,
  fillTable,
  hostIdOf,
  membersOf,
  requireEach,
  settled,
  withAdmin,
} from '../support/ring-checks.ts';
import { type Lap, requireWritten, startLoad } from '../support/steady-load.ts';
import { pause, until } from '../support/wait.ts';

const { values } = parseArgs({
  options: {
    /** Of the table that moves; each takes `bytes`, at each of three replicas. */
    rows: { type: 'string', default: '200000' },
    bytes: { type: 'string', default: '1000' },
    /** `stream_throughput_outbound` of each node; 0: no limit. */
    throughput: { type: 'string', default: '4MiB' },
    writers: { type: 'string', default: '8' },
    /** Of each writer, before each of its writes. */
    pause: { type: 'string', default: '5' },
    /** Of phases in which nothing changes. */
    seconds: { type: 'string', default: '15' },
  },
});
const ROWS = Number(values.rows);
const QUIET_MILLIS = Number(values.seconds) * 1000;
/** Of one change. */
const CHANGE_SECONDS = 1_800;
/** A node that waits for its turn is not ready for minutes. */
const HAS_STARTED = '"message":"';
const TABLE = 'ks.live';

await using cluster = await startCluster({
  datacenters: { dc1: 3 },
  flags: { 'stream-throughput-outbound': values.throughput },
});
const client = await connectTo(cluster, [0, 1, 2]);
await client.execute(
  "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
);
for (const table of [TABLE, 'ks.cold']) {
  await client.execute(`CREATE TABLE ${table} (k int PRIMARY KEY, v int, filler blob)`);
}
console.log(`${ROWS} rows of ${values.bytes} bytes are written to three nodes`);
await fillTable(client, 'ks.cold', ROWS, Number(values.bytes));

const load = startLoad({
  ...{ client, table: TABLE, keys: 50 },
  writers: Number(values.writers),
  pauseMillis: Number(values.pause),
});
await pause(QUIET_MILLIS);
load.lap();
const report = new Report();
let before: Lap | null = null;

/** Runs a phase to its end, and prints what the requests in it took. */
async function measured(name: string, run: () => Promise<unknown>): Promise<void> {
  load.lap();
  await run();
  const lap = load.lap();
  before ??= lap;
  report.add({
    name,
    figures: {
      s: lap.seconds,
      requests: lap.requests,
      'p50 ms': lap.p50,
      'p99 ms': lap.p99,
      'p99 : before': lap.p99 / before.p99,
      failed: load.soFar().failures.length,
    },
  });
}

const quiet = () => pause(QUIET_MILLIS);
const members = [0, 1, 2];

await measured('three nodes', quiet);
const added: number[] = [];
await measured('three join at once', async () => {
  added.push(...(await Promise.all([1, 2, 3].map(() => cluster.add('dc1', {}, HAS_STARTED)))));
  await settled(cluster, 0, 6, CHANGE_SECONDS);
});
await measured('six nodes', quiet);
await measured('rebalance', async () => {
  const admin = `${cluster.addresses[0]}:${cluster.nodes[0].adminPort}`;
  const { code, stderr } = await runIlion(['rebalance', '--json', '--admin', admin]);
  assert.equal(code, 0, stderr);
  await settled(cluster, 0, 6, CHANGE_SECONDS);
});
await measured('three leave', async () => {
  const ids = await Promise.all(
    added.map((index) =>
      withAdmin(cluster, index, (admin) => admin.removeNode({ hostId: '', dead: false })),
    ),
  );
  assert.equal(new Set(ids).size, added.length);
  await settled(cluster, 0, 3, CHANGE_SECONDS);
});
for (const index of added) await cluster.nodes[index].stop();
await measured('three nodes again', quiet);
await measured('one is killed and replaced', async () => {
  const hostId = await hostIdOf(cluster, 2, 0);
  await cluster.nodes[2].kill9();
  await until('it is seen down', async () =>
    (await membersOf(cluster, 0)).some((one) => one.hostId === hostId && !one.alive),
  );
  members[2] = await cluster.add('dc1', { 'replace-host-id': hostId }, HAS_STARTED);
  await settled(cluster, 0, 3, CHANGE_SECONDS);
});
await measured('after all of it', quiet);

const { failures, written, requests } = await load.stop();
assert.deepEqual(failures, []);
// What each replica has of its own, then what clients see.
await requireEach(cluster, members, 'ks.cold', ROWS);
await requireWritten(client, TABLE, written);
await requireWritten(client, TABLE, written, cassandra.types.consistencies.all);
console.log(`\n${requests} requests, none failed; every row is at each of its replicas`);
await client.shutdown();
