/**
 * One cluster over two Kubernetes, each with its own control plane, operator and network: a datacenter in each, joined by contact
 * points, with one authority. Only a cable between their networks is common.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import cassandra from 'cassandra-driver';
import { parse } from 'yaml';
import { unavailable } from './support/cluster.ts';
import { DatabaseCluster } from './support/database-cluster.ts';
import { type Operator, startOperator, TREE } from './support/operator.ts';
import { withPod } from './support/pod-client.ts';
import { runProgram, until } from './support/processes.ts';
import { Steps } from './support/steps.ts';

const NAMESPACE = 'shop';
const ROWS = 60;
const NETS = [89, 99] as const;
/** Of the Service by which the second finds the first, on each machine there. */
const CONTACT_PORT = 30_700;
/** Shorter than the other side is cut off. */
const REPLACE_AFTER = '15s';
const CUT_MILLIS = 45_000;
/** What the examples ask for, cut to what fits here. */
const SMALL = {
  storage: { size: '640Mi' },
  resources: { requests: { cpu: '50m', memory: '320Mi' }, limits: { memory: '320Mi' } },
  healing: { replaceAfter: REPLACE_AFTER },
  // Volumes of those who leave are not to fill the disks.
  deletionPolicy: 'Delete',
};
const { consistencies } = cassandra.types;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;
const steps = new Steps('two Kubernetes');

/** One of the two. */
interface Side {
  readonly operator: Operator;
  readonly cluster: DatabaseCluster;
  readonly datacenter: string;
}

interface Member {
  readonly hostId: string;
  readonly datacenter: string;
  readonly state: string;
  readonly alive: boolean;
}

let first: Side;
let second: Side;

async function startSide(net: number, datacenter: string): Promise<Side> {
  const operator = await startOperator({ nodes: 2, net });
  return { operator, cluster: new DatabaseCluster(operator, 'shop', NAMESPACE), datacenter };
}

/** As the document says: the same Secret on both sides. */
async function makeAuthority(...sides: readonly Side[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'authority-'));
  const [certificate, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const openssl = [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '3650', '-subj', '/CN=shop', '-keyout', key, '-out', certificate],
  ];
  await runProgram('openssl', openssl);
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
  for (const { operator, cluster } of sides) {
    await operator.kube.apply(namespace);
    const files = ['--cert', certificate, '--key', key];
    await cluster.kubectl(['create', 'secret', 'tls', 'shop-authority', ...files]);
  }
  rmSync(folder, { recursive: true });
}

async function createSide({ cluster, operator }: Side, more: object): Promise<void> {
  const file = operator === first.operator ? 'first' : 'second';
  const text = readFileSync(join(TREE, `examples/two-kubernetes-${file}.yaml`), 'utf8');
  const example = parse(text) as { readonly spec: object };
  const spec = { ...example.spec, ...SMALL, image: operator.images.node, ...more };
  await cluster.create(JSON.stringify({ ...example, spec }));
}

const CONTACT = `10.${NETS[0]}.0.11:${CONTACT_PORT}`;
const joinSecond = () => createSide(second, { contactPoints: [CONTACT] });

async function podOf({ cluster }: Side): Promise<string> {
  const [pod] = await cluster.pods();
  return pod.metadata.name;
}

async function tool(side: Side, ...args: readonly string[]): Promise<string> {
  const pod = await podOf(side);
  return side.cluster.kubectl(['exec', pod, '-c', 'ilion', '--', 'ilion', ...args], 120_000);
}

/** Who is in the ring, as a node of that side says. */
async function ringOf(side: Side): Promise<readonly Member[]> {
  const { nodes } = JSON.parse(await tool(side, 'status', '--json')) as {
    readonly nodes: readonly Member[];
  };
  return nodes.filter(({ state }) => state !== 'left');
}

async function hostIds({ cluster }: Side): Promise<readonly string[]> {
  return (await cluster.nodes()).map(({ metadata }) => metadata.uid).sort();
}

async function withClient<T>(
  side: Side,
  run: (client: cassandra.Client) => Promise<T>,
): Promise<T> {
  const { cluster, datacenter, operator } = side;
  const [pod] = (await cluster.nodes()).map(({ metadata }) => metadata.name).sort();
  return withPod(operator.kube, { namespace: NAMESPACE, pod, datacenter }, run);
}

const query = (side: Side, text: string) => withClient(side, (client) => client.execute(text));

async function insert(side: Side, from: number, consistency: number): Promise<void> {
  await withClient(side, async (client) => {
    for (let k = from; k < from + ROWS; k++) {
      const options = { prepare: true, consistency };
      await client.execute('INSERT INTO shop.t (k, v) VALUES (?, ?)', [k, k * 7], options);
    }
  });
}

/** At LOCAL_QUORUM: only nodes of this side are asked. */
async function expectRows(side: Side, count: number): Promise<void> {
  await withClient(side, async (client) => {
    const options = { consistency: consistencies.localQuorum, fetchSize: count * 2 };
    const { rows } = await client.execute('SELECT k, v FROM shop.t', [], options);
    assert.equal(rows.length, count, side.datacenter);
    for (const row of rows) assert.equal(row['v'], row['k'] * 7);
  });
}

/** What this side's objects are must not change while something is done to the other. */
async function untouched(side: Side, count: number, run: () => Promise<unknown>): Promise<void> {
  // Those who have left go a moment later than they are counted.
  await until('no others', 60_000, async () => (await side.cluster.nodes()).length === count);
  const before = await hostIds(side);
  const pods = (await side.cluster.pods()).map(({ metadata }) => metadata.uid).sort();
  await run();
  await side.cluster.settled(count);
  assert.deepEqual(await hostIds(side), before, side.datacenter);
  const now = (await side.cluster.pods()).map(({ metadata }) => metadata.uid).sort();
  assert.deepEqual(now, pods, side.datacenter);
}

before(async () => {
  if (skip !== false) return;
  first = await startSide(NETS[0], 'dc1');
  second = await startSide(NETS[1], 'dc2');
  await first.operator.kube.cableTo(second.operator.kube);
});

after(async () => {
  steps.print();
  await first?.operator[Symbol.asyncDispose]();
  await second?.operator[Symbol.asyncDispose]();
});

test('a datacenter in another Kubernetes joins by contact points', { skip }, async () => {
  await makeAuthority(first, second);
  const contact = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'shop-contact', namespace: NAMESPACE },
    spec: {
      type: 'NodePort',
      selector: { 'ilion.dev/cluster': 'shop' },
      ports: [{ port: 7000, nodePort: CONTACT_PORT }],
    },
  };
  await first.operator.kube.apply(contact);
  await createSide(first, {});
  await first.cluster.settled(3);
  await query(
    first,
    "CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  );
  await query(first, 'CREATE TABLE shop.t (k int PRIMARY KEY, v int)');
  await insert(first, 0, consistencies.localQuorum);
  await steps.step('kubectl apply of the second datacenter, until its 2 nodes are ready', () =>
    untouched(first, 3, async () => {
      await joinSecond();
      await second.cluster.settled(2);
    }),
  );
  const members = await ringOf(first);
  const own = [...(await hostIds(first)), ...(await hostIds(second))].sort();
  assert.deepEqual(members.map(({ hostId }) => hostId).sort(), own);
  assert.ok(members.every(({ state, alive }) => state === 'normal' && alive));
});

test('its replicas come from the other datacenter', { skip }, async () => {
  const both = "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}";
  await query(second, `ALTER KEYSPACE shop WITH replication = ${both}`);
  await steps.step('ALTER KEYSPACE, ilion rebuild on 2 nodes', async () => {
    for (const { metadata } of await second.cluster.pods()) {
      const command = ['ilion', 'rebuild', '--from', 'dc1', 'shop'];
      await second.cluster.kubectl(['exec', metadata.name, '--', ...command], 120_000);
    }
  });
  await expectRows(second, ROWS);
  await insert(second, ROWS, consistencies.eachQuorum);
  await expectRows(first, ROWS * 2);
});

test('each operator changes its own nodes only', { skip }, async () => {
  await steps.step('dc2 from 2 to 3 nodes', () =>
    untouched(first, 3, async () => {
      await second.cluster.scale(3);
      await second.cluster.settled(3);
    }),
  );
  await steps.step('a pod of dc1 deleted, until all serve', () =>
    untouched(second, 3, async () => {
      const pods = await first.cluster.pods();
      await first.cluster.kubectl(['delete', 'pod', pods[0].metadata.name]);
      await first.cluster.settled(3);
    }),
  );
  await steps.step('dc2 from 3 to 2 nodes', () =>
    untouched(first, 3, async () => {
      await second.cluster.scale(2);
      await second.cluster.settled(2);
    }),
  );
  await steps.step('a volume of dc2 lost, until another node has its place', () =>
    untouched(first, 3, async () => {
      const [{ metadata }] = await second.cluster.pods();
      await second.cluster.kubectl(['delete', 'pvc', metadata.name, '--wait=false']);
      await second.cluster.kubectl(['delete', 'pod', metadata.name]);
      await until('another node', 180_000, async () => {
        const nodes = await second.cluster.nodes();
        return nodes.length === 2 && !nodes.some((one) => one.metadata.name === metadata.name);
      });
      await second.cluster.settled(2);
    }),
  );
  await expectRows(first, ROWS * 2);
  await expectRows(second, ROWS * 2);
});

test('cut off from each other for longer than dead nodes are waited for', { skip }, async () => {
  const others = [NETS[1], NETS[1] + 1].map((net) => `10.${net}.0.0/16`);
  const rule = async (verb: string) => {
    for (const to of others) {
      await first.operator.kube.run(0, ['ip', 'rule', verb, 'blackhole', 'to', to, 'pref', '1']);
    }
  };
  const [before, after] = [await ringOf(first), () => ringOf(first)];
  await untouched(second, 2, () =>
    untouched(first, 3, async () => {
      await rule('add');
      await until('the cut to be seen', 60_000, async () =>
        (await after()).every(({ datacenter, alive }) => alive === (datacenter === 'dc1')),
      );
      const began = performance.now();
      while (performance.now() - began < CUT_MILLIS) {
        await insert(first, 0, consistencies.localQuorum);
        await expectRows(second, ROWS * 2);
      }
      // Its own nodes serve; the others are not its business.
      await first.cluster.settled(3);
      await rule('delete');
      await until('all to see each other', 120_000, async () =>
        (await after()).every(({ alive }) => alive),
      );
    }),
  );
  assert.deepEqual(
    (await after()).map(({ hostId }) => hostId).sort(),
    before.map(({ hostId }) => hostId).sort(),
  );
});

test('a datacenter is given up in order: replicas, nodes, object', { skip }, async () => {
  const only = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}";
  await query(first, `ALTER KEYSPACE shop WITH replication = ${only}`);
  await steps.step('dc2 to 0 nodes', () =>
    untouched(first, 3, async () => {
      await second.cluster.scale(0);
      await until('no object', 180_000, async () => (await second.cluster.nodes()).length === 0);
    }),
  );
  await second.cluster.kubectl(['delete', 'dcc', 'shop', '--wait'], 120_000);
  assert.equal((await ringOf(first)).length, 3);
  await expectRows(first, ROWS * 2);
});

test('a datacenter that is gone is taken out of the ring by hand', { skip }, async () => {
  await joinSecond();
  await second.cluster.settled(2);
  await second.cluster.kubectl(['delete', 'dcc', 'shop', '--wait'], 120_000);
  await until('its pods to go', 120_000, async () => (await second.cluster.pods()).length === 0);
  const left = () => ringOf(first).then((all) => all.filter((one) => one.datacenter === 'dc2'));
  await until('them to be seen down', 60_000, async () =>
    (await left()).every(({ alive }) => !alive),
  );
  // The first one's operator leaves them alone, for they may come back.
  await new Promise((resolve) => setTimeout(resolve, CUT_MILLIS));
  assert.equal((await left()).length, 2);
  await first.cluster.settled(3);
  for (const { hostId } of await left()) await tool(first, 'removenode', hostId);
  assert.deepEqual(await left(), []);
  await first.cluster.settled(3);
  await expectRows(first, ROWS * 2);
});
