/** Links over gRPC on real loopback sockets. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LinkLogger } from '../internode/carrier.ts';
import type { LinkLimits } from '../internode/limits.ts';
import { LinkHub } from '../internode/link-hub.ts';
import { LinkError, type Peer, request, Verb } from '../internode/links.ts';
import {
  createGrpcCarrier,
  createGrpcLinkServer,
  GRPC_LINK_DEFAULTS,
  type LinkTls,
} from './grpc-links.ts';
import { decodePacket, encodePacket } from './grpc-links-service.ts';

interface Node {
  readonly hub: LinkHub;
  readonly peer: Peer;
  readonly log: string[];
  stop(): Promise<void>;
}

async function node(
  hostId: string,
  changed: { tls?: LinkTls; limits?: Partial<LinkLimits>; port?: number } = {},
): Promise<Node> {
  const log: string[] = [];
  const note = (message: string, fields: Readonly<Record<string, unknown>>) => {
    log.push(`${message} ${JSON.stringify(fields)}`);
  };
  const logger: LinkLogger = { info: () => {}, warn: note, error: note };
  const options = { ...GRPC_LINK_DEFAULTS, tls: changed.tls ?? null };
  const carrier = createGrpcCarrier(options);
  const hub = new LinkHub({
    carrier,
    clock: {
      nowMillis: () => performance.now(),
      after: (millis, run) => {
        const timer = setTimeout(run, millis);
        return () => clearTimeout(timer);
      },
    },
    log: logger,
    random: Math.random,
    schedule: (flush) => void setImmediate(flush),
    hostId,
    clusterName: 'test',
    clusterId: () => '',
    limits: changed.limits ?? {},
  });
  hub.handle(Verb.Mutation, (_, body, responder) => responder.answer(body));
  hub.handle(Verb.ReadRecords, (_, body, responder) =>
    responder.answer(Buffer.alloc(Buffer.from(body).readUInt32BE(0), 7)),
  );
  const server = await createGrpcLinkServer({
    ...options,
    host: '127.0.0.1',
    port: changed.port ?? 0,
    reusePort: true,
    accept: hub.accept,
    log: logger,
    idleMillis: 300,
  });
  const { port } = server;
  const peer = { hostId, address: '127.0.0.1', controlPort: port, dataPort: port };
  const stop = async () => {
    hub.close();
    carrier.close();
    await server.close();
  };
  after(stop);
  return { hub, peer, log, stop };
}

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 300 && !what(); i++) await sleep(10);
  assert.ok(what());
}

function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'answered',
    (error: unknown) => (error instanceof LinkError ? error.code : String(error)),
  );
}

test('a message around a packet, and what is none', () => {
  for (const length of [0, 1, 127, 128, 20_000, 3 << 20]) {
    const packet = Buffer.alloc(length, 3);
    assert.deepEqual(decodePacket(encodePacket(packet)), packet);
  }
  for (const text of ['', '0a', '0aff', '0affffffff7f', '0a0201', '0a0201020a', '12020102']) {
    assert.equal(decodePacket(Buffer.from(text, 'hex')).length, 0, text);
  }
});

test('thousands of requests and a few large ones', async () => {
  const [a, b] = await Promise.all([node('a'), node('b')]);
  const small = Array.from({ length: 3000 }, (_, i) =>
    request(a.hub, b.peer, Verb.Mutation, Buffer.from(String(i)), 5000),
  );
  const large = request(a.hub, b.peer, Verb.Mutation, Buffer.alloc(20 << 20, 9), 5000);
  const asked = Buffer.alloc(4);
  asked.writeUInt32BE(10 << 20);
  const largeAnswer = request(a.hub, b.peer, Verb.ReadRecords, asked, 5000);
  for (const [i, answer] of (await Promise.all(small)).entries()) {
    assert.equal(Buffer.from(answer).toString(), String(i));
  }
  assert.deepEqual(await large, Buffer.alloc(20 << 20, 9));
  assert.equal((await largeAnswer).length, 10 << 20);
  assert.ok(a.hub.counters.packetsSent < 100);
  assert.deepEqual([...a.log, ...b.log], []);
});

test('workers share a port: the lanes of a link end at the same one', async () => {
  const first = await node('b');
  const second = await node('b', { port: first.peer.dataPort });
  const callers = await Promise.all(Array.from({ length: 12 }, (_, i) => node(`caller ${i}`)));
  const asked = Buffer.alloc(4);
  asked.writeUInt32BE(1 << 20);
  for (const { hub } of callers) {
    // The lanes stand when the first of these is answered; the second comes on the large one.
    await request(hub, first.peer, Verb.Mutation, Buffer.alloc(1 << 20), 5000);
    const { length } = await request(hub, first.peer, Verb.ReadRecords, asked, 5000);
    assert.equal(length, 1 << 20);
  }
  const handled = [first, second].map(({ hub }) => hub.counters.handled);
  assert.equal(handled[0] + handled[1], 24);
  assert.ok(
    handled.every((count) => count > 0 && count % 2 === 0),
    handled.join(),
  );
});

test('a peer that does not read stops the writer, and one that reads again lets it go on', async () => {
  const streams: ServerHttp2Stream[] = [];
  const server = createHttp2Server();
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.on('error', () => {});
    streams.push(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  assert.ok(bound !== null && typeof bound === 'object');
  const carrier = createGrpcCarrier(GRPC_LINK_DEFAULTS);
  let drained = 0;
  const stream = carrier.open('127.0.0.1', bound.port, {
    packet: () => {},
    drained: () => drained++,
    closed: () => {},
  });
  let written = 0;
  while (stream.write(Buffer.alloc(64 << 10))) written++;
  assert.ok(written < 100, `${written} packets of 64 KiB were taken`);
  await until(() => streams.length === 1);
  await sleep(50);
  assert.equal(drained, 0);
  streams[0].resume();
  await until(() => drained === 1);
  stream.close();
  carrier.close();
  server.close();
});

test('a node that goes and comes back at the same port', async () => {
  const a = await node('a');
  const b = await node('b');
  assert.equal(await code(request(a.hub, b.peer, Verb.Mutation, Buffer.of(1), 2000)), 'answered');
  await b.stop();
  await until(() => a.log.length > 0);
  assert.equal(
    await code(request(a.hub, b.peer, Verb.Mutation, Buffer.of(1), 2000)),
    'UNREACHABLE',
  );
  await node('b', { port: b.peer.dataPort });
  let outcome = '';
  for (let i = 0; i < 100 && outcome !== 'answered'; i++) {
    outcome = await code(request(a.hub, b.peer, Verb.Mutation, Buffer.of(1), 2000));
    await sleep(20);
  }
  assert.equal(outcome, 'answered');
});

test('garbage, silence, and gRPC that is not ours: closed with one line, the rest goes on', async () => {
  const [a, b] = await Promise.all([node('a'), node('b')]);
  const ask = () => code(request(a.hub, b.peer, Verb.Mutation, Buffer.of(1), 2000));
  assert.equal(await ask(), 'answered');
  const port = b.peer.dataPort;
  const raw = async (bytes: Buffer) => {
    const socket = connect(port, '127.0.0.1');
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.on('error', () => {});
    socket.resume();
    socket.write(bytes);
    await closed;
  };
  await raw(Buffer.alloc(100_000, 0xa5));
  await until(() => b.log.length === 1);
  await raw(Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
  await until(() => b.log.length === 2);
  await raw(Buffer.alloc(0));
  await until(() => b.log.length === 3);
  for (const line of b.log) assert.match(line, /not one of a peer/);
  // A stream of the right method: first a length of 2 GiB, then a message that holds no packet.
  for (const head of ['0080000000', '0000000003616263', '00000000050a03616263']) {
    const before = b.log.length;
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': '/ilion.internode.v1.Internode/Exchange',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.resume();
    // What any client does when the server has ended the call.
    stream.on('end', () => stream.close());
    const closed = new Promise<void>((resolve) => stream.on('close', () => resolve()));
    stream.write(Buffer.from(head, 'hex'));
    await closed;
    await until(() => b.log.length === before + 1);
    session.close();
    assert.match(b.log[before], /a link from a peer was closed/, head);
  }
  assert.equal(await ask(), 'answered');
  assert.equal(b.log.length, 6);
  assert.deepEqual(a.log, []);
});

function selfSigned(): LinkTls | null {
  const directory = mkdtempSync(join(tmpdir(), 'ilion-links-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', '/CN=ilion', '-addext', 'subjectAltName=DNS:ilion-node'],
    ...['-keyout', key, '-out', certificate],
  ]);
  if (made.status !== 0) return null;
  const pem = readFileSync(certificate);
  const name = 'ilion-node';
  return { ca: pem, certificate: pem, key: readFileSync(key), mutual: true, serverName: name };
}

const tls = selfSigned();
test('mutual TLS', { skip: tls === null ? 'openssl is needed' : false }, async () => {
  assert.ok(tls !== null);
  const [a, b, stranger] = await Promise.all([
    node('a', { tls }),
    node('b', { tls }),
    node('c', { tls: { ...tls, mutual: false } }),
  ]);
  assert.equal(await code(request(a.hub, b.peer, Verb.Mutation, Buffer.of(1), 3000)), 'answered');
  const refused = await code(request(stranger.hub, b.peer, Verb.Mutation, Buffer.of(1), 3000));
  assert.equal(refused, 'UNREACHABLE');
  const plain = await node('d');
  const unencrypted = await code(request(plain.hub, b.peer, Verb.Mutation, Buffer.of(1), 3000));
  assert.equal(unencrypted, 'UNREACHABLE');
});
