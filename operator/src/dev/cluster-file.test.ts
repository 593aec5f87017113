import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import { ClusterFileError, ClusterFileReader } from './cluster-file.ts';

const reader = new ClusterFileReader('demo.yaml');
const HEAD =
  'apiVersion: ilion.dev/v1alpha1\nkind: DatacenterCluster\nmetadata:\n  name: demo\nspec:\n';

function example(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url)), 'utf8');
}

function refusal(text: string, old: ClusterSpec | null = null): string {
  try {
    reader.read(text, old);
    return '';
  } catch (error) {
    assert.ok(error instanceof ClusterFileError, String(error));
    return error.message;
  }
}

test('the examples are taken, with the defaults of the definition', () => {
  const { name, spec } = reader.read(example('demo.yaml'), null);
  assert.equal(name, 'demo');
  assert.equal(spec.replicas, 3);
  assert.deepEqual(spec.healing, { replaceAfter: '10m', maxReplacements: 1 });
  assert.equal(spec.tls.mode, 'Operator');
  assert.equal(spec.podTemplate.terminationGracePeriodSeconds, 60);
  const { spec: two } = reader.read(example('two-datacenters.yaml'), null);
  assert.deepEqual(
    two.datacenters?.map((one) => [one.name, one.replicas]),
    [
      ['online', 3],
      ['reports', 2],
    ],
  );
  assert.equal(refusal(example('production.yaml')), '');
});

test('what is wrong is named with its line and field', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      `${HEAD}  replicas: 3\n  replica: 4\n`,
      /^demo\.yaml line 7: spec\.replica: is not known: did you mean replicas\?$/,
    ],
    [`${HEAD}  replicas: -1\n`, /line 6: spec\.replicas: is -1, but must be at least 0$/],
    [`${HEAD}  replicas: three\n`, /line 6: spec\.replicas: must be an integer, not "three"$/],
    [
      `${HEAD}  replicas: 3\n  deletionPolicy: Keep\n`,
      /spec\.deletionPolicy: is "Keep", but must be one of Retain, Delete$/,
    ],
    [
      `${HEAD}  replicas: 3\n  config:\n    readTimeout: 5s\n`,
      /line 8: spec\.config\.readTimeout: is not known: did you mean readRequestTimeout\?$/,
    ],
    [
      `${HEAD}  replicas: 3\n  racks:\n    - name: a\n    - name: a\n`,
      /line 9: spec\.racks\[1\]: name 'a' is there twice$/,
    ],
    [
      `${HEAD}  replicas: 3\n  racks:\n    - { name: a, replicas: 1 }\n    - { name: b, replicas: 1 }\n`,
      /line 8: spec\.racks: racks: their replicas must come to the replicas of the datacenter$/,
    ],
    [
      `${HEAD}  replicas: 3\n  racks:\n    - { name: a, replicas: 1 }\n    - { name: b }\n`,
      /spec\.racks: racks: either all of them have replicas, or none$/,
    ],
    [
      `${HEAD}  storage: { size: 1Gi }\n`,
      /line 6: spec\.replicas: either replicas \(one datacenter\) or datacenters$/,
    ],
    [`${HEAD}  replicas: 3\n  tls: { mode: Secret }\n`, /spec\.tls\.secretName: secretName is nee/],
    [`${HEAD}  replicas: 3\n  storage: { size: 1 GB }\n`, /spec\.storage\.size: .* must match/],
    [
      `${HEAD}  replicas: 1\n`.replace('demo', 'De_mo'),
      /line 4: metadata\.name: is 'De_mo', but must be/,
    ],
    [HEAD.replace('spec:\n', ''), /: spec: is needed$/],
    [HEAD.replace('Cluster', ''), /line 2: kind: is "Datacenter", but must be one of/],
    [`${HEAD}  replicas: [\n`, /^demo\.yaml line \d+: Flow sequence/],
    [`${HEAD}  replicas: 3\n---\nkind: Secret\n`, /line [78]: one DatacenterCluster is expected/],
    ['# nothing\n', /line 1: there is no DatacenterCluster in it$/],
  ];
  for (const [text, expected] of cases) assert.match(refusal(text), expected, text);
});

test('what may not change is refused, whatever else is right', () => {
  const { spec } = reader.read(`${HEAD}  replicas: 3\n  storage: { size: 2Gi }\n`, null);
  const with_ = (lines: string) => refusal(`${HEAD}  replicas: 4\n${lines}`, spec);
  assert.equal(with_('  storage: { size: 2Gi }\n'), '');
  assert.equal(with_('  storage: { size: 3000Mi }\n'), '');
  assert.match(with_('  storage: { size: 1Gi }\n'), /line 7: spec\.storage\.size: .*cannot shrink/);
  const rest = '  storage: { size: 2Gi }\n';
  assert.match(with_(`${rest}  datacenterName: dc2\n`), /spec\.datacenterName: .* cannot change/);
  assert.match(with_(`${rest}  clusterName: Other\n`), /spec\.clusterName: .* cannot change/);
  assert.match(with_(`${rest}  tls: { mode: None }\n`), /spec\.tls: tls\.mode can change only/);
  assert.equal(with_(`${rest}  tls: { mode: None }\n  stopped: true\n`), '');
});
