/** Certificates that the operator issues: `<cluster>-ca` has the authority, which was made here or is a copy of a given one. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import type { CertificateState } from '../ports/certificates.ts';
import type { KubeApi } from '../ports/kube.ts';
import type { Secret } from '../ports/kube-objects.ts';
import {
  type AuthoritySource,
  type AuthorityState,
  type AuthorityStep,
  bundleOf,
  certificatesIn,
  dueAt,
  isKeyLost,
  type LeafState,
  type LeafStep,
  planAuthority,
  planLeaves,
} from './certificate-plan.ts';
import {
  authoritySecretName,
  BlockedError,
  type CertificatesOptions,
  type Data,
  encoded,
  leafOf,
  ownOf,
  type Place,
  Problems,
  pairOf,
  placesOf,
  type SecretStore,
  settledSinceOf,
  textOf,
  withSettledSince,
} from './certificate-secrets.ts';
import { flawOfAuthority, issue, type KeyPair, makeAuthority } from './x509.ts';

const AUTHORITY_DAYS = 3_650;
const LEAF_DAYS = 90;
/** Steps of one call. A change of authority takes several calls. */
const STEPS_MAX = 4;

/** Of the Secret of the authority. Set it to anything: the authority is replaced by a new one, without an interruption. */
export const RENEW = 'ilion.dev/renew';

function stateOf(secret: Secret): AuthorityState {
  const next = pairOf(secret, 'next.crt', 'next.key');
  // Those without a key are somebody else's, whom nodes were told of: they are believed until this one's time is over.
  const others = next.key === '' ? certificatesIn(next.certificate) : [];
  return {
    signer: pairOf(secret, 'tls.crt', 'tls.key'),
    next: next.key === '' ? null : next,
    old: [...certificatesIn(textOf(secret, 'old.crt')), ...others],
    settledSince: settledSinceOf(secret),
    renewalWanted: secret.metadata.annotations?.[RENEW] !== undefined,
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

/** Of an authority that was not there. @param believed what nodes have of one that was lost */
function firstState(believed: readonly string[], fresh: KeyPair): AuthorityState {
  const [lost, ...older] = believed.filter((one) => one.trim() !== fresh.certificate.trim());
  const empty = { settledSince: null, renewalWanted: false };
  return lost === undefined
    ? { ...empty, signer: fresh, next: null, old: [] }
    : { ...empty, signer: { certificate: lost, key: '' }, next: fresh, old: older };
}

interface Wanted {
  readonly place: Place;
  readonly secret: Secret | null;
  readonly leaf: LeafState;
}

/** @returns ensures what a cluster with tls.mode Operator or Secret needs */
export function ownCertificates(
  kube: Pick<KubeApi, 'get' | 'replace'>,
  store: SecretStore,
  { nowMillis, settleMillis }: Required<CertificatesOptions>,
) {
  const times = { settleMillis };

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

  const writeAuthority = (secret: Secret, state: AuthorityState): Promise<Secret> => {
    const { [RENEW]: wanted, ...others } = secret.metadata.annotations ?? {};
    const renewal = wanted !== undefined && state.renewalWanted ? { [RENEW]: wanted } : {};
    const annotations = withSettledSince({ ...others, ...renewal }, state.settledSince);
    return kube.replace('Secret', {
      ...secret,
      metadata: { ...secret.metadata, annotations },
      data: { ...secret.data, ...dataOf(state) },
    });
  };

  const writeLeaf = async (
    cluster: DatacenterCluster,
    { place, secret, leaf }: Wanted,
    { signer, bundle }: LeafStep,
  ): Promise<Wanted> => {
    const now = nowMillis();
    const pair =
      signer === null ? leaf.found?.pair : await issue(signer, leaf.names, now, LEAF_DAYS);
    if (pair === undefined) return { place, secret, leaf };
    const written = await store.writePair(cluster, place, secret, pair, bundle);
    return { place, secret: written, leaf: { ...leaf, found: { pair, bundle } } };
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
        const data = dataOf(firstState(step.believed, await fresh()));
        secret = await store.write(cluster, cluster, authoritySecretName(name), null, data);
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

  return async (
    cluster: DatacenterCluster,
    nodes: readonly DatabaseNode[],
  ): Promise<CertificateState> => {
    const problems = new Problems();
    const source: AuthoritySource =
      cluster.spec.tls.mode === 'Secret'
        ? { kind: 'given', pair: await problems.unlessBlocked(() => givenBy(cluster)) }
        : { kind: 'own' };
    const secrets = await store.list(cluster);
    const name = authoritySecretName(cluster.metadata.name);
    const found = await problems.unlessBlocked(() => ({
      secret: ownOf('Secret', secrets, name, cluster),
    }));
    if (found === null) {
      return { ready: new Set(), problem: problems.text, writes: 0, dueMillis: null };
    }
    const wanted: Wanted[] = [];
    for (const place of placesOf(cluster, nodes)) {
      const one = await problems.unlessBlocked(() => ({ place, ...leafOf(secrets, place) }));
      if (one !== null) wanted.push(one);
    }
    const advanced = await problems.unlessBlocked(() =>
      advance(cluster, found.secret, wanted, source),
    );
    const { state: reached, writes } = advanced ?? { state: null, writes: 0 };
    const leaves = wanted.map(({ leaf }) => leaf);
    if (reached !== null && isKeyLost(reached) && leaves.some((one) => one.found === null)) {
      problems.all.push(
        `the key of the authority in Secret ${name} is lost: certificates are made again when all nodes have been told to believe the next one`,
      );
    }
    return {
      ready: new Set(
        wanted
          .filter(({ place, leaf }) => place.owner !== cluster && leaf.found !== null)
          .map(({ place }) => place.owner.metadata.name),
      ),
      problem: problems.text,
      writes,
      dueMillis:
        reached === null ? null : Math.max(0, dueAt(reached, leaves, source, times) - nowMillis()),
    };
  };
}
