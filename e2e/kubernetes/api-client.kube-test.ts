/** What the operator asks of a real API server, where what that does is not what it looks like. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accessByKubeconfig } from '../../operator/src/adapters/kube-access.ts';
import { createKubeClient } from '../../operator/src/adapters/kube-client.ts';
import { createTransport, type KubeTransport } from '../../operator/src/adapters/kube-transport.ts';
import type { KubeApi } from '../../operator/src/ports/kube.ts';
import { type ApiServer, startApiServer } from './support/api-server.ts';
import { unavailable } from './support/cluster.ts';

const reason = await unavailable('programs');
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let api: ApiServer;
let transport: KubeTransport;
let kube: KubeApi;

before(async () => {
  if (skip !== false) return;
  api = await startApiServer();
  transport = createTransport(await accessByKubeconfig(api.kubeconfig));
  kube = createKubeClient(transport, { instance: 'test' });
});

after(async () => {
  transport?.close();
  await api?.[Symbol.asyncDispose]();
});

test('annotations that were set before stay when others are', { skip }, async () => {
  const first = { 'ilion.dev/new-cluster': 'true', 'setting.ilion.dev/a': '1' };
  const { metadata } = await kube.create('Pod', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'marked', namespace: 'default', annotations: first },
    spec: { containers: [{ name: 'ilion', image: 'none' }] },
  });
  const { name, namespace, uid } = metadata;
  const second = { 'ilion.dev/new-cluster': 'false' };
  await kube.annotate({ name, namespace, uid, annotations: second });
  const third = { 'setting.ilion.dev/a': '2' };
  await kube.annotate({ name, namespace, uid, annotations: third });
  const found = await kube.get('Pod', { name, namespace });
  assert.deepEqual(found?.metadata.annotations, { ...second, ...third });
  const other = { name, namespace, uid: '5c1f6a4e-0000-4000-8000-000000000000' };
  await assert.rejects(kube.annotate({ ...other, annotations: first }), { code: 'CONFLICT' });
});
