/** The charts and their own tests, and a cluster over two datacenters, on a real Kubernetes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import cassandra from 'cassandra-driver';
import { parse } from 'yaml';
import { unavailable } from './support/cluster.ts';
import { DatabaseCluster } from './support/database-cluster.ts';
import { type Operator, startOperator, TREE } from './support/operator.ts';
import { withPod } from './support/pod-client.ts';
import { Steps } from './support/steps.ts';

const HELM_MILLIS = 180_000;
const ROWS = 100;
/** What an example asks for, cut to what fits here. */
const SMALL = {
  storage: { size: '320Mi' },
  resources: { requests: { cpu: '50m', memory: '320Mi' }, limits: { memory: '320Mi' } },
};
const { consistencies } = cassandra.types;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let operator: Operator;
const steps = new Steps('charts');

before(async () => {
  if (skip !== false) return;
  operator = await startOperator({ nodes: 4 });
});

after(async () => {
  steps.print();
  await operator?.[Symbol.asyncDispose]();
});

const helm = (...args: string[]) => operator.kube.helm(args, { milliseconds: HELM_MILLIS });

test('a cluster from values', { skip }, async () => {
  const values = { replicas: 1, ...SMALL, image: operator.images.node };
  const flags = ['--namespace', 'values', '--create-namespace'];
  const sets = ['--set-json', `spec=${JSON.stringify(values)}`];
  await helm('install', 'first', join(TREE, 'helm/ilion-cluster'), ...flags, ...sets);
  const cluster = new DatabaseCluster(operator, 'first', 'values');
  await steps.step('helm install of ilion-cluster, until 1 node is ready', () =>
    cluster.settled(1),
  );
  await steps.step('helm test of ilion-cluster', () => helm('test', 'first', '-n', 'values'));
  await steps.step('helm test of ilion-operator', () =>
    helm('test', 'ilion-operator', '-n', 'ilion'),
  );
  await helm('uninstall', 'first', '-n', 'values', '--wait');
});

test('two datacenters', { skip }, async () => {
  const { kube, images } = operator;
  const text = readFileSync(join(TREE, 'examples/two-datacenters.yaml'), 'utf8');
  const example = parse(text) as { readonly spec: object };
  await kube.kubectl(['label', 'node', 'node-4', 'workload=reports']);
  await kube.kubectl(['taint', 'node', 'node-4', 'workload=reports:NoSchedule']);
  const shop = new DatabaseCluster(operator, 'shop', 'shop');
  const spec = { ...example.spec, ...SMALL, image: images.node };
  await steps.step('kubectl apply of two datacenters, until 3 and 2 nodes are ready', async () => {
    await shop.create(JSON.stringify({ ...example, spec }));
    await shop.settled(5);
  });
  const nodes = await shop.nodes();
  const within = (datacenter: string) =>
    nodes
      .filter((node) => node.spec.datacenter === datacenter)
      .map(({ metadata }) => metadata.name);
  const [online, reports] = [within('online'), within('reports')];
  assert.deepEqual([online.length, reports.length], [3, 2]);
  const pods = await shop.pods();
  for (const { metadata, spec: pod } of pods) {
    assert.equal(pod.nodeName === 'node-4', reports.includes(metadata.name), metadata.name);
  }
  const at = (datacenter: string, pod = '') => ({ namespace: 'shop', datacenter, pod });
  await withPod(kube, at('online', online[0]), async (client) => {
    const copies = "{'class': 'NetworkTopologyStrategy', 'online': 3, 'reports': 2}";
    await client.execute(`CREATE KEYSPACE shop WITH replication = ${copies}`);
    await client.execute('CREATE TABLE shop.t (k int PRIMARY KEY, v int)');
    for (let k = 0; k < ROWS; k++) {
      const options = { prepare: true, consistency: consistencies.eachQuorum };
      await client.execute('INSERT INTO shop.t (k, v) VALUES (?, ?)', [k, k * 7], options);
    }
  });
  for (const place of [at('online', online[1]), at('reports', reports[0])]) {
    await withPod(kube, place, async (client) => {
      const options = { consistency: consistencies.localQuorum, fetchSize: ROWS * 2 };
      const { rows } = await client.execute('SELECT k, v FROM shop.t', [], options);
      assert.equal(rows.length, ROWS, place.datacenter);
      for (const row of rows) assert.equal(row['v'], row['k'] * 7);
    });
  }
});
