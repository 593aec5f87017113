/**
 * The operator with many database nodes (ILION_KUBE_NODES; 1,000 were tried) on pretended machines (kwok): API server, scheduler and
 * controllers are the real ones, pods are only said to run, and what their databases would say is pretended, too
 * (pretended/database.ts). What the operator costs then: time, memory, CPU, calls.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { countWrites, writesBetween } from './support/api-writes.ts';
import { unavailable } from './support/cluster.ts';
import { DatabaseCluster } from './support/database-cluster.ts';
import { type Operator, startOperator } from './support/operator.ts';
import { until } from './support/processes.ts';

const COUNT = Number(process.env['ILION_KUBE_NODES'] ?? 100);
const NAMESPACE = 'many';
const ADMIN_PORT = 9043;
/** Of pretended pods: fake.sh has kwok take addresses of it. */
const ADDRESSES = '10.92.0.0/16';
const PODS_PER_MACHINE = 100;
const MIB = 2 ** 20;
const MEMORY_MAX = (160 + COUNT * 0.15) * MIB;
const READY_MILLIS = 60_000 + COUNT * 2_500;
const CALM_MILLIS = 65_000;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let operator: Operator;
let many: DatabaseCluster;

const manifest = {
  apiVersion: 'ilion.dev/v1alpha1',
  kind: 'DatacenterCluster',
  metadata: { name: 'many' },
  spec: {
    replicas: COUNT,
    racks: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
    joinsAtOnce: 16,
    tls: { mode: 'None' },
    storage: { size: '1Gi' },
    podTemplate: {
      nodeSelector: { type: 'kwok' },
      tolerations: [{ key: 'kwok', operator: 'Exists' }],
      affinity: {},
    },
  },
};

before(async () => {
  if (skip !== false) return;
  operator = await startOperator({ nodes: 1 });
  const { kube } = operator;
  many = new DatabaseCluster(operator, 'many', NAMESPACE);
  await kube.addFakeNodes(Math.ceil(COUNT / PODS_PER_MACHINE) + 1);
  const program = join(dirname(fileURLToPath(import.meta.url)), 'pretended/database.ts');
  const args = [program, `${kube.state}/conf/admin.kubeconfig`, NAMESPACE, String(ADMIN_PORT)];
  const log = `${kube.state}/machine-0/log/pretended.log`;
  await kube.run(0, ['ip', 'route', 'add', 'local', ADDRESSES, 'dev', 'lo']);
  await kube.run(0, [
    ...['sh', '-c', 'log=$1; shift; setsid "$@" > "$log" 2>&1 < /dev/null &', 'sh', log],
    ...[process.execPath, '--disable-warning=ExperimentalWarning', ...args],
  ]);
  await many.create(JSON.stringify(manifest));
});

after(async () => {
  await operator?.[Symbol.asyncDispose]();
});

interface Cost {
  readonly cpuSeconds: number;
  readonly calls: number;
  readonly reconciliations: number;
}

async function cost(): Promise<Cost> {
  return {
    cpuSeconds: await operator.metric('process_cpu_seconds_total'),
    calls: await operator.metric('ilion_operator_kube_calls_total'),
    reconciliations: await operator.metric('ilion_operator_reconciles_total'),
  };
}

async function measured(title: string, run: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  const first = await cost();
  await run();
  const last = await cost();
  const seconds = (performance.now() - began) / 1000;
  const peak = ((await operator.peakBytes()) ?? 0) / MIB;
  const parts = [
    `${seconds.toFixed(1)} s`,
    `operator: ${(last.cpuSeconds - first.cpuSeconds).toFixed(1)} CPU s`,
    `${last.calls - first.calls} calls of the API server`,
    `${last.reconciliations - first.reconciliations} reconciliations`,
    `${peak.toFixed(0)} MiB at the most so far`,
  ];
  console.log(`${COUNT} nodes, ${title}: ${parts.join(', ')}`);
}

test('all nodes are made, and serve', { skip }, async () => {
  await measured('made', () => many.settled(COUNT, READY_MILLIS));
});

test('they cost no writes while they are as they are to be', { skip }, async () => {
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  await measured('unchanged', async () => {
    const writes = await countWrites(many.kube);
    await new Promise((resolve) => setTimeout(resolve, CALM_MILLIS));
    assert.deepEqual(writesBetween(writes, await countWrites(many.kube)), []);
  });
});

test('a pod that is lost is made anew', { skip }, async () => {
  const [pod] = await many.pods();
  await measured('a pod deleted', async () => {
    await many.kubectl(['delete', 'pod', pod.metadata.name, '--wait=false']);
    await until('another pod', READY_MILLIS, async () =>
      (await many.pods()).every(({ metadata }) => metadata.uid !== pod.metadata.uid),
    );
    await many.settled(COUNT, READY_MILLIS);
  });
});

test('the operator was small', { skip }, async () => {
  const peak = (await operator.peakBytes()) ?? Number.NaN;
  assert.ok(peak < MEMORY_MAX, `${peak}`);
});
