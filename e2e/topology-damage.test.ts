/** What goes wrong with data that moves: damaged files, strangers at the door of streams, a full disk. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  globSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodePacket } from '../node/src/adapters/grpc-links-service.ts';
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
import { encodeHello, encodeOpen } from '../node/src/streaming/messages.ts';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import { temporaryDirectory } from './support/node-process.ts';
import { connectTo, fillTable, requireEach, settled, withAdmin } from './support/ring-checks.ts';
import { pause, until } from './support/wait.ts';

const ROWS = 8_000;
const VALUE_BYTES = 1_000;
const CONTROL = 7000;
const STREAMS = 7002;
const FIRST_LINE = '"message":"';

function flipByte(file: string): void {
  const handle = openSync(file, 'r+');
  const at = Math.floor(statSync(file).size / 3);
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, at);
  byte[0] ^= 0x40;
  writeSync(handle, byte, 0, 1, at);
  closeSync(handle);
}

async function filled(cluster: ClusterProcesses): Promise<void> {
  const client = await connectTo(cluster, [0]);
  try {
    await client.execute(
      "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
    );
    await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int, filler blob)');
    await fillTable(client, 'ks.t', ROWS, VALUE_BYTES);
  } finally {
    await client.shutdown();
  }
  for (const index of cluster.nodes.keys()) {
    await withAdmin(cluster, index, async (admin) => {
      await admin.flush({ keyspace: 'ks', table: 't' });
      await admin.compact({ keyspace: 'ks', table: 't' });
    });
  }
}

function sealed(fill: (writer: Writer) => void): Buffer {
  const writer = new Writer();
  fill(writer);
  const packet = writer.copy();
  sealPacket(packet, 0);
  return packet;
}

/** A length-prefixed message of gRPC around a packet. */
function message(packet: Uint8Array): Buffer {
  const body = encodePacket(packet);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function linesOf(cluster: ClusterProcesses, index: number, text: string): readonly string[] {
  return cluster.nodes[index]
    .output()
    .split('\n')
    .filter((line) => line.includes(text));
}

/** Over a link of its own: the node does not know who it is. */
async function askAsStranger(address: string, hostId: string, body: Uint8Array): Promise<void> {
  const socket = connect({ host: address, port: CONTROL, localAddress: '127.88.2.100' });
  socket.on('error', () => {});
  const session = connectHttp2('http://node', { createConnection: () => socket });
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/ilion.internode.v1.Internode/Exchange',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.resume();
  const hello = sealed((writer) =>
    writeHello(writer, {
      ...{ lane: Lane.control, session: [1, 2], meant: '' },
      ...{ hostId, clusterName: 'Ilion', clusterId: '' },
    }),
  );
  const question = sealed((writer) => {
    beginPacket(writer, PacketKind.messages);
    writeMessageHeader(writer, MessageKind.request, Verb.StreamOpen, 1, 10_000, body.length);
    writer.raw(body);
  });
  for (const packet of [hello, question]) {
    stream.write(message(packet));
    await pause(100);
  }
  socket.destroy();
}

test('a damaged file is never taken: the others have the range, too', {
  timeout: 120_000,
}, async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  await filled(cluster);
  const files = globSync(join(cluster.nodes[0].dataDirectory, 'shards.*/*/*.sst'));
  const large = files.filter((file) => statSync(file).size > 30_000);
  assert.ok(large.length > 0);
  for (const file of large) flipByte(file);
  const added = await cluster.add('dc1');
  await settled(cluster, 0, 4);
  const lines = [
    ...linesOf(cluster, added, 'a damaged file was offered'),
    ...linesOf(cluster, added, 'Corruption: '),
  ].filter((line) => line.includes(cluster.addresses[0]));
  assert.ok(lines.length >= 1 && lines.length <= 3, `lines: ${lines.join('\n')}`);
  await cluster.nodes[0].kill9();
  await requireEach(cluster, [added], 'ks.t', ROWS);
});

test('strangers get nothing of streams, and leave a line in the log', {
  timeout: 120_000,
}, async () => {
  await using cluster = await startCluster({
    datacenters: { dc1: 3 },
    flags: { 'stream-throughput-outbound': '512KiB' },
  });
  await filled(cluster);
  const added = cluster.add('dc1');
  const open = () =>
    cluster.nodes
      .slice(0, 3)
      .findIndex(({ dataDirectory }) => globSync(join(dataDirectory, '**/out/*')).length > 0);
  await until('a stream is open', async () => open() >= 0);
  const source = open();
  const { dataDirectory } = cluster.nodes[source];
  const [session] = globSync(join(dataDirectory, '**/out/*')).map((path) => path.slice(-32));
  const hello = {
    session: Buffer.from(session, 'hex'),
    token: randomBytes(32),
    file: 0,
    offset: 0,
  };
  const attempts = [
    randomBytes(200_000),
    Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(4)),
    encodeHello(hello),
    encodeHello({ ...hello, session: randomBytes(16) }),
    encodeHello({ ...hello, offset: 2 ** 40 }),
  ];
  for (const [i, bytes] of attempts.entries()) {
    const from = `127.88.2.${i + 1}`;
    const address = cluster.addresses[source];
    const socket = connect({ host: address, port: STREAMS, localAddress: from });
    let got = 0;
    socket.on('data', (data) => {
      got += data.length;
    });
    socket.on('error', () => {});
    socket.write(bytes);
    await new Promise((resolve) => socket.on('close', resolve));
    assert.equal(got, 0);
    await until(`a line of attempt ${i}`, async () => linesOf(cluster, source, from).length > 0, 5);
    assert.equal(linesOf(cluster, source, from).length, 1);
  }
  const { operations } = await withAdmin(cluster, source, (admin) => admin.operations());
  const asked = { operation: operations[0]?.id ?? '', epoch: 0, asRows: false, shards: 1 };
  for (const [i, operation] of [asked.operation, 'none'].entries()) {
    const tables = [{ table: Buffer.alloc(20), ranges: [{ first: 0, last: 65_535 }] }];
    const body = encodeOpen({ ...asked, operation, session: randomBytes(16), tables });
    const hostId = `stranger-${i}`;
    await askAsStranger(cluster.addresses[source], hostId, body);
    const refused = () =>
      linesOf(cluster, source, 'a stream was not opened').filter((line) => line.includes(hostId));
    await until(`${hostId} is refused`, async () => refused().length === 1, 5);
  }
  await added;
  await settled(cluster, 0, 4);
  await requireEach(cluster, [3], 'ks.t', ROWS);
  for (const { dataDirectory: directory } of cluster.nodes) {
    assert.deepEqual(globSync(join(directory, 'streams/**/*.sst')), []);
    assert.deepEqual(globSync(join(directory, 'streams/out/*')), []);
  }
});

const DISK_MIB = 340;
const MIB = 1 << 20;

/** A small disk of its own in memory. @returns null where mounting is not allowed */
function mountDisk(): (AsyncDisposable & { readonly place: string; freeMib(): number }) | null {
  const place = join(temporaryDirectory(), 'disk');
  mkdirSync(place);
  const options = ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'ilion-test', place];
  if (spawnSync('mount', options).status !== 0) return null;
  const unmount = () => spawnSync('umount', ['--lazy', place]);
  process.once('exit', unmount);
  return {
    place,
    freeMib: () => {
      const { bavail, bsize } = statfsSync(place);
      return Math.floor((bavail * bsize) / MIB);
    },
    [Symbol.asyncDispose]: async () => {
      unmount();
    },
  };
}

function problems(cluster: ClusterProcesses): Promise<readonly string[]> {
  return withAdmin(cluster, 0, async (admin) => {
    const { operations } = await admin.operations();
    return operations.flatMap(({ gainers }) => gainers.map(({ problem }) => problem));
  });
}

test('a node whose disk is full joins when there is room', { timeout: 180_000 }, async (t) => {
  await using disk = mountDisk();
  if (disk === null) return t.skip('mounting a file system is not allowed here');
  const throughput = { 'stream-throughput-outbound': '512KiB' };
  await using cluster = await startCluster({ datacenters: { dc1: 3 }, flags: throughput });
  await filled(cluster);
  const ballast = join(disk.place, 'ballast');
  writeFileSync(ballast, Buffer.alloc(150 * MIB));
  const dataDirectory = join(disk.place, 'data');
  const added = await cluster.add('dc1', { 'data-directory': dataDirectory }, FIRST_LINE);
  const saysFull = async () => (await problems(cluster)).some((one) => /make room/.test(one));
  await until('it says that there is no room', saysFull);
  const { operations } = await withAdmin(cluster, 0, (admin) => admin.operations());
  assert.deepEqual(
    operations.map(({ kind, phase }) => [kind, phase]),
    [['join', 'streaming']],
  );
  rmSync(ballast);
  // While files come, it gets full indeed.
  await until(
    'files come',
    async () => globSync(join(dataDirectory, 'streams/in/**/*.sst')).length > 0,
  );
  writeFileSync(ballast, Buffer.alloc((disk.freeMib() - 1) * MIB));
  await until('it says so again', saysFull);
  rmSync(ballast);
  await settled(cluster, 0, 4, 90);
  await requireEach(cluster, [0, 1, 2, added], 'ks.t', ROWS);
});

test('a join into a full disk can be undone', { timeout: 120_000 }, async (t) => {
  await using disk = mountDisk();
  if (disk === null) return t.skip('mounting a file system is not allowed here');
  await using cluster = await startCluster({ datacenters: { dc1: 3 } });
  await filled(cluster);
  writeFileSync(join(disk.place, 'ballast'), Buffer.alloc(150 * MIB));
  const flags = { 'data-directory': join(disk.place, 'data') };
  await cluster.add('dc1', flags, FIRST_LINE);
  await until('it says that there is no room', async () =>
    (await problems(cluster)).some((one) => /make room/.test(one)),
  );
  await withAdmin(cluster, 0, async (admin) => {
    const [{ id }] = (await admin.operations()).operations;
    await admin.cancelOperation(id);
  });
  await settled(cluster, 0, 3);
  await requireEach(cluster, [0, 1, 2], 'ks.t', ROWS);
});
