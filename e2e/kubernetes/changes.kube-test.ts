/**
 * What people change about running clusters, on a real Kubernetes: settings, images, authorities; and what it costs when nothing changes.
 * An application reads and writes meanwhile, and the operator is killed (support/under-load.ts).
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { countWrites, writesBetween } from './support/api-writes.ts';
import { unavailable } from './support/cluster.ts';
import type { DatabaseCluster } from './support/database-cluster.ts';
import { until } from './support/processes.ts';
import type { Steps } from './support/steps.ts';
import { startUnderLoad, type UnderLoad } from './support/under-load.ts';

const WAIT_MILLIS = 300_000;
/** A kubelet brings a changed Secret into its pods in 20 s here, and nodes look every 10 s. */
const SETTLE_SECONDS = 40;
/** A cluster that needs nothing is looked at every 30 s. */
const CALM_MILLIS = 75_000;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let all: UnderLoad;
let demo: DatabaseCluster;
let steps: Steps;

before(async () => {
  if (skip !== false) return;
  all = await startUnderLoad({
    title: 'changes',
    values: [`certificateSettleSeconds=${SETTLE_SECONDS}`],
  });
  ({ demo, steps } = all);
});

after(async () => {
  await all?.[Symbol.asyncDispose]();
});

test('a setting that needs a restart goes through the nodes', { skip }, async () => {
  const pods = await demo.pods();
  await steps.step('a change of spec.config, 3 restarts', async () => {
    await demo.patch({ config: { concurrentReads: 5 } });
    await demo.replacedPods(pods);
  });
});

test('a setting that takes effect at once restarts nobody', { skip }, async () => {
  const uids = async () => (await demo.pods()).map(({ metadata }) => metadata.uid).sort();
  const before = await uids();
  await steps.step('a change of spec.config, no restart', async () => {
    await demo.patch({ config: { maxHintWindow: '5h' } });
    for (const { metadata } of await demo.pods()) {
      await until(`5h in ${metadata.name}`, WAIT_MILLIS, async () => {
        const settings = await demo.kubectl(['exec', metadata.name, '--', 'ilion', 'settings']);
        return /^max_hint_window\s+5h\s/m.test(settings);
      });
    }
    await demo.settled(3);
  });
  assert.deepEqual(await uids(), before);
});

test('another image goes through the nodes', { skip }, async () => {
  const image = `${all.operator.images.node}-second`;
  for (let node = 1; node <= demo.kube.nodes; node++) {
    const names = [all.operator.images.node, image];
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
    await until('the new authority alone', WAIT_MILLIS, isSteady);
    // Nodes have read it and do without the old one.
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    await demo.settled(3);
  });
});

test('a cluster that is as it is to be costs no writes', { skip }, async () => {
  await all.endKills();
  await demo.settled(3);
  // The last words about what was before.
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  const reconciled = () => all.operator.metric('ilion_operator_reconciles_total');
  const [writes, before] = [await countWrites(demo.kube), await reconciled()];
  await new Promise((resolve) => setTimeout(resolve, CALM_MILLIS));
  const [more, after] = [await countWrites(demo.kube), await reconciled()];
  console.log(
    `${after - before} reconciliations of an unchanged cluster in ${CALM_MILLIS / 1000} s`,
  );
  assert.deepEqual(writesBetween(writes, more), []);
  assert.ok(after - before >= 2);
});

test('no row was lost, and the operator was small', { skip }, () => all.endLoad());
