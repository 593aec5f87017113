import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Compile } from 'typebox/schema';
import { parse, parseAllDocuments } from 'yaml';
import { chartFiles } from './chart-files.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CHARTS = join(ROOT, 'helm');
const GOLDEN = join(ROOT, 'operator/testdata/helm');
const CACHE =
  process.env['ILION_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ilion');

/** Of the tools for tests on Kubernetes, if they are built, or of this machine. */
function findHelm(): string | null {
  const [built] = globSync(join(CACHE, 'kubernetes/*/bin/helm'));
  const candidates = [...(built === undefined ? [] : [built]), 'helm'];
  return candidates.find((one) => spawnSync(one, ['version']).status === 0) ?? null;
}

const helm = findHelm();
const skip =
  helm === null ? 'no helm here: `npm run test:kubernetes` builds one, or install it' : false;

function run(...args: readonly string[]) {
  const home = mkdtempSync(join(tmpdir(), 'ilion-helm-'));
  try {
    const environment = { PATH: process.env['PATH'] ?? '', HOME: home };
    return spawnSync(helm ?? 'helm', args, { env: environment, encoding: 'utf8' });
  } finally {
    rmSync(home, { recursive: true });
  }
}

const read = (path: string) => readFileSync(join(CHARTS, path), 'utf8');

test('charts hold what the types say: `npm run crds` writes it', () => {
  for (const [path, text] of chartFiles()) assert.equal(read(path), text, path);
  const copies = 'ilion-operator/files/crds';
  assert.deepEqual(readdirSync(join(CHARTS, copies)), readdirSync(join(ROOT, 'crds')));
  for (const name of readdirSync(join(ROOT, 'crds'))) {
    assert.equal(read(`${copies}/${name}`), readFileSync(join(ROOT, 'crds', name), 'utf8'));
  }
});

for (const chart of ['ilion-operator', 'ilion-cluster']) {
  test(`values of ${chart} are what their schema says, and others are not`, () => {
    const schema = Compile(JSON.parse(read(`${chart}/values.schema.json`)));
    const values = parse(read(`${chart}/values.yaml`)) as object;
    assert.deepEqual(schema.Errors(values), [true, []]);
    assert.equal(schema.Check({ ...values, nonsense: 1 }), false);
  });

  test(`helm lint takes ${chart}`, { skip }, () => {
    const { status, stdout } = run('lint', '--strict', join(CHARTS, chart));
    assert.equal(status, 0, stdout);
  });
}

test('specs of examples are values of ilion-cluster', () => {
  const schema = Compile(JSON.parse(read('ilion-cluster/values.schema.json')));
  for (const file of globSync('examples/*.yaml', { cwd: ROOT })) {
    const { spec } = parse(readFileSync(join(ROOT, file), 'utf8')) as { readonly spec: object };
    assert.deepEqual(schema.Errors({ spec }), [true, []], file);
    assert.equal(schema.Check({ spec: { ...spec, replica: 3 } }), false);
  }
});

const TEMPLATES: readonly (readonly [golden: string, chart: string, ...args: string[]])[] = [
  ['operator-default', 'ilion-operator', '--set', 'crds.install=false'],
  [
    'operator-namespaced',
    'ilion-operator',
    ...['--set', 'crds.install=false,watchNamespaces={shop,orders},serviceMonitor.enabled=true'],
    ...['--set', 'serviceMonitor.labels.release=prometheus,replicas=2,image.tag=1.2.3'],
    ...['--set', 'podAnnotations.a=b,podLabels.c=d,nodeSelector.e=f,priorityClassName=high'],
    ...['--set', 'imagePullSecrets[0].name=registry,serviceAccount.name=ilion'],
  ],
  ['cluster-default', 'ilion-cluster'],
  [
    'cluster-racks',
    'ilion-cluster',
    ...['--set', 'name=orders,spec.image=registry.local/ilion:2,spec.racks[0].name=a'],
    ...['--set', 'spec.racks[1].name=b,spec.storage.size=5Gi,spec.replicas=4'],
  ],
  [
    'cluster-datacenters',
    'ilion-cluster',
    ...['--set', 'spec.datacenters[0].name=online,spec.datacenters[0].replicas=3'],
  ],
];

for (const [golden, chart, ...args] of TEMPLATES) {
  test(`helm template ${golden} is as it was (UPDATE=1 writes it anew)`, { skip }, () => {
    const { status, stdout, stderr } = run(
      ...['template', 'demo', join(CHARTS, chart), '-n', 'databases', ...args],
    );
    assert.equal(status, 0, stderr);
    const path = join(GOLDEN, `${golden}.yaml`);
    if (process.env['UPDATE'] === '1') writeFileSync(path, stdout);
    assert.equal(stdout, readFileSync(path, 'utf8'));
    for (const document of parseAllDocuments(stdout)) assert.deepEqual(document.errors, []);
  });
}

test('definitions come with the release, and stay when it goes', { skip }, () => {
  const args = ['template', 'demo', join(CHARTS, 'ilion-operator'), '-s', 'templates/crds.yaml'];
  for (const keep of [true, false]) {
    const { stdout, status, stderr } = run(...args, '--set', `crds.keep=${keep}`);
    assert.equal(status, 0, stderr);
    const definitions = parseAllDocuments(stdout)
      .map((document) => document.toJS() as Readonly<Record<string, object>> | null)
      .filter((one) => one !== null);
    const files = readdirSync(join(ROOT, 'crds'));
    assert.equal(definitions.length, files.length);
    definitions.forEach((definition, i) => {
      const { annotations, ...metadata } = definition['metadata'] as Readonly<
        Record<string, object>
      >;
      assert.deepEqual(annotations, keep ? { 'helm.sh/resource-policy': 'keep' } : undefined);
      const file = parse(readFileSync(join(ROOT, 'crds', files[i]), 'utf8')) as object;
      assert.deepEqual({ ...definition, metadata }, file);
    });
  }
});

test('values that are wrong are refused with their names', { skip }, () => {
  const wrong: readonly (readonly [chart: string, set: string, says: RegExp])[] = [
    ['ilion-operator', 'replica=2', /replica/],
    ['ilion-operator', 'watchNamespaces={A}', /watchNamespaces/],
    ['ilion-cluster', 'spec.replica=5', /replica/],
    ['ilion-cluster', 'spec.replicas=-1', /replicas/],
    ['ilion-cluster', 'spec.deletionPolicy=Remove', /deletionPolicy/],
  ];
  for (const [chart, set, says] of wrong) {
    const { status, stderr } = run('template', 'demo', join(CHARTS, chart), '--set', set);
    assert.notEqual(status, 0, set);
    assert.match(stderr, says);
  }
});
