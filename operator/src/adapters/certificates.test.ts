import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { type Key, KubeError } from '../ports/kube.ts';
import type { Kind, Kinds, Secret } from '../ports/kube-objects.ts';
import { certificatesIn, isIssuedBy } from './certificate-plan.ts';
import { createCertificates, createOperatorCertificates } from './certificates.ts';
import { RENEW } from './own-certificates.ts';
import { makeAuthority, validityOf } from './x509.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const BEGINNING = Date.parse('2026-01-01T00:00:00Z');
type Tls = DatacenterCluster['spec']['tls'];

const metadata = (name: string, uid = `uid-${name}`) => ({
  ...{ name, namespace: 'db', uid, resourceVersion: '1' },
});
const clusterWith = (tls: Tls, uid?: string) =>
  ({
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatacenterCluster',
    metadata: metadata('demo', uid),
    spec: { tls },
  }) as DatacenterCluster;
const node = (name: string) =>
  ({
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatabaseNode',
    metadata: metadata(name),
    spec: { cluster: 'demo', datacenter: 'dc1', rack: 'rack1' },
  }) as DatabaseNode;

/** Secrets, as the API server keeps them. */
function secretStore() {
  const all = new Map<string, Secret>();
  let version = 0;
  let failing: (name: string) => boolean = () => false;
  const put = (object: Secret): Secret => {
    const kept = {
      ...object,
      metadata: { ...object.metadata, uid: object.metadata.uid, resourceVersion: `${++version}` },
    };
    all.set(object.metadata.name, kept);
    return kept;
  };
  const check = (name: string) => {
    if (failing(name)) throw new KubeError('UNAVAILABLE', 'not now');
  };
  return {
    all,
    failWhen: (when: (name: string) => boolean) => {
      failing = when;
    },
    text: (name: string, field: string) =>
      Buffer.from(all.get(name)?.data?.[field] ?? '', 'base64').toString(),
    put,
    kube: {
      get: async <K extends Kind>(_: K, { name }: Key) =>
        (all.get(name) ?? null) as Kinds[K] | null,
      list: async <K extends Kind>(_: K, __: string | null, labels?: object) =>
        [...all.values()].filter(({ metadata }) =>
          Object.entries(labels ?? {}).every(([name, value]) => metadata.labels?.[name] === value),
        ) as unknown as Kinds[K][],
      create: async <K extends Kind>(_: K, object: object) => {
        const draft = object as Secret;
        check(draft.metadata.name);
        if (all.has(draft.metadata.name)) throw new KubeError('ALREADY_EXISTS', 'it is there');
        return put({
          ...draft,
          metadata: { ...draft.metadata, uid: `s-${version}` },
        }) as unknown as Kinds[K];
      },
      replace: async <K extends Kind>(_: K, object: Kinds[K]) => {
        const next = object as unknown as Secret;
        check(next.metadata.name);
        const before = all.get(next.metadata.name);
        if (before?.metadata.resourceVersion !== next.metadata.resourceVersion) {
          throw new KubeError('CONFLICT', 'it has changed');
        }
        return put(next) as unknown as Kinds[K];
      },
      apply: async () => {
        throw new KubeError('NOT_FOUND', 'the server could not find the requested resource');
      },
    },
  };
}

type Store = ReturnType<typeof secretStore>;

/** What a node uses: what was in its Secret some time ago. */
interface Mounted {
  certificate: string;
  believed: readonly string[];
}

function mounted(store: Store, name: string): Mounted {
  return {
    certificate: store.text(`${name}-tls`, 'tls.crt'),
    believed: certificatesIn(store.text(`${name}-tls`, 'ca.crt')),
  };
}

/** Each takes the other for what it is, now. */
function assertTrust(views: readonly Mounted[], now: number, when: string): void {
  for (const a of views) {
    const { until } = validityOf(a.certificate);
    assert.ok(now < until, `${when}: a certificate has ended`);
    for (const b of views) {
      const maker = b.believed.find((one) => isIssuedBy(a.certificate, one));
      assert.ok(maker !== undefined, `${when}: one does not believe the other`);
      assert.ok(now < validityOf(maker).until, `${when}: an authority has ended`);
    }
  }
}

const OPERATOR: Tls = { mode: 'Operator' };
const NODES = ['n1', 'n2', 'n3'].map(node);
const NAMES = NODES.map(({ metadata: { name } }) => name);

function setUp(tls: Tls) {
  const store = secretStore();
  const clock = { now: BEGINNING };
  const certificates = createCertificates(store.kube, { nowMillis: () => clock.now });
  const cluster = clusterWith(tls);
  return { store, clock, ensure: (nodes = NODES) => certificates.ensure(cluster, nodes) };
}

test('what is missing is made, and then nothing is written until something is due', async () => {
  const { store, clock, ensure } = setUp(OPERATOR);
  const first = await ensure();
  assert.deepEqual([...first.ready], NAMES);
  assert.equal(first.writes, 5);
  assert.deepEqual(
    [...store.all.keys()],
    ['demo-ca', 'demo-operator-tls', ...NAMES.map((name) => `${name}-tls`)],
  );
  assertTrust(
    NAMES.map((name) => mounted(store, name)),
    clock.now,
    'new',
  );
  const again = await ensure();
  assert.deepEqual([again.writes, again.problem], [0, null]);
  // An hour is before its time.
  assert.equal(again.dueMillis, Math.round((90 * DAY + HOUR) * (2 / 3)) - HOUR);
  clock.now += (again.dueMillis ?? 0) - 1;
  assert.equal((await ensure()).writes, 0);
  clock.now += 1;
  assert.equal((await ensure()).writes, 4);
  const shown = createOperatorCertificates(store.kube, () => clock.now);
  const own = await shown('db', 'demo');
  assert.equal(await shown('db', 'demo'), own);
  assert.ok(isIssuedBy(own?.certificate ?? '', own?.ca ?? ''));
  assert.equal(await shown('db', 'other'), null);
});

/** Runs for a time; nodes see their Secrets 50 minutes late. */
async function live(
  { store, clock, ensure }: ReturnType<typeof setUp>,
  until: number,
  views = new Map(NAMES.map((name) => [name, mounted(store, name)])),
): Promise<number> {
  let writes = 0;
  const delayed: { readonly at: number; readonly name: string; readonly view: Mounted }[] = [];
  while (clock.now < until) {
    let due: number | null = 10 * 60_000;
    try {
      const state = await ensure();
      assert.equal(state.problem, null);
      writes += state.writes;
      due = state.dueMillis;
    } catch (error) {
      assert.ok(error instanceof KubeError);
    }
    NAMES.forEach((name, i) => {
      delayed.push({ at: clock.now + i * 25 * 60_000, name, view: mounted(store, name) });
    });
    // Who looks between two steps sees each node at another state.
    const isChanging = certificatesIn(store.text('demo-ca', 'ca.crt')).length > 1;
    const wait = Math.min(Math.max(60_000, due ?? DAY), isChanging ? 7 * 60_000 : HOUR * 24 * 365);
    const next = Math.min(until, clock.now + wait);
    delayed.sort((a, b) => a.at - b.at);
    while (delayed.length > 0 && delayed[0].at <= next) {
      const change = delayed.shift();
      if (change === undefined) break;
      views.set(change.name, change.view);
      const when = new Date(change.at).toISOString();
      assertTrust([...views.values()], change.at, when);
    }
    clock.now = next;
    assertTrust([...views.values()], clock.now, new Date(next).toISOString());
  }
  return writes;
}

test('through 21 years, three authorities and failing writes, nodes always believe each other', async () => {
  const made = setUp(OPERATOR);
  await made.ensure();
  const authorities = new Set<string>();
  let calls = 0;
  made.store.failWhen(() => ++calls % 3 === 0);
  for (let year = 1; year <= 21; year++) {
    await live(made, BEGINNING + year * 365 * DAY);
    authorities.add(made.store.text('demo-ca', 'tls.crt'));
  }
  assert.equal(authorities.size, 4);
  assert.equal(certificatesIn(made.store.text('demo-ca', 'ca.crt')).length, 1);
});

test('an authority is renewed when somebody asks for it, and not again', async () => {
  const made = setUp(OPERATOR);
  await made.ensure();
  const before = made.store.text('demo-ca', 'tls.crt');
  const secret = made.store.all.get('demo-ca') as Secret;
  made.store.put({ ...secret, metadata: { ...secret.metadata, annotations: { [RENEW]: '1' } } });
  await live(made, BEGINNING + DAY);
  assert.notEqual(made.store.text('demo-ca', 'tls.crt'), before);
  assert.equal(made.store.all.get('demo-ca')?.metadata.annotations?.[RENEW], undefined);
  assert.equal((await made.ensure()).writes, 0);
});

test('nothing is signed by a new authority before all can believe it', async () => {
  const made = setUp(OPERATOR);
  const { store, clock, ensure } = made;
  await ensure();
  const before = store.text('demo-ca', 'tls.crt');
  const secret = store.all.get('demo-ca') as Secret;
  store.put({ ...secret, metadata: { ...secret.metadata, annotations: { [RENEW]: '1' } } });
  store.failWhen((name) => name === 'n3-tls');
  for (let i = 0; i < 10; i++) {
    await assert.rejects(ensure(), KubeError);
    clock.now += HOUR;
  }
  assert.equal(store.text('demo-ca', 'tls.crt'), before);
  assert.equal(certificatesIn(store.text('n1-tls', 'ca.crt')).length, 2);
  store.failWhen(() => false);
  const later = node('n4');
  await ensure([...NODES, later]);
  const joined = mounted(store, 'n4');
  assert.ok(isIssuedBy(joined.certificate, before));
  assert.equal(joined.believed.length, 2);
  clock.now += HOUR;
  await ensure([...NODES, later]);
  assert.notEqual(store.text('demo-ca', 'tls.crt'), before);
});

test('an authority that was lost is followed by another without an interruption', async () => {
  const made = setUp(OPERATOR);
  await made.ensure();
  const before = made.store.text('demo-ca', 'tls.crt');
  const views = new Map(NAMES.map((name) => [name, mounted(made.store, name)]));
  made.store.all.delete('demo-ca');
  await live(made, BEGINNING + DAY, views);
  assert.notEqual(made.store.text('demo-ca', 'tls.crt'), before);
  assert.equal(certificatesIn(made.store.text('n1-tls', 'ca.crt')).length, 1);
});

test('while an authority is lost nothing is signed that others do not believe yet', async () => {
  const { ensure, store, clock } = setUp(OPERATOR);
  await ensure();
  store.all.delete('demo-ca');
  const later = node('n4');
  const waiting = await ensure([...NODES, later]);
  assert.equal(waiting.ready.has('n4'), false);
  assert.equal(waiting.ready.size, NODES.length);
  assert.match(waiting.problem ?? '', /the key of the authority in Secret demo-ca is lost/);
  clock.now += HOUR + 1;
  await ensure([...NODES, later]);
  const made = await ensure([...NODES, later]);
  assert.equal(made.problem, null);
  assert.ok(made.ready.has('n4'));
});

async function giveAuthority(store: Store, name: string, days = 3_650): Promise<string> {
  const { certificate, key } = await makeAuthority(name, BEGINNING, days);
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  store.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata('own'),
    data: { 'tls.crt': encoded(certificate), 'tls.key': encoded(key) },
  });
  return certificate;
}

test('a given authority signs; another one that is given takes its place with overlap', async () => {
  const made = setUp({ mode: 'Secret', secretName: 'own' });
  const { store } = made;
  const none = await made.ensure();
  assert.match(none.problem ?? '', /^spec\.tls\.secretName: Secret own is not there: make it$/);
  assert.deepEqual([none.ready.size, none.writes], [0, 0]);
  const first = await giveAuthority(store, 'first');
  assert.equal((await made.ensure()).ready.size, 3);
  assert.ok(isIssuedBy(mounted(store, 'n1').certificate, first));
  const views = new Map(NAMES.map((name) => [name, mounted(store, name)]));
  const second = await giveAuthority(store, 'second');
  await live(made, BEGINNING + DAY, views);
  assert.ok(isIssuedBy(mounted(store, 'n1').certificate, second));
  assert.equal(certificatesIn(store.text('n1-tls', 'ca.crt')).length, 1);
  store.all.delete('own');
  made.clock.now += 10_000;
  const lost = await made.ensure();
  assert.match(lost.problem ?? '', /is not there/);
  assert.deepEqual([lost.ready.size, lost.writes], [3, 0]);
});

test('near the end of a given authority certificates are not made again and again', async () => {
  const made = setUp({ mode: 'Secret', secretName: 'own' });
  await giveAuthority(made.store, 'short', 10);
  await made.ensure();
  made.clock.now = BEGINNING + 10 * DAY - 60_000;
  assert.equal((await made.ensure()).writes, 0);
  made.clock.now = BEGINNING + 10 * DAY;
  assert.match((await made.ensure()).problem ?? '', /has expired/);
});

test('Secrets of an earlier cluster of the same name are not built on', async () => {
  const { store, clock } = setUp(OPERATOR);
  const certificates = createCertificates(store.kube, { nowMillis: () => clock.now });
  await certificates.ensure(clusterWith(OPERATOR, 'earlier'), NODES);
  const { ready, problem, writes } = await certificates.ensure(clusterWith(OPERATOR), NODES);
  assert.match(problem ?? '', /^Secret demo-ca belongs to an object that is not there any more/);
  assert.deepEqual([ready.size, writes], [0, 0]);
});

test('a Secret that somebody has damaged is made anew', async () => {
  const { store, clock, ensure } = setUp(OPERATOR);
  await ensure();
  await ensure();
  const secret = store.all.get('n1-tls') as Secret;
  store.put({ ...secret, data: { ...secret.data, 'tls.crt': 'bm9uc2Vuc2U=' } });
  store.all.delete('n2-tls');
  clock.now += 10_000;
  assert.equal((await ensure()).writes, 2);
  assert.ok(isIssuedBy(mounted(store, 'n1').certificate, store.text('demo-ca', 'tls.crt')));
});

test('a Secret of the same name that is not of the cluster is left as it is', async () => {
  const { store, ensure } = setUp(OPERATOR);
  const theirs = { apiVersion: 'v1', kind: 'Secret', metadata: metadata('demo-ca') } as const;
  store.put(theirs);
  const { problem, writes } = await ensure();
  assert.match(problem ?? '', /^Secret demo-ca is there, without the labels of this cluster/);
  assert.equal(writes, 0);
  assert.equal(store.all.size, 1);
});
