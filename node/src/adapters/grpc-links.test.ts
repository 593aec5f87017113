/** Links over gRPC on real loopback sockets. */
import assert from 'node:assert/strict';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, createServer } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { LinkLogger } from '../internode/carrier.ts';
import type { LinkLimits } from '../internode/limits.ts';
import { LinkHub } from '../internode/link-hub.ts';
import { LinkError, type Peer, request, Verb } from '../internode/links.ts';
import { createGrpcCarrier, GRPC_LINK_DEFAULTS } from './grpc-links.ts';
import { createGrpcLinkServer } from './grpc-links-server.ts';
import { decodePacket, encodePacket } from './grpc-links-service.ts';
import { fixedTls, type LinkTls } from './grpc-links-tls.ts';
import { type Authority, createAuthority } from './testing/authority.ts';

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
  const options = {
    ...GRPC_LINK_DEFAULTS,
    tls: changed.tls === undefined ? null : fixedTls(changed.tls),
  };
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
  let outcome = 'answered';
  for (let i = 0; i < 100 && outcome === 'answered'; i++) {
    outcome = await code(request(a.hub, b.peer, Verb.Mutation, Buffer.of(1), 2000));
    await sleep(20);
  }
  assert.equal(outcome, 'UNREACHABLE');
  await node('b', { port: b.peer.dataPort });
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

/** What the server does with connections that no test of a link needs. */
async function bareServer(options: Partial<Parameters<typeof createGrpcLinkServer>[0]>) {
  const log: string[] = [];
  const note = (message: string, fields: Readonly<Record<string, unknown>>) => {
    log.push(`${message} ${JSON.stringify(fields)}`);
  };
  const server = await createGrpcLinkServer({
    ...GRPC_LINK_DEFAULTS,
    ...{ host: '127.0.0.1', port: 0, reusePort: false, idleMillis: 300 },
    accept: () => ({ packet: () => {}, drained: () => {}, closed: () => {} }),
    log: { info: note, warn: note, error: note },
    ...options,
  });
  after(() => server.close());
  return { server, log };
}

test('a peer that comes back is not called by a carrier that has given up', async () => {
  const carrier = createGrpcCarrier(GRPC_LINK_DEFAULTS);
  const { server } = await bareServer({});
  const { port } = server;
  await server.close();
  let closed = 0;
  const events = { packet: () => {}, drained: () => {}, closed: () => closed++ };
  carrier.open('127.0.0.1', port, events);
  await until(() => closed === 1);
  let connections = 0;
  const listener = createServer(() => connections++).listen(port, '127.0.0.1');
  await sleep(1500);
  assert.equal(connections, 0);
  listener.close();
  carrier.close();
});

test('connections that carry no link are closed, the oldest at once if there are many', async () => {
  const { server, log } = await bareServer({ strangersMax: 20, idleMillis: 600 });
  let open = 0;
  for (let i = 0; i < 100; i++) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('connect', () => open++);
    socket.on('close', () => open--);
    socket.resume();
  }
  await until(() => open === 20);
  // Who goes by itself without a word is not told of.
  const probe = connect(server.port, '127.0.0.1').on('connect', () => probe.destroy());
  await until(() => open === 0);
  assert.equal(log.filter((line) => /too many connections wait/.test(line)).length, 5);
  assert.ok(log.length <= 10, log.join('\n'));
});

test('a call that ended does not keep its connection', async () => {
  const { server } = await bareServer({
    accept: (stream) => {
      setTimeout(() => stream.close(), 50);
      return { packet: () => {}, drained: () => {}, closed: () => {} };
    },
  });
  const session = connectHttp2(`http://127.0.0.1:${server.port}`);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/ilion.internode.v1.Internode/Exchange',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.resume();
  stream.on('end', () => stream.close());
  const closed = new Promise<void>((resolve) => session.on('close', () => resolve()));
  await closed;
});

const authority = createAuthority();
const stranger = createAuthority();
const skip = authority === null ? 'openssl is needed' : false;

function tlsOf(by: Authority | null, changed: Partial<LinkTls> = {}): LinkTls {
  assert.ok(by !== null);
  const own = by.issue('IP:127.0.0.1');
  return { ca: by.pem, ...own, mutual: true, verifyAddress: true, ...changed };
}

async function reason(from: Node, to: Node): Promise<string> {
  return request(from.hub, to.peer, Verb.Mutation, Buffer.of(1), 3000).then(
    () => 'answered',
    (error: unknown) => (error instanceof LinkError ? error.message : String(error)),
  );
}

test('mutual TLS: who is not of the authority is refused, and both sides say why', {
  skip,
}, async () => {
  const tls = tlsOf(authority);
  const [a, b, plain, other, believer] = await Promise.all([
    node('a', { tls }),
    node('b', { tls }),
    node('plain'),
    node('other', { tls: tlsOf(stranger) }),
    // It takes b's certificate; b does not take its.
    node('believer', { tls: tlsOf(stranger, { ca: tls.ca }) }),
  ]);
  assert.equal(await reason(a, b), 'answered');
  const seen: string[] = [];
  for (const from of [plain, other, believer]) seen.push(await reason(from, b));
  seen.push(await reason(b, plain), await reason(a, other));
  await sleep(100);
  if (process.env['SHOW']) console.log(seen, b.log, plain.log, other.log);
  assert.match(seen[0], /internode_encryption: all, this node needs it/);
  assert.match(seen[1], /TLS: .*must be signed by this node's internode_authority/);
  assert.match(seen[2], /TLS: .*not to take this node's certificate/);
  assert.match(seen[3], /TLS: .*internode_encryption: none/);
  assert.match(b.log.join('\n'), /does not speak TLS/);
  assert.match(b.log.join('\n'), /its certificate is not taken/);
  assert.equal(await reason(a, b), 'answered');
});

test('a certificate for another address is refused only if addresses are to be verified', {
  skip,
}, async () => {
  const elsewhere = tlsOf(authority, authority?.issue('IP:10.0.0.1'));
  const [strict, b] = await Promise.all([
    node('a', { tls: tlsOf(authority) }),
    node('b', { tls: elsewhere }),
  ]);
  const lax = await node('c', { tls: tlsOf(authority, { verifyAddress: false }) });
  assert.match(await reason(strict, b), /TLS: .*altnames/);
  assert.equal(await reason(lax, b), 'answered');
});

test('without client authentication a node without a certificate of the authority is served', {
  skip,
}, async () => {
  const b = await node('b', { tls: tlsOf(authority, { mutual: false }) });
  const a = await node('a', { tls: tlsOf(stranger, { ca: authority?.pem ?? Buffer.alloc(0) }) });
  assert.equal(await reason(a, b), 'answered');
});

test('who stops in the middle of TLS, or speaks something else in it, disturbs nothing', {
  skip,
}, async () => {
  const tls = tlsOf(authority);
  const { server, log } = await bareServer({ tls: fixedTls(tls) });
  const { port } = server;
  const secure = async (): Promise<TLSSocket> => {
    const { ca, certificate: cert, key } = tls;
    const socket = connectTls({ port, host: '127.0.0.1', ca, cert, key, ALPNProtocols: ['h2'] });
    socket.on('error', () => {});
    socket.resume();
    await new Promise((resolve) => socket.on('secureConnect', resolve));
    return socket;
  };
  (await secure()).destroy();
  const half = connect(port, '127.0.0.1', () =>
    half.write(Buffer.from('1603010200010001fc', 'hex')),
  );
  half.on('error', () => {});
  await new Promise((resolve) => half.on('connect', resolve));
  await sleep(20);
  half.resetAndDestroy();
  const slow = connect(port, '127.0.0.1', () =>
    slow.write(Buffer.from('1603010200010001fc', 'hex')),
  );
  slow.on('error', () => {});
  slow.resume();
  const silent = await secure();
  const talking = await secure();
  const parts = await secure();
  talking.write('GET / HTTP/1.1\r\n\r\n');
  parts.write('PRI * HT');
  await sleep(20);
  parts.write('!');
  await until(() => [slow, silent, talking, parts].every(({ destroyed }) => destroyed));
  const lines = log.join('\n');
  assert.match(lines, /did not finish the handshake in time|it asked for nothing/);
  assert.equal(log.filter((line) => /it does not speak HTTP\/2/.test(line)).length, 2);
  assert.ok(log.length <= 5, lines);
  const a = await node('a', { tls });
  const b = await node('b', { tls });
  assert.equal(await reason(a, b), 'answered');
});
