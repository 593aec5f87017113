/**
 * The whole way of a user on a real Kubernetes: install the chart, apply examples/demo.yaml, write, scale up and down, lose a pod
 * and a volume. Rows that were acknowledged are there at the end.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import cassandra from 'cassandra-driver';
import { type Kubernetes, startKubernetes, unavailable } from './support/cluster.ts';
import { packImage } from './support/image.ts';
import { until } from './support/processes.ts';

const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const READY_MILLIS = 240_000;
const ROWS = 500;
const CQL_PORT = 9042;
const { consistencies } = cassandra.types;
const { AllowListPolicy, DefaultLoadBalancingPolicy } = cassandra.policies.loadBalancing;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

interface Named {
  readonly metadata: { readonly name: string; readonly uid: string };
}

interface Cluster {
  readonly status?: {
    readonly ready?: number;
    readonly desired?: number;
    readonly replicas?: number;
    readonly state?: string;
    readonly conditions?: readonly { type: string; status: string; message: string }[];
  };
}

let kube: Kubernetes;

async function timed(what: string, run: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  await run();
  console.log(`${what}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

const statusOf = async () => ((await kube.get(['dcc', 'demo'])) as Cluster).status ?? {};
const listed = async (kind: string) =>
  ((await kube.get([kind, '-l', 'ilion.dev/cluster=demo'])) as { readonly items: readonly Named[] })
    .items;

/** All nodes that are wanted serve, and none is there that is not. */
async function settled(count: number): Promise<void> {
  try {
    await until(`${count} nodes`, READY_MILLIS, async () => {
      const { ready, desired, replicas, state } = await statusOf();
      return ready === count && desired === count && replicas === count && state === 'Ready';
    });
  } catch (error) {
    const nodes = await kube.kubectl(['get', 'dcc,dbn,pods,pvc', '-o', 'wide']);
    const conditions = JSON.stringify((await statusOf()).conditions, null, 1);
    const log = await kube.kubectl(['logs', '-n', 'ilion', 'deploy/ilion-operator', '--tail=60']);
    console.log(`${nodes}\n${conditions}\n${log}`);
    throw error;
  }
}

/** One node is asked, by a way through the API server, and asks the others. */
async function withClient<T>(run: (client: cassandra.Client) => Promise<T>): Promise<T> {
  const [{ metadata }] = await listed('pods');
  using forward = await kube.forward('default', `pod/${metadata.name}`, CQL_PORT);
  const contact = `127.0.0.1:${forward.port}`;
  const client = new cassandra.Client({
    contactPoints: [contact],
    localDataCenter: 'dc1',
    policies: {
      loadBalancing: new AllowListPolicy(new DefaultLoadBalancingPolicy({ localDc: 'dc1' }), [
        contact,
      ]),
    },
    queryOptions: { consistency: consistencies.quorum, prepare: true },
  });
  try {
    await client.connect();
    return await run(client);
  } finally {
    await client.shutdown();
  }
}

async function requireRows(): Promise<void> {
  await withClient(async (client) => {
    const rows = await client.execute('SELECT k, v FROM ks.t', [], { fetchSize: ROWS * 2 });
    assert.equal(rows.rowLength, ROWS);
    for (const row of rows.rows) assert.equal(row['v'], row['k'] * 7);
  });
}

before(async () => {
  if (skip !== false) return;
  const [node, operator] = [packImage('node'), packImage('operator')];
  kube = await startKubernetes({ nodes: 3 });
  await kube.loadImage(node.archive);
  await kube.loadImage(operator.archive);
  const imageOf = (key: string, name: string) => {
    const colon = name.lastIndexOf(':');
    return [
      ...['--set', `${key}.repository=${name.slice(0, colon)}`],
      ...['--set', `${key}.tag=${name.slice(colon + 1)}`],
    ];
  };
  await timed('helm install', () =>
    kube.helm(
      [
        ...['install', 'ilion-operator', join(TREE, 'helm/ilion-operator')],
        ...['--namespace', 'ilion', '--create-namespace', '--wait', '--timeout', '120s'],
        ...imageOf('image', operator.name),
        ...imageOf('databaseImage', node.name),
      ],
      { milliseconds: 150_000 },
    ),
  );
});

after(async () => {
  await kube?.[Symbol.asyncDispose]();
});

test('the example becomes three nodes that serve', { skip }, async () => {
  const demo = readFileSync(join(TREE, 'examples/demo.yaml'), 'utf8');
  await kube.kubectl(['apply', '-f', '-'], { input: demo });
  await timed('three nodes ready', () => settled(3));
  await withClient(async (client) => {
    await client.execute(
      "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
    );
    await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int)');
    for (let k = 0; k < ROWS; k++) {
      await client.execute('INSERT INTO ks.t (k, v) VALUES (?, ?)', [k, k * 7]);
    }
  });
});

test('kubectl scale adds nodes, and takes them out again', { skip }, async () => {
  await kube.kubectl(['scale', 'dcc/demo', '--replicas=4']);
  await timed('three to four', () => settled(4));
  await requireRows();
  await kube.kubectl(['scale', 'dcc/demo', '--replicas=3']);
  await timed('four to three', () => settled(3));
  await requireRows();
  // By policy the volume of who left stays.
  assert.equal((await listed('pvc')).length, 4);
});

test('fewer nodes than replicas are refused, with the reason', { skip }, async () => {
  await kube.kubectl(['scale', 'dcc/demo', '--replicas=2']);
  const told = await until('the reason', 60_000, async () => {
    const { conditions = [] } = await statusOf();
    return conditions.find(({ message }) => /replica/.test(message) && /ks/.test(message));
  });
  console.log(`refused: ${told.message}`);
  await kube.kubectl(['scale', 'dcc/demo', '--replicas=3']);
  await settled(3);
  assert.equal((await listed('databasenodes')).length, 3);
});

test('a pod that is deleted comes back with its data', { skip }, async () => {
  const [{ metadata }] = await listed('pods');
  await kube.kubectl(['delete', 'pod', metadata.name, '--wait=true'], { milliseconds: 120_000 });
  await timed('a deleted pod is healed', () => settled(3));
  await requireRows();
});
