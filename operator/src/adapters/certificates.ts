/** Certificates of clusters in Secrets: `<cluster>-ca` the authority, `<node>-tls` of each node, `<cluster>-operator-tls` our own. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import {
  type CertificateState,
  type Certificates,
  certificateSecretName,
} from '../ports/certificates.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import { type Draft, ownedBy, type Secret } from '../ports/kube-objects.ts';
import {
  type AuthoritySource,
  type AuthorityState,
  type AuthorityStep,
  bundleOf,
  certificatesIn,
  dueAt,
  type LeafState,
  type LeafStep,
  planAuthority,
  planLeaves,
} from './certificate-plan.ts';
import type { OperatorCertificate } from './database-nodes.ts';
import { flawOfAuthority, issue, type KeyPair, makeAuthority, type Names } from './x509.ts';

const AUTHORITY_DAYS = 3_650;
const LEAF_DAYS = 90;
/** Kubelets bring a changed Secret within two minutes, and nodes read it every ten seconds; a kubelet may be cut off for a while. */
const SETTLE_MILLIS = 3_600_000;
/** Steps of one call. A change of authority takes several calls. */
const STEPS_MAX = 4;
/** Secrets that were found to be right are not looked at again for so long. */
const CALM_MILLIS = 10_000;
const CALM_MAX = 1_000;

/** Of the Secret of the authority: since when all nodes have what its stage is about. */
export const SETTLED_SINCE = 'ilion.dev/settled-since';
/** Set it to anything: the authority is replaced by a new one, without an interruption. */
export const RENEW = 'ilion.dev/renew';

export function authoritySecretName(cluster: string): string {
  return `${cluster}-ca`;
}

/** Of the certificate that the operator shows to nodes. */
export function operatorSecretName(cluster: string): string {
  return `${cluster}-operator-tls`;
}

export interface CertificatesOptions {
  readonly nowMillis: () => number;
  readonly settleMillis?: number;
}

type Data = Readonly<Record<string, string>>;
/** Of a cluster, by name. */
type Secrets = ReadonlyMap<string, Secret>;
const encoded = (text: string) => Buffer.from(text, 'utf8').toString('base64');
const textOf = (secret: Secret | null, name: string) =>
  Buffer.from(secret?.data?.[name] ?? '', 'base64').toString('utf8');

function pairOf(secret: Secret, certificate: string, key: string): KeyPair {
  return { certificate: textOf(secret, certificate), key: textOf(secret, key) };
}

function stateOf(secret: Secret): AuthorityState {
  const { annotations } = secret.metadata;
  const since = Date.parse(annotations?.[SETTLED_SINCE] ?? '');
  return {
    signer: pairOf(secret, 'tls.crt', 'tls.key'),
    next: textOf(secret, 'next.crt') === '' ? null : pairOf(secret, 'next.crt', 'next.key'),
    old: certificatesIn(textOf(secret, 'old.crt')),
    settledSince: Number.isNaN(since) ? null : since,
    renewalWanted: annotations?.[RENEW] !== undefined,
  };
}

function dataOf(state: AuthorityState): Data {
  return {
    'tls.crt': encoded(state.signer.certificate),
    'tls.key': encoded(state.signer.key),
    'ca.crt': encoded(bundleOf(state)),
    'next.crt': encoded(state.next?.certificate ?? ''),
    'next.key': encoded(state.next?.key ?? ''),
    'old.crt': encoded(state.old.join('')),
  };
}

/** The state after a step. @param fresh makes an authority, or is the one that was offered */
async function after(
  state: AuthorityState,
  step: AuthorityStep,
  fresh: () => Promise<KeyPair>,
  now: number,
): Promise<AuthorityState> {
  const unsettled = { ...state, settledSince: null };
  switch (step.kind) {
    case 'make':
      return state;
    case 'announce':
      return { ...unsettled, next: await fresh(), renewalWanted: false };
    case 'mark':
      return { ...state, settledSince: now };
    case 'promote':
      return {
        ...unsettled,
        signer: state.next ?? state.signer,
        next: null,
        old: [state.signer.certificate, ...state.old],
      };
    case 'forget-old':
      return { ...unsettled, old: [] };
  }
}

function namesOf(cluster: DatacenterCluster, node: DatabaseNode): Names {
  const { name, namespace } = node.metadata;
  const owner = cluster.metadata.name;
  return {
    common: name,
    dns: [name, `${name}.${namespace}.svc`, `${name}.${owner}-seeds.${namespace}.svc`],
    addresses: [],
  };
}

function labelsOf({ metadata }: DatacenterCluster): Data {
  return {
    'app.kubernetes.io/name': 'ilion',
    'app.kubernetes.io/managed-by': 'ilion-operator',
    'ilion.dev/cluster': metadata.name,
  };
}

/** Something is in the way that people, or Kubernetes, must take out of it. */
class BlockedError extends Error {}

/** What the operator shows to the nodes of a cluster, asked for at most every ten seconds; null: there is none yet. */
export function createOperatorCertificates(
  kube: Pick<KubeApi, 'get'>,
  nowMillis: () => number,
): (namespace: string, cluster: string) => Promise<OperatorCertificate | null> {
  /** The oldest first. */
  const known = new Map<
    string,
    { readonly atMillis: number; readonly certificate: OperatorCertificate }
  >();
  return async (namespace, cluster) => {
    const key = `${namespace}/${cluster}`;
    const before = known.get(key);
    const now = nowMillis();
    if (before !== undefined && now - before.atMillis < CALM_MILLIS) return before.certificate;
    known.delete(key);
    const secret = await kube.get('Secret', { namespace, name: operatorSecretName(cluster) });
    if (secret === null) return null;
    const certificate = { ca: textOf(secret, 'ca.crt'), ...pairOf(secret, 'tls.crt', 'tls.key') };
    known.set(key, { atMillis: now, certificate });
    const [oldest] = known.keys();
    if (known.size > CALM_MAX) known.delete(oldest);
    return certificate;
  };
}

/** All calls for a cluster come one after the other. */
export function createCertificates(
  kube: Pick<KubeApi, 'get' | 'list' | 'create' | 'replace'>,
  { nowMillis, settleMillis = SETTLE_MILLIS }: CertificatesOptions,
): Certificates {
  const times = { settleMillis };

  const draftOf = (
    cluster: DatacenterCluster,
    name: string,
    owner: DatacenterCluster | DatabaseNode,
    data: Data,
  ): Draft<Secret> => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace: cluster.metadata.namespace,
      labels: labelsOf(cluster),
      ownerReferences: [ownedBy(owner)],
    },
    data,
  });

  /** One of an earlier object of the same name goes soon; until then nothing is built on it. @throws BlockedError */
  const ownOf = (secrets: Secrets, name: string, uid: string): Secret | null => {
    const secret = secrets.get(name) ?? null;
    const owners = secret?.metadata.ownerReferences ?? [];
    if (secret === null || owners.length === 0 || owners.some((one) => one.uid === uid)) {
      return secret;
    }
    throw new BlockedError(
      `Secret ${name} belongs to an object that is not there any more: Kubernetes removes it soon; if it does not, remove it`,
    );
  };
  const create = async (draft: Draft<Secret>): Promise<Secret> => {
    try {
      return await kube.create('Secret', draft);
    } catch (error) {
      if (!(error instanceof KubeError) || error.code !== 'ALREADY_EXISTS') throw error;
      throw new BlockedError(
        `Secret ${draft.metadata.name} is there, without the labels of this cluster: remove it, or label it ilion.dev/cluster`,
      );
    }
  };

  /** @throws BlockedError with the cure */
  const givenBy = async ({ metadata, spec }: DatacenterCluster): Promise<KeyPair> => {
    const name = spec.tls.secretName ?? '';
    const secret = await kube.get('Secret', { namespace: metadata.namespace, name });
    const where = `spec.tls.secretName: Secret ${name}`;
    if (secret === null) throw new BlockedError(`${where} is not there: make it`);
    const pair = pairOf(secret, 'tls.crt', 'tls.key');
    const flaw = await flawOfAuthority(pair, nowMillis());
    if (flaw === null) return pair;
    throw new BlockedError(`${where} must have tls.crt and tls.key of an authority: ${flaw}`);
  };

  const makeAuthoritySecret = async (
    cluster: DatacenterCluster,
    believed: readonly string[],
    fresh: KeyPair,
  ): Promise<Secret> => {
    const { name } = cluster.metadata;
    const [lost, ...older] = believed.filter((one) => one.trim() !== fresh.certificate.trim());
    const empty = { settledSince: null, renewalWanted: false };
    const state: AuthorityState =
      lost === undefined
        ? { ...empty, signer: fresh, next: null, old: [] }
        : { ...empty, signer: { certificate: lost, key: '' }, next: fresh, old: older };
    const draft = draftOf(cluster, authoritySecretName(name), cluster, dataOf(state));
    return create(draft);
  };

  const writeAuthority = (secret: Secret, state: AuthorityState): Promise<Secret> => {
    const { [SETTLED_SINCE]: _, [RENEW]: wanted, ...others } = secret.metadata.annotations ?? {};
    const annotations = {
      ...others,
      ...(wanted !== undefined && state.renewalWanted ? { [RENEW]: wanted } : {}),
      ...(state.settledSince === null
        ? {}
        : { [SETTLED_SINCE]: new Date(state.settledSince).toISOString() }),
    };
    return kube.replace('Secret', {
      ...secret,
      metadata: { ...secret.metadata, annotations },
      data: { ...secret.data, ...dataOf(state) },
    });
  };

  interface Wanted {
    readonly owner: DatacenterCluster | DatabaseNode;
    readonly secret: Secret | null;
    readonly leaf: LeafState;
  }
  const wantedOf = (
    secrets: Secrets,
    owner: DatacenterCluster | DatabaseNode,
    name: string,
    names: Names,
  ): Wanted => {
    const secret = ownOf(secrets, name, owner.metadata.uid);
    const found =
      secret === null
        ? null
        : { pair: pairOf(secret, 'tls.crt', 'tls.key'), bundle: textOf(secret, 'ca.crt') };
    return { owner, secret, leaf: { secret: name, names, found } };
  };
  const writeLeaf = async (
    cluster: DatacenterCluster,
    { owner, secret, leaf }: Wanted,
    { signer, bundle }: LeafStep,
  ): Promise<Wanted> => {
    const now = nowMillis();
    const pair =
      signer === null ? leaf.found?.pair : await issue(signer, leaf.names, now, LEAF_DAYS);
    if (pair === undefined) return { owner, secret, leaf };
    const data = {
      'tls.crt': encoded(pair.certificate),
      'tls.key': encoded(pair.key),
      'ca.crt': encoded(bundle),
    };
    const written =
      secret === null
        ? await create(draftOf(cluster, leaf.secret, owner, data))
        : await kube.replace('Secret', { ...secret, data: { ...secret.data, ...data } });
    return { owner, secret: written, leaf: { ...leaf, found: { pair, bundle } } };
  };

  /** Takes steps until there is none left for now. @returns the authority, and what was written */
  const advance = async (
    cluster: DatacenterCluster,
    found: Secret | null,
    wanted: Wanted[],
    source: AuthoritySource,
  ) => {
    const { namespace, name } = cluster.metadata;
    const fresh = async () =>
      source.kind === 'given' && source.pair !== null
        ? source.pair
        : makeAuthority(`${namespace}/${name}`, nowMillis(), AUTHORITY_DAYS);
    const leaves = () => wanted.map(({ leaf }) => leaf);
    let secret = found;
    let writes = 0;
    for (let i = 0; i < STEPS_MAX; i++) {
      const now = nowMillis();
      const state = secret === null ? null : stateOf(secret);
      const step = planAuthority(state, source, leaves(), now, times);
      if (step?.kind === 'make') {
        secret = await makeAuthoritySecret(cluster, step.believed, await fresh());
        writes++;
      } else if (step !== null && secret !== null && state !== null) {
        secret = await writeAuthority(secret, await after(state, step, fresh, now));
        writes++;
      } else {
        const steps = state === null ? [] : planLeaves(state, leaves(), now);
        if (steps.length === 0) break;
        for (const one of steps) {
          const index = wanted.findIndex(({ leaf }) => leaf === one.leaf);
          wanted[index] = await writeLeaf(cluster, wanted[index], one);
          writes++;
        }
      }
    }
    return { state: secret === null ? null : stateOf(secret), writes };
  };

  const ensureNow = async (
    cluster: DatacenterCluster,
    nodes: readonly DatabaseNode[],
  ): Promise<CertificateState> => {
    const { namespace, name, uid } = cluster.metadata;
    const problems: string[] = [];
    /** What is blocked does not block the rest. */
    const unlessBlocked = async <T>(work: () => T | Promise<T>): Promise<T | null> => {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof BlockedError)) throw error;
        problems.push(error.message);
        return null;
      }
    };
    const state = (
      ready: readonly Wanted[],
      writes: number,
      dueMillis: number | null,
    ): CertificateState => ({
      ready: new Set(ready.map(({ owner }) => owner.metadata.name)),
      problem: problems.length === 0 ? null : problems.join('; '),
      writes,
      dueMillis,
    });
    const source: AuthoritySource =
      cluster.spec.tls.mode === 'Secret'
        ? { kind: 'given', pair: await unlessBlocked(() => givenBy(cluster)) }
        : { kind: 'own' };
    const secrets: Secrets = new Map(
      (await kube.list('Secret', namespace, labelsOf(cluster))).map((secret) => [
        secret.metadata.name,
        secret,
      ]),
    );
    const found = await unlessBlocked(() => ({
      secret: ownOf(secrets, authoritySecretName(name), uid),
    }));
    if (found === null) return state([], 0, null);
    const wanted: Wanted[] = [];
    const own = operatorSecretName(name);
    const ownNames = { common: 'ilion-operator', dns: [own], addresses: [] };
    for (const [owner, secretName, names] of [
      [cluster, own, ownNames] as const,
      ...nodes.map(
        (node) =>
          [node, certificateSecretName(node.metadata.name), namesOf(cluster, node)] as const,
      ),
    ]) {
      const one = await unlessBlocked(() => wantedOf(secrets, owner, secretName, names));
      if (one !== null) wanted.push(one);
    }
    const advanced = await unlessBlocked(() => advance(cluster, found.secret, wanted, source));
    const { state: reached, writes } = advanced ?? { state: null, writes: 0 };
    const leaves = wanted.map(({ leaf }) => leaf);
    const due =
      reached === null ? null : Math.max(0, dueAt(reached, leaves, source, times) - nowMillis());
    return state(
      wanted.filter(({ owner, leaf }) => owner !== cluster && leaf.found !== null),
      writes,
      due,
    );
  };

  /** By UID of the cluster: what was found right, the oldest first. */
  const calm = new Map<
    string,
    { readonly of: string; readonly until: number; readonly state: CertificateState }
  >();
  return {
    ensure: async (cluster, nodes) => {
      const now = nowMillis();
      const { uid } = cluster.metadata;
      const of = JSON.stringify([cluster.spec.tls, nodes.map(({ metadata }) => metadata.uid)]);
      const known = calm.get(uid);
      if (known?.of === of && now < known.until) return known.state;
      calm.delete(uid);
      const state = await ensureNow(cluster, nodes);
      if (state.problem === null && state.writes === 0) {
        const until = now + Math.min(CALM_MILLIS, state.dueMillis ?? CALM_MILLIS);
        calm.set(uid, { of, until, state });
        const [oldest] = calm.keys();
        if (calm.size > CALM_MAX) calm.delete(oldest);
      }
      return state;
    },
  };
}
