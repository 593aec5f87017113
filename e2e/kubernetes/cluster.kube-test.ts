/** The test bed itself: what other tests rely on when they cut networks, pull plugs, fill and grow disks. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Kubernetes, startKubernetes, unavailable } from './support/cluster.ts';
import { packImage } from './support/image.ts';
import { databasePod, namesOfPods, volumeClaim } from './support/manifests.ts';
import { until } from './support/processes.ts';

const READY_MILLIS = 90_000;
/** Until the control plane takes a node for lost, and some time. */
const LOST_MILLIS = 60_000;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;
const labels = { app: 'db' };

let kube: Kubernetes;
let image = '';

const pod = (name: string, node: number) =>
  databasePod({ name, image, labels, node: `node-${node}`, claim: name, memory: '320Mi' });

const ready = (name: string) =>
  kube.kubectl(['wait', '--for=condition=Ready', name, `--timeout=${READY_MILLIS}ms`], {
    milliseconds: READY_MILLIS + 10_000,
  });

const inPod = (name: string, ...command: string[]) =>
  kube.kubectl(['exec', name, '--', ...command]);

/** `True`, `False` or `Unknown`. */
async function nodeReady(node: number): Promise<string> {
  const path = '{.status.conditions[?(@.type=="Ready")].status}';
  return kube.kubectl(['get', 'node', `node-${node}`, '-o', `jsonpath=${path}`]);
}

/** Asks one pod's health from within another. */
async function reaches(from: string, url: string): Promise<string> {
  const ask = `fetch('${url}', { signal: AbortSignal.timeout(2000) })
    .then(async (answer) => console.log(await answer.text()), (error) => console.log(String(error)))`;
  return (await inPod(from, '/ilion/bin/node', '-e', ask)).trim();
}

before(async () => {
  if (skip !== false) return;
  const packed = packImage('node');
  image = packed.name;
  kube = await startKubernetes({ nodes: 3 });
  await kube.loadImage(packed.archive);
  await kube.apply(namesOfPods(labels), volumeClaim('a', '512Mi'), volumeClaim('b', '512Mi'));
  await kube.apply(pod('a', 1), pod('b', 2));
  await Promise.all([ready('pod/a'), ready('pod/b')]);
});

after(async () => {
  await kube?.[Symbol.asyncDispose]();
});

test('nodes are ready, each in a zone of its own', { skip }, async () => {
  const { items } = (await kube.get(['nodes'])) as {
    items: { metadata: { labels: Readonly<Record<string, string>> } }[];
  };
  const zones = items.map(({ metadata }) => metadata.labels['topology.kubernetes.io/zone']);
  assert.deepEqual(zones, ['zone-1', 'zone-2', 'zone-3']);
  for (const node of [1, 2, 3]) assert.equal(await nodeReady(node), 'True');
});

test('pods of different nodes find each other by name', { skip }, async () => {
  assert.equal(await reaches('a', 'http://b.all:9180/healthz'), 'alive');
  assert.equal(await reaches('b', 'http://a.all.default.svc.cluster.local:9180/healthz'), 'alive');
});

test('data outlives its pod', { skip }, async () => {
  await inPod('b', 'touch', '/var/lib/ilion/mark');
  await kube.kubectl(['delete', 'pod', 'b', '--wait']);
  await kube.apply(pod('b', 2));
  await ready('pod/b');
  assert.match(await inPod('b', 'ls', '/var/lib/ilion'), /^mark$/m);
});

test('a disk can be full, and grow', { skip }, async () => {
  const fill = (mib: number) =>
    inPod('b', 'sh', '-c', `head -c ${mib}M /dev/zero > /var/lib/ilion/fill`);
  await assert.rejects(fill(600), /No space left on device/);
  const grown = JSON.stringify({ spec: { resources: { requests: { storage: '1Gi' } } } });
  await kube.kubectl(['patch', 'pvc', 'b', '-p', grown]);
  await until('the larger file system', READY_MILLIS, async () => {
    const [, size = ''] = (await inPod('b', 'df', '-m', '/var/lib/ilion')).split('\n');
    return Number(size.split(/\s+/)[1]) > 900;
  });
  await fill(600);
  await inPod('b', 'sh', '-c', ': > /var/lib/ilion/fill');
});

test('a node cut off is lost, its pods are not', { skip }, async () => {
  await kube.cut(2);
  await until('node-2 to be lost', LOST_MILLIS, async () => (await nodeReady(2)) === 'Unknown');
  assert.notEqual(await reaches('a', 'http://b.all:9180/healthz'), 'alive');
  await kube.heal(2);
  await until('node-2 to be back', LOST_MILLIS, async () => (await nodeReady(2)) === 'True');
  await ready('pod/b');
  assert.equal(await reaches('a', 'http://b.all:9180/healthz'), 'alive');
});

test('a node cut off from the control plane alone serves the others', { skip }, async () => {
  await kube.cut(2, 0);
  await until('node-2 to be lost', LOST_MILLIS, async () => (await nodeReady(2)) === 'Unknown');
  const { status } = (await kube.get(['pod', 'b'])) as { status: { podIP: string } };
  assert.equal(await reaches('a', `http://${status.podIP}:9180/healthz`), 'alive');
  await kube.heal(2);
  await until('node-2 to be back', LOST_MILLIS, async () => (await nodeReady(2)) === 'True');
});

test('a node whose plug is pulled comes back with its disks', { skip }, async () => {
  await kube.nodeOff(2);
  await until('node-2 to be lost', LOST_MILLIS, async () => (await nodeReady(2)) === 'Unknown');
  await kube.nodeOn(2);
  await until('node-2 to be back', READY_MILLIS, async () => (await nodeReady(2)) === 'True');
  await until('the end of the old pod', READY_MILLIS, async () => {
    const { status } = (await kube.get(['pod', 'b'])) as { status: { phase: string } };
    return status.phase !== 'Running';
  });
  await kube.kubectl(['delete', 'pod', 'b', '--wait']);
  await kube.apply(pod('b', 2));
  await ready('pod/b');
  assert.match(await inPod('b', 'ls', '/var/lib/ilion'), /^mark$/m);
});

test('pods serve without a control plane, which comes back', { skip }, async () => {
  const { status } = (await kube.get(['pod', 'b'])) as { status: { podIP: string } };
  await kube.nodeOff(0);
  const answer = await kube.run(1, ['curl', '-sm', '2', `http://${status.podIP}:9180/healthz`]);
  assert.equal(answer.trim(), 'alive');
  await kube.nodeOn(0);
  await until('the API server', READY_MILLIS, () => kube.kubectl(['get', '--raw', '/readyz']));
  await ready('pod/b');
});

test('volumes go with their claims', { skip }, async () => {
  await kube.kubectl(['delete', 'pod/a', 'pod/b', 'pvc/a', 'pvc/b', '--wait']);
  await kube.kubectl(['wait', '--for=delete', 'pv', '--all', '--timeout=60s'], {
    milliseconds: 70_000,
  });
  assert.deepEqual(readdirSync(`${kube.state}/disks/node-2`), []);
});

test('nodes and pods that are only pretended', { skip }, async () => {
  await kube.addFakeNodes(20);
  const { items } = (await kube.get(['nodes', '-l', 'type=kwok'])) as { items: unknown[] };
  assert.equal(items.length, 20);
});

test('a cluster goes when its test is killed', { skip }, async () => {
  const module = fileURLToPath(new URL('./support/cluster.ts', import.meta.url));
  const program = `import { startKubernetes } from '${module}';
    const kube = await startKubernetes({ nodes: 0 });
    console.log(kube.state);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = (await once(child.stdout, 'data')) as [Buffer];
  const state = String(text).trim();
  assert.ok(existsSync(state) && dirname(state) === dirname(kube.state));
  child.kill('SIGKILL');
  await until('the end of the cluster', READY_MILLIS, async () => !existsSync(state));
});
