/**
 * What happens to running clusters, on a real Kubernetes: pods and volumes go, nodes of Kubernetes are drained and lose their power,
 * settings, images and authorities change. An application reads and writes meanwhile, of which no request may fail and no
 * acknowledged row may be lost; the operator is killed again and again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { countWrites, writesBetween } from './support/api-writes.ts';
import { unavailable } from './support/cluster.ts';
import { DatabaseCluster, type PodObject } from './support/database-cluster.ts';
import { type LoadPod, startLoadPod } from './support/load-pod.ts';
import { type Operator, OperatorKills, startOperator, TREE } from './support/operator.ts';
import { until } from './support/processes.ts';
import { Steps } from './support/steps.ts';

const NAMESPACE = 'shop';
const NODES = 3;
const MIB = 2 ** 20;
/** Of the operator's process. */
const MEMORY_MAX = 150 * MIB;
const WAIT_MILLIS = 120_000;
/** A kubelet brings a changed Secret into its pods in 20 s here, and nodes look every 10 s. */
const SETTLE_SECONDS = 40;
/** A cluster that needs nothing is looked at every 30 s. */
const CALM_MILLIS = 75_000;
/** Where the application runs: nothing is done to it. */
const LOAD_NODE = 1;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let operator: Operator;
let demo: DatabaseCluster;
let load: LoadPod;
let kills: OperatorKills;
const steps = new Steps('healing and changes');

before(async () => {
  if (skip !== false) return;
  const values = [`certificateSettleSeconds=${SETTLE_SECONDS}`];
  operator = await startOperator({ nodes: NODES, hasLoad: true, values });
  demo = new DatabaseCluster(operator, 'demo', NAMESPACE);
  await demo.create(readFileSync(join(TREE, 'examples/demo.yaml'), 'utf8'));
  await demo.settled(3);
  load = await startLoadPod(demo, {
    image: operator.images.load,
    ...{ datacenter: 'dc1', replicas: 3, node: `node-${LOAD_NODE}` },
  });
  kills = new OperatorKills(operator);
  steps.under(load, kills);
});

after(async () => {
  steps.print();
  await kills?.[Symbol.asyncDispose]();
  await operator?.[Symbol.asyncDispose]();
});

/** A pod of the database on another machine than the application. */
async function victim(): Promise<PodObject> {
  const pods = await demo.pods();
  const pod = pods.find(({ spec }) => spec.nodeName !== `node-${LOAD_NODE}`);
  assert.ok(pod?.spec.nodeName !== undefined);
  return pod;
}

/** The pod is another one. */
const isNew = async (old: PodObject) =>
  (await demo.pods()).every(({ metadata }) => metadata.uid !== old.metadata.uid);

test('a pod that is deleted comes back', { skip }, async () => {
  const pod = await victim();
  await steps.step('kubectl delete pod', async () => {
    await demo.kubectl(['delete', 'pod', pod.metadata.name, '--wait'], WAIT_MILLIS);
    await until('another pod', WAIT_MILLIS, () => isNew(pod));
    await demo.settled(3);
  });
});

test('a node that lost its volume is replaced', { skip }, async () => {
  const pod = await victim();
  const { name } = pod.metadata;
  await steps.step('kubectl delete pvc and pod', async () => {
    await demo.kubectl(['delete', `pvc/${name}`, `pod/${name}`, '--wait=false']);
    await until('the end of the node', WAIT_MILLIS * 2, async () =>
      (await demo.nodes()).every(({ metadata }) => metadata.name !== name),
    );
    await demo.settled(3);
  });
  assert.ok((await demo.claims()).every(({ metadata }) => metadata.name !== name));
});

test('a setting that needs a restart goes through the nodes', { skip }, async () => {
  const pods = await demo.pods();
  await steps.step('a change of spec.config, 3 restarts', async () => {
    await demo.patch({ config: { concurrentReads: 5 } });
    await demo.replacedPods(pods);
  });
});

test('another image goes through the nodes', { skip }, async () => {
  const image = `${operator.images.node}-second`;
  for (let node = 1; node <= NODES; node++) {
    const names = [operator.images.node, image];
    await demo.kube.run(node, ['ctr', '--namespace', 'k8s.io', 'images', 'tag', ...names]);
  }
  const pods = await demo.pods();
  await steps.step('a change of spec.image, 3 restarts', async () => {
    await demo.patch({ image });
    await demo.replacedPods(pods);
  });
  const path = ['-o', 'jsonpath={.items[*].spec.containers[*].image}'];
  const images = await demo.kubectl(['get', 'pods', '-l', 'ilion.dev/cluster=demo', ...path]);
  assert.deepEqual(images.split(' '), [image, image, image]);
});

test('a node of Kubernetes is drained, and is back', { skip }, async () => {
  const pod = await victim();
  const node = pod.spec.nodeName ?? '';
  await steps.step('kubectl drain, then uncordon', async () => {
    const flags = ['--delete-emptydir-data', '--ignore-daemonsets', '--timeout=110s'];
    await demo.kube.kubectl(['drain', node, ...flags], { milliseconds: WAIT_MILLIS });
    assert.ok((await demo.pods()).every(({ spec }) => spec.nodeName !== node));
    await demo.kube.kubectl(['uncordon', node]);
    await until('another pod', WAIT_MILLIS, () => isNew(pod));
    await demo.settled(3);
  });
});

/** When its container was started. */
async function startOf(pod: string): Promise<number> {
  const path = 'jsonpath={.status.containerStatuses[0].state.running.startedAt}';
  return Date.parse(await demo.kubectl(['get', 'pod', pod, '-o', path]));
}

test('the power of a node of Kubernetes is cut, and is back', { skip }, async () => {
  const { metadata, spec } = await victim();
  const machine = Number(spec.nodeName?.slice('node-'.length));
  const before = await startOf(metadata.name);
  await steps.step(
    'a power cut, until Kubernetes notices, then until all serve again',
    async () => {
      await demo.kube.nodeOff(machine);
      const unknown = ['wait', `node/${spec.nodeName}`, '--for=condition=Ready=Unknown'];
      await demo.kube.kubectl([...unknown, '--timeout=100s'], { milliseconds: WAIT_MILLIS });
      await demo.kube.nodeOn(machine);
      await until(
        'its container',
        WAIT_MILLIS,
        async () => (await startOf(metadata.name)) > before,
      );
      await demo.settled(3);
    },
  );
});

/** What nodes believe, by the Secret of each. */
async function authorities(): Promise<readonly string[]> {
  const nodes = await demo.nodes();
  return Promise.all(
    nodes.map(({ metadata }) => {
      const path = ['-o', 'jsonpath={.data.ca\\.crt}'];
      return demo.kubectl(['get', 'secret', `${metadata.name}-tls`, ...path]);
    }),
  );
}

test('the authority of all certificates changes', { skip }, async () => {
  const [before] = await authorities();
  const isSteady = async () => {
    const all = await authorities();
    const count = (text: string) =>
      Buffer.from(text, 'base64').toString().split('BEGIN CERTIFICATE').length - 1;
    return all.every((one) => one !== before && count(one) === 1);
  };
  await steps.step(`another authority (settles for ${SETTLE_SECONDS} s, twice)`, async () => {
    await demo.kubectl(['annotate', 'secret', 'demo-ca', 'ilion.dev/renew=now']);
    await until('the new authority alone', WAIT_MILLIS * 3, isSteady);
    // Nodes have read it and do without the old one.
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    await demo.settled(3);
  });
});

test('a cluster that is as it is to be costs no writes', { skip }, async () => {
  await kills[Symbol.asyncDispose]();
  await demo.settled(3);
  // The last words about what was before.
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  const reconciled = () => operator.metric('ilion_operator_reconciles_total');
  const [writes, before] = [await countWrites(demo.kube), await reconciled()];
  await new Promise((resolve) => setTimeout(resolve, CALM_MILLIS));
  const [more, after] = [await countWrites(demo.kube), await reconciled()];
  console.log(
    `${after - before} reconciliations of an unchanged cluster in ${CALM_MILLIS / 1000} s`,
  );
  assert.deepEqual(writesBetween(writes, more), []);
  assert.ok(after - before >= 2);
});

test('no row was lost, and the operator was small', { skip }, async () => {
  steps.alone();
  const { requests, failureCount, verified, lost } = await load.end();
  console.log(`${requests} requests, ${verified} rows read again, operator killed ${kills.kills}x`);
  assert.equal(failureCount, 0);
  assert.ok(verified > 100);
  assert.deepEqual(lost, []);
  assert.ok(kills.kills > 0);
  const peak = Math.max(kills.peakBytes, (await operator.peakBytes()) ?? 0);
  console.log(`the operator's memory, at the most: ${(peak / MIB).toFixed(0)} MiB`);
  assert.ok(peak > 0 && peak < MEMORY_MAX);
});

test('a cluster that is deleted leaves its volumes, by its policy', { skip }, async () => {
  const claims = (await demo.claims()).map(({ metadata }) => metadata.name);
  await demo.kubectl(['delete', 'pod', 'load', '--wait=false']);
  await steps.step('kubectl delete dcc, volumes kept', async () => {
    await demo.kubectl(['delete', 'dcc/demo', '--wait'], WAIT_MILLIS);
    await until('the end of its pods', WAIT_MILLIS, async () => (await demo.pods()).length === 0);
  });
  const left = await demo.claims();
  assert.deepEqual(
    left.map(({ metadata }) => metadata.name),
    claims,
  );
  assert.ok(left.every(({ metadata }) => metadata.deletionTimestamp === undefined));
  await steps.step('kubectl delete namespace, with the volumes', () =>
    demo.kube.kubectl(['delete', 'namespace', NAMESPACE, '--wait'], { milliseconds: WAIT_MILLIS }),
  );
});
