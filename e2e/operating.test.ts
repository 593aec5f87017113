/** Operating a node as its operators do: with processes, signals, ports and files. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from 'cassandra-driver';
import { freePorts, runIlion, startNode, temporaryDirectory } from './support/node-process.ts';

function connect(cqlPort: number): Client {
  return new Client({
    contactPoints: ['127.0.0.1'],
    localDataCenter: 'datacenter1',
    protocolOptions: { port: cqlPort },
  });
}

async function withClient<T>(cqlPort: number, use: (client: Client) => Promise<T>): Promise<T> {
  const client = connect(cqlPort);
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.shutdown();
  }
}

async function get(port: number, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: await response.text() };
}

/** Samples of a page of metrics by `name{labels}`. Every line must be one, or a comment. */
function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || /^# (HELP|TYPE) ilion_[a-z_]+ ./.test(line)) continue;
    const found = /^(ilion_[a-z_]+(?:\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})?) (\S+)$/.exec(line);
    assert.ok(found, `not a sample: ${line}`);
    assert.ok(!Number.isNaN(Number(found[2])), line);
    assert.ok(!samples.has(found[1]), `twice: ${line}`);
    samples.set(found[1], Number(found[2]));
  }
  return samples;
}

function sum(samples: ReadonlyMap<string, number>, prefix: string): number {
  return [...samples].reduce(
    (all, [key, value]) => (key.startsWith(prefix) ? all + value : all),
    0,
  );
}

const SCHEMA = [
  "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TABLE shop.orders (id int PRIMARY KEY, what text)',
];

async function fill(client: Client, from: number, to: number): Promise<void> {
  for (let id = from; id < to; id++) {
    await client.execute('INSERT INTO shop.orders (id, what) VALUES (?, ?)', [id, `order ${id}`], {
      prepare: true,
    });
  }
}

async function ids(client: Client): Promise<number[]> {
  const { rows } = await client.execute('SELECT id FROM shop.orders');
  return rows.map((row) => Number(row.get('id'))).sort((a, b) => a - b);
}

const range = (to: number) => Array.from({ length: to }, (_, id) => id);

test('health, metrics, status, flush, compact', async () => {
  await using node = await startNode();
  const { metricsPort, adminPort, cqlPort } = node;
  const admin = `--admin=127.0.0.1:${adminPort}`;
  assert.deepEqual(await get(metricsPort, '/readyz'), { status: 200, body: 'ready\n' });
  assert.equal((await get(metricsPort, '/healthz')).status, 200);
  assert.equal((await get(metricsPort, '/else')).status, 404);

  await withClient(cqlPort, async (client) => {
    for (const statement of SCHEMA) await client.execute(statement);
    await fill(client, 0, 50);
    await assert.rejects(client.execute('SELECT nothing'));

    const samples = parseMetrics((await get(metricsPort, '/metrics')).body);
    assert.ok(sum(samples, 'ilion_connections{') >= 1);
    assert.ok(sum(samples, 'ilion_requests_total{') >= 52);
    assert.equal(sum(samples, 'ilion_requests_in_flight{'), 0);
    assert.ok([...samples.keys()].some((key) => /opcode="Execute"/.test(key)));
    const refused = [...samples].find(([key]) => /ilion_errors_total.*"SyntaxError"/.test(key));
    assert.equal(refused?.[1], 1);
    assert.ok(sum(samples, 'ilion_storage_written_bytes_total{') > 0);
    assert.ok(sum(samples, 'ilion_loop_delay_seconds_count{') > 0);
    assert.ok(sum(samples, 'ilion_process_resident_bytes') > 1 << 20);

    const status = JSON.parse((await runIlion(['status', admin, '--json'])).stdout);
    assert.equal(status.clusterName, 'Ilion');
    assert.equal(status.datacenter, 'datacenter1');
    assert.equal(status.cqlAddress, `127.0.0.1:${cqlPort}`);
    assert.equal(status.state, 'serving');
    assert.ok(status.uptimeSeconds > 0);
    assert.ok(status.workers[0].requests + (status.workers[1]?.requests ?? 0) >= 52);
    const shown = await runIlion(['status', admin]);
    assert.equal(shown.code, 0);
    assert.match(shown.stdout, new RegExp(`^Host id +${status.hostId}$`, 'm'));
  });

  assert.deepEqual(await runIlion(['flush', admin, 'shop', 'orders']), {
    code: 0,
    signal: null,
    stdout: 'Flushed 1 table.\n',
    stderr: '',
  });
  const samples = parseMetrics((await get(metricsPort, '/metrics')).body);
  assert.ok(sum(samples, 'ilion_storage_sst_bytes{') > 0);
  assert.match((await runIlion(['compact', admin, 'shop'])).stdout, /^Compacted 1 table: /);
  assert.match((await runIlion(['flush', admin])).stdout, /^Flushed \d+ tables\.$/m);
  const unknown = await runIlion(['flush', admin, 'nowhere']);
  assert.equal(unknown.code, 1);
  assert.equal(unknown.stderr, "ilion: there is no keyspace 'nowhere'\n");
});

test('a snapshot is a data directory: copied, it is the node as it was', async () => {
  await using node = await startNode();
  const admin = `--admin=127.0.0.1:${node.adminPort}`;
  await withClient(node.cqlPort, async (client) => {
    for (const statement of SCHEMA) await client.execute(statement);
    await fill(client, 0, 100);
    const made = await runIlion(['snapshot', admin, '--name', 'before', '--json']);
    assert.equal(made.code, 0, made.stderr);
    assert.equal(JSON.parse(made.stdout).directory, join(node.dataDirectory, 'snapshots/before'));
    // What comes later is not in it: rows, tables, deletions.
    await fill(client, 100, 150);
    await client.execute('DELETE FROM shop.orders WHERE id = 7');
    await client.execute('CREATE TABLE shop.later (id int PRIMARY KEY)');
  });
  const again = await runIlion(['snapshot', admin, '--name=before']);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^ilion: there is a snapshot 'before' already: .*\n$/);
  const trick = await runIlion(['snapshot', admin, '--name=../../tmp']);
  assert.match(trick.stderr, /^ilion: '\.\.\/\.\.\/tmp' cannot be the name of a snapshot: .*\n$/);
  assert.match((await runIlion(['snapshot', admin])).stdout, /^Snapshot \d{8}T\d{6}Z /);
  assert.equal(JSON.parse((await runIlion(['snapshots', admin, '--json'])).stdout).length, 2);
  assert.deepEqual(await node.stop(), { code: 0, signal: null });

  const fresh = join(temporaryDirectory(), 'data');
  cpSync(join(node.dataDirectory, 'snapshots/before'), fresh, { recursive: true });
  await using restored = await startNode({ dataDirectory: fresh, flags: { shards: '1' } });
  await withClient(restored.cqlPort, async (client) => {
    assert.deepEqual(await ids(client), range(100));
    await assert.rejects(client.execute('SELECT * FROM shop.later'), /later/);
    await fill(client, 100, 101);
  });
  await restored.stop();

  // The snapshot itself is still as it was, and the node that it is of, too.
  await using original = await startNode({ dataDirectory: node.dataDirectory });
  const gone = await runIlion([
    'drop-snapshot',
    'before',
    `--admin=127.0.0.1:${original.adminPort}`,
  ]);
  assert.equal(gone.code, 0, gone.stderr);
  assert.ok(!existsSync(join(node.dataDirectory, 'snapshots/before')));
  await withClient(original.cqlPort, async (client) => {
    assert.deepEqual(
      await ids(client),
      range(150).filter((id) => id !== 7),
    );
  });
});

test('SIGTERM drains: clients are connected, the process ends with 0 in time', async () => {
  await using node = await startNode({ flags: { 'drain-timeout': '5s' } });
  const client = connect(node.cqlPort);
  try {
    await client.connect();
    for (const statement of SCHEMA) await client.execute(statement);
    const answers = Promise.allSettled(range(200).map((id) => fill(client, id, id + 1)));
    const began = performance.now();
    assert.deepEqual(await node.stop(), { code: 0, signal: null });
    assert.ok(performance.now() - began < 8000);
    await client.shutdown();
    const acknowledged = (await answers).flatMap(({ status }, id) =>
      status === 'fulfilled' ? [id] : [],
    );
    assert.match(node.output(), /"message":"draining".*"message":"stopped"/s);
    await using next = await startNode({ dataDirectory: node.dataDirectory });
    await withClient(next.cqlPort, async (reader) => {
      const found = new Set(await ids(reader));
      assert.deepEqual(
        acknowledged.filter((id) => !found.has(id)),
        [],
      );
    });
  } finally {
    await client.shutdown();
  }
});

test('a second node on the same data, or on the same ports, is refused', async () => {
  await using node = await startNode();
  const ports = await freePorts(3);
  const flags = (cql: number, admin: number, metrics: number, data: string) => [
    'start',
    `--native-transport-port=${cql}`,
    `--admin-port=${admin}`,
    `--metrics-port=${metrics}`,
    `--data-directory=${data}`,
  ];
  const [cql, admin, metrics] = ports;
  const locked = await runIlion(flags(cql, admin, metrics, node.dataDirectory));
  assert.equal(locked.code, 1);
  assert.match(
    locked.stderr,
    new RegExp(`the data directory ${node.dataDirectory} is in use by another process: `),
  );
  const other = temporaryDirectory();
  const cases: [number, number, number, string][] = [
    [node.cqlPort, admin, metrics, `native_transport_port ${node.cqlPort} on 127.0.0.1 is in use`],
    [cql, node.adminPort, metrics, `admin_port ${node.adminPort} on 127.0.0.1 is in use`],
    [cql, admin, node.metricsPort, `metrics_port ${node.metricsPort} on 127.0.0.1 is in use`],
  ];
  for (const [one, two, three, message] of cases) {
    const refused = await runIlion(flags(one, two, three, other));
    assert.equal(refused.code, 1);
    assert.ok(refused.stderr.includes(message), refused.stderr);
  }
  assert.deepEqual(readdirSync(other), [], 'nothing was opened');
  assert.equal((await get(node.metricsPort, '/readyz')).status, 200);
});

test('data of a later version is refused, and left as it is', async () => {
  const dataDirectory = temporaryDirectory();
  await using node = await startNode({ dataDirectory });
  await node.stop();
  const path = join(dataDirectory, 'metadata.json');
  const text = JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), format: 99 });
  writeFileSync(path, text);
  await assert.rejects(startNode({ dataDirectory }), /has format 99, this version of Ilion reads/);
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('what cannot be meant is refused with one line and exit code 2', async () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'ilion.yaml');
  writeFileSync(file, 'cluster_name: Shop\nrack: a\nnative_transport_prt: 1\n');
  const cases: [string[], RegExp][] = [
    [
      ['start', '--config', file],
      /^ilion: .*ilion\.yaml line 3: unknown option native_transport_prt/,
    ],
    [['start', '--config', join(directory, 'no.yaml')], /^ilion: .*no\.yaml: .*no such file$/],
    [['start', '--metrics-port', '70000'], /^ilion: --metrics-port: metrics_port is '70000', but /],
    [['start', '--no-such-option=1'], /^ilion: --no-such-option: unknown option no_such_option$/],
    [['start', '--workers'], /^ilion: ilion start: --workers needs a value$/],
    [['strat'], /^ilion: unknown command strat: /],
    [['status', '--verbose'], /^ilion: ilion status: unknown flag --verbose$/],
    [['status', '--admin', 'here'], /^ilion: --admin is 'here', but must be HOST:PORT/],
    [['drop-snapshot'], /^ilion: ilion drop-snapshot needs the name of a snapshot$/],
  ];
  for (const [args, line] of cases) {
    const { code, stderr, stdout } = await runIlion(args);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.equal(stdout, '');
    assert.match(stderr.trimEnd(), line);
    assert.equal(stderr.trimEnd().split('\n').length, 1);
  }
});

test('without a node: tools say where they looked', async () => {
  const [port] = await freePorts(1);
  const byFlag = await runIlion(['status', '--admin', `127.0.0.1:${port}`]);
  const byVariable = await runIlion(['snapshots'], { ILION_ADMIN_PORT: String(port) });
  for (const { code, stderr } of [byFlag, byVariable]) {
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^ilion: no node answers at 127.0.0.1:${port}: check .*\\n$`));
  }
  assert.match((await runIlion(['--version'])).stdout, /^ilion \d+\.\d+\.\d+\n$/);
  assert.match((await runIlion(['--help'])).stdout, /ilion start/);
});

test('what `ilion config` prints starts a node as it is', async () => {
  const file = join(temporaryDirectory(), 'ilion.yaml');
  const { stdout } = await runIlion(['config']);
  writeFileSync(file, stdout.replace(/^#cluster_name: .*$/m, 'cluster_name: Printed'));
  await using node = await startNode({ environment: { ILION_CONFIG: file } });
  const admin = `--admin=127.0.0.1:${node.adminPort}`;
  assert.match((await runIlion(['status', admin])).stdout, /^Cluster +Printed$/m);
});
