/** The custom resources as a real API server takes them: what it accepts, what it completes, what it refuses and how. */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ApiServer, startApiServer } from './support/api-server.ts';
import { unavailable } from './support/cluster.ts';
import { ToolError } from './support/processes.ts';

const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const reason = await unavailable('programs');
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let api: ApiServer;

before(async () => {
  if (skip !== false) return;
  api = await startApiServer();
  await api.kubectl(['apply', '--server-side', '-f', join(TREE, 'crds')]);
  const definitions = ['crd/datacenterclusters.ilion.dev', 'crd/databasenodes.ilion.dev'];
  await api.kubectl(['wait', '--for=condition=Established', ...definitions]);
});

after(async () => {
  await api?.[Symbol.asyncDispose]();
});

type Json = Readonly<Record<string, unknown>>;

const cluster = (spec: Json, name = 'demo'): string =>
  JSON.stringify({
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatacenterCluster',
    metadata: { name, namespace: 'default' },
    spec,
  });

const node = (spec: Json): string =>
  JSON.stringify({
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatabaseNode',
    metadata: { name: 'demo-dc1-rack1-abcde', namespace: 'default' },
    spec,
  });

const apply = (manifest: string, ...flags: string[]) =>
  api.kubectl(['apply', '-o', 'json', ...flags, '-f', '-'], { input: manifest });

/** What people see. */
async function refusal(manifest: string): Promise<string> {
  try {
    await apply(manifest, '--dry-run=server');
  } catch (error) {
    if (error instanceof ToolError) return error.problem;
    throw error;
  }
  return 'it was accepted';
}

test('definitions are served, without complaints of their schema', { skip }, async () => {
  for (const name of ['datacenterclusters', 'databasenodes']) {
    const definition = JSON.parse(
      await api.kubectl(['get', `crd/${name}.ilion.dev`, '-o', 'json']),
    ) as { status: { conditions: { type: string; status: string; message: string }[] } };
    const { conditions } = definition.status;
    const state = (type: string) => conditions.find((one) => one.type === type);
    assert.equal(state('NamesAccepted')?.status, 'True');
    assert.equal(state('Established')?.status, 'True');
    assert.equal(state('NonStructuralSchema'), undefined);
  }
  assert.match(await api.kubectl(['get', 'dcc,dbn', '-A'], {}), /^$/);
});

test('examples are accepted', { skip }, async () => {
  const files = globSync('examples/*.yaml', { cwd: TREE });
  assert.ok(files.length > 0);
  for (const file of files) {
    await api.kubectl(['apply', '--dry-run=server', '-f', join(TREE, file)]);
  }
});

test('what is not said gets its default', { skip }, async () => {
  const { spec } = JSON.parse(await apply(cluster({ replicas: 3 }), '--dry-run=server')) as {
    spec: Json;
  };
  assert.deepEqual(spec['storage'], { size: '10Gi' });
  assert.deepEqual(spec['tls'], { mode: 'Operator' });
  assert.deepEqual(spec['update'], { maxUnavailable: 1, paused: false });
  assert.equal(spec['datacenterName'], 'dc1');
  assert.equal(spec['deletionPolicy'], 'Retain');
});

const rack = (name: string, more: Json = {}): Json => ({ name, ...more });

/** What people may write, and what the answer must name. */
const REFUSED: readonly (readonly [title: string, spec: Json, ...says: string[]])[] = [
  ['no size at all', {}, 'spec.replicas', 'either replicas (one datacenter) or datacenters'],
  [
    'two forms at once',
    { replicas: 3, datacenters: [{ name: 'dc1', replicas: 3 }] },
    'spec.replicas',
    'either replicas',
  ],
  ['negative replicas', { replicas: -1 }, 'spec.replicas', 'greater than or equal to 0'],
  ['replicas that are text', { replicas: 'three' }, 'spec.replicas', 'integer'],
  ['too many replicas', { replicas: 100_000 }, 'spec.replicas', 'less than or equal to 1000'],
  ['an unknown field', { replicas: 3, replica: 3 }, 'unknown field', 'spec.replica'],
  [
    'the same rack twice',
    { replicas: 3, racks: [rack('a'), rack('a')] },
    'spec.racks',
    'Duplicate value',
  ],
  [
    'racks of which some have replicas',
    { replicas: 3, racks: [rack('a', { replicas: 3 }), rack('b')] },
    'spec.racks',
    'either all of them have replicas, or none',
  ],
  [
    'racks that do not come to the whole',
    { replicas: 3, racks: [rack('a', { replicas: 1 }), rack('b', { replicas: 1 })] },
    'spec.racks',
    'must come to the replicas',
  ],
  ["a rack's bad name", { replicas: 3, racks: [rack('Rack_1')] }, 'spec.racks[0].name', 'match'],
  [
    'racks beside datacenters',
    { datacenters: [{ name: 'dc1', replicas: 3 }], racks: [rack('a')] },
    'spec.racks',
    'racks belong to the datacenters',
  ],
  ['no datacenter', { datacenters: [] }, 'spec.datacenters', 'at least one datacenter'],
  [
    'the same datacenter twice',
    { datacenters: ['dc1', 'dc1'].map((name) => ({ name, replicas: 1 })) },
    'spec.datacenters',
    'Duplicate value',
  ],
  [
    'racks of a datacenter that do not come to its replicas',
    { datacenters: [{ name: 'dc1', replicas: 3, racks: [rack('a', { replicas: 2 })] }] },
    'spec.datacenters[0].racks',
    'must come to the replicas',
  ],
  ['a size that is none', { replicas: 3, storage: { size: 'big' } }, 'spec.storage.size', 'match'],
  ['no room at all', { replicas: 3, storage: { size: '0' } }, 'spec.storage.size', 'above 0'],
  ['an empty image', { replicas: 3, image: '' }, 'spec.image', 'at least 1 chars'],
  [
    'a secret that is not named',
    { replicas: 3, tls: { mode: 'Secret' } },
    'spec.tls.secretName',
    'secretName is needed with mode Secret',
  ],
  [
    'an unknown way of TLS',
    { replicas: 3, tls: { mode: 'Full' } },
    'spec.tls.mode',
    'supported values: "Operator", "Secret", "CertManager", "None"',
  ],
  [
    'an issuer that is not named',
    { replicas: 3, tls: { mode: 'CertManager' } },
    'spec.tls.issuerRef',
    'issuerRef is needed with mode CertManager',
  ],
  [
    'an issuer of no kind',
    { replicas: 3, tls: { mode: 'CertManager', issuerRef: { name: 'a', kind: 'Authority' } } },
    'spec.tls.issuerRef.kind',
    'kind must be Issuer or ClusterIssuer',
  ],
  [
    'an unknown deletion policy',
    { replicas: 3, deletionPolicy: 'Keep' },
    'spec.deletionPolicy',
    'supported values: "Retain", "Delete"',
  ],
  [
    'an unknown setting of the database',
    { replicas: 3, config: { readTimeout: '5s' } },
    'unknown field',
    'spec.config.readTimeout',
  ],
  [
    "a setting's value without its unit",
    { replicas: 3, config: { readRequestTimeout: '5 seconds' } },
    'spec.config.readRequestTimeout',
    'match',
  ],
  [
    'a time that is none',
    { replicas: 3, healing: { replaceAfter: 'soon' } },
    'spec.healing.replaceAfter',
    'match',
  ],
  [
    'nobody may be down',
    { replicas: 3, update: { maxUnavailable: 0 } },
    'spec.update.maxUnavailable',
    'greater than or equal to 1',
  ],
];

for (const [title, spec, ...says] of REFUSED) {
  test(`refused: ${title}`, { skip }, async () => {
    const answer = await refusal(cluster(spec));
    for (const text of says) assert.ok(answer.includes(text), `${text} is not in: ${answer}`);
  });
}

test('a name that is none for what is named after it is refused', { skip }, async () => {
  for (const name of ['a'.repeat(60), 'my.cluster', '1demo']) {
    assert.match(await refusal(cluster({ replicas: 3 }, name)), /metadata\.name/);
  }
});

const STORED: Json = {
  replicas: 3,
  clusterName: 'One',
  storage: { size: '10Gi', className: 'fast' },
};

/** Changes of what is stored. */
const REFUSED_CHANGES: readonly (readonly [title: string, change: Json, ...says: string[]])[] = [
  [
    'smaller volumes',
    { storage: { size: '9Gi', className: 'fast' } },
    'spec.storage.size',
    'storage cannot shrink',
  ],
  [
    'smaller volumes in another unit',
    { storage: { size: '10G', className: 'fast' } },
    'spec.storage.size',
    'storage cannot shrink',
  ],
  [
    'another storage class',
    { storage: { size: '10Gi', className: 'slow' } },
    'spec.storage.className',
    'className cannot change',
  ],
  ['another cluster name', { clusterName: 'Two' }, 'spec.clusterName', 'cannot change'],
  ['another datacenter name', { datacenterName: 'dc2' }, 'spec.datacenterName', 'cannot change'],
  [
    'no TLS on a running cluster',
    { tls: { mode: 'None' } },
    'spec.tls',
    'while the cluster is stopped',
  ],
];

for (const [title, change, ...says] of REFUSED_CHANGES) {
  test(`refused change: ${title}`, { skip }, async () => {
    await apply(cluster(STORED, 'stored'));
    const answer = await refusal(cluster({ ...STORED, ...change }, 'stored'));
    for (const text of says) assert.ok(answer.includes(text), `${text} is not in: ${answer}`);
  });
}

const ALLOWED_CHANGES: readonly (readonly [title: string, change: Json])[] = [
  ['more nodes', { replicas: 5 }],
  ['larger volumes', { storage: { size: '0.5Ti', className: 'fast' } }],
  ['the same size in another unit', { storage: { size: '10240Mi', className: 'fast' } }],
  ['certificates of an issuer', { tls: { mode: 'CertManager', issuerRef: { name: 'a' } } }],
  ['no TLS on a stopped cluster', { stopped: true, tls: { mode: 'None' } }],
];

for (const [title, change] of ALLOWED_CHANGES) {
  test(`allowed change: ${title}`, { skip }, async () => {
    await apply(cluster(STORED, 'stored'));
    await apply(cluster({ ...STORED, ...change }, 'stored'), '--dry-run=server');
  });
}

test('kubectl scale changes the replicas, and says what is not possible', { skip }, async () => {
  await apply(cluster({ replicas: 3 }, 'scaled'));
  await api.kubectl(['scale', 'dcc/scaled', '--replicas=5']);
  const replicas = await api.kubectl(['get', 'dcc/scaled', '-o', 'jsonpath={.spec.replicas}']);
  assert.equal(replicas, '5');
  await assert.rejects(
    api.kubectl(['scale', 'dcc/scaled', '--replicas=5000']),
    /spec\.replicas.*less than or equal to 1000/s,
  );
});

test('the status is written apart from the spec, and is in the columns', { skip }, async () => {
  await apply(cluster({ replicas: 3 }, 'shown'));
  const status = { ready: 2, desired: 3, state: 'Joining', progress: 'join n3 62 %' };
  const patch = JSON.stringify({ spec: { replicas: 9 }, status });
  const flags = ['--subresource=status', '--type=merge', '-p', patch];
  await api.kubectl(['patch', 'dcc/shown', ...flags]);
  const shown = await api.kubectl(['get', 'dcc/shown']);
  for (const text of ['Joining', 'join n3 62 %']) assert.ok(shown.includes(text), shown);
  const replicas = await api.kubectl(['get', 'dcc/shown', '-o', 'jsonpath={.spec.replicas}']);
  assert.equal(replicas, '3');
});

test('a node stays where it is', { skip }, async () => {
  const spec = { cluster: 'demo', datacenter: 'dc1', rack: 'rack1' };
  await apply(node(spec));
  await apply(node({ ...spec, remove: true }), '--dry-run=server');
  for (const change of [{ rack: 'rack2' }, { datacenter: 'dc2' }, { cluster: 'other' }]) {
    assert.match(await refusal(node({ ...spec, ...change })), /a node stays where it is/);
  }
  assert.match(await refusal(node({ ...spec, replaces: 'x' })), /replaces cannot change/);
});
