/** Damaged files: a clear error that names the file, never a wrong answer. And TLS. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  globSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import {
  type NodeProcess,
  runIlion,
  startNode,
  temporaryDirectory,
} from './support/node-process.ts';
import { missing } from './support/tools.ts';

const ROWS = 2000;
const LONE_ROWS = 20;

async function connect(
  node: NodeProcess,
  options: Partial<cassandra.ClientOptions> = {},
): Promise<cassandra.Client> {
  const client = new cassandra.Client({
    contactPoints: [`127.0.0.1:${node.cqlPort}`],
    localDataCenter: 'datacenter1',
    queryOptions: { prepare: true },
    policies: { retry: new cassandra.policies.retry.FallthroughRetryPolicy() },
    ...options,
  });
  await client.connect();
  return client;
}

async function fill(client: cassandra.Client): Promise<void> {
  await client.execute(
    "CREATE KEYSPACE d WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  await client.execute(
    "CREATE TABLE d.t (k int PRIMARY KEY, v text) WITH compression = {'enabled': false}",
  );
  const rows = Array.from({ length: ROWS }, (_, k) => k);
  await Promise.all(
    rows.map((k) =>
      client.execute('INSERT INTO d.t (k, v) VALUES (?, ?)', [k, `value ${k} ${'x'.repeat(300)}`]),
    ),
  );
}

function flipByte(file: string, at: number): void {
  const handle = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, at);
  byte[0] ^= 0x40;
  writeSync(handle, byte, 0, 1, at);
  closeSync(handle);
}

function biggest(directory: string, pattern: string): string {
  const files = globSync(join(directory, pattern)).sort(
    (a, b) => statSync(b).size - statSync(a).size,
  );
  assert.ok(files.length > 0, `no ${pattern}`);
  return files[0];
}

test('a flipped bit in an SST is an error that names the file, never a wrong row', async () => {
  const dataDirectory = temporaryDirectory();
  try {
    const node = await startNode({ dataDirectory });
    const client = await connect(node);
    await fill(client);
    const flushed = await runIlion(['flush', '--admin', `127.0.0.1:${node.adminPort}`]);
    assert.equal(flushed.code, 0, flushed.stderr);
    await client.shutdown();
    await node.stop();
    const file = biggest(dataDirectory, 'shards.*/*/*.sst');
    flipByte(file, Math.floor(statSync(file).size / 3));
    const again = await startNode({ dataDirectory });
    const reader = await connect(again);
    let failed = 0;
    for (let k = 0; k < ROWS; k++) {
      try {
        const row = (await reader.execute('SELECT v FROM d.t WHERE k = ?', [k])).first();
        assert.equal(row['v'], `value ${k} ${'x'.repeat(300)}`);
      } catch (error) {
        assert.ok(!(error instanceof assert.AssertionError), `row ${k} is wrong`);
        assert.match((error as Error).message, /CORRUPTION|[Cc]orrupt/);
        assert.match((error as Error).message, /\.sst/);
        failed++;
      }
    }
    assert.ok(failed > 0, 'the damage was not noticed');
    assert.ok(failed < ROWS / 2, `${failed} rows are not readable`);
    await assert.rejects(reader.execute('SELECT count(*) FROM d.t'), /[Cc]orrupt/);
    await reader.shutdown();
    await again.stop();
  } finally {
    rmSync(dataDirectory, { recursive: true, force: true });
  }
});

test('a torn end of the write-ahead log is dropped; damage before it refuses the start', async () => {
  const dataDirectory = temporaryDirectory();
  try {
    const node = await startNode({ dataDirectory });
    const client = await connect(node);
    await fill(client);
    // One after another, so that each is a group of its own and the tear costs one of them.
    for (let k = 0; k < LONE_ROWS; k++) {
      await client.execute('INSERT INTO d.t (k, v) VALUES (?, ?)', [ROWS + k, 'alone']);
    }
    node.kill9();
    await node.waitExit();
    await client.shutdown();
    const log = biggest(dataDirectory, 'shards.*/*/*.log');
    truncateSync(log, statSync(log).size - 7);
    const torn = await startNode({ dataDirectory });
    const reader = await connect(torn);
    const counted = Number((await reader.execute('SELECT count(*) AS n FROM d.t')).first()['n']);
    assert.equal(counted, ROWS + LONE_ROWS - 1);
    await reader.execute('INSERT INTO d.t (k, v) VALUES (-1, ?)', ['y'.repeat(200_000)]);
    for (let k = 0; k < 200; k++)
      await reader.execute('INSERT INTO d.t (k, v) VALUES (?, ?)', [-2 - k, 'z'.repeat(2000)]);
    await reader.shutdown();
    torn.kill9();
    await torn.waitExit();
    const damaged = biggest(dataDirectory, 'shards.*/*/*.log');
    flipByte(damaged, Math.floor(statSync(damaged).size / 4));
    await assert.rejects(startNode({ dataDirectory }), (error) => {
      assert.match((error as Error).message, /cannot be opened/);
      assert.match((error as Error).message, /\d+\.log/);
      return true;
    });
  } finally {
    rmSync(dataDirectory, { recursive: true, force: true });
  }
});

/** Sends OPTIONS without TLS. @returns whether a CQL frame came back within half a second */
function plainAnswer(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () =>
      socket.write(Buffer.from('040000000500000000', 'hex')),
    );
    const done = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.on('data', (bytes) => done(bytes[0] === 0x84));
    socket.on('error', () => done(false));
    socket.on('close', () => done(false));
    setTimeout(done, 500, false);
  });
}

test('TLS', { skip: missing('openssl', ['version']) }, async () => {
  const directory = temporaryDirectory();
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      key,
      '-out',
      certificate,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
    ],
    { stdio: 'ignore' },
  );
  const node = await startNode({ flags: { 'client-certificate': certificate, 'client-key': key } });
  try {
    const client = await connect(node, { sslOptions: { rejectUnauthorized: false } });
    assert.equal(
      (await client.execute('SELECT cluster_name FROM system.local')).first()['cluster_name'],
      'Ilion',
    );
    await client.shutdown();
    assert.equal(await plainAnswer(node.cqlPort), false, 'a client without TLS was answered');
  } finally {
    await node.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});
