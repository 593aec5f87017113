/** The image of the node on a real kubelet: without rights, on a read-only root file system, inside its limits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from '../cql/client.ts';
import { type Kubernetes, startKubernetes, unavailable } from './support/cluster.ts';
import { type PackedImage, packImage, SLIM_BASE_BYTES } from './support/image.ts';
import { databasePod } from './support/manifests.ts';
import { ToolError, until } from './support/processes.ts';

const MIB = 2 ** 20;
const IMAGE_BYTES_MAX = 250e6;
const READY_MILLIS = 60_000;
const GRACE_SECONDS = 60;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let kube: Kubernetes;
let image: PackedImage;

before(async () => {
  if (skip !== false) return;
  image = packImage('node');
  kube = await startKubernetes({ nodes: 1 });
  await kube.loadImage(image.archive);
  await kube.apply(pod('plain'));
  await kube.kubectl(['wait', '--for=condition=Ready', 'pod/plain', `--timeout=${READY_MILLIS}ms`]);
});

after(async () => {
  await kube?.[Symbol.asyncDispose]();
});

/** The finalizer keeps it readable after its end. */
const pod = (name: string): object =>
  databasePod({
    name,
    image: image.name,
    finalizers: ['ilion.dev/test'],
    graceSeconds: GRACE_SECONDS,
  });

const inPod = (...command: string[]) => kube.kubectl(['exec', 'plain', '--', ...command]);

interface Ended {
  readonly exitCode: number;
  readonly reason: string;
  readonly finishedAt: string;
}

/** Deletes a pod and waits for the end of its container. */
async function end(name: string): Promise<Ended> {
  await kube.kubectl(['delete', 'pod', name, '--wait=false']);
  const ended = await until(`the end of ${name}`, (GRACE_SECONDS + 30) * 1000, async () => {
    const { status } = (await kube.get(['pod', name])) as {
      status: { containerStatuses?: { state: { terminated?: Ended } }[] };
    };
    return status.containerStatuses?.[0]?.state.terminated;
  });
  const release = '[{"op": "remove", "path": "/metadata/finalizers"}]';
  await kube.kubectl(['patch', 'pod', name, '--type=json', '-p', release]);
  return ended;
}

test('the image is small', { skip }, () => {
  const bytes = image.bytes + SLIM_BASE_BYTES;
  assert.ok(bytes < IMAGE_BYTES_MAX, `${bytes}`);
});

test('it runs without rights and writes only to its volumes', { skip }, async () => {
  assert.equal((await inPod('id', '-u')).trim(), '65532');
  assert.match(await inPod('cat', '/proc/1/status'), /^CapEff:\s+0+$/m);
  await assert.rejects(inPod('touch', '/ilion/x'), /Read-only file system/);
  await inPod('touch', '/tmp/x', '/var/lib/ilion/x');
});

test('the commands answer', { skip }, async () => {
  assert.match(await inPod('ilion', 'status'), /^State\s+serving/m);
  assert.equal((await inPod('ilion-health')).trim(), 'alive');
  assert.equal((await inPod('ilion-health', 'readyz')).trim(), 'ready');
  await assert.rejects(inPod('ilion-health', 'nothing'), (error) => error instanceof ToolError);
});

test('it serves CQL', { skip }, async () => {
  using forward = await kube.forward('default', 'pod/plain', 9042);
  const client = await Client.open('127.0.0.1', forward.port, 5);
  try {
    const statements = [
      "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
      'CREATE TABLE k.t (a int PRIMARY KEY, b text)',
      "INSERT INTO k.t (a, b) VALUES (1, 'one')",
    ];
    for (const text of statements) assert.equal((await client.query(text)).kind, 'done', text);
    const found = await client.query('SELECT b FROM k.t WHERE a = 1');
    assert.equal(found.kind === 'rows' ? String(found.rows[0]?.[0]) : found.kind, 'one');
  } finally {
    client.close();
  }
});

/** What the node makes of its environment: it runs the same code beside it, in the same container. */
const SIZES = `
  const { loadFromProcess } = await import('/ilion/node/src/main/process-settings.ts');
  const { settings } = loadFromProcess(null, new Map());
  console.log(JSON.stringify(settings));`;

test('it sizes itself by the limits of its container', { skip }, async () => {
  const found = await inPod('/ilion/bin/node', '--input-type=module', '-e', SIZES);
  const settings = JSON.parse(found) as { cacheBytes: number; workers: number };
  // 29 % of a quarter of the memory limit.
  assert.equal(settings.cacheBytes, Math.floor(160 * MIB * 0.24));
  assert.equal(settings.workers, 1);
  assert.match(await kube.kubectl(['logs', 'plain']), /"message":"ready".*"workers":1/);
});

test('SIGTERM ends it well within the grace period', { skip }, async () => {
  const began = performance.now();
  const ended = await end('plain');
  assert.equal(ended.exitCode, 0, ended.reason);
  assert.ok(performance.now() - began < 20_000);
});

test('SIGTERM ends it at any moment of its start', { skip }, async () => {
  for (const delay of [0, 100, 300]) {
    const name = `early-${delay}`;
    await kube.apply(pod(name));
    await until('its container', READY_MILLIS, async () => {
      const { status } = (await kube.get(['pod', name])) as {
        status: { containerStatuses?: { state: { running?: object } }[] };
      };
      return status.containerStatuses?.[0]?.state.running;
    });
    await new Promise((resolve) => setTimeout(resolve, delay));
    const began = performance.now();
    const { exitCode } = await end(name);
    // 143: before Node listened to it, the signal ended it as it ends any process.
    assert.ok([0, 143].includes(exitCode), String(exitCode));
    assert.ok(performance.now() - began < 20_000);
  }
});
