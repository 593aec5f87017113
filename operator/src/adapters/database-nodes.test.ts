import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadAdminService } from '../../../node/src/main/admin-service.ts';
import { NodeCallError, type NodePlace } from '../ports/nodes.ts';
import { createDatabaseNodes, type OperatorCertificate } from './database-nodes.ts';
import { issue, type KeyPair, makeAuthority } from './x509.ts';

type Handler = (request: unknown) => Promise<object>;
const NAMES = { common: 'n', dns: ['n'], addresses: [] };

async function startNode(handlers: Readonly<Record<string, Handler>>, tls?: KeyPair, ca?: string) {
  const server = new Server();
  const methods = Object.entries(handlers).map(([name, run]) => [
    name,
    (call: ServerUnaryCall<unknown, object>, reply: sendUnaryData<object>) => {
      run(call.request).then(
        (value) => reply(null, value),
        (error: unknown) => reply(error as Error),
      );
    },
  ]);
  server.addService(loadAdminService(), Object.fromEntries(methods));
  const pem = (text: string) => Buffer.from(text);
  const credentials =
    tls === undefined || ca === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(
          pem(ca),
          [{ cert_chain: pem(tls.certificate), private_key: pem(tls.key) }],
          true,
        );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const place: NodePlace = {
    ...{ namespace: 'db', cluster: 'demo', address: '127.0.0.1', port },
    encrypted: tls !== undefined,
  };
  return { place, [Symbol.dispose]: () => server.forceShutdown() };
}

const none = async () => null;
const isCode = (code: string, words: RegExp) => (error: unknown) =>
  error instanceof NodeCallError && error.code === code && words.test(error.message);

test('calls carry what they are about, and connections close when they stand idle', async () => {
  const asked: unknown[] = [];
  const note =
    (reply: object): Handler =>
    async (request) => {
      asked.push(request);
      return reply;
    };
  using node = await startNode({
    Status: note({ hostId: 'h', nodes: [{ hostId: 'h', alive: true }] }),
    ListOperations: note({ operations: [{ id: 'o' }] }),
    RemoveNode: note({ id: 'o' }),
    CancelOperation: note({}),
    CheckDisruption: note({ allowed: false, reason: 'because' }),
  });
  const nodes = createDatabaseNodes({ certificateOf: none, idleMillis: 30 });
  const { hostId, nodes: members } = await nodes.status(node.place, true);
  assert.deepEqual([hostId, members[0].alive], ['h', true]);
  assert.equal((await nodes.operations(node.place))[0].id, 'o');
  await nodes.removeNode(node.place, 'h2', true);
  await nodes.cancel(node.place, 'o');
  const { allowed, reason } = await nodes.checkDisruption(node.place, ['h', 'h2']);
  assert.deepEqual([allowed, reason], [false, 'because']);
  assert.deepEqual(asked, [
    { agreed: true },
    {},
    { hostId: 'h2', dead: true, atOnce: true },
    { id: 'o' },
    { hostIds: ['h', 'h2'] },
  ]);
  assert.equal(nodes.size(), 1);
  await sleep(100);
  assert.equal(nodes.size(), 0);
});

test('settings that are not wanted any more become the defaults, and only those that are ours', async () => {
  const asked: object[] = [];
  const setting = (name: string, origin: string, change = 'hot') => ({
    ...{ name, value: '1', origin, change },
  });
  using node = await startNode({
    ListSettings: async () => ({
      settings: [
        setting('read_request_timeout', 'reload'),
        setting('write_request_timeout', 'ILION_WRITE_REQUEST_TIMEOUT'),
        setting('cas_contention_timeout', 'default'),
        setting('seeds', 'ILION_SEEDS'),
        setting('num_tokens', 'ILION_NUM_TOKENS', 'restart'),
      ],
    }),
    ReloadSettings: async (request) => {
      asked.push(request as object);
      return { changes: [] };
    },
  });
  const nodes = createDatabaseNodes({ certificateOf: none, idleMillis: 30 });
  await nodes.configure(node.place, { read_request_timeout: '3s' });
  assert.deepEqual(asked, [
    { values: { read_request_timeout: '3s', write_request_timeout: 'default' } },
  ]);
  nodes.close();
});

test('failures say whether it may have been done', async () => {
  const failing = (code: number, details: string) => async () => {
    throw { code, details };
  };
  using node = await startNode({
    Status: failing(status.UNAVAILABLE, 'no majority'),
    RemoveNode: failing(status.FAILED_PRECONDITION, 'below the replication factor'),
    CancelOperation: failing(status.UNAVAILABLE, 'Connection dropped'),
    ListOperations: () => new Promise(() => {}),
    CheckDisruption: failing(status.INTERNAL, 'a bug'),
  });
  const nodes = createDatabaseNodes({ certificateOf: none, deadlineMillis: 200 });
  const { place } = node;
  await assert.rejects(nodes.status(place, true), isCode('UNREACHABLE', /no majority/));
  await assert.rejects(nodes.removeNode(place, 'h', false), isCode('REFUSED', /^below the repl/));
  await assert.rejects(nodes.cancel(place, 'o'), isCode('UNKNOWN', /Connection dropped/));
  await assert.rejects(nodes.operations(place), isCode('UNKNOWN', /not answered in 200 ms/));
  await assert.rejects(nodes.checkDisruption(place, []), isCode('UNKNOWN', /^a bug$/));
  nodes.close();
  assert.equal(nodes.size(), 0);
});

test('nobody there is UNREACHABLE for what changes things, too', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { readonly port: number };
  await new Promise((resolve) => server.close(resolve));
  const place = { namespace: 'db', cluster: 'demo', address: '127.0.0.1', port, encrypted: false };
  const nodes = createDatabaseNodes({ certificateOf: none });
  await assert.rejects(
    nodes.removeNode(place, 'h', false),
    isCode('UNREACHABLE', /no node answers/),
  );
});

test('there are never more connections than allowed', async () => {
  using one = await startNode({ Status: async () => ({}) });
  using other = await startNode({ Status: () => new Promise(() => {}) });
  const nodes = createDatabaseNodes({
    certificateOf: none,
    connectionsMax: 1,
    deadlineMillis: 100,
  });
  await nodes.status(one.place, false);
  const stuck = nodes.status(other.place, false);
  await sleep(10);
  await assert.rejects(nodes.status(one.place, false), isCode('UNREACHABLE', /under way/));
  assert.equal(nodes.size(), 1);
  await assert.rejects(stuck, isCode('UNKNOWN', /not answered/));
  await nodes.status(one.place, false);
  nodes.close();
});

test('certificates are shown and checked, and renewed ones are used', async () => {
  const now = Date.now();
  const authority = await makeAuthority('demo', now, 10);
  const other = await makeAuthority('demo', now, 10);
  const server = await issue(authority, NAMES, now, 1);
  const shown = async (by: KeyPair): Promise<OperatorCertificate> => ({
    ca: authority.certificate,
    ...(await issue(by, NAMES, now, 1)),
  });
  using node = await startNode({ Status: async () => ({}) }, server, authority.certificate);
  let certificate: OperatorCertificate | null = null;
  const nodes = createDatabaseNodes({ certificateOf: async () => certificate });
  await assert.rejects(nodes.status(node.place, false), isCode('UNREACHABLE', /no certificate/));
  certificate = await shown(other);
  await assert.rejects(nodes.status(node.place, false), isCode('UNREACHABLE', /no node answers/));
  certificate = await shown(authority);
  await nodes.status(node.place, false);
  certificate = await shown(authority);
  await nodes.status(node.place, false);
  assert.equal(nodes.size(), 1);
  nodes.close();
});
