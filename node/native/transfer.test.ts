/** sendfile and splice, over a real connection. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KvError } from '../src/storage/kv.ts';
import { receiveFile, sendFile } from './index.ts';
import { scratchDirectory, testEngine } from './testing.ts';

const scratch = scratchDirectory();
testEngine();

/** Both ends of a connection; libuv does not read the second. */
async function connection(): Promise<[Socket, Socket]> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [peer]: Socket[] = await accepted;
  if (client.connecting) await once(client, 'connect');
  server.close();
  after(() => {
    client.destroy();
    peer.destroy();
  });
  return [client, peer];
}

/** Node has no public way to the descriptor. */
function fdOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  assert.ok(handle !== null && typeof handle === 'object');
  return Number(Reflect.get(handle, 'fd'));
}

function sha1(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

const source = join(scratch, 'source');
const content = randomBytes(9_000_000);
writeFileSync(source, content);

test('a range of a file arrives, several times over one connection', async () => {
  const [client, peer] = await connection();
  for (const [offset, length] of [
    [0, 9_000_000],
    [12_345, 5_000_000],
    [8_999_999, 1],
    [7, 0],
  ]) {
    const path = join(scratch, `received-${offset}`);
    const [sent, received] = await Promise.all([
      sendFile({
        socketFd: fdOf(client),
        path: source,
        offset,
        length,
        timeoutMs: 5000,
      }),
      receiveFile({
        socketFd: fdOf(peer),
        path,
        length,
        timeoutMs: 5000,
        fsync: true,
      }),
    ]);
    assert.equal(sent, length);
    assert.equal(received, length);
    assert.equal(sha1(readFileSync(path)), sha1(content.subarray(offset, offset + length)));
  }
});

test('what is missing after a broken connection is appended where it stopped', async () => {
  const [client, peer] = await connection();
  const path = join(scratch, 'resumed');
  writeFileSync(path, Buffer.concat([content.subarray(0, 4_000_000), Buffer.from('torn')]));
  const offset = 4_000_000;
  const length = content.length - offset;
  await Promise.all([
    sendFile({
      socketFd: fdOf(client),
      path: source,
      offset,
      length,
      timeoutMs: 5000,
    }),
    receiveFile({
      socketFd: fdOf(peer),
      path,
      offset,
      length,
      timeoutMs: 5000,
      fsync: true,
    }),
  ]);
  assert.equal(sha1(readFileSync(path)), sha1(content));
  const absent = join(scratch, 'absent');
  const waits = receiveFile({
    socketFd: fdOf(peer),
    path: absent,
    offset,
    length: 1,
    timeoutMs: 30,
  });
  await assert.rejects(waits, isIo(/No such file/));
});

function isIo(text: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof KvError && error.code === 'IO' && text.test(error.message);
}

test('a peer that closes early, does nothing, or a file that is too short', async () => {
  const [client, peer] = await connection();
  const path = join(scratch, 'partial');
  const waits = receiveFile({
    socketFd: fdOf(peer),
    path,
    length: 10,
    timeoutMs: 30,
  });
  await assert.rejects(waits, isIo(/timeout/));
  const stuck = {
    socketFd: fdOf(client),
    path: source,
    offset: 0,
    length: 9_000_000,
    timeoutMs: 30,
  };
  await assert.rejects(sendFile(stuck), isIo(/timeout/));
  await assert.rejects(sendFile({ ...stuck, offset: 9_000_000, length: 1 }), isIo(/early/));
  await assert.rejects(sendFile({ ...stuck, path: join(scratch, 'none') }), isIo(/No such file/));
  const [second, far] = await connection();
  second.end('123');
  const early = receiveFile({
    socketFd: fdOf(far),
    path,
    length: 10,
    timeoutMs: 5000,
  });
  await assert.rejects(early, isIo(/closed after 3 bytes/));
});

test('what is no socket is refused; closing the socket in JavaScript redirects nothing', async () => {
  await assert.rejects(
    sendFile({
      socketFd: 9999,
      path: source,
      offset: 0,
      length: 1,
      timeoutMs: 1,
    }),
    (error) => error instanceof KvError && error.code === 'BAD_ARGUMENT',
  );
  const [client, peer] = await connection();
  const sending = sendFile({
    socketFd: fdOf(client),
    path: source,
    offset: 0,
    length: 9_000_000,
    timeoutMs: 5000,
  });
  client.destroy();
  const path = join(scratch, 'after-destroy');
  const receiving = receiveFile({
    socketFd: fdOf(peer),
    path,
    length: 9_000_000,
    timeoutMs: 5000,
  });
  const results = await Promise.allSettled([sending, receiving]);
  // libuv shuts the connection down with its own descriptor or leaves it to ours: no third outcome.
  for (const result of results) {
    if (result.status === 'rejected') assert.ok(result.reason instanceof KvError);
    else assert.equal(result.value, 9_000_000);
  }
});
