/**
 * Whatever comes to the ports between nodes: the connection is dropped with a line in the log, memory does not grow, and
 * the cluster serves on without an error.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { encodePacket } from '../node/src/adapters/grpc-links-service.ts';
import { encodeGossip } from '../node/src/cluster/gossip-codec.ts';
import { Writer } from '../node/src/common/bytes.ts';
import { Verb } from '../node/src/internode/links.ts';
import {
  beginPacket,
  Lane,
  MessageKind,
  PacketKind,
  sealPacket,
  writeHello,
  writeMessageHeader,
} from '../node/src/internode/packet.ts';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';

const { consistencies } = cassandra.types;
const CONTROL = 7000;
const DATA = 7001;
const IDLE_CONNECTIONS = 2500;
const GROWTH_MAX = 64 << 20;
const DROPPED = /a link from a peer was closed|was not one of a peer/;

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

function sealed(fill: (writer: Writer) => void): Buffer {
  const writer = new Writer();
  fill(writer);
  const packet = writer.copy();
  sealPacket(packet, 0);
  return packet;
}

function hello(clusterId = ''): Buffer {
  return sealed((writer) =>
    writeHello(writer, {
      ...{ lane: Lane.control, session: [1, 2], meant: '' },
      ...{ hostId: 'bad', clusterName: 'Ilion', clusterId },
    }),
  );
}

/** A request of the right form whose body is half a message of gossip. */
function halfGossip(): Buffer {
  const digest = { id: 'x'.repeat(16), generation: 1, version: 1 };
  const whole = encodeGossip(new Writer(), 'c', { kind: 'offer', isAll: true, digests: [digest] });
  const half = whole.subarray(0, whole.length >> 1);
  return sealed((writer) => {
    beginPacket(writer, PacketKind.messages);
    writeMessageHeader(writer, MessageKind.request, Verb.Gossip, 1, 10_000, half.length);
    writer.raw(half);
  });
}

/** A length-prefixed message of gRPC around a packet. */
function message(packet: Uint8Array): Buffer {
  const body = encodePacket(packet);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function changed(packet: Buffer, change: (packet: Buffer) => void): Buffer {
  change(packet);
  return packet;
}

interface Target {
  readonly address: string;
  readonly port: number;
  /** Lines are rationed by it. */
  readonly from: string;
}

function open({ address, port, from }: Target): { socket: Socket; closed: Promise<void> } {
  const socket = connect({ host: address, port, localAddress: from });
  socket.on('error', () => {});
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve())) };
}

/** Resolves when the node has closed the connection. */
async function sendRaw(target: Target, bytes: Buffer): Promise<void> {
  const { socket, closed } = open(target);
  socket.resume();
  socket.write(bytes);
  await closed;
}

/** The same with parts of a call's body. @returns what came back */
async function sendCall(target: Target, parts: readonly Buffer[]): Promise<Buffer> {
  const { socket, closed } = open(target);
  const answers: Buffer[] = [];
  const session: ClientHttp2Session = connectHttp2('http://node', {
    createConnection: () => socket,
  });
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/ilion.internode.v1.Internode/Exchange',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.on('data', (data: Buffer) => answers.push(data));
  stream.on('end', () => stream.close());
  for (const part of parts) {
    stream.write(part);
    await pause(50);
  }
  await closed;
  return Buffer.concat(answers);
}

type Attack = readonly [name: string, run: (target: Target) => Promise<unknown>];

const ATTACKS: readonly Attack[] = [
  ['text of HTTP/1', (to) => sendRaw(to, Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'))],
  ['random bytes', (to) => sendRaw(to, randomBytes(200_000))],
  [
    'random bytes after the preface of HTTP/2',
    (to) =>
      sendRaw(
        to,
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), randomBytes(99)]),
      ),
  ],
  ['a message of 2 GiB', (to) => sendCall(to, [Buffer.from('0080000000', 'hex')])],
  [
    'a packet of 2 GiB',
    (to) => sendCall(to, [message(changed(hello(), (bytes) => bytes.writeUInt32BE(2 ** 31, 8)))]),
  ],
  [
    'another magic',
    (to) => sendCall(to, [message(changed(hello(), (bytes) => bytes.write('EVIL')))]),
  ],
  [
    'an unknown version',
    (to) => sendCall(to, [message(changed(hello(), (bytes) => bytes.writeUInt8(99, 4)))]),
  ],
  ['random bytes for a packet', (to) => sendCall(to, [message(randomBytes(5000))])],
  ['half a packet', (to) => sendCall(to, [message(hello().subarray(0, 30))])],
  ['a packet before any hello', (to) => sendCall(to, [message(halfGossip())])],
  [
    'half a message of gossip, and then half a packet',
    (to) =>
      sendCall(to, [message(hello()), message(halfGossip()), message(hello().subarray(0, 9))]),
  ],
  ['two hellos', (to) => sendCall(to, [message(hello()), message(hello())])],
  ['another cluster of the same name', (to) => sendCall(to, [message(hello('other'))])],
];

async function residentBytes(cluster: ClusterProcesses): Promise<number> {
  const { metricsPort } = cluster.nodes[0];
  const answer = await fetch(`http://${cluster.addresses[0]}:${metricsPort}/metrics`);
  const line = (await answer.text())
    .split('\n')
    .find((one) => one.startsWith('ilion_process_resident_bytes'));
  return Number(line?.slice(line.lastIndexOf(' ') + 1));
}

function droppedLines(cluster: ClusterProcesses, from: string): number {
  const lines = cluster.nodes[0].output().split('\n');
  return lines.filter((line) => DROPPED.test(line) && line.includes(`${from}:`)).length;
}

/** Reads and writes all the while. At its end the client is closed. */
class Load implements AsyncDisposable {
  readonly failures: unknown[] = [];
  done = 0;
  private readonly client: cassandra.Client;
  private running: Promise<unknown> = Promise.resolve();
  private going = true;

  constructor(client: cassandra.Client) {
    this.client = client;
  }

  start(): void {
    this.running = Promise.all([this.run(), this.run()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.going = false;
    await this.running;
    await this.client.shutdown();
  }

  private async run(): Promise<void> {
    for (let k = 0; this.going; k++) {
      try {
        await this.client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k % 100, k]);
        await this.client.execute('SELECT v FROM ks.t WHERE k = ?', [k % 100]);
        this.done++;
      } catch (error) {
        this.failures.push(error);
      }
      await pause(2);
    }
  }
}

test('bad input to the ports between nodes disturbs nothing', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  const client = new cassandra.Client({
    contactPoints: [...cluster.addresses],
    localDataCenter: 'dc1',
    policies: { retry: new cassandra.policies.retry.FallthroughRetryPolicy() },
    queryOptions: { consistency: consistencies.quorum, prepare: true },
  });
  await using load = new Load(client);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  load.start();
  await pause(1000);
  const [address] = cluster.addresses;
  let host = 10;
  const nextTarget = (port: number): Target => ({ address, port, from: `127.88.1.${host++}` });

  for (const port of [CONTROL, DATA]) {
    await Promise.all(
      ATTACKS.map(async ([name, run]) => {
        const target = nextTarget(port);
        const began = performance.now();
        await run(target);
        await pause(50);
        const what = `${name} to port ${port}`;
        assert.equal(droppedLines(cluster, target.from), 1, `lines of ${what}`);
        assert.ok(performance.now() - began < 15_000, `${what} was not dropped soon`);
      }),
    );
  }

  const before = await residentBytes(cluster);
  const target = nextTarget(CONTROL);
  for (let i = 0; i < 300; i++) {
    void sendRaw(target, randomBytes(100_000));
    if (i % 20 === 0) await pause(50);
  }
  await pause(500);
  assert.ok(droppedLines(cluster, target.from) <= 10, 'lines are rationed');
  const sockets: Socket[] = [];
  for (const port of [CONTROL, DATA]) {
    const idle = nextTarget(port);
    for (let i = 0; i < IDLE_CONNECTIONS; i++) {
      sockets.push(open(idle).socket.resume());
      if (i % 100 === 0) await pause(10);
    }
  }
  const ofLoad = load.done;
  await pause(3000);
  assert.ok(load.done > ofLoad + 50, `only ${load.done - ofLoad} rounds beside idle connections`);
  const openNow = sockets.filter((one) => !one.destroyed).length;
  assert.ok(openNow <= 2 * 1024, `${openNow} idle connections are held`);
  await pause(9000);
  assert.equal(sockets.filter((one) => !one.destroyed).length, 0, 'idle connections are closed');
  const grown = (await residentBytes(cluster)) - before;
  assert.ok(grown < GROWTH_MAX, `${grown} bytes of memory more`);
  assert.deepEqual(load.failures, []);
});
