/**
 * What the API server takes and the world does not have: images, Secrets, classes of storage, machines. Each mistake ends in a
 * condition that names the field and the cure, harms nothing that serves, and is healed when it is put right.
 * What the API server itself refuses is in api.kube-test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unavailable } from './support/cluster.ts';
import { type Condition, DatabaseCluster } from './support/database-cluster.ts';
import { type Operator, startOperator } from './support/operator.ts';

const WAIT_MILLIS = 150_000;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let operator: Operator;

before(async () => {
  if (skip !== false) return;
  operator = await startOperator({ nodes: 1 });
});

after(async () => {
  await operator?.[Symbol.asyncDispose]();
});

type Spec = Readonly<Record<string, unknown>>;

const SPEC: Spec = {
  replicas: 1,
  storage: { size: '320Mi' },
  resources: { requests: { cpu: '50m', memory: '320Mi' }, limits: { memory: '320Mi' } },
  tls: { mode: 'None' },
};

async function create(name: string, spec: Spec): Promise<DatabaseCluster> {
  const cluster = new DatabaseCluster(operator, name, name);
  const manifest = {
    ...{ apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster', metadata: { name } },
    spec: { ...SPEC, ...spec },
  };
  await cluster.create(JSON.stringify(manifest));
  return cluster;
}

/** Some condition says all of it. */
async function isTold(cluster: DatabaseCluster, ...texts: readonly string[]): Promise<Condition> {
  const told = await cluster.condition(WAIT_MILLIS, ({ message }) =>
    texts.every((text) => message.includes(text)),
  );
  console.log(`${told.type} is ${told.status}, ${told.reason}: ${told.message}`);
  return told;
}

const remove = (cluster: DatabaseCluster) =>
  operator.kube.kubectl(['delete', 'namespace', cluster.namespace, '--wait=false']);

test('an image that is not there', { skip }, async () => {
  const cluster = await create('bad-image', { image: 'ilion.local/node:none' });
  const told = await isTold(cluster, 'spec.image', 'ilion.local/node:none');
  assert.equal(told.status, 'False');
  assert.equal((await cluster.nodes()).length, 1);
  await cluster.patch({ image: operator.images.node });
  await cluster.settled(1);
  await remove(cluster);
});

test('an image that is not there, of a cluster that serves', { skip }, async () => {
  const cluster = await create('worse-image', { replicas: 2, image: operator.images.node });
  await cluster.settled(2);
  const pods = await cluster.pods();
  await cluster.patch({ image: 'ilion.local/node:none' });
  await isTold(cluster, 'spec.image', 'ilion.local/node:none');
  const left = (await cluster.pods()).filter(({ metadata }) =>
    pods.some((pod) => pod.metadata.uid === metadata.uid),
  );
  assert.equal(left.length, 1);
  assert.equal((await cluster.look()).status?.ready, 1);
  await cluster.patch({ image: operator.images.node });
  await cluster.settled(2);
  await remove(cluster);
});

test('a Secret that is not there', { skip }, async () => {
  const tls = { mode: 'Secret', secretName: 'authority' };
  const cluster = await create('no-secret', { tls });
  const told = await isTold(cluster, 'spec.tls.secretName', 'authority');
  assert.equal(told.status, 'False');
  assert.deepEqual(await cluster.pods(), []);
  await remove(cluster);
});

/** A StorageClass, and one volume of it on node-1. */
async function makeClass(name: string): Promise<void> {
  const path = `/var/lib/kubelet/${name}`;
  await operator.kube.run(1, ['mkdir', path]);
  const isNode = { key: 'kubernetes.io/hostname', operator: 'In', values: ['node-1'] };
  await operator.kube.apply(
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name },
      provisioner: 'kubernetes.io/no-provisioner',
      volumeBindingMode: 'WaitForFirstConsumer',
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '320Mi' },
        accessModes: ['ReadWriteOnce'],
        storageClassName: name,
        local: { path },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [isNode] }] } },
      },
    },
  );
}

test('a class of storage that is not there', { skip }, async () => {
  const storage = { size: '320Mi', className: 'later' };
  const cluster = await create('no-class', { storage });
  const told = await isTold(cluster, 'spec.storage.className', 'later');
  assert.equal(told.status, 'False');
  await makeClass('later');
  await cluster.settled(1);
  await remove(cluster);
});

test('a class of priority that is not there', { skip }, async () => {
  const cluster = await create('no-priority', { podTemplate: { priorityClassName: 'soon' } });
  const told = await isTold(cluster, 'PriorityClass', 'soon', 'spec.podTemplate');
  assert.deepEqual([told.type, told.status, told.reason], ['ObjectsReady', 'False', 'Refused']);
  await operator.kube.apply({
    ...{ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass' },
    ...{ metadata: { name: 'soon' }, value: 1000, description: 'of a test' },
  });
  await cluster.settled(1);
  await remove(cluster);
});

test('machines that are not there', { skip }, async () => {
  const racks = [{ name: 'a', zone: 'nowhere' }];
  const cluster = await create('no-machine', { racks });
  const told = await isTold(cluster, 'zone', 'nowhere');
  assert.equal(told.status, 'False');
  await cluster.patch({ racks: [{ name: 'a', zone: 'zone-1' }] });
  await cluster.settled(1);
  await remove(cluster);
});
