/** What is asked of cert-manager, and what it says: a Certificate for each node and for the operator. */
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import type { DatacenterCluster } from '../api/objects.ts';
import {
  type Certificate,
  type Draft,
  type Issuer,
  type KubeCondition,
  ownedBy,
  type Secret,
} from '../ports/kube-objects.ts';
import { clusterLabels } from '../resources/names.ts';
import {
  certificatesIn,
  endOf,
  hasNames,
  isBelievedBy,
  isForBothSides,
  isIssuedBy,
} from './certificate-plan.ts';
import { type Place, pairOf, textOf } from './certificate-secrets.ts';
import { believedUntil, type IssuedLeaf } from './issued-plan.ts';
import type { Names } from './x509.ts';

export type IssuerRef = NonNullable<ClusterSpec['tls']['issuerRef']>;

const GROUP = 'cert-manager.io';
/** As long as those that the operator issues; issuers may give less. It renews when a third is left. */
const DURATION = '2160h0m0s';
/** Somebody has to do something. */
const AHEAD_MILLIS = 30 * 86_400_000;

/** Of the Certificate; the Secret that nodes mount is named after it, too. */
export function certificateName({ secretName }: Place): string {
  return secretName.replace(/-tls$/, '');
}

/** That cert-manager writes; nodes mount a copy. */
export function issuedSecretName(place: Place): string {
  return `${certificateName(place)}-issued`;
}

export function certificateFor(
  cluster: DatacenterCluster,
  place: Place,
  issuerRef: IssuerRef,
): Draft<Certificate> {
  const { name, namespace } = cluster.metadata;
  const labels = clusterLabels(name);
  return {
    apiVersion: `${GROUP}/v1`,
    kind: 'Certificate',
    metadata: {
      ...{ name: certificateName(place), namespace, labels },
      ownerReferences: [ownedBy(place.owner)],
    },
    spec: {
      secretName: issuedSecretName(place),
      // By which the operator finds it.
      secretTemplate: { labels },
      commonName: place.names.common,
      dnsNames: place.names.dns,
      duration: DURATION,
      usages: ['digital signature', 'server auth', 'client auth'],
      privateKey: { algorithm: 'ECDSA', size: 256, encoding: 'PKCS8', rotationPolicy: 'Always' },
      issuerRef,
    },
  };
}

export function showIssuer({ name, kind, group }: IssuerRef): string {
  return `${kind}${group === GROUP ? '' : `.${group}`} ${name}`;
}

/** The kind of a cert-manager's own; null: somebody else's. */
export function ownKindOf({ kind, group }: IssuerRef): 'Issuer' | 'ClusterIssuer' | null {
  if (group !== GROUP) return null;
  return kind === 'ClusterIssuer' ? kind : 'Issuer';
}

const conditionOf = (conditions: readonly KubeCondition[] | undefined, type: string) =>
  conditions?.find((one) => one.type === type);
const wordsOf = ({ reason = '', message = '' }: KubeCondition) =>
  [reason, message].filter((one) => one !== '').join(': ');

/** What is wrong with it, and the cure; null: nothing. */
export function troubleOfIssuer(ref: IssuerRef, issuer: Issuer | null): string | null {
  const shown = showIssuer(ref);
  if (issuer === null) {
    return `spec.tls.issuerRef: ${shown} is not there: make it, or name another`;
  }
  const ready = conditionOf(issuer.status?.conditions, 'Ready');
  if (ready?.status === 'True') return null;
  if (ready === undefined) {
    return `spec.tls.issuerRef: cert-manager says nothing of ${shown}: does it run?`;
  }
  return `spec.tls.issuerRef: ${shown} is not ready: ${wordsOf(ready)}`;
}

/** What cert-manager says is wrong with it; null: nothing. */
export function troubleOfCertificate({ status = {} }: Certificate): string | null {
  const ready = conditionOf(status.conditions, 'Ready');
  if (ready === undefined) return 'cert-manager says nothing of it yet: does it run?';
  const issuing = conditionOf(status.conditions, 'Issuing');
  if (status.lastFailureTime !== undefined && issuing !== undefined) return wordsOf(issuing);
  return ready.status === 'True' ? null : wordsOf(ready);
}

/** What will be wrong with what was issued; null: nothing that can be seen. */
export function troubleAhead({ issued }: Pick<IssuedLeaf, 'issued'>, now: number): string | null {
  if (issued === null) return null;
  const { certificate } = issued.pair;
  const until = believedUntil(certificate, issued.authorities);
  // The issuers of cert-manager do not look at it.
  if (until >= endOf(certificate) || until - now > AHEAD_MILLIS) return null;
  const day = new Date(until).toISOString().slice(0, 10);
  return `its authority ends on ${day}, before it does: have the issuer use another one, then renew the certificate (cmctl renew)`;
}

/** What can be used of what cert-manager has written, or why it cannot. */
export type Issued =
  | { readonly issued: IssuedLeaf['issued']; readonly flaw: null }
  | { readonly issued: null; readonly flaw: string };

/** @param secret null: nothing has been issued */
export function issuedOf(secret: Secret | null, names: Names): Issued {
  if (secret === null) return { issued: null, flaw: null };
  const pair = pairOf(secret, 'tls.crt', 'tls.key');
  const [certificate] = certificatesIn(pair.certificate);
  // cert-manager writes keys first.
  if (certificate === undefined || pair.key === '') return { issued: null, flaw: null };
  const authorities = certificatesIn(textOf(secret, 'ca.crt'));
  const flaw = flawOf(certificate, pair.certificate, authorities, names);
  return flaw === null ? { issued: { pair, authorities }, flaw } : { issued: null, flaw };
}

function flawOf(
  certificate: string,
  chain: string,
  authorities: readonly string[],
  names: Names,
): string | null {
  const other = 'name an issuer that knows its authority, such as one of type CA or Vault';
  if (authorities.length === 0) {
    return `its issuer gives no ca.crt (those of ACME have none), and nodes must know whom to believe: ${other}`;
  }
  if (authorities.includes(certificate)) {
    return `its issuer has each certificate sign itself (SelfSigned): make an authority with it (isCA: true), and an issuer of type CA with that`;
  }
  if (!authorities.some(isRoot)) {
    return 'ca.crt ends with an authority that another has signed, and nodes believe only one that has signed its own: give the issuer the whole chain, up to its root';
  }
  if (!isBelievedBy(chain, authorities)) {
    return `ca.crt is not the authority of tls.crt: ${other}`;
  }
  if (!hasNames(certificate, names)) {
    return `its issuer has left out names: it must allow ${names.dns.join(', ')}`;
  }
  if (!isForBothSides(certificate)) {
    return 'its issuer does not allow the usages server auth and client auth, both of which nodes need';
  }
  return null;
}

function isRoot(certificate: string): boolean {
  return isIssuedBy(certificate, certificate);
}
