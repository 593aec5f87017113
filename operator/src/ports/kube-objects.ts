/** Objects of Kubernetes itself, as far as the operator reads them; whatever else they have is passed on. */
import type {
  DatabaseNode,
  DatacenterCluster,
  KubeObject,
  Metadata,
  OwnerReference,
} from '../api/objects.ts';

/** What the API server sets need not be given. */
export type Draft<T extends { readonly metadata: Metadata }> = Omit<T, 'metadata' | 'status'> & {
  readonly metadata: Pick<Metadata, 'name' | 'namespace'> & Partial<Metadata>;
};

type Text = Readonly<Record<string, string>>;

export interface EnvironmentVariable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?:
    | { readonly fieldRef: { readonly fieldPath: string } }
    | { readonly resourceFieldRef: { readonly containerName: string; readonly resource: string } };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly EnvironmentVariable[];
  readonly [field: string]: unknown;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly nodeName?: string;
  readonly nodeSelector?: Text;
  readonly [field: string]: unknown;
}

/** A condition of Kubernetes' own objects, where most of a condition may be missing. */
export interface KubeCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly running?: { readonly startedAt?: string };
    readonly terminated?: {
      readonly exitCode: number;
      readonly reason?: string;
      readonly message?: string;
    };
  };
  readonly lastState?: ContainerStatus['state'];
}

export interface PodStatus {
  /** Pending, Running, Succeeded, Failed, Unknown. */
  readonly phase?: string;
  readonly podIP?: string;
  readonly conditions?: readonly KubeCondition[];
  readonly containerStatuses?: readonly ContainerStatus[];
}

export interface ClaimSpec {
  readonly accessModes: readonly string[];
  readonly storageClassName?: string;
  readonly volumeName?: string;
  readonly resources: { readonly requests: { readonly storage: string } };
}

export interface ClaimStatus {
  /** Pending, Bound, Lost. */
  readonly phase?: string;
  readonly capacity?: { readonly storage?: string };
  readonly conditions?: readonly KubeCondition[];
}

export type Pod = KubeObject<PodSpec, PodStatus>;
export type Claim = KubeObject<ClaimSpec, ClaimStatus>;
export type Service = KubeObject<Readonly<Record<string, unknown>>, unknown>;
export type DisruptionBudget = KubeObject<
  {
    readonly minAvailable: number;
    readonly selector: {
      readonly matchLabels: Text;
      readonly matchExpressions?: readonly {
        readonly key: string;
        readonly operator: string;
        readonly values?: readonly string[];
      }[];
    };
    readonly unhealthyPodEvictionPolicy: string;
  },
  unknown
>;
/** A machine of Kubernetes. */
export type Machine = KubeObject<
  {
    readonly unschedulable?: boolean;
    readonly taints?: readonly {
      readonly key: string;
      readonly value?: string;
      readonly effect: string;
    }[];
  },
  { readonly conditions?: readonly KubeCondition[] }
>;
/** One term of an affinity: all of its expressions hold. */
export interface NodeTerm {
  readonly matchExpressions?: readonly NodeExpression[];
  readonly matchFields?: readonly NodeExpression[];
}
export interface NodeExpression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}
export type Volume = KubeObject<
  {
    readonly nodeAffinity?: {
      readonly required?: { readonly nodeSelectorTerms?: readonly NodeTerm[] };
    };
  },
  unknown
>;
export type Secret = Omit<KubeObject<never, never>, 'spec' | 'status'> & {
  readonly type?: string;
  /** Base64. */
  readonly data?: Text;
};
export type StorageClass = Omit<KubeObject<never, never>, 'spec' | 'status'> & {
  readonly provisioner: string;
  readonly allowVolumeExpansion?: boolean;
};
export type Lease = KubeObject<
  {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    /** With microseconds. */
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  },
  unknown
>;

/** Of cert-manager. It writes what it issues into the Secret. */
export type Certificate = KubeObject<
  {
    readonly secretName: string;
    readonly secretTemplate: { readonly labels: Text };
    readonly commonName: string;
    readonly dnsNames: readonly string[];
    readonly duration: string;
    readonly usages: readonly string[];
    readonly privateKey: Readonly<Record<string, string | number>>;
    readonly issuerRef: { readonly name: string; readonly kind: string; readonly group: string };
  },
  {
    readonly conditions?: readonly KubeCondition[];
    /** Of the last attempt, if that came to nothing. */
    readonly lastFailureTime?: string;
  }
>;
/** Of cert-manager: one of its own kinds of issuers. */
export type Issuer = KubeObject<unknown, { readonly conditions?: readonly KubeCondition[] }>;

/** By kind: all that the operator reads or writes. */
export interface Kinds {
  readonly DatacenterCluster: DatacenterCluster;
  readonly DatabaseNode: DatabaseNode;
  readonly Pod: Pod;
  readonly PersistentVolumeClaim: Claim;
  readonly Service: Service;
  readonly Secret: Secret;
  readonly PodDisruptionBudget: DisruptionBudget;
  readonly Node: Machine;
  readonly PersistentVolume: Volume;
  readonly StorageClass: StorageClass;
  readonly Lease: Lease;
  readonly Certificate: Certificate;
  readonly Issuer: Issuer;
  readonly ClusterIssuer: Issuer;
}
export type Kind = keyof Kinds;

export interface KindFacts {
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export const KIND_FACTS: Readonly<Record<Kind, KindFacts>> = {
  DatacenterCluster: {
    apiVersion: 'ilion.dev/v1alpha1',
    plural: 'datacenterclusters',
    namespaced: true,
  },
  DatabaseNode: { apiVersion: 'ilion.dev/v1alpha1', plural: 'databasenodes', namespaced: true },
  Pod: { apiVersion: 'v1', plural: 'pods', namespaced: true },
  PersistentVolumeClaim: { apiVersion: 'v1', plural: 'persistentvolumeclaims', namespaced: true },
  Service: { apiVersion: 'v1', plural: 'services', namespaced: true },
  Secret: { apiVersion: 'v1', plural: 'secrets', namespaced: true },
  PodDisruptionBudget: {
    apiVersion: 'policy/v1',
    plural: 'poddisruptionbudgets',
    namespaced: true,
  },
  Node: { apiVersion: 'v1', plural: 'nodes', namespaced: false },
  PersistentVolume: { apiVersion: 'v1', plural: 'persistentvolumes', namespaced: false },
  StorageClass: { apiVersion: 'storage.k8s.io/v1', plural: 'storageclasses', namespaced: false },
  Lease: { apiVersion: 'coordination.k8s.io/v1', plural: 'leases', namespaced: true },
  Certificate: { apiVersion: 'cert-manager.io/v1', plural: 'certificates', namespaced: true },
  Issuer: { apiVersion: 'cert-manager.io/v1', plural: 'issuers', namespaced: true },
  ClusterIssuer: { apiVersion: 'cert-manager.io/v1', plural: 'clusterissuers', namespaced: false },
};

/** Who an object belongs to, for the garbage collector. */
export function ownedBy({ apiVersion, kind, metadata }: KubeObject): OwnerReference {
  const { name, uid } = metadata;
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false };
}
