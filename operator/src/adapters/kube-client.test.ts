import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KubeError } from '../ports/kube.ts';
import type { Secret } from '../ports/kube-objects.ts';
import { createKubeClient, type KubeCall } from './kube-client.ts';
import { createTransport } from './kube-transport.ts';
import { type Answer, type Asked, startScriptedServer } from './testing/scripted-server.ts';

const metadata = { namespace: 'db', name: 'a', uid: 'u1', resourceVersion: '7' };
const SECRET: Secret = { apiVersion: 'v1', kind: 'Secret', metadata, data: {} };
/** As lists have them. */
const BARE = { metadata, data: {} };

async function served(answer: (asked: Asked) => Answer, nowMillis?: () => number) {
  const server = await startScriptedServer(answer, nowMillis);
  const calls: KubeCall[] = [];
  const transport = createTransport(server.access, { deadlineMillis: 400, bytesMax: 10_000 });
  const api = createKubeClient(transport, { instance: 'me', onCall: (call) => calls.push(call) });
  return { api, server, calls, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const failure = (status: number, reason: string, message: string): Answer => [
  status,
  { kind: 'Status', status: 'Failure', reason, message, code: status },
];

test('each call asks as the API wants it', async () => {
  await using made = await served(() => [200, SECRET]);
  const { api, server } = made;
  await api.get('Secret', metadata);
  await api.get('StorageClass', { namespace: '', name: 'fast' });
  const draft = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'db', name: 'a' },
  } as const;
  await api.create('Secret', draft);
  await api.apply('Secret', draft);
  await api.applyStatus('DatabaseNode', { metadata: draft.metadata, status: { phase: 'Ready' } });
  await api.replace('Secret', SECRET);
  await api.annotate({ namespace: 'db', name: 'a', uid: 'u1', annotations: { b: 'c' } });
  await api.delete('Secret', metadata, { uid: 'u1', resourceVersion: '7' });
  await api.delete('Secret', metadata, { uid: 'u1' });
  const secrets = '/api/v1/namespaces/db/secrets';
  assert.deepEqual(
    server.asked.map(({ method, path, query }) => [method, path, query]),
    [
      ['GET', `${secrets}/a`, {}],
      ['GET', '/apis/storage.k8s.io/v1/storageclasses/fast', {}],
      ['POST', secrets, { fieldManager: 'ilion-operator' }],
      ['PATCH', `${secrets}/a`, { fieldManager: 'ilion-operator', force: 'true' }],
      [
        'PATCH',
        '/apis/ilion.dev/v1alpha1/namespaces/db/databasenodes/a/status',
        { fieldManager: 'ilion-operator', force: 'true' },
      ],
      ['PUT', `${secrets}/a`, { fieldManager: 'ilion-operator' }],
      ['PATCH', '/api/v1/namespaces/db/pods/a', { fieldManager: 'ilion-operator' }],
      ['DELETE', `${secrets}/a`, {}],
      ['DELETE', `${secrets}/a`, {}],
    ],
  );
  assert.equal(server.asked[3].contentType, 'application/apply-patch+yaml');
  assert.deepEqual(server.asked[4].body, {
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatabaseNode',
    metadata: draft.metadata,
    status: { phase: 'Ready' },
  });
  assert.equal(server.asked[6].contentType, 'application/merge-patch+json');
  assert.deepEqual(server.asked[6].body, { metadata: { uid: 'u1', annotations: { b: 'c' } } });
  const preconditions = server.asked
    .slice(7)
    .map(({ body }) => (body as { readonly preconditions: object }).preconditions);
  assert.deepEqual(preconditions, [{ uid: 'u1', resourceVersion: '7' }, { uid: 'u1' }]);
});

test('what is of no use here is not kept: managers of fields, and the images of a machine', async () => {
  const status = { conditions: [{ type: 'Ready', status: 'True' }] };
  const images = [{ names: ['a'], sizeBytes: 1 }];
  const given = { metadata: { name: 'm', managedFields: [{}] }, status: { ...status, images } };
  await using made = await served(() => [200, given]);
  const found = await made.api.get('Node', { namespace: '', name: 'm' });
  assert.deepEqual(found, {
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'm' } },
    status,
  });
});

test('a list is read page by page, and begun anew when its pages got too old', async () => {
  let asked = 0;
  await using made = await served(({ query }) => {
    asked++;
    if (query['continue'] === 'x' && asked === 2) return failure(410, 'Expired', 'too old');
    const isLast = query['continue'] === 'x';
    const page = isLast ? { resourceVersion: '9' } : { continue: 'x', resourceVersion: '9' };
    return [200, { metadata: page, items: [BARE] }];
  });
  const items = await made.api.list('Secret', null, { a: '1', b: '2' });
  assert.deepEqual(items, [SECRET, SECRET]);
  assert.equal(asked, 4);
  const [{ path, query }] = made.server.asked;
  assert.deepEqual([path, query['labelSelector']], ['/api/v1/secrets', 'a=1,b=2']);
});

const isCode = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof KubeError && error.code === code && message.test(error.message);

test('failures have the code and the words of the API server', async () => {
  const answers: readonly (readonly [Answer, code: string, words: RegExp])[] = [
    [failure(409, 'AlreadyExists', 'it exists'), 'ALREADY_EXISTS', /^it exists$/],
    [failure(409, 'Conflict', 'it has changed'), 'CONFLICT', /^it has changed$/],
    [failure(422, 'Invalid', 'spec.replicas: no'), 'INVALID', /^spec\.replicas: no$/],
    [
      [422, { code: 422, message: 'immutable', details: { causes: [{ field: 'metadata.uid' }] } }],
      'CONFLICT',
      /^immutable$/,
    ],
    [
      failure(500, '', 'failed to create typed patch object (a): .spec.b: not declared'),
      'INVALID',
      /\.spec\.b/,
    ],
    [failure(400, 'BadRequest', 'unknown field'), 'INVALID', /^unknown field$/],
    [failure(403, 'Forbidden', 'not for you'), 'FORBIDDEN', /^not for you$/],
    [failure(404, 'NotFound', 'none'), 'NOT_FOUND', /^none$/],
    [failure(429, 'TooManyRequests', 'slowly'), 'UNAVAILABLE', /^slowly$/],
    [failure(500, 'InternalError', 'etcd'), 'UNAVAILABLE', /^etcd$/],
    [[503, 'a proxy speaks'], 'UNAVAILABLE', /^HTTP 503$/],
    [(response) => response.end('not JSON'), 'UNAVAILABLE', /not JSON/],
    [(response) => response.socket?.destroy(), 'UNAVAILABLE', /^the API server: /],
    [() => {}, 'UNAVAILABLE', /no answer within 400 ms/],
    [
      (response) => {
        response.write('{"a":');
        setTimeout(() => response.socket?.destroy(), 20);
      },
      'UNAVAILABLE',
      /^the API server: /,
    ],
    [[200, 'x'.repeat(20_000)], 'UNAVAILABLE', /more than 10000 bytes/],
  ];
  let next = 0;
  await using made = await served(() => answers[next][0]);
  for (const [, code, words] of answers) {
    await assert.rejects(made.api.replace('Secret', SECRET), isCode(code, words));
    assert.equal(made.calls.at(-1)?.outcome, code);
    next++;
  }
});

test('what is not there is no error where that is an answer', async () => {
  await using made = await served(() => failure(404, 'NotFound', 'none'));
  assert.equal(await made.api.get('Secret', metadata), null);
  await made.api.delete('Secret', metadata, { uid: 'u1' });
});

test('an apply that names a version never makes an object', async () => {
  let isThere = true;
  await using made = await served(({ method }) =>
    method === 'GET' && !isThere ? failure(404, 'NotFound', 'none') : [200, SECRET],
  );
  const object = { ...SECRET, metadata: { namespace: 'db', name: 'a', resourceVersion: '7' } };
  await made.api.apply('Secret', object);
  assert.deepEqual((made.server.asked[1].body as Secret).metadata, metadata);
  isThere = false;
  await assert.rejects(made.api.apply('Secret', object), isCode('CONFLICT', /not there any more/));
  assert.equal(made.server.asked.length, 3);
});

test('nobody at the address is UNAVAILABLE', async () => {
  const server = await startScriptedServer(() => [200, {}]);
  await server[Symbol.asyncDispose]();
  const api = createKubeClient(createTransport(server.access), { instance: 'me' });
  await assert.rejects(api.get('Secret', metadata), isCode('UNAVAILABLE', /ECONNREFUSED/));
});

test('a token that is renewed is used', async () => {
  let now = 0;
  await using made = await served(
    () => [200, SECRET],
    () => now,
  );
  await made.api.get('Secret', metadata);
  writeFileSync(join(made.server.folder, 'token'), 'second');
  await made.api.get('Secret', metadata);
  now += 60_000;
  await made.api.get('Secret', metadata);
  assert.deepEqual(
    made.server.asked.map(({ token }) => token),
    ['Bearer first', 'Bearer first', 'Bearer second'],
  );
});

test('events are of the form of events.k8s.io/v1, not told twice, and never fail', async () => {
  let status = 201;
  await using made = await served(() => [status, {}]);
  const event = {
    regarding: { apiVersion: 'v1', kind: 'Secret', metadata },
    type: 'Normal',
    reason: 'Made',
    action: 'Make',
    note: 'ü'.repeat(1_000),
  } as const;
  await made.api.event(event);
  await made.api.event(event);
  status = 500;
  await made.api.event({ ...event, reason: 'Other' });
  assert.equal(made.server.asked.length, 2);
  const [{ path, body }] = made.server.asked;
  assert.equal(path, '/apis/events.k8s.io/v1/namespaces/db/events');
  const { note, eventTime, regarding } = body as Readonly<Record<string, string>>;
  assert.ok(Buffer.byteLength(note) <= 1_024);
  assert.match(note, /^ü+…$/);
  assert.match(eventTime, /\.\d{6}Z$/);
  assert.deepEqual(regarding, {
    ...{ apiVersion: 'v1', kind: 'Secret', name: 'a', namespace: 'db', uid: 'u1' },
  });
});
