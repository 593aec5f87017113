/** Certificates of clusters in Secrets: `<cluster>-ca` the authority, `<node>-tls` of each node, `<cluster>-operator-tls` our own. */
import type { CertificateState, Certificates } from '../ports/certificates.ts';
import type { KubeApi } from '../ports/kube.ts';
import {
  type CertificatesOptions,
  createSecretStore,
  operatorSecretName,
  pairOf,
  textOf,
} from './certificate-secrets.ts';
import type { OperatorCertificate } from './database-nodes.ts';
import { issuedCertificates } from './issued-certificates.ts';
import { ownCertificates } from './own-certificates.ts';

/** Kubelets bring a changed Secret within two minutes, and nodes read it every ten seconds; a kubelet may be cut off for a while. */
const SETTLE_MILLIS = 3_600_000;
/** Secrets that were found to be right are not looked at again for so long. */
const CALM_MILLIS = 10_000;
const CALM_MAX = 1_000;

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
  kube: Pick<KubeApi, 'get' | 'list' | 'create' | 'replace' | 'apply'>,
  { nowMillis, settleMillis = SETTLE_MILLIS }: CertificatesOptions,
): Certificates {
  const store = createSecretStore(kube);
  const options = { nowMillis, settleMillis };
  const own = ownCertificates(kube, store, options);
  const issued = issuedCertificates(kube, store, options);

  /** By UID of the cluster: what was found right, the oldest first. */
  const calm = new Map<
    string,
    { readonly of: string; readonly until: number; readonly state: CertificateState }
  >();
  return {
    ensure: async (cluster, nodes) => {
      const now = nowMillis();
      const { uid } = cluster.metadata;
      const { tls } = cluster.spec;
      const of = JSON.stringify([tls, nodes.map(({ metadata }) => metadata.uid)]);
      const known = calm.get(uid);
      if (known?.of === of && now < known.until) return known.state;
      calm.delete(uid);
      const ensureNow = tls.mode === 'CertManager' ? issued : own;
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
