/**
 * Certificates that cert-manager issues: it writes `<node>-issued`, the operator copies that into `<node>-tls`, which nodes mount, and the
 * authorities that nodes are to believe are in `<cluster>-ca`. Why not what cert-manager writes at once: issued-plan.ts.
 */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import type { CertificateState } from '../ports/certificates.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import { type Certificate, type Draft, ownedBy, type Secret } from '../ports/kube-objects.ts';
import { clusterLabels } from '../resources/names.ts';
import { hasAll } from '../resources/values.ts';
import {
  certificateFor,
  certificateName,
  type IssuerRef,
  issuedOf,
  issuedSecretName,
  ownKindOf,
  showIssuer,
  troubleAhead,
  troubleOfCertificate,
  troubleOfIssuer,
} from './cert-manager.ts';
import { bundleFrom, certificatesIn } from './certificate-plan.ts';
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
  placesOf,
  type SecretStore,
  settledSinceOf,
  textOf,
  withSettledSince,
} from './certificate-secrets.ts';
import {
  bundleOfTrust,
  type IssuedLeaf,
  planCopies,
  planTrust,
  type Trust,
} from './issued-plan.ts';

/** Of one call. Authorities change in several calls. */
const STEPS_MAX = 6;

type Kube = Pick<KubeApi, 'get' | 'list' | 'create' | 'replace' | 'apply'>;

/** Also of an authority that the operator had until now: all that nodes have been told of. */
function trustOf(secret: Secret): Trust {
  const [shown, old, announced] = ['tls.crt', 'old.crt', 'next.crt'].map((name) =>
    certificatesIn(textOf(secret, name)),
  );
  return {
    shown: certificatesIn(bundleFrom([...shown, ...old])),
    announced: announced.filter((one) => !shown.includes(one)),
    unused: old.filter((one) => shown.includes(one)),
    settledSince: settledSinceOf(secret),
  };
}

/** Their keys are nobody's business here. */
function dataOf(trust: Trust): Data {
  return {
    'tls.crt': encoded(bundleFrom(trust.shown)),
    'tls.key': '',
    'ca.crt': encoded(bundleOfTrust(trust)),
    'next.crt': encoded(bundleFrom(trust.announced)),
    'next.key': '',
    'old.crt': encoded(bundleFrom(trust.unused)),
  };
}

interface Wanted {
  readonly place: Place;
  /** What nodes mount. */
  readonly copy: Secret | null;
  readonly leaf: IssuedLeaf;
  /** Why there is nothing to copy, or nothing newer; null: there is. */
  readonly trouble: string | null;
}

/** @returns ensures what a cluster with tls.mode CertManager needs */
export function issuedCertificates(
  kube: Kube,
  store: SecretStore,
  { nowMillis, settleMillis }: Required<CertificatesOptions>,
) {
  const times = { settleMillis };

  /** Asked for, not watched: where cert-manager is not installed, there is nothing to watch. @throws BlockedError */
  const listed = async (cluster: DatacenterCluster): Promise<ReadonlyMap<string, Certificate>> => {
    const { name, namespace } = cluster.metadata;
    try {
      const all = await kube.list('Certificate', namespace, clusterLabels(name));
      return new Map(all.map((one) => [one.metadata.name, one]));
    } catch (error) {
      throw explained(error, 'read');
    }
  };
  /** One of somebody else's of the same name is not taken over. */
  const asked = async (there: Certificate | null, wanted: Draft<Certificate>) => {
    try {
      return there === null
        ? await kube.create('Certificate', wanted)
        : await kube.apply('Certificate', wanted);
    } catch (error) {
      throw explained(error, 'make');
    }
  };

  /** Whoever owns it goes with the node it is for. cert-manager by itself leaves it for ever. */
  const adopted = async (secret: Secret, { owner }: Place): Promise<void> => {
    const ownerReferences = [ownedBy(owner)];
    await kube.replace('Secret', {
      ...secret,
      metadata: { ...secret.metadata, ownerReferences },
    });
  };

  const writeTrust = async (
    cluster: DatacenterCluster,
    found: Secret | null,
    trust: Trust,
  ): Promise<Secret> => {
    const name = authoritySecretName(cluster.metadata.name);
    if (found === null) return store.write(cluster, cluster, name, null, dataOf(trust));
    const annotations = withSettledSince(found.metadata.annotations ?? {}, trust.settledSince);
    const metadata = { ...found.metadata, annotations };
    return kube.replace('Secret', {
      ...found,
      metadata,
      data: { ...found.data, ...dataOf(trust) },
    });
  };

  /** Takes steps until there is none left for now. @returns what was written */
  const advance = async (
    cluster: DatacenterCluster,
    found: Secret | null,
    wanted: Wanted[],
  ): Promise<{ readonly trust: Trust | null; readonly writes: number }> => {
    let secret = found;
    let writes = 0;
    for (let i = 0; i < STEPS_MAX; i++) {
      const now = nowMillis();
      const trust = secret === null ? null : trustOf(secret);
      const leaves = wanted.map(({ leaf }) => leaf);
      // Copies first: a stage is over when all have what it wants.
      const steps = trust === null ? [] : planCopies(trust, leaves, now);
      for (const { leaf, pair, bundle } of steps) {
        const index = leaves.indexOf(leaf);
        const one = wanted[index];
        const copy = await store.writePair(cluster, one.place, one.copy, pair, bundle);
        wanted[index] = { ...one, copy, leaf: { ...leaf, found: { pair, bundle } } };
        writes++;
      }
      if (steps.length > 0) continue;
      const next = planTrust(trust, leaves, now, times);
      if (next === null) return { trust, writes };
      secret = await writeTrust(cluster, secret, next);
      writes++;
    }
    return { trust: secret === null ? null : trustOf(secret), writes };
  };

  const troubleWith = async (ref: IssuerRef, { metadata }: DatacenterCluster) => {
    const kind = ownKindOf(ref);
    if (kind === null) return null;
    const namespace = kind === 'Issuer' ? metadata.namespace : '';
    try {
      return troubleOfIssuer(ref, await kube.get(kind, { namespace, name: ref.name }));
    } catch (error) {
      // What cert-manager says of the Certificates has to do.
      if (!(error instanceof KubeError) || error.code !== 'FORBIDDEN') throw error;
      return null;
    }
  };

  /** @returns what is in the way of certificates, in few words however many they are */
  const said = async (cluster: DatacenterCluster, ref: IssuerRef, wanted: readonly Wanted[]) => {
    const late = wanted.filter(({ trouble }) => trouble !== null);
    const [first] = late;
    if (first === undefined) return [];
    const issuer = await troubleWith(ref, cluster);
    const more = late.length === 1 ? '' : ` (and ${late.length - 1} more)`;
    const about = `Certificate ${certificateName(first.place)}${more} of ${showIssuer(ref)}`;
    return [...(issuer === null ? [] : [issuer]), `${about}: ${first.trouble}`];
  };

  return async (
    cluster: DatacenterCluster,
    nodes: readonly DatabaseNode[],
  ): Promise<CertificateState> => {
    const { issuerRef } = cluster.spec.tls;
    const problems = new Problems();
    const nothing = () => ({ ready: new Set<string>(), writes: 0, dueMillis: null });
    const secrets = await store.list(cluster);
    const name = authoritySecretName(cluster.metadata.name);
    const found = await problems.unlessBlocked(() => ({
      secret: ownOf('Secret', secrets, name, cluster),
    }));
    if (found === null || issuerRef === undefined) return { ...nothing(), problem: problems.text };
    const certificates = await problems.unlessBlocked(() => listed(cluster));
    const wanted: Wanted[] = [];
    let changes = 0;
    for (const place of placesOf(cluster, nodes)) {
      const one = await problems.unlessBlocked(async () => {
        const issuedSecret = ownOf('Secret', secrets, issuedSecretName(place), place.owner);
        const { secret: copy, leaf } = leafOf(secrets, place);
        const { issued, flaw } = issuedOf(issuedSecret, place.names);
        let trouble = flaw;
        if (certificates !== null) {
          const there = ownOf('Certificate', certificates, certificateName(place), place.owner);
          const manifest = certificateFor(cluster, place, issuerRef);
          const isSame = there !== null && isAsAsked(there, manifest);
          if (!isSame) changes++;
          const certificate = isSame ? there : await asked(there, manifest);
          trouble ??= troubleOfCertificate(certificate) ?? troubleAhead({ issued }, nowMillis());
        }
        if (issuedSecret !== null && (issuedSecret.metadata.ownerReferences ?? []).length === 0) {
          await adopted(issuedSecret, place);
          changes++;
        }
        return { place, copy, leaf: { ...leaf, issued }, trouble };
      });
      if (one !== null) wanted.push(one);
    }
    const advanced = await problems.unlessBlocked(() => advance(cluster, found.secret, wanted));
    const { trust, writes } = advanced ?? { trust: null, writes: 0 };
    problems.all.push(...(await said(cluster, issuerRef, wanted)), ...waitsFor(wanted, trust));
    const since = trust?.settledSince ?? null;
    return {
      ready: new Set(
        wanted
          .filter(({ place, leaf }) => place.owner !== cluster && leaf.found !== null)
          .map(({ place }) => place.owner.metadata.name),
      ),
      problem: problems.text,
      writes: writes + changes,
      dueMillis: since === null ? null : Math.max(0, since + settleMillis - nowMillis()),
    };
  };
}

/** Whose certificates are there, but of an authority that not all have been told of for long enough. */
function waitsFor(wanted: readonly Wanted[], trust: Trust | null): readonly string[] {
  const waiting = wanted.filter(({ leaf }) => leaf.found === null && leaf.issued !== null);
  const [first] = waiting;
  if (first === undefined || trust === null || trust.announced.length === 0) return [];
  const more = waiting.length === 1 ? '' : ` (and ${waiting.length - 1} more)`;
  return [
    `Certificate ${certificateName(first.place)}${more} is of another authority than those of the nodes that there are: these are told of it first, which takes the operator's certificateSettleSeconds`,
  ];
}

/** Others may have added to it. */
function isAsAsked(there: Certificate, { metadata, spec }: Draft<Certificate>): boolean {
  const [owner] = metadata.ownerReferences ?? [];
  return (
    hasAll(there.spec, spec) &&
    hasAll(there.metadata.labels, metadata.labels) &&
    there.metadata.ownerReferences?.some(({ uid }) => uid === owner?.uid) === true
  );
}

/** Words for what people can do something about. */
function explained(error: unknown, what: 'read' | 'make'): unknown {
  if (!(error instanceof KubeError) || error.code === 'CONFLICT') return error;
  switch (error.code) {
    case 'NOT_FOUND':
      return new BlockedError(
        'spec.tls.mode is CertManager, and this Kubernetes knows no Certificate of cert-manager.io: install cert-manager with its definitions (https://cert-manager.io/docs/installation/)',
      );
    case 'FORBIDDEN':
      return new BlockedError(
        `the operator may not ${what} Certificates of cert-manager.io: upgrade its chart, or its roles (${error.message})`,
      );
    case 'ALREADY_EXISTS':
      return new BlockedError(
        `a Certificate is there, without the labels of this cluster: remove it, or label it ilion.dev/cluster (${error.message})`,
      );
    default:
      // Such as a webhook of cert-manager that does not answer: nodes go on with what they have.
      return what === 'read'
        ? error
        : new BlockedError(`no Certificate of cert-manager.io can be made: ${error.message}`);
  }
}
