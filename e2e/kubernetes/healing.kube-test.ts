/**
 * What happens to running clusters, on a real Kubernetes: pods and volumes go, machines are drained and lose their power; and the end of
 * it all. An application reads and writes meanwhile, and the operator is killed (support/under-load.ts).
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unavailable } from './support/cluster.ts';
import type { DatabaseCluster, PodObject } from './support/database-cluster.ts';
import { until } from './support/processes.ts';
import type { Steps } from './support/steps.ts';
import { startUnderLoad, type UnderLoad } from './support/under-load.ts';

const WAIT_MILLIS = 120_000;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let all: UnderLoad;
let demo: DatabaseCluster;
let steps: Steps;

before(async () => {
  if (skip !== false) return;
  all = await startUnderLoad({ title: 'healing' });
  ({ demo, steps } = all);
});

after(async () => {
  await all?.[Symbol.asyncDispose]();
});

/** No power cut takes two of them. */
async function requireSpread(): Promise<void> {
  const places = (await demo.pods()).map(
    ({ metadata, spec }) => `${metadata.name} on ${spec.nodeName}`,
  );
  const machines = new Set(places.map((place) => place.split(' on ')[1]));
  assert.equal(machines.size, 3, `not on three machines: ${places.join(', ')}`);
}

const LOG_LINES = 25;

/** If it fails, what the nodes have said of each other since is printed. */
async function withLogs(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    for (const { metadata, spec } of await demo.pods()) {
      const log = await demo.kubectl(['logs', metadata.name, '--since=150s']).catch(String);
      const lines = log.trim().split('\n').slice(-LOG_LINES);
      console.log([`${metadata.name} on ${spec.nodeName}:`, ...lines].join('\n'));
    }
    throw error;
  }
}

/** The pod is there again, and another one. */
const isNew = async ({ metadata: { name, uid } }: PodObject) =>
  (await demo.pods()).some(({ metadata }) => metadata.name === name && metadata.uid !== uid);

test('a pod that is deleted comes back', { skip }, async () => {
  const pod = await all.victim();
  await steps.step('kubectl delete pod', async () => {
    await demo.kubectl(['delete', 'pod', pod.metadata.name, '--wait'], WAIT_MILLIS);
    await until('another pod', WAIT_MILLIS, () => isNew(pod));
    await demo.settled(3);
  });
});

test('a node that lost its volume is replaced', { skip }, async () => {
  const pod = await all.victim();
  const { name } = pod.metadata;
  await steps.step('kubectl delete pvc and pod', async () => {
    await demo.kubectl(['delete', `pvc/${name}`, `pod/${name}`, '--wait=false']);
    await until('the end of the node', WAIT_MILLIS * 2, async () =>
      (await demo.nodes()).every(({ metadata }) => metadata.name !== name),
    );
    await demo.settled(3);
  });
  assert.ok((await demo.claims()).every(({ metadata }) => metadata.name !== name));
  await requireSpread();
});

test('a node of Kubernetes is drained, and is back', { skip }, async () => {
  const pod = await all.victim();
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
  const { metadata, spec } = await all.victim();
  const machine = Number(spec.nodeName?.slice('node-'.length));
  const before = await startOf(metadata.name);
  await requireSpread();
  await withLogs(() =>
    steps.step('a power cut, until Kubernetes notices, then until all serve again', async () => {
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
    }),
  );
});

test('no row was lost, and the operator was small', { skip }, () => all.endLoad());

test('a cluster that is deleted leaves its volumes, by its policy', { skip }, async () => {
  const claims = (await demo.claims()).map(({ metadata }) => metadata.name);
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
    demo.kube.kubectl(['delete', 'namespace', demo.namespace, '--wait'], {
      milliseconds: WAIT_MILLIS,
    }),
  );
});
