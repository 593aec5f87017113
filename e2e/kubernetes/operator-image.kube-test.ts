/** The image of the operator on a real kubelet: without rights, writing nothing, ready, and gone when it is told. */
import assert from 'node:assert/strict';
import { dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Kubernetes, startKubernetes, unavailable } from './support/cluster.ts';
import { type PackedImage, packImage, SLIM_BASE_BYTES } from './support/image.ts';
import { USER } from './support/manifests.ts';
import { until } from './support/processes.ts';

const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const READY_MILLIS = 60_000;
const IMAGE_BYTES_MAX = 250e6;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let kube: Kubernetes;
let image: PackedImage;

/** With all rights on the API: which it needs is the chart's matter. */
const account = [
  {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'operator', namespace: 'default' },
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'operator' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'operator', namespace: 'default' }],
  },
];

const pod = (): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'operator', namespace: 'default', finalizers: ['ilion.dev/test'] },
  spec: {
    restartPolicy: 'Never',
    serviceAccountName: 'operator',
    securityContext: {
      ...{ runAsNonRoot: true, runAsUser: USER, runAsGroup: USER },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: 'operator',
        image: image.name,
        imagePullPolicy: 'Never',
        args: ['--image', 'ilion.local/node:none'],
        securityContext: {
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
        },
        resources: { requests: { cpu: '100m' }, limits: { memory: '192Mi' } },
        readinessProbe: { httpGet: { path: '/readyz', port: 8080 }, periodSeconds: 1 },
      },
    ],
  },
});

before(async () => {
  if (skip !== false) return;
  image = packImage('operator');
  kube = await startKubernetes({ nodes: 1 });
  await kube.loadImage(image.archive);
  await kube.kubectl(['apply', '--server-side', '-f', join(TREE, 'crds')]);
  await kube.apply(...account, pod());
  await kube.kubectl(
    ['wait', '--for=condition=Ready', 'pod/operator', `--timeout=${READY_MILLIS}ms`],
    {
      milliseconds: READY_MILLIS + 10_000,
    },
  );
});

after(async () => {
  await kube?.[Symbol.asyncDispose]();
});

test("the operator's image is small", { skip }, () => {
  const bytes = image.bytes + SLIM_BASE_BYTES;
  assert.ok(bytes < IMAGE_BYTES_MAX, `${bytes}`);
});

test('the operator is well by its own word', { skip }, async () => {
  const health = (path: string) => kube.kubectl(['exec', 'operator', '--', 'ilion-health', path]);
  assert.equal((await health('healthz')).trim(), 'alive');
  assert.equal((await health('readyz')).trim(), 'ready');
});

test('SIGTERM ends the operator with 0', { skip }, async () => {
  await kube.kubectl(['delete', 'pod', 'operator', '--wait=false']);
  const ended = await until('its end', 25_000, async () => {
    const { status } = (await kube.get(['pod', 'operator'])) as {
      status: { containerStatuses?: { state: { terminated?: { exitCode: number } } }[] };
    };
    return status.containerStatuses?.[0]?.state.terminated;
  });
  assert.equal(ended.exitCode, 0);
  const release = '[{"op": "remove", "path": "/metadata/finalizers"}]';
  await kube.kubectl(['patch', 'pod', 'operator', '--type=json', '-p', release]);
});
