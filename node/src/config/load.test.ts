import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { ConfigError, loadSettings, type Sources } from './load.ts';
import { documentedYaml, OPTIONS } from './options.ts';

const machine = { cores: 6, memoryBytes: 8 * 2 ** 30, isTerminal: false };

function load(
  text: string | null,
  environment: Sources['environment'] = {},
  flags: readonly (readonly [string, string])[] = [],
) {
  const file = text === null ? null : { name: 'ilion.yaml', text };
  return loadSettings({ file, environment, flags: new Map(flags) }, machine);
}

test('defaults follow the machine', () => {
  const { settings } = load(null);
  assert.equal(settings.workers, 6);
  assert.equal(settings.shards, 4);
  assert.equal(settings.commitlogSync, 'group');
  assert.equal(settings.cacheBytes, Math.floor(512 * 2 ** 20 * 0.24));
  assert.equal(settings.logFormat, 'json');
});

test('flags win over the environment, the environment over the file', () => {
  const file = 'native_transport_port: 1000\nrack: r1\ncluster_name: "a b"\n';
  const { settings, table } = load(
    file,
    { ILION_NATIVE_TRANSPORT_PORT: '2000', ILION_RACK: 'r2' },
    [['rack', 'r3']],
  );
  assert.equal(settings.nativeTransportPort, 2000);
  assert.equal(settings.rack, 'r3');
  assert.equal(settings.clusterName, 'a b');
  assert.deepEqual(
    table.find(([name]) => name === 'rack'),
    ['rack', 'r3'],
  );
});

test('sizes and times have units', () => {
  const { settings } = load(
    'cache_size: 1.5GiB\ndrain_timeout: 2m\ncommitlog_sync_period: 250ms\n',
  );
  assert.equal(settings.cacheBytes, 1.5 * 2 ** 30);
  assert.equal(settings.drainTimeoutMs, 120_000);
  assert.equal(settings.commitlogSyncPeriodMs, 250);
});

test('what is unknown or impossible is refused where it stands', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['rack: a\nnative_port: 1\n', /^ilion\.yaml line 2: unknown option native_port/],
    [
      '\nworkers: 0\n',
      /^ilion\.yaml line 2: workers is '0', but must be a whole number from 1 to 256/,
    ],
    ['shards: 3\n', /line 1: shards is '3', but must be 1, 2, 4/],
    ['commitlog_sync: batch\n', /one of group, periodic/],
    ['cache_size: big\n', /a size such as 64MiB/],
    ['rack: [1]\n', /rack must be a single value/],
    ['rack: "a\n', /^ilion\.yaml line/],
    ['- a\n', /list of `option: value`/],
    ['client_key: k\n', /line 1: TLS needs client_certificate, too/],
    ['rpc_address: example.org\n', /must be an IPv4 address/],
    ['listen_address: here\n', /line 1: listen_address is 'here', but must be an IPv4 address/],
    ['listen_address: 10.0.0.1\nseeds: a_,b\n', /line 2: seeds has 'a_', but must be like/],
    ['listen_address: 10.0.0.1\nseeds: 10.0.0\n', /line 2: seeds has '10.0.0', but must be like/],
    ['host_id: 12\n', /line 1: host_id is '12', but must be a UUID/],
    [
      'listen_address: 10.0.0.1\ninternode_data_port: 7000\n',
      /line 2: .* must not be internode_port/,
    ],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => load(text),
      (error) => error instanceof ConfigError && expected.test(error.message),
      text,
    );
  }
  assert.throws(() => load(null, { ILION_RAK: 'x' }), /ILION_RAK: unknown option rak/);
  assert.throws(
    () => load(null, {}, [['rackk', 'x']]),
    /--rackk: unknown option rackk \(did you mean rack\?\)/,
  );
});

test('a node with a listen_address is one of a cluster', () => {
  assert.equal(load(null).settings.cluster, null);
  const { cluster } = load(
    'listen_address: 10.0.0.2\nseeds: 10.0.0.1, demo-seeds.ns.svc:7100\n',
  ).settings;
  assert.deepEqual(cluster?.seeds, [
    { host: '10.0.0.1', port: 7000 },
    { host: 'demo-seeds.ns.svc', port: 7100 },
  ]);
});

test('the documented file names every option and is valid', () => {
  const active = documentedYaml().replaceAll(/^#(?=[a-z_]+: )/gm, '');
  assert.deepEqual(
    Object.keys(parse(active)),
    OPTIONS.map(({ name }) => name),
  );
  const plain = load(active.replaceAll("''", '""'));
  assert.deepEqual(plain.settings, load(null).settings);
});
