/** Secrets with certificates, as both ways to get certificates keep them. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { certificateSecretName } from '../ports/certificates.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import { type Draft, ownedBy, type Secret } from '../ports/kube-objects.ts';
import { clusterLabels } from '../resources/names.ts';
import type { LeafState } from './certificate-plan.ts';
import type { KeyPair, Names } from './x509.ts';

/** Of the Secret of the authority: since when all nodes have what its stage is about. */
export const SETTLED_SINCE = 'ilion.dev/settled-since';

export function authoritySecretName(cluster: string): string {
  return `${cluster}-ca`;
}

/** Of the certificate that the operator shows to nodes. */
export function operatorSecretName(cluster: string): string {
  return `${cluster}-operator-tls`;
}

export type Owner = DatacenterCluster | DatabaseNode;
export type Data = Readonly<Record<string, string>>;
/** Of a cluster, by name. */
export type Secrets = ReadonlyMap<string, Secret>;

export const encoded = (text: string) => Buffer.from(text, 'utf8').toString('base64');
export const textOf = (secret: Secret | null, name: string) =>
  Buffer.from(secret?.data?.[name] ?? '', 'base64').toString('utf8');

export function pairOf(secret: Secret, certificate: string, key: string): KeyPair {
  return { certificate: textOf(secret, certificate), key: textOf(secret, key) };
}

export function settledSinceOf({ metadata }: Secret): number | null {
  const since = Date.parse(metadata.annotations?.[SETTLED_SINCE] ?? '');
  return Number.isNaN(since) ? null : since;
}

/** @returns annotations with that time in the place of the one that was there */
export function withSettledSince(annotations: Data, since: number | null): Data {
  const { [SETTLED_SINCE]: _, ...others } = annotations;
  return since === null ? others : { ...others, [SETTLED_SINCE]: new Date(since).toISOString() };
}

export interface CertificatesOptions {
  readonly nowMillis: () => number;
  /** That nodes take at the longest until they use what is in their Secrets. */
  readonly settleMillis?: number;
}

/** Something is in the way that people, or Kubernetes, must take out of it. The message has the cure. */
export class BlockedError extends Error {}

/** What is blocked does not block the rest. */
export class Problems {
  readonly all: string[] = [];

  async unlessBlocked<T>(work: () => T | Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BlockedError)) throw error;
      this.all.push(error.message);
      return null;
    }
  }

  get text(): string | null {
    return this.all.length === 0 ? null : [...new Set(this.all)].join('; ');
  }
}

/** A certificate that somebody is to have. */
export interface Place {
  readonly owner: Owner;
  /** Its Secret. */
  readonly secretName: string;
  readonly names: Names;
}

/** Of the operator itself, and of each node. */
export function placesOf(
  cluster: DatacenterCluster,
  nodes: readonly DatabaseNode[],
): readonly Place[] {
  const { name: clusterName, namespace } = cluster.metadata;
  const own = operatorSecretName(clusterName);
  return [
    {
      owner: cluster,
      secretName: own,
      names: { common: 'ilion-operator', dns: [own], addresses: [] },
    },
    ...nodes.map((owner) => {
      const { name } = owner.metadata;
      const dns = [
        name,
        `${name}.${namespace}.svc`,
        `${name}.${clusterName}-seeds.${namespace}.svc`,
      ];
      const secretName = certificateSecretName(name);
      return { owner, secretName, names: { common: name, dns, addresses: [] } };
    }),
  ];
}

/** One of an earlier object of the same name goes soon; until then nothing is built on it. @throws BlockedError */
export function ownOf<T extends Pick<Secret, 'metadata'>>(
  kind: string,
  objects: ReadonlyMap<string, T>,
  name: string,
  { metadata: { uid } }: Owner,
): T | null {
  const object = objects.get(name) ?? null;
  // cert-manager may be told to own what it writes (--enable-certificate-owner-ref).
  const owners = (object?.metadata.ownerReferences ?? []).filter(
    (one) => one.kind !== 'Certificate',
  );
  if (object === null || owners.length === 0 || owners.some((one) => one.uid === uid)) {
    return object;
  }
  throw new BlockedError(
    `${kind} ${name} belongs to an object that is not there any more: Kubernetes removes it soon; if it does not, remove it`,
  );
}

/** What there is of it. @throws BlockedError */
export function leafOf(
  secrets: Secrets,
  { owner, secretName, names }: Place,
): { readonly secret: Secret | null; readonly leaf: LeafState } {
  const secret = ownOf('Secret', secrets, secretName, owner);
  const found =
    secret === null
      ? null
      : { pair: pairOf(secret, 'tls.crt', 'tls.key'), bundle: textOf(secret, 'ca.crt') };
  return { secret, leaf: { secret: secretName, names, found } };
}

export interface SecretStore {
  /** All with the labels of the cluster. */
  list(cluster: DatacenterCluster): Promise<Secrets>;
  /** @param found null: it is made @throws BlockedError */
  write(
    cluster: DatacenterCluster,
    owner: Owner,
    name: string,
    found: Secret | null,
    data: Data,
  ): Promise<Secret>;
  /** @throws BlockedError */
  writePair(
    cluster: DatacenterCluster,
    { owner, secretName }: Place,
    found: Secret | null,
    pair: KeyPair,
    bundle: string,
  ): Promise<Secret>;
}

export function createSecretStore(kube: Pick<KubeApi, 'list' | 'create' | 'replace'>): SecretStore {
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
  const write: SecretStore['write'] = async ({ metadata }, owner, name, found, data) => {
    if (found !== null) {
      return kube.replace('Secret', { ...found, data: { ...found.data, ...data } });
    }
    const { namespace } = metadata;
    const labels = clusterLabels(metadata.name);
    return create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace, labels, ownerReferences: [ownedBy(owner)] },
      data,
    });
  };
  return {
    list: async ({ metadata: { name, namespace } }) =>
      new Map(
        (await kube.list('Secret', namespace, clusterLabels(name))).map((secret) => [
          secret.metadata.name,
          secret,
        ]),
      ),
    write,
    writePair: (cluster, { owner, secretName }, found, { certificate, key }, bundle) =>
      write(cluster, owner, secretName, found, {
        'tls.crt': encoded(certificate),
        'tls.key': encoded(key),
        'ca.crt': encoded(bundle),
      }),
  };
}
