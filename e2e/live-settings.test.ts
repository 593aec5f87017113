/** Settings of a node that runs: its file read again, and what it is told over the admin service. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'cassandra-driver';
import { runIlion, startNode, temporaryDirectory } from './support/node-process.ts';

const LARGE = 'x'.repeat(64 * 1024);

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    assert.ok(Date.now() < end, `not in 10 s: ${what}`);
    await sleep(20);
  }
}

test('settings change in all threads of a running node, by its file, a signal and by commands', async () => {
  const file = join(temporaryDirectory(), 'ilion.yaml');
  writeFileSync(file, 'log_level: info\nworkers: 2\n');
  await using node = await startNode({ environment: { ILION_CONFIG: file } });
  const admin = `--admin=127.0.0.1:${node.adminPort}`;
  const ilion = async (...args: string[]) => {
    const { code, stdout, stderr } = await runIlion([...args, admin]);
    return { code, text: (stdout + stderr).trimEnd() };
  };
  // Both workers have a connection of it, which stay open.
  const client = new Client({
    contactPoints: ['127.0.0.1'],
    localDataCenter: 'datacenter1',
    protocolOptions: { port: node.cqlPort },
    pooling: { coreConnectionsPerHost: { '0': 8 } },
  });
  try {
    await client.connect();
    const setting = async (name: string) => {
      const rows = await Promise.all(
        Array.from({ length: 16 }, () =>
          client.execute('SELECT value FROM system_views.settings WHERE name = ?', [name]),
        ),
      );
      return [...new Set(rows.map((result) => result.first()?.get('value')))];
    };
    const large = () =>
      Promise.allSettled(
        Array.from({ length: 16 }, () =>
          client.execute(`SELECT key FROM system.local WHERE key = '${LARGE}'`),
        ),
      );
    assert.match((await ilion('settings')).text, /^log_level +info +.*ilion\.yaml line 1 +hot$/m);
    assert.match((await ilion('settings')).text, /^workers +2 +.*ilion\.yaml line 2 +restart$/m);
    assert.match((await ilion('settings')).text, /^rack +rack1 +default +restart$/m);
    assert.ok((await large()).every(({ status }) => status === 'fulfilled'));

    // The file, by a signal.
    writeFileSync(file, 'log_level: debug\nworkers: 2\nnative_transport_max_frame_size: 16KiB\n');
    process.kill(node.pid, 'SIGHUP');
    await until('read again', () => /"message":"settings are read again"/.test(node.output()));
    assert.deepEqual(await setting('log_level'), ['debug']);
    assert.ok((await large()).every(({ status }) => status === 'rejected'));
    // Of a worker.
    connect({ port: node.cqlPort }, function (this: Socket) {
      this.on('error', () => {}).end('no frame of the protocol');
    });
    await until('debug', () => /"client broke the protocol"/.test(node.output()));

    // What cannot change is refused, and nothing changes.
    writeFileSync(file, 'log_level: warn\nrack: elsewhere\n');
    process.kill(node.pid, 'SIGHUP');
    await until('refused', () => /"message":"settings are not taken/.test(node.output()));
    assert.match(node.output(), /line 2: rack was 'rack1' and is 'elsewhere', but takes effect at/);
    const refused = await ilion('reload');
    assert.equal(refused.code, 1);
    assert.match(refused.text, /^ilion: .*ilion\.yaml line 2: rack was .*; .*workers was/);
    assert.deepEqual(await setting('log_level'), ['debug']);

    // Commands.
    writeFileSync(file, 'log_level: debug\nworkers: 2\n');
    assert.deepEqual(await ilion('reload', 'log_level=warn', 'drain-timeout=1s'), {
      code: 0,
      text: 'native_transport_max_frame_size: 16KiB -> 16MiB\nlog_level: debug -> warn\ndrain_timeout: 10s -> 1s',
    });
    assert.ok((await large()).every(({ status }) => status === 'fulfilled'));
    assert.match((await ilion('settings')).text, /^log_level +warn +reload +hot$/m);
    const wrong = await ilion('reload', 'drain_timeout=2s', 'rack=r', 'no_such=1', 'log_level=all');
    assert.equal(wrong.code, 1);
    assert.match(wrong.text, /^ilion: rack takes effect at a start only.*no_such is not an option/);
    assert.deepEqual(await setting('drain_timeout'), ['1s']);
    assert.deepEqual(await ilion('reload', 'log_level=', 'drain_timeout=default'), {
      code: 0,
      text: 'log_level: warn -> debug\ndrain_timeout: 1s -> 10s',
    });
    assert.deepEqual(await ilion('reload'), { code: 0, text: 'Nothing has changed.' });
    const usage = await ilion('reload', 'log_level');
    assert.equal(usage.code, 2);
    assert.match(usage.text, /^ilion: ilion reload: 'log_level' must be like log_level=debug$/);
  } finally {
    await client.shutdown();
  }
  assert.deepEqual(await node.stop(), { code: 0, signal: null });
});
