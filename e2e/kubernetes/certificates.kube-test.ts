/**
 * tls.mode CertManager with cert-manager itself, on a real Kubernetes: what is missing is said; certificates are renewed, and the issuer is
 * changed for another one with another authority, then for the operator, while an application reads and writes and the operator is killed.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, test } from 'node:test';
import { makeIssuer, startCertManager } from './support/cert-manager.ts';
import { unavailable } from './support/cluster.ts';
import { type Condition, DatabaseCluster } from './support/database-cluster.ts';
import type { Operator } from './support/operator.ts';
import { until } from './support/processes.ts';
import type { Steps } from './support/steps.ts';
import { NAMESPACE, startUnderLoad, type UnderLoad } from './support/under-load.ts';

const WAIT_MILLIS = 300_000;
/** @see changes.kube-test.ts */
const SETTLE_SECONDS = 40;
const ADMIN_PORT = 9043;

const reason = await unavailable();
const skip = reason === null ? false : `no Kubernetes here: ${reason}`;

let all: UnderLoad;
let certManager: AsyncDisposable | undefined;
let demo: DatabaseCluster;
let alone: DatabaseCluster;
let steps: Steps;
/** What was told of `alone` before there was a cert-manager, and before there was its issuer. */
const told: Condition[] = [];

const issuedBy = (issuer: string) => ({
  tls: { mode: 'CertManager', issuerRef: { name: issuer } },
});

async function prepare(operator: Operator): Promise<void> {
  alone = new DatabaseCluster(operator, 'alone', 'alone');
  const spec = {
    ...{ replicas: 1, storage: { size: '320Mi' }, ...issuedBy('later') },
    resources: { requests: { cpu: '50m', memory: '320Mi' }, limits: { memory: '320Mi' } },
  };
  const kind = { apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster' };
  await alone.create(JSON.stringify({ ...kind, metadata: { name: 'alone' }, spec }));
  const hear = async (text: string) =>
    told.push(
      await alone.condition(
        WAIT_MILLIS,
        ({ type, message }) => type === 'CertificatesReady' && message.includes(text),
      ),
    );
  await hear('install cert-manager');
  certManager = await startCertManager(operator.kube);
  await hear('Issuer later is not there');
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
  await operator.kube.apply(namespace);
  await makeIssuer(operator.kube, NAMESPACE, 'one');
  await makeIssuer(operator.kube, NAMESPACE, 'two');
}

before(async () => {
  if (skip !== false) return;
  all = await startUnderLoad({
    title: 'certificates',
    values: [`certificateSettleSeconds=${SETTLE_SECONDS}`],
    prepare,
    spec: [`tls: ${JSON.stringify(issuedBy('one').tls)}`],
  });
  ({ demo, steps } = all);
});

after(async () => {
  await all?.[Symbol.asyncDispose]();
  await certManager?.[Symbol.asyncDispose]();
});

async function secret(name: string, field: string): Promise<string> {
  const path = `jsonpath={.data.${field.replace('.', '\\.')}}`;
  const text = await demo.kubectl(['get', 'secret', name, '-o', path]);
  return Buffer.from(text, 'base64').toString();
}

const issuerOf = (certificate: string) => new X509Certificate(certificate).issuer;
const countOf = (bundle: string) => bundle.split('BEGIN CERTIFICATE').length - 1;

/** What the node of a pod shows to whoever calls. */
async function shown(name: string): Promise<string> {
  const pod = (await demo.pods()).find(({ metadata }) => metadata.name === name);
  const ask = `openssl s_client -connect ${pod?.status.podIP}:${ADMIN_PORT} </dev/null 2>/dev/null | openssl x509`;
  return (await demo.kube.run(0, ['sh', '-c', ask])).trim();
}

/** The node shows another certificate than that, which is the one of its Secret. */
async function renewed(name: string, before: string): Promise<void> {
  await until(`another certificate of ${name}`, WAIT_MILLIS, async () => {
    const now = await shown(name);
    return now !== before && now === (await secret(`${name}-tls`, 'tls.crt')).trim();
  });
}

const podUids = async () => (await demo.pods()).map(({ metadata }) => metadata.uid).sort();

test('what is missing is said, and healed when it is there', { skip }, async () => {
  for (const { status, message } of told) console.log(`CertificatesReady is ${status}: ${message}`);
  assert.deepEqual(
    told.map(({ status }) => status),
    ['False', 'False'],
  );
  assert.equal((await alone.pods()).length, 0);
  await makeIssuer(alone.kube, alone.namespace, 'later');
  await alone.settled(1);
  await alone.kube.kubectl(['delete', 'namespace', alone.namespace, '--wait=false']);
});

test('certificates are those of the issuer, and go with their nodes', { skip }, async () => {
  for (const { metadata } of await demo.nodes()) {
    assert.equal(issuerOf(await shown(metadata.name)), 'CN=one-root');
    const path = ['-o', 'jsonpath={.metadata.ownerReferences[0].uid}'];
    for (const object of [`certificate/${metadata.name}`, `secret/${metadata.name}-issued`]) {
      assert.equal(await demo.kubectl(['get', object, ...path]), metadata.uid, object);
    }
  }
});

test('what cert-manager renews nodes show, without a restart', { skip }, async () => {
  const uids = await podUids();
  const [first, second] = await demo.nodes();
  const [one, other] = [first.metadata.name, second.metadata.name];
  await steps.step(
    'a Secret of cert-manager is deleted, until the node shows another',
    async () => {
      const before = await shown(one);
      await demo.kubectl(['delete', 'secret', `${one}-issued`]);
      await renewed(one, before);
    },
  );
  await steps.step('a renewal as by cmctl, until the node shows another', async () => {
    const before = await shown(other);
    const value = {
      ...{ type: 'Issuing', status: 'True', reason: 'ManuallyTriggered', message: 'by hand' },
      lastTransitionTime: new Date().toISOString(),
    };
    const add = [{ op: 'add', path: '/status/conditions/-', value }];
    const patch = ['--subresource=status', '--type=json', '-p', JSON.stringify(add)];
    await demo.kubectl(['patch', 'certificate', other, ...patch]);
    await renewed(other, before);
  });
  await demo.settled(3);
  assert.deepEqual(await podUids(), uids);
});

/** All nodes show certificates of an authority, and believe no other. */
async function changed(change: Readonly<Record<string, unknown>>, issuer: RegExp): Promise<void> {
  const nodes = (await demo.nodes()).map(({ metadata }) => metadata.name);
  const old = await secret(`${nodes[0]}-tls`, 'ca.crt');
  await demo.patch(change);
  await until('the new authority alone', WAIT_MILLIS, async () => {
    const bundles = await Promise.all(nodes.map((name) => secret(`${name}-tls`, 'ca.crt')));
    return bundles.every((one) => countOf(one) === 1 && one !== old);
  });
  // Nodes have read it and do without the old one.
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  await demo.settled(nodes.length);
  for (const name of nodes) assert.match(issuerOf(await shown(name)), issuer);
}

test('another issuer with another authority takes over', { skip }, async () => {
  const uids = await podUids();
  await steps.step(`another issuer (settles for ${SETTLE_SECONDS} s, twice)`, () =>
    changed(issuedBy('two'), /^CN=two-root$/),
  );
  assert.deepEqual(await podUids(), uids);
});

test('a node that comes later has its certificate, and takes it along', { skip }, async () => {
  const before = (await demo.nodes()).map(({ metadata }) => metadata.name);
  await steps.step('3 -> 4 nodes', async () => {
    await demo.scale(4);
    await demo.settled(4);
  });
  const late = (await demo.nodes()).find(({ metadata }) => !before.includes(metadata.name));
  assert.ok(late !== undefined);
  const { name } = late.metadata;
  assert.equal(issuerOf(await shown(name)), 'CN=two-root');
  await steps.step('4 -> 3 nodes', async () => {
    await demo.scale(3);
    await demo.settled(3);
  });
  const nodes = new Set((await demo.nodes()).map(({ metadata }) => metadata.name));
  const [gone] = before.concat(name).filter((one) => !nodes.has(one));
  await until(`no certificate of ${gone}`, WAIT_MILLIS, async () => {
    const names = [`certificate/${gone}`, `secret/${gone}-issued`, `secret/${gone}-tls`];
    return (await demo.kubectl(['get', '--ignore-not-found', '-o', 'name', ...names])) === '';
  });
});

test('the operator takes over from cert-manager', { skip }, async () => {
  const uids = await podUids();
  await steps.step(`tls.mode Operator (settles for ${SETTLE_SECONDS} s, twice)`, () =>
    changed({ tls: { mode: 'Operator', issuerRef: null } }, /^CN=shop\/demo$/),
  );
  assert.deepEqual(await podUids(), uids);
});

test('no row was lost, and the operator was small', { skip }, async () => {
  await all.endKills();
  await demo.settled(3);
  await all.endLoad();
});
