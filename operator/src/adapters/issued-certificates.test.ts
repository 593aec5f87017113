import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { MemoryApi, type Stored } from '../memory/memory-api.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import type { Certificate, Kind, Kinds, Secret } from '../ports/kube-objects.ts';
import { certificatesIn, isBelievedBy, renewalOf } from './certificate-plan.ts';
import { createCertificates } from './certificates.ts';
import { makeIntermediate } from './testing/authorities.ts';
import { issue, type KeyPair, makeAuthority, validityOf } from './x509.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const BEGINNING = Date.parse('2026-01-01T00:00:00Z');
type Tls = DatacenterCluster['spec']['tls'];

const byIssuer = (name: string): Tls => ({
  mode: 'CertManager',
  issuerRef: { name, kind: 'Issuer', group: 'cert-manager.io' },
});
const encoded = (text: string) => Buffer.from(text).toString('base64');

/** What an issuer signs with. */
interface Authority {
  readonly pair: KeyPair;
  /** Between it and the root. */
  readonly chain: string;
  readonly root: string;
}

async function authority(common: string, now: number, days = 3_650): Promise<Authority> {
  const pair = await makeAuthority(common, now, days);
  return { pair, chain: '', root: pair.certificate };
}

/** cert-manager, as far as it is documented: each Certificate by itself, when it is due or its Secret is not as asked. */
class CertManager {
  readonly issuers = new Map<string, Authority>();
  /** What it leaves out. */
  lacks: 'ca.crt' | 'names' | null = null;
  private readonly api: MemoryApi;
  private readonly clock: { now: number };

  constructor(api: MemoryApi, clock: { now: number }) {
    this.api = api;
    this.clock = clock;
  }

  private isDue({ spec }: Certificate, secret: Stored | undefined): boolean {
    if (secret === undefined) return true;
    const { issuer } = secret.metadata['annotations'] as Readonly<Record<string, string>>;
    const data = (secret as unknown as Secret).data?.['tls.crt'] ?? '';
    const certificate = Buffer.from(data, 'base64').toString();
    return issuer !== spec.issuerRef.name || this.clock.now >= renewalOf(certificate);
  }

  async work(): Promise<void> {
    for (const stored of this.api.all('Certificate')) {
      const certificate = stored as unknown as Certificate;
      const { spec } = certificate;
      const secret = this.api.find('Secret', spec.secretName, 'db');
      if (!this.isDue(certificate, secret)) continue;
      const { name } = spec.issuerRef;
      const issuer = this.issuers.get(name);
      const say = (status: 'True' | 'False', reason: string) =>
        this.api.edit('Certificate', stored, (one) => {
          one.status = { conditions: [{ type: 'Ready', status, reason, message: 'so it is' }] };
        });
      if (issuer === undefined) {
        say('False', secret === undefined ? 'DoesNotExist' : 'IncorrectIssuer');
        continue;
      }
      const dns = this.lacks === 'names' ? [] : spec.dnsNames;
      const names = { common: spec.commonName, dns, addresses: [] };
      const pair = await issue(issuer.pair, names, this.clock.now, 90);
      const data = {
        'tls.crt': encoded(pair.certificate + issuer.chain),
        'tls.key': encoded(pair.key),
        ...(this.lacks === 'ca.crt' ? {} : { 'ca.crt': encoded(issuer.root) }),
      };
      const annotations = { issuer: name };
      if (secret === undefined) {
        const metadata = {
          ...{ name: spec.secretName, namespace: 'db', annotations },
          labels: spec.secretTemplate.labels,
        };
        this.api.put('Secret', { apiVersion: 'v1', kind: 'Secret', metadata, data } as never);
      } else {
        this.api.edit('Secret', secret, (one) => {
          Object.assign(one, { data });
          one.metadata['annotations'] = annotations;
        });
      }
      say('True', 'Ready');
    }
  }
}

/** What a node uses: what was in its Secret some time ago. */
interface Mounted {
  readonly chain: string;
  readonly believed: readonly string[];
}

function setUp(tls: Tls = byIssuer('main')) {
  const clock = { now: BEGINNING };
  const api: MemoryApi = new MemoryApi({
    nowMillis: () => clock.now,
    newUid: (kind, count) => `${kind}-${count}`,
    deliver: (run) => run(),
    onGone: () => {},
  });
  const kind = { apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster' };
  const cluster = api.put('DatacenterCluster', {
    ...kind,
    metadata: { name: 'demo', namespace: 'db' },
    spec: { tls },
  });
  const nodes: Stored[] = [];
  const addNode = (name: string) => {
    const metadata = { name, namespace: 'db' };
    const spec = { cluster: 'demo', datacenter: 'dc1', rack: 'rack1' };
    nodes.push(api.put('DatabaseNode', { ...kind, kind: 'DatabaseNode', metadata, spec }));
  };
  for (const name of ['n1', 'n2', 'n3']) addNode(name);
  let failing: (kind: Kind, verb: string) => KubeError | null = () => null;
  const guarded = (verb: string, one: Kind) => {
    const error = failing(one, verb);
    if (error !== null) throw error;
  };
  const kube: Pick<KubeApi, 'get' | 'list' | 'create' | 'replace' | 'apply'> = {
    get: async (one, key) => {
      guarded('get', one);
      return api.get(one, key);
    },
    list: async (one, namespace, labels) => {
      guarded('list', one);
      return api.list(one, namespace, labels);
    },
    create: async (one, draft) => {
      guarded('create', one);
      return api.create(one, draft);
    },
    replace: async (one, next) => {
      guarded('replace', one);
      return api.replace(one, next);
    },
    apply: async (one, draft) => {
      guarded('apply', one);
      return api.apply(one, draft);
    },
  };
  const certificates = createCertificates(kube, { nowMillis: () => clock.now });
  const text = (name: string, field: string) => {
    const secret = api.find('Secret', name, 'db') as unknown as Secret | undefined;
    return Buffer.from(secret?.data?.[field] ?? '', 'base64').toString();
  };
  const manager = new CertManager(api, clock);
  return {
    ...{ api, clock, cluster, nodes, addNode, manager, text },
    /** What nodes are yet to see. */
    delayed: [] as { readonly at: number; readonly name: string; readonly view: Mounted }[],
    issuer: (name: string, status = 'True') => {
      const conditions = [{ type: 'Ready', status, reason: 'KeyPair', message: 'as it is' }];
      api.put('Issuer', { metadata: { name, namespace: 'db' }, status: { conditions } });
    },
    failWhen: (when: typeof failing) => {
      failing = when;
    },
    use: (next: Tls) => api.edit('DatacenterCluster', cluster, (one) => (one.spec = { tls: next })),
    ensure: () =>
      certificates.ensure(
        structuredClone(cluster) as unknown as DatacenterCluster,
        structuredClone(nodes) as unknown as DatabaseNode[],
      ),
    mounted: (name: string): Mounted => ({
      chain: text(`${name}-tls`, 'tls.crt'),
      believed: certificatesIn(text(`${name}-tls`, 'ca.crt')),
    }),
    stored: <K extends Kind>(one: K, name: string) =>
      api.find(one, name, 'db') as unknown as Kinds[K] | undefined,
  };
}

type World = ReturnType<typeof setUp>;

/** Everything is issued, and copied. */
async function begun(tls?: Tls): Promise<World> {
  const world = setUp(tls);
  world.manager.issuers.set('main', await authority('main', BEGINNING));
  world.issuer('main');
  await world.ensure();
  await world.manager.work();
  const state = await world.ensure();
  assert.deepEqual([[...state.ready].sort(), state.problem], [['n1', 'n2', 'n3'], null]);
  return world;
}

/** Each takes the other for what it is, now. */
function assertTrust(views: ReadonlyMap<string, Mounted>, now: number): void {
  const when = new Date(now).toISOString();
  for (const [name, { chain }] of views) {
    assert.ok(now < validityOf(chain).until, `${when}: the certificate of ${name} has ended`);
    for (const [other, { believed }] of views) {
      assert.ok(isBelievedBy(chain, believed), `${when}: ${other} does not believe ${name}`);
    }
  }
}

/** Runs for a time: cert-manager and the operator work, nodes see their Secrets up to 50 minutes late. */
async function live(
  world: World,
  until: number,
  views: Map<string, Mounted>,
  stepMillis: number,
): Promise<void> {
  const { clock, manager, nodes, delayed } = world;
  let busyUntil = 0;
  while (clock.now < until) {
    await manager.work();
    let due = stepMillis;
    try {
      const { writes, dueMillis } = await world.ensure();
      // Until all see what was written, each sees something else.
      if (writes > 0) busyUntil = clock.now + 75 * MINUTE;
      if (dueMillis !== null) due = Math.min(due, dueMillis);
    } catch (error) {
      assert.ok(error instanceof KubeError, String(error));
    }
    nodes.forEach(({ metadata: { name } }, i) => {
      const view = world.mounted(name);
      if (view.chain === '') return;
      // A pod that starts reads what is there.
      if (!views.has(name)) views.set(name, view);
      delayed.push({ at: clock.now + ((i * 25) % 75) * MINUTE, name, view });
    });
    const wait = clock.now < busyUntil ? 7 * MINUTE : Math.max(MINUTE, due);
    const next = Math.min(until, clock.now + wait);
    delayed.sort((a, b) => a.at - b.at);
    while (delayed.length > 0 && delayed[0].at <= next) {
      const change = delayed.shift();
      if (change === undefined) break;
      if (!views.has(change.name)) continue;
      views.set(change.name, change.view);
      assertTrust(views, change.at);
    }
    clock.now = next;
    assertTrust(views, clock.now);
  }
}

const viewsOf = (world: World) =>
  new Map(world.nodes.map(({ metadata: { name } }) => [name, world.mounted(name)]));

test('a Certificate is asked for each node and the operator, and what comes is copied', async () => {
  const world = await begun();
  const certificate = world.stored('Certificate', 'n1');
  assert.deepEqual(certificate?.spec, {
    secretName: 'n1-issued',
    secretTemplate: {
      labels: {
        'app.kubernetes.io/name': 'ilion',
        'app.kubernetes.io/managed-by': 'ilion-operator',
        'ilion.dev/cluster': 'demo',
      },
    },
    commonName: 'n1',
    dnsNames: ['n1', 'n1.db.svc', 'n1.demo-seeds.db.svc'],
    duration: '2160h0m0s',
    usages: ['digital signature', 'server auth', 'client auth'],
    privateKey: { algorithm: 'ECDSA', size: 256, encoding: 'PKCS8', rotationPolicy: 'Always' },
    issuerRef: { name: 'main', kind: 'Issuer', group: 'cert-manager.io' },
  });
  const [{ metadata }] = world.nodes;
  assert.deepEqual(certificate?.metadata.ownerReferences?.[0].uid, metadata.uid);
  assert.equal(
    world.stored('Certificate', 'demo-operator')?.spec.secretName,
    'demo-operator-issued',
  );
  // It goes with the node, and not before: cert-manager leaves what it wrote.
  const owners = world.stored('Secret', 'n1-issued')?.metadata.ownerReferences;
  assert.deepEqual(
    owners?.map(({ uid }) => uid),
    [metadata.uid],
  );
  assert.equal(world.text('n1-tls', 'tls.crt'), world.text('n1-issued', 'tls.crt'));
  assert.equal(world.text('demo-ca', 'tls.key'), '');
  assertTrust(viewsOf(world), world.clock.now);
  world.clock.now += 10_000;
  assert.deepEqual(await world.ensure(), {
    ready: new Set(['n1', 'n2', 'n3']),
    ...{ problem: null, writes: 0, dueMillis: null },
  });
});

test('what cert-manager renews is copied at once, and a copy that is gone is made again', async () => {
  const world = await begun();
  const before = world.text('n1-tls', 'tls.crt');
  world.clock.now += DAY;
  const issued = world.api.find('Secret', 'n1-issued', 'db');
  assert.ok(issued !== undefined);
  world.api.remove('Secret', issued);
  const copy = world.api.find('Secret', 'n2-tls', 'db');
  assert.ok(copy !== undefined);
  world.api.remove('Secret', copy);
  await world.manager.work();
  // The Secret of cert-manager is adopted, too.
  assert.equal((await world.ensure()).writes, 3);
  assert.notEqual(world.text('n1-tls', 'tls.crt'), before);
  assert.equal(world.text('n1-tls', 'tls.crt'), world.text('n1-issued', 'tls.crt'));
  assertTrust(viewsOf(world), world.clock.now);
});

test('another issuer: first all are told of its authority, then it is shown, then the old one is forgotten', async () => {
  const world = await begun();
  const { manager, clock } = world;
  const before = world.text('n1-tls', 'tls.crt');
  manager.issuers.set('other', await authority('other', clock.now));
  world.issuer('other');
  world.use(byIssuer('other'));
  await world.ensure();
  await manager.work();
  await world.ensure();
  assert.equal(world.text('n1-tls', 'tls.crt'), before);
  assert.equal(certificatesIn(world.text('n1-tls', 'ca.crt')).length, 2);
  // A node that comes now is issued for by the new one alone: it waits.
  world.addNode('n4');
  await world.ensure();
  await manager.work();
  const waiting = await world.ensure();
  assert.ok(!waiting.ready.has('n4'));
  assert.match(waiting.problem ?? '', /^Certificate n4 is of another authority than those of/);
  const views = new Map([...viewsOf(world)].filter(([name]) => name !== 'n4'));
  await live(world, clock.now + DAY, views, 7 * MINUTE);
  assert.ok(views.has('n4'));
  assert.equal(world.text('n1-tls', 'tls.crt'), world.text('n1-issued', 'tls.crt'));
  const other = manager.issuers.get('other')?.root ?? '';
  assert.deepEqual(certificatesIn(world.text('n1-tls', 'ca.crt')), [other]);
  clock.now += 10_000;
  assert.equal((await world.ensure()).writes, 0);
});

test('whatever issuers do in a year, nodes always believe each other', async () => {
  let state = 7;
  const chance = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  const world = await begun();
  const { manager, clock, nodes, api } = world;
  const views = viewsOf(world);
  let changes = 0;
  for (const name of ['other', 'third'])
    manager.issuers.set(name, await authority(name, clock.now));
  // Any call may fail.
  world.failWhen(() => (chance() < 0.02 ? new KubeError('UNAVAILABLE', 'not now') : null));
  while (clock.now < BEGINNING + 365 * DAY) {
    const what = chance();
    const name = ['main', 'other', 'third'][Math.floor(chance() * 3)];
    if (what < 0.4) {
      // Nobody is told: who is renewed next gets it, the others weeks later.
      manager.issuers.set(name, await authority(`${name} ${++changes}`, clock.now));
    } else if (what < 0.6) {
      world.use(byIssuer(name));
    } else if (what < 0.7 && nodes.length < 6) {
      world.addNode(`m${++changes}`);
    } else if (what < 0.8 && nodes.length > 3) {
      const [gone] = nodes.splice(0, 1);
      views.delete(gone.metadata.name);
      api.remove('DatabaseNode', gone);
      api.collect();
    } else {
      const issued = api.find('Secret', `${nodes[0].metadata.name}-issued`, 'db');
      if (issued !== undefined) api.remove('Secret', issued);
    }
    const days = chance() < 0.3 ? chance() / 8 : chance() * 40;
    await live(world, clock.now + days * DAY, views, 6 * HOUR);
  }
  assert.ok(changes > 10);
  world.failWhen(() => null);
  await live(world, clock.now + 70 * DAY, views, 6 * HOUR);
  // At most what the issuers that there are have shown lately.
  assert.ok(certificatesIn(world.text('demo-ca', 'ca.crt')).length <= 2);
});

test('an issuer may have an authority between its root and what it signs', async () => {
  const world = setUp();
  const root = await makeAuthority('root', BEGINNING, 3_650);
  const between = await makeIntermediate(root, 'between', BEGINNING, 3_650);
  const whole = { pair: between, chain: between.certificate, root: root.certificate };
  world.manager.issuers.set('main', { ...whole, root: between.certificate });
  world.issuer('main');
  await world.ensure();
  await world.manager.work();
  const { ready, problem } = await world.ensure();
  assert.equal(ready.size, 0);
  assert.match(
    problem ?? '',
    /^Certificate demo-operator \(and 3 more\) of Issuer main: ca\.crt ends/,
  );
  world.manager.issuers.set('main', whole);
  for (const { metadata } of world.api.all('Secret')) {
    const secret = world.api.find('Secret', metadata.name, 'db');
    if (secret !== undefined) world.api.remove('Secret', secret);
  }
  await world.manager.work();
  assert.equal((await world.ensure()).ready.size, 3);
  assertTrust(viewsOf(world), world.clock.now);
});

test('what is in the way is said, with its cure', async () => {
  const world = setUp();
  const said = async () => (await world.ensure()).problem ?? '';
  world.failWhen((kind) => (kind === 'Certificate' ? new KubeError('NOT_FOUND', 'no kind') : null));
  assert.match(await said(), /knows no Certificate of cert-manager\.io: install cert-manager/);
  world.failWhen((kind) => (kind === 'Certificate' ? new KubeError('FORBIDDEN', 'no') : null));
  assert.match(await said(), /^the operator may not read Certificates .*: upgrade its chart/);
  world.failWhen((kind, verb) =>
    kind === 'Certificate' && verb === 'create' ? new KubeError('UNAVAILABLE', 'webhook') : null,
  );
  assert.equal(await said(), 'no Certificate of cert-manager.io can be made: webhook');
  world.failWhen(() => null);
  await world.ensure();
  assert.equal(
    await said(),
    'spec.tls.issuerRef: Issuer main is not there: make it, or name another; Certificate demo-operator (and 3 more) of Issuer main: cert-manager says nothing of it yet: does it run?',
  );
  await world.manager.work();
  world.issuer('main', 'False');
  assert.equal(
    await said(),
    'spec.tls.issuerRef: Issuer main is not ready: KeyPair: as it is; Certificate demo-operator (and 3 more) of Issuer main: DoesNotExist: so it is',
  );
  world.manager.issuers.set('main', await authority('main', BEGINNING));
  world.manager.lacks = 'ca.crt';
  await world.manager.work();
  assert.match(
    await said(),
    /of Issuer main: its issuer gives no ca\.crt \(those of ACME have none\)/,
  );
  assert.equal((await world.ensure()).ready.size, 0);
});

test('an authority that ends before what it has signed is told of in time', async () => {
  const world = setUp();
  const short = await makeAuthority('short', BEGINNING, 40);
  const long = {
    ...short,
    certificate: (await makeAuthority('short', BEGINNING, 100)).certificate,
  };
  const pair = await makeIntermediate(short, 'between', BEGINNING, 100);
  world.manager.issuers.set('main', {
    ...{ pair, chain: pair.certificate, root: long.certificate + short.certificate },
  });
  world.issuer('main');
  await world.ensure();
  await world.manager.work();
  assert.equal((await world.ensure()).problem, null);
  world.clock.now += 11 * DAY;
  const { problem, ready } = await world.ensure();
  assert.match(
    problem ?? '',
    /: its authority ends on 2026-02-10, before it does: have the issuer/,
  );
  assert.equal(ready.size, 3);
});

test('a Certificate of somebody else is left as it is', async () => {
  const world = setUp();
  const theirs = { metadata: { name: 'n1', namespace: 'db' }, spec: { secretName: 'theirs' } };
  world.api.put('Certificate', theirs);
  const { problem } = await world.ensure();
  assert.match(
    problem ?? '',
    /^a Certificate is there, without the labels .* \(Certificate n1 exists\)/,
  );
  assert.deepEqual(world.stored('Certificate', 'n1')?.spec, theirs.spec);
});

test('what cannot be used is not copied over what nodes have', async () => {
  const world = await begun();
  const before = world.text('n1-tls', 'tls.crt');
  world.manager.lacks = 'names';
  const issued = world.api.find('Secret', 'n1-issued', 'db');
  assert.ok(issued !== undefined);
  world.api.remove('Secret', issued);
  await world.manager.work();
  world.clock.now += 10_000;
  const { problem, ready } = await world.ensure();
  assert.match(problem ?? '', /^Certificate n1 of Issuer main: its issuer has left out names/);
  assert.equal(world.text('n1-tls', 'tls.crt'), before);
  assert.equal(ready.size, 3);
});

test('the operator and cert-manager take over from each other while nodes run', async () => {
  const world = setUp({ mode: 'Operator' });
  const { manager, clock } = world;
  await world.ensure();
  assert.equal((await world.ensure()).ready.size, 3);
  const views = viewsOf(world);
  const run = (millis: number) => live(world, clock.now + millis, views, 7 * MINUTE);
  const root = await makeAuthority('root', BEGINNING, 3_650);
  const pair = await makeIntermediate(root, 'between', BEGINNING, 3_650);
  manager.issuers.set('main', { pair, chain: pair.certificate, root: root.certificate });
  world.issuer('main');
  world.use(byIssuer('main'));
  await run(DAY);
  assert.deepEqual(certificatesIn(world.text('n1-tls', 'ca.crt')), [root.certificate]);
  assert.equal(world.text('n1-tls', 'tls.crt'), world.text('n1-issued', 'tls.crt'));
  // Back while some have a certificate of another authority, and a third one is not shown yet.
  for (const name of ['other', 'third']) {
    manager.issuers.set('main', await authority(name, clock.now));
    const issued = world.api.find('Secret', 'n2-issued', 'db');
    assert.ok(issued !== undefined);
    world.api.remove('Secret', issued);
    await run(name === 'other' ? DAY : 10 * MINUTE);
  }
  assert.equal(certificatesIn(world.text('demo-ca', 'tls.crt')).length, 2);
  assert.equal(certificatesIn(world.text('demo-ca', 'next.crt')).length, 1);
  world.use({ mode: 'Operator' });
  await run(DAY);
  const [own, ...more] = certificatesIn(world.text('n1-tls', 'ca.crt'));
  assert.equal(more.length, 0);
  assert.equal(own, world.text('demo-ca', 'tls.crt'));
  assert.notEqual(world.text('demo-ca', 'tls.key'), '');
});
