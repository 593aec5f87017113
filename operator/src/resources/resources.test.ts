import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { clientService, disruptionBudgets, seedsService } from './cluster-objects.ts';
import { NEW_CLUSTER, newNodeName } from './names.ts';
import { nodeClaim, nodeService } from './node-objects.ts';
import { nodePod, podHash } from './node-pod.ts';
import { bytesOf, hasAll, hashOf, millisOf } from './values.ts';

const GOLDEN = fileURLToPath(new URL('./testdata/objects.yaml', import.meta.url));

const cluster: DatacenterCluster = {
  apiVersion: 'ilion.dev/v1alpha1',
  kind: 'DatacenterCluster',
  metadata: { name: 'demo', namespace: 'shop', uid: 'cluster-uid', resourceVersion: '1' },
  spec: {
    replicas: 3,
    datacenterName: 'dc1',
    racks: [{ name: 'a', zone: 'zone-a' }],
    imagePullPolicy: 'IfNotPresent',
    storage: { size: '10Gi', className: 'fast' },
    resources: { requests: { cpu: '1' }, limits: { memory: '2Gi' } },
    config: { readRequestTimeout: '3s' },
    tls: { mode: 'Operator' },
    update: { maxUnavailable: 1, paused: false },
    healing: { replaceAfter: '10m', maxReplacements: 1 },
    joinsAtOnce: 3,
    stopped: false,
    deletionPolicy: 'Retain',
    podTemplate: { terminationGracePeriodSeconds: 60, labels: { team: 'shop' } },
  },
};
const node: DatabaseNode = {
  apiVersion: 'ilion.dev/v1alpha1',
  kind: 'DatabaseNode',
  metadata: { name: 'demo-dc1-a-xkcdq', namespace: 'shop', uid: 'node-uid', resourceVersion: '2' },
  spec: { cluster: 'demo', datacenter: 'dc1', rack: 'a', replace: false, remove: false },
};
const plan = { cluster, node, image: 'ilion:1', first: false };

test('objects are as the golden file has them: UPDATE=1 writes it', () => {
  const objects = [
    seedsService(cluster),
    clientService(cluster),
    ...disruptionBudgets(cluster, 'all', { least: 2, all: 3 }),
    ...disruptionBudgets(cluster, ['demo-dc1-a-xkcdq'], { least: 0, all: 3 }),
    nodeClaim(cluster, node),
    nodeService(node),
    nodePod(plan),
  ];
  const text = objects
    .map((one) => stringify(one, { lineWidth: 120, aliasDuplicateObjects: false }))
    .join('---\n');
  if (process.env['UPDATE'] === '1' || !existsSync(GOLDEN)) writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, 'utf8'));
});

test('the first node is told so where it can be taken back, and is made of the same otherwise', () => {
  const annotation = (first: boolean) =>
    nodePod({ ...plan, first }).metadata.annotations?.[NEW_CLUSTER];
  assert.equal(annotation(true), 'true');
  assert.equal(annotation(false), 'false');
  assert.deepEqual(nodePod({ ...plan, first: true }).spec, nodePod(plan).spec);
  assert.notEqual(podHash({ ...plan, image: 'ilion:2' }), podHash(plan));
});

test('volumes belong to the cluster if they go with it, and to nobody if not', () => {
  assert.deepEqual(nodeClaim(cluster, node).metadata.ownerReferences, []);
  const spec = { ...cluster.spec, deletionPolicy: 'Delete' as const };
  const [owner] = nodeClaim({ ...cluster, spec }, node).metadata.ownerReferences ?? [];
  assert.equal(owner.uid, 'cluster-uid');
});

test('values', () => {
  assert.equal(bytesOf('1.5Gi'), 1.5 * 2 ** 30);
  assert.equal(millisOf('1h30m'), 5_400_000);
  assert.equal(hashOf({ a: 1, b: undefined }), hashOf({ a: 1 }));
  assert.ok(hasAll({ a: { b: 1, c: 2 }, d: [] }, { a: { b: 1 } }));
  assert.ok(!hasAll({ a: [1, 2] }, { a: [1] }));
  const place = { cluster: 'c'.repeat(40), datacenter: 'd'.repeat(20), rack: 'r'.repeat(20) };
  assert.equal(newNodeName(place, () => 0.5).length, 63);
});
