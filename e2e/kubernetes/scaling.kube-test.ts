/**
 * What README.md says of the operator, on a real Kubernetes: its chart, examples/demo.yaml, `kubectl scale`, and the end of it all. An
 * application reads and writes meanwhile, and the operator is killed (support/under-load.ts).
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unavailable } from './support/cluster.ts';
import type { DatabaseCluster } from './support/database-cluster.ts';
import { until } from './support/processes.ts';
import type { Steps } from './support/steps.ts';
import { startUnderLoad, type UnderLoad } from './support/under-load.ts';

const GONE_MILLIS = 120_000;
const RELEASED = 'ilion.dev/released';

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let all: UnderLoad;
let demo: DatabaseCluster;
let steps: Steps;

before(async () => {
  if (skip !== false) return;
  all = await startUnderLoad({ title: 'scaling' });
  ({ demo, steps } = all);
});

after(async () => {
  await all?.[Symbol.asyncDispose]();
});

const claimNames = async () => (await demo.claims()).map(({ metadata }) => metadata.name).sort();

const released = async () =>
  (await demo.claims())
    .filter(({ metadata }) => metadata.labels?.[RELEASED] === 'true')
    .map(({ metadata }) => metadata.name)
    .sort();

test('kubectl scale adds nodes, and takes them out; their volumes stay', { skip }, async () => {
  const before = await claimNames();
  await steps.step('3 to 5 nodes', async () => {
    await demo.scale(5);
    await demo.settled(5);
  });
  await steps.step('5 to 3 nodes, volumes kept', async () => {
    await demo.scale(3);
    await demo.settled(3);
  });
  const members = (await demo.nodes()).map(({ metadata }) => metadata.name).sort();
  const after = await claimNames();
  assert.equal(after.length, 5);
  assert.deepEqual(
    await released(),
    after.filter((name) => !members.includes(name)),
  );
  assert.ok(before.every((name) => after.includes(name)));
});

test('volumes of who leaves go, with deletionPolicy Delete', { skip }, async () => {
  await demo.patch({ deletionPolicy: 'Delete' });
  const kept = await released();
  await steps.step('3 to 5, and 4 before it is done', async () => {
    await demo.scale(5);
    await demo.reaches('a join', GONE_MILLIS, ({ status }) => status?.replicas === 5);
    await demo.scale(4);
    await demo.settled(4);
  });
  await steps.step('4 to 3 nodes, volumes deleted', async () => {
    await demo.scale(3);
    await demo.settled(3);
  });
  const members = (await demo.nodes()).map(({ metadata }) => metadata.name);
  await until('the end of their volumes', GONE_MILLIS, async () => {
    const left = (await claimNames()).filter((name) => !members.includes(name));
    return left.every((name) => kept.includes(name));
  });
});

test('fewer nodes than replicas are refused, with the reason', { skip }, async () => {
  await steps.step('3 to 2 is refused, and back', async () => {
    await demo.scale(2);
    const told = await demo.condition(
      60_000,
      ({ type, message }) => type === 'ScalingDown' && /replica/.test(message),
    );
    assert.match(told.message, /load/);
    assert.match(told.message, /set the replicas back/);
    await demo.scale(3);
    await demo.settled(3);
  });
  assert.equal((await demo.nodes()).length, 3);
});

test('no row was lost, and the operator was small', { skip }, () => all.endLoad());

test('a cluster that is deleted leaves what its policy says', { skip }, async () => {
  const kept = await released();
  await steps.step('kubectl delete dcc/demo', async () => {
    await demo.kubectl(['delete', 'dcc/demo', '--wait'], GONE_MILLIS);
    const ours = 'dbn,pods,services,pdb,secrets,configmaps';
    await until('the end of all', GONE_MILLIS, async () => {
      const left = await demo.kubectl(['get', ours, '-l', `ilion.dev/cluster=demo`, '-o', 'name']);
      const claims = await claimNames();
      return left.trim() === '' && claims.every((name) => kept.includes(name));
    });
  });
});

test('its namespace goes', { skip }, async () => {
  await steps.step('kubectl delete namespace', () =>
    demo.kube.kubectl(['delete', 'namespace', demo.namespace, '--wait'], {
      milliseconds: GONE_MILLIS,
    }),
  );
  await demo.kube.kubectl(['wait', '--for=delete', 'pv', '--all', '--timeout=60s'], {
    milliseconds: 70_000,
  });
});
