/** Three node processes whose links are encrypted: who has no certificate of their authority stays outside. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import cassandra from 'cassandra-driver';
import { connectAdmin, UnreachableError } from '../node/src/main/admin-client.ts';
import { encryptionFlags, nodeCertificate } from '../node/tools/node-certificates.ts';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import { type NodeProcess, startNode, temporaryDirectory } from './support/node-process.ts';
import { missing } from './support/tools.ts';
import { until } from './support/wait.ts';

const skip = missing('openssl', ['version']);
const { consistencies } = cassandra.types;
const PORTS = [7000, 7001];
const MAIN = fileURLToPath(new URL('../node/src/main/main.ts', import.meta.url));

/** Closed at the end of its `await using`. */
class Session extends cassandra.Client implements AsyncDisposable {
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }
}

function clientOf(cluster: ClusterProcesses): Session {
  return new Session({
    contactPoints: [cluster.addresses[0]],
    localDataCenter: 'dc1',
    queryOptions: { consistency: consistencies.all, prepare: true },
  });
}

/** A new node beside those of the cluster. @param until text of its log to wait for */
function newcomer(
  cluster: ClusterProcesses,
  last: number,
  flags: Readonly<Record<string, string>>,
  until: string,
): Promise<NodeProcess> {
  const address = cluster.addresses[0].replace(/\d+$/, String(last));
  return startNode({
    until,
    flags: {
      ...{ 'data-center': 'dc1', workers: '1', shards: '1', seeds: cluster.addresses[0] },
      ...{ 'listen-address': address, 'rpc-address': address },
      ...{ 'admin-address': address, 'metrics-address': address },
      ...flags,
    },
  });
}

/** What the port answers to text, until it closes. */
function speakPlainly(address: string, port: number): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0;
    const socket = connect(port, address, () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
    socket.on('error', () => {});
    socket.on('data', (data) => {
      bytes += data.length;
    });
    socket.on('close', () => resolve(bytes));
  });
}

test('an encrypted cluster serves, and lets in who has a certificate', { skip }, async () => {
  const directory = temporaryDirectory();
  const flagsOf = (address: string) =>
    encryptionFlags(nodeCertificate(directory, address, address));
  await using cluster = await startCluster({ datacenters: { dc1: 3 }, flagsOf });
  await using client = clientOf(cluster);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );

  const alone = await newcomer(cluster, 7, {}, 'no seed takes this node in');
  assert.match(alone.output(), /if the nodes of this cluster have internode_encryption: all/);
  await alone.kill9();
  const strange = temporaryDirectory();
  const other = await newcomer(
    cluster,
    8,
    encryptionFlags(nodeCertificate(strange, 'other', cluster.addresses[0])),
    'a peer could not be reached',
  );
  assert.match(other.output(), /must be signed by this node's internode_authority/);
  await other.kill9();
  const seen = () => cluster.nodes[0].output();
  assert.match(
    seen(),
    /it does not speak TLS: if it is a node, it needs internode_encryption: all/,
  );

  for (const port of PORTS) await speakPlainly(cluster.addresses[1], port);
  const address = cluster.addresses[0].replace(/\d+$/, '9');
  await using fourth = await newcomer(cluster, 9, flagsOf(address), '"message":"ready"');
  assert.ok(fourth.pid > 0);

  // Only now: with tables nobody could have joined.
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
  for (let k = 0; k < 50; k++) {
    await client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k, k]);
    const row = (await client.execute('SELECT v FROM ks.t WHERE k = ?', [k])).first();
    assert.equal(row?.['v'], k);
  }
  const peers = await client.execute('SELECT host_id FROM system.peers');
  assert.equal(peers.rowLength, 3);
});

test('the admin service speaks to those who have a certificate; so does `ilion`', {
  skip,
}, async () => {
  const directory = temporaryDirectory();
  const filesOf = (address: string) => nodeCertificate(directory, address, address);
  const idOf = (address: string) =>
    `00000000-0000-4000-8000-${address.replace(/.*\./, '').padStart(12, '0')}`;
  const flagsOf = (address: string) => ({
    ...encryptionFlags(filesOf(address)),
    'admin-encryption': 'all',
    'host-id': idOf(address),
  });
  await using cluster = await startCluster({ datacenters: { dc1: 3 }, flagsOf });
  const [{ adminPort }] = cluster.nodes;
  const [address] = cluster.addresses;
  const hostId = idOf(address);
  const place = `${address}:${adminPort}`;
  const tlsOf = (name: string, authority = filesOf(address).authority) => ({
    ca: readFileSync(authority),
    certificate: readFileSync(filesOf(name).certificate),
    key: readFileSync(filesOf(name).key),
    ...{ mutual: true, verifyAddress: false },
  });
  const admin = connectAdmin(place, tlsOf(address));
  const { nodes } = await admin.status(true);
  assert.deepEqual(nodes.map((node) => node.hostId).sort(), cluster.addresses.map(idOf).sort());
  assert.deepEqual(await admin.checkDisruption([hostId]), { allowed: true, reason: '' });
  admin.close();

  const plain = connectAdmin(place);
  await assert.rejects(plain.status(), UnreachableError);
  plain.close();
  const elsewhere = nodeCertificate(temporaryDirectory(), 'x', address);
  const stranger = connectAdmin(place, {
    ...tlsOf(address),
    certificate: readFileSync(elsewhere.certificate),
    key: readFileSync(elsewhere.key),
  });
  await assert.rejects(stranger.status(), UnreachableError);
  stranger.close();

  const variables = Object.entries(flagsOf(address)).map(([flag, value]) => [
    `ILION_${flag.replaceAll('-', '_').toUpperCase()}`,
    value,
  ]);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [MAIN, 'status', '--json', '--admin', place],
    { env: { ...process.env, ...Object.fromEntries(variables) } },
  );
  assert.equal(JSON.parse(stdout).hostId, hostId);
});

test('another authority comes in without a restart', { skip }, async () => {
  const [first, second, live] = [temporaryDirectory(), temporaryDirectory(), temporaryDirectory()];
  const filesOf = (address: string) => {
    const at = join(live, address);
    mkdirSync(at, { recursive: true });
    return {
      authority: join(at, 'ca.pem'),
      certificate: join(at, 'node.pem'),
      key: join(at, 'node.key'),
    };
  };
  const install = (address: string, from: string) => {
    const [made, files] = [nodeCertificate(from, address, address), filesOf(address)];
    for (const name of ['authority', 'certificate', 'key'] as const) {
      copyFileSync(made[name], files[name]);
    }
  };
  const flagsOf = (address: string) => {
    install(address, first);
    return encryptionFlags(filesOf(address));
  };
  await using cluster = await startCluster({ datacenters: { dc1: 2 }, flagsOf });
  for (const address of cluster.addresses) install(address, second);
  await until('all have read them', () =>
    cluster.nodes.every((node) => node.output().includes('links between nodes have changed')),
  );
  // The workers look by themselves.
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const address = cluster.addresses[0].replace(/\d+$/, '9');
  const flags = encryptionFlags(nodeCertificate(second, address, address));
  await using third = await newcomer(cluster, 9, flags, '"message":"ready"');
  await using client = clientOf(cluster);
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY)');
  await client.execute('INSERT INTO ks.t (k) VALUES (1)');
  assert.ok(third.pid > 0);
});
