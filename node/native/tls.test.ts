/** TLS on threads, both ends in this process, over real connections. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createAuthority } from '../src/adapters/testing/authority.ts';
import { KvError, type KvErrorCode } from '../src/storage/kv.ts';
import { openTls, type TlsOptions, type TlsStream } from './index.ts';
import { scratchDirectory, testEngine } from './testing.ts';

const scratch = scratchDirectory();
testEngine();
const authority = createAuthority();
const stranger = createAuthority();
const skip = authority === null || stranger === null ? 'openssl is needed' : false;
const TIME = 5_000;
const content = randomBytes(3_000_001);
const source = join(scratch, 'source');
writeFileSync(source, content);

const listener = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
await once(listener, 'listening');
const { port } = listener.address() as AddressInfo;
after(() => listener.close());

/** Both ends of a connection, from neither of which libuv reads. */
async function sockets(): Promise<readonly [Socket, Socket]> {
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  const client = connect({ port, host: '127.0.0.1', noDelay: true });
  client.pause();
  const [[peer]] = await Promise.all([accepted, once(client, 'connect')]);
  return [client, peer];
}

/** Node has no public way to the descriptor. */
function fdOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  assert.ok(handle !== null && typeof handle === 'object');
  return Number(Reflect.get(handle, 'fd'));
}

function take(socket: Socket, options: TlsOptions): TlsStream {
  const stream = openTls(fdOf(socket), options);
  socket.destroy();
  after(() => stream.close());
  return stream;
}

type Changes = Partial<TlsOptions>;
const issued = authority?.issue('IP:127.0.0.1');
const known: TlsOptions = {
  authorities: authority?.pem ?? null,
  certificate: issued?.certificate ?? null,
  key: issued?.key ?? null,
  ...{ isServer: false, verifyPeer: true, peerName: null },
};

/** Client and server before their handshakes. */
async function ends(client: Changes = {}, server: Changes = {}): Promise<[TlsStream, TlsStream]> {
  const [near, far] = await sockets();
  return [take(near, { ...known, ...client }), take(far, { ...known, isServer: true, ...server })];
}

async function connected(client: Changes = {}, server: Changes = {}) {
  const both = await ends(client, server);
  await Promise.all(both.map((end) => end.handshake(TIME)));
  return both;
}

function fails(text: RegExp, code: KvErrorCode = 'IO') {
  return (error: unknown) => {
    assert.ok(error instanceof KvError && error.code === code, String(error));
    assert.match(error.message, text);
    return true;
  };
}

/** What a promise fails with; empty: it does not. */
async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

test('bytes and files of odd sizes arrive bit for bit, either way', { skip }, async () => {
  const [client, server] = await connected({ peerName: '127.0.0.1' });
  const hello = randomBytes(65);
  const [, heard] = await Promise.all([client.write(hello, TIME), server.read(65, TIME)]);
  assert.deepEqual(heard, hello);
  const path = join(scratch, 'arrived');
  const sizes = [0, 1, 16_383, 16_385, 262_144, 524_289, content.length];
  for (const [i, length] of sizes.entries()) {
    const [from, to] = i % 2 === 0 ? [server, client] : [client, server];
    const offset = content.length - length;
    const [sent, received] = await Promise.all([
      from.sendFile({ path: source, offset, length, timeoutMs: TIME }),
      to.receiveFile({ path, length, timeoutMs: TIME, fsync: true }),
    ]);
    assert.deepEqual([sent, received], [length, length]);
    assert.ok(readFileSync(path).equals(content.subarray(offset)), `${length} bytes`);
  }
});

test('it goes on at an offset, with what came before a connection broke', { skip }, async () => {
  const path = join(scratch, 'resumed');
  const [client, server] = await connected();
  const receiving = client.receiveFile({ path, length: content.length, timeoutMs: TIME });
  await server.sendFile({ path: source, offset: 0, length: 1_000_003, timeoutMs: TIME });
  server.close();
  await assert.rejects(receiving, fails(/the peer closed the connection/));
  assert.equal(statSync(path).size, 1_000_003);
  await assert.rejects(client.read(1, TIME), fails(/an earlier call has failed/));
  const [again, other] = await connected();
  const offset = 1_000_003;
  const rest = { offset, length: content.length - offset, timeoutMs: TIME };
  await Promise.all([
    other.sendFile({ ...rest, path: source }),
    again.receiveFile({ ...rest, path }),
  ]);
  assert.ok(readFileSync(path).equals(content));
});

test('who has no certificate, or another authority, or another address', { skip }, async () => {
  const none = { certificate: null, key: null };
  const foreign = stranger?.issue('IP:127.0.0.1') ?? {};
  const cases: [Changes, Changes, RegExp, RegExp][] = [
    [none, {}, /.*/, /peer did not return a certificate/],
    [foreign, {}, /.*/, /certificate verify failed: (unable|self)/],
    [{}, foreign, /certificate verify failed: (unable|self)/, /alert unknown ca/],
    [{ peerName: '127.0.0.2' }, {}, /verify failed: IP address mismatch/, /alert/],
    [{ peerName: 'node.example' }, {}, /verify failed: host ?name mismatch/i, /alert/],
  ];
  for (const [client, server, atClient, atServer] of cases) {
    const [near, far] = await ends(client, server);
    const results = await Promise.all([
      // TLS 1.3: the client hears of it when it reads.
      failureOf(near.handshake(TIME).then(() => near.read(1, TIME))),
      failureOf(far.handshake(TIME)),
    ]);
    assert.match(results[0], atClient);
    assert.notEqual(results[0], '');
    assert.match(results[1], atServer);
  }
  const [near, far] = await connected(none, { verifyPeer: false });
  await Promise.all([near.write(Buffer.of(1), TIME), far.read(1, TIME)]);
});

test('what is no certificate, no socket, no TLS', { skip }, async () => {
  const rubbish = Buffer.from('-----BEGIN NOTHING-----');
  const wrong: Changes[] = [
    { certificate: rubbish },
    { key: rubbish },
    { key: stranger?.issue('IP:127.0.0.1').key ?? null },
    { authorities: rubbish },
    { authorities: null },
  ];
  for (const changes of wrong) {
    const [near] = await ends(changes);
    await assert.rejects(near.handshake(TIME), fails(/cannot be used/, 'BAD_ARGUMENT'));
    await assert.rejects(near.handshake(TIME), fails(/cannot be used|has failed/, 'BAD_ARGUMENT'));
  }
  assert.throws(() => openTls(9999, known), fails(/no socket/, 'BAD_ARGUMENT'));
  const plain: [string, RegExp][] = [
    ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', /http request/],
    [`ILST${'\x01'.repeat(80)}`, /wrong version number|packet length too long/],
    ['\x16\x03\x01\x00', /the peer closed/],
  ];
  for (const [text, reason] of plain) {
    const [socket, far] = await sockets();
    const server = take(far, { ...known, isServer: true });
    socket.end(text, 'latin1');
    await assert.rejects(server.handshake(TIME), fails(reason));
    socket.destroy();
  }
});

test('nobody waits longer than was said', { skip }, async () => {
  const [socket, far] = await sockets();
  const slow = take(far, { ...known, isServer: true });
  // The beginning of a ClientHello; byte after byte does not help.
  const bytes = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
  const timer = setInterval(() => socket.write(Buffer.of(bytes.shift() ?? 0)), 5);
  const began = performance.now();
  await assert.rejects(slow.handshake(100), fails(/timeout/));
  assert.ok(performance.now() - began < 2_000);
  clearInterval(timer);
  socket.destroy();
  const [client, server] = await connected();
  await assert.rejects(client.read(1, 30), fails(/timeout/));
  const path = join(scratch, 'late');
  const big = join(scratch, 'big');
  writeFileSync(big, Buffer.alloc(32 << 20));
  const sending = server.sendFile({ path: big, offset: 0, length: 32 << 20, timeoutMs: 30 });
  await assert.rejects(sending, fails(/timeout/));
  const [other] = await connected();
  await assert.rejects(other.receiveFile({ path, length: 1, timeoutMs: 30 }), fails(/timeout/));
  const [first, second] = await connected();
  const early = second.sendFile({ path: source, offset: 0, length: 4_000_000, timeoutMs: TIME });
  const receiving = first.receiveFile({ path, length: 4_000_000, timeoutMs: 200 });
  await assert.rejects(early, fails(/ended early/));
  await assert.rejects(receiving, fails(/timeout/));
});

test('close ends what is under way; after it, and too early, calls fail', { skip }, async () => {
  const [near] = await ends();
  await assert.rejects(near.read(1, TIME), fails(/handshake/, 'BAD_ARGUMENT'));
  const shaking = near.handshake(0);
  near.close();
  await assert.rejects(shaking, fails(/closed/, 'CLOSED'));
  const [client, server] = await connected();
  await assert.rejects(client.read(1 << 20, TIME), fails(/too many/, 'BAD_ARGUMENT'));
  const reading = client.read(1, 0);
  await assert.rejects(client.write(Buffer.of(1), TIME), fails(/in use/, 'BAD_ARGUMENT'));
  client.close();
  client.close();
  await assert.rejects(reading, fails(/closed/, 'CLOSED'));
  await assert.rejects(client.read(1, TIME), fails(/closed/, 'CLOSED'));
  await assert.rejects(server.read(1, TIME), fails(/the peer closed|reset/));
});

test('a worker ends with connections open and calls under way', { skip }, async () => {
  const [near, far] = await sockets();
  const server = take(far, { ...known, isServer: true });
  const code = `
    const { createNativeEngine, openTls } = await import(${JSON.stringify(import.meta.resolve('./index.ts'))});
    const { testProcess } = await import(${JSON.stringify(import.meta.resolve('./testing.ts'))});
    const { parentPort, workerData } = await import('node:worker_threads');
    createNativeEngine(testProcess);
    const stream = openTls(workerData.fd, workerData.options);
    await stream.handshake(5000);
    void stream.read(1, 0).catch(() => {});
    parentPort.postMessage('reading');`;
  const options = { ...known };
  const worker = new Worker(code, { eval: true, workerData: { fd: fdOf(near), options } });
  await Promise.all([once(worker, 'message'), server.handshake(TIME)]);
  near.destroy();
  await worker.terminate();
  await assert.rejects(server.read(1, TIME), fails(/the peer closed|reset/));
});

test('a thousand handshakes leave no memory and no descriptors', { skip }, async () => {
  const openFiles = () => readdirSync('/proc/self/fd').length;
  const round = async (count: number) => {
    for (let i = 0; i < count; i++) {
      // The server refuses every third.
      const client = i % 3 === 0 ? { certificate: null, key: null } : {};
      const both = await ends(client);
      await Promise.allSettled(both.map((end) => end.handshake(TIME)));
      for (const end of both) end.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  await round(200);
  const before = { files: openFiles(), memory: process.memoryUsage().rss };
  await round(800);
  assert.ok(openFiles() <= before.files + 4, `${openFiles()} of ${before.files}`);
  const grown = (process.memoryUsage().rss - before.memory) / (1 << 20);
  // A session and its context have some 100 KiB.
  if (process.env['ILION_NATIVE'] === undefined) assert.ok(grown < 30, `${grown} MiB`);
});
