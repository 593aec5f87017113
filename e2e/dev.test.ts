/** `ilion dev`: a cluster's file on this machine, edited while it runs, with node processes and the unmodified driver. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import cassandra from 'cassandra-driver';
import { temporaryDirectory } from './support/node-process.ts';

const MAIN = fileURLToPath(new URL('../operator/src/dev/main.ts', import.meta.url));
const NETWORK = `127.${(process.pid % 120) + 120}.${(process.pid % 250) + 1}`;
const { consistencies } = cassandra.types;

function manifest(replicas: number, more = ''): string {
  return `apiVersion: ilion.dev/v1alpha1
kind: DatacenterCluster
metadata:
  name: demo
spec:
  replicas: ${replicas}
  storage: { size: 1Gi }
  resources: { limits: { memory: 256Mi } }
${more}`;
}

class Dev {
  readonly child: ChildProcess;
  output = '';

  constructor(file: string, directory: string) {
    const flags = ['--data-directory', directory, '--address', `${NETWORK}.1`];
    this.child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', MAIN, file, ...flags],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
  }

  /** Its nodes' processes. */
  pids(): readonly number[] {
    const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(this.child.pid)], {
      encoding: 'utf8',
    });
    return stdout.trim().split(/\s+/).filter(Boolean).map(Number);
  }

  /** Waits for something new, from `from` on. @returns where the output ends */
  async says(what: RegExp, from = 0): Promise<number> {
    const end = Date.now() + 90_000;
    while (!what.test(this.output.slice(from))) {
      assert.ok(Date.now() < end, `not said: ${what}\n${this.output}`);
      assert.equal(this.child.exitCode, null, this.output);
      await sleep(50);
    }
    return this.output.length;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exit = once(this.child, 'exit');
      this.child.kill(signal);
      await exit;
    }
    return this.child.exitCode;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!holds()) {
    assert.ok(Date.now() < end, `not in 20 s: ${what}`);
    await sleep(50);
  }
}

function nobodyIsLeft(pids: readonly number[]): Promise<void> {
  return until('no process is left', () => !pids.some(isAlive));
}

async function withClient<T>(use: (client: cassandra.Client) => Promise<T>): Promise<T> {
  const client = new cassandra.Client({
    contactPoints: [`${NETWORK}.1`, `${NETWORK}.2`],
    localDataCenter: 'dc1',
    queryOptions: { consistency: consistencies.quorum, prepare: true },
  });
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.shutdown();
  }
}

const values = (client: cassandra.Client) =>
  client
    .execute('SELECT v FROM ks.t')
    .then(({ rows }) => rows.map((row) => String(row.get('v'))).sort());

test('a cluster follows its file, is healed, stops without orphans, and is found again', async () => {
  const directory = temporaryDirectory();
  const [file, data] = [join(directory, 'demo.yaml'), join(directory, 'data')];
  writeFileSync(file, manifest(3));
  let dev = new Dev(file, data);
  try {
    let at = await dev.says(/demo is ready: 3 of 3 nodes serve/);
    await withClient(async (client) => {
      await client.execute(
        "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
      );
      await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v text)');
      await client.execute("INSERT INTO ks.t (k, v) VALUES (1, 'kept')");
      assert.equal(dev.pids().length, 3);

      // More nodes, and fewer.
      writeFileSync(file, manifest(4));
      at = await dev.says(/demo is ready: 4 of 4 nodes serve/, at);
      assert.equal(dev.pids().length, 4);
      await client.execute("INSERT INTO ks.t (k, v) VALUES (2, 'with four')");
      writeFileSync(file, manifest(3, '  deletionPolicy: Delete\n'));
      at = await dev.says(/is gone and its data/, at);
      at = await dev.says(/demo is ready: 3 of 3/, at - 500);
      await until('its process is gone', () => dev.pids().length === 3);
      await until('its folder is gone', () => readdirSync(join(data, 'volumes')).length === 3);
      assert.deepEqual(await values(client), ['kept', 'with four']);

      // A setting that changes while nodes run.
      const pids = dev.pids();
      const hot = '  deletionPolicy: Delete\n  config: { readRequestTimeout: 7s }\n';
      writeFileSync(file, manifest(3, hot));
      await until('the setting is in effect', () => {
        const logs = readdirSync(join(data, 'logs')).map((name) => join(data, 'logs', name));
        const changed = logs.filter((log) =>
          /"a setting changes".*"read_request_timeout"/.test(readFileSync(log, 'utf8')),
        );
        return changed.length === 3;
      });
      assert.deepEqual(dev.pids(), pids);

      // A mistake.
      writeFileSync(file, manifest(3, '  storage: { size: 1Gi }\n  replica: 5\n'));
      at = await dev.says(/demo\.yaml line \d+: .*\. Nothing is changed/, at);
      writeFileSync(file, manifest(3, '  deletionPolicy: Delete\n  replica: 5\n'));
      at = await dev.says(/line 10: spec\.replica: is not known: did you mean replicas\?\. No/, at);
      assert.deepEqual(dev.pids(), pids);
      writeFileSync(file, manifest(3, '  deletionPolicy: Delete\n'));

      // A node's process is killed.
      process.kill(pids[0], 'SIGKILL');
      at = await dev.says(/its process has ended \(SIGKILL\); it is started again/, at);
      at = await dev.says(/demo is ready: 3 of 3/, at);
      assert.deepEqual(await values(client), ['kept', 'with four']);
    });

    // Another one must not use the same data.
    const second = new Dev(file, data);
    assert.equal(await once(second.child, 'exit').then(([code]) => code), 2);
    assert.match(second.output, /^ilion dev: .* is in use by another `ilion dev`$/m);

    let pids = dev.pids();
    assert.equal(await dev.end('SIGINT'), 0, dev.output);
    assert.match(dev.output, /all nodes have stopped; their data is kept\n$/);
    assert.deepEqual(pids.filter(isAlive), []);

    dev = new Dev(file, data);
    await dev.says(/demo is ready: 3 of 3/);
    assert.deepEqual(await withClient(values), ['kept', 'with four']);

    // Nobody is there to stop them.
    pids = dev.pids();
    assert.equal(pids.length, 3);
    await dev.end('SIGKILL');
    await nobodyIsLeft(pids);

    // Killed while nodes start.
    dev = new Dev(file, data);
    await dev.says(/starts at/);
    pids = dev.pids();
    assert.ok(pids.length > 0);
    await dev.end('SIGKILL');
    await nobodyIsLeft(pids);

    dev = new Dev(file, data);
    await dev.says(/demo is ready: 3 of 3/);
    assert.deepEqual(await withClient(values), ['kept', 'with four']);
    assert.equal(await dev.end('SIGTERM'), 0);
  } finally {
    await dev.end('SIGKILL');
  }
});

test('what cannot be run is said in one line, and nothing is made', async () => {
  const directory = temporaryDirectory();
  const [file, data] = [join(directory, 'demo.yaml'), join(directory, 'data')];
  writeFileSync(file, manifest(-1));
  const dev = new Dev(file, data);
  assert.equal(await once(dev.child, 'exit').then(([code]) => code), 2);
  assert.match(
    dev.output,
    /^ilion dev: .*demo\.yaml line 6: spec\.replicas: is -1, but must be at least 0\n$/,
  );
  assert.ok(!existsSync(data));
});
