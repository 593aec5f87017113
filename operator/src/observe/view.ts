/** All that a decision about a cluster is made from: one consistent picture of what is wanted and what there is. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import type { CertificateState } from '../ports/certificates.ts';
import type {
  Claim,
  DisruptionBudget,
  Machine,
  Pod,
  Service,
  StorageClass,
} from '../ports/kube-objects.ts';
import type { DisruptionReply, NodePlace, OperationInfo } from '../ports/nodes.ts';

export type MemberState = 'joining' | 'normal' | 'leaving' | 'left';

/** One of the ring, as the database says. */
export interface Member {
  readonly hostId: string;
  readonly address: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly state: MemberState;
  readonly tokens: number;
  /** Of Ilion, with which it was started last; empty: not known. */
  readonly version: string;
  /** How many of those asked see it alive; itself counts only if nobody else was asked. */
  readonly aliveBy: number;
  /** How many were asked about it. */
  readonly askedBy: number;
}

/** What the database says of itself. Unknown means that nothing is done about it. */
export type RingView =
  | {
      readonly known: true;
      /** By host id, as a majority has agreed on them; those who have left stay in it. */
      readonly members: ReadonlyMap<string, Member>;
      readonly operations: readonly OperationInfo[];
      /** As the database has made it; empty: not known. */
      readonly clusterId: string;
      /** Who can be told what to do; the first has answered all. */
      readonly places: readonly NodePlace[];
    }
  | {
      readonly known: false;
      /** For people. */
      readonly why: string;
    };

/** A DatabaseNode and what belongs to it. Its host id is its UID. */
export interface NodeView {
  readonly object: DatabaseNode;
  readonly pod: Pod | null;
  readonly claim: Claim | null;
  readonly service: Service | null;
  /** Machines on which its volume can be, looked for only if its pod finds no place; null: any, or it was not looked for. */
  readonly homes: readonly string[] | null;
}

export interface KeyspaceState {
  /** Why it is not as is wanted; null: it is. */
  readonly problem: string | null;
  readonly atMillis: number;
}

/** The file system of a node's data, as the node says. */
export interface DiskUse {
  readonly bytes: number;
  /** For the node. */
  readonly freeBytes: number;
  readonly atMillis: number;
}

/** The database's refusal of something, not to be asked for again at once. */
export interface Refusal {
  readonly reason: string;
  /** It will not be refused when other operations have ended. */
  readonly waits: boolean;
  readonly atMillis: number;
}

export interface ClusterView {
  readonly nowMillis: number;
  readonly cluster: DatacenterCluster;
  /** Owned by this very object, by name. */
  readonly nodes: readonly NodeView[];
  /** Volumes of this cluster that belong to no DatabaseNode, and that no pod uses. */
  readonly strays: readonly Claim[];
  /** Somebody else's under names that this cluster needs, such as `Service demo`. */
  readonly foreign: readonly string[];
  /** Of another DatacenterCluster of the same name, such as `Pod demo-dc1-rack1-x7k2p`; looked for as long as this one has no nodes. */
  readonly predecessors: readonly string[];
  readonly seeds: Service | null;
  readonly client: Service | null;
  /** By name. */
  readonly budgets: ReadonlyMap<string, DisruptionBudget>;
  /** Those that hold pods, or could hold one that finds no place. */
  readonly machines: ReadonlyMap<string, Machine>;
  /** Of the volumes, by name, if they are there. */
  readonly storageClasses: ReadonlyMap<string, StorageClass>;
  /** Null: the cluster needs none. */
  readonly certificates: CertificateState | null;
  readonly ring: RingView;
  /** Answers to what a decision has asked, by `disruptionKey`. */
  readonly disruptions: ReadonlyMap<string, DisruptionReply>;
  /** What Kubernetes refused when something was last done, for people. */
  readonly refusedWrites: readonly string[];
  /** What the database refused before, by host id; of settings by `settingsKey`. */
  readonly refusals: ReadonlyMap<string, Refusal>;
  /** Settings that nodes have taken, by host id, as in their status. */
  readonly taken: ReadonlyMap<string, string>;
  /** What became of keyspaces that were asked for, by `keyspaceKey`. */
  readonly keyspaces: ReadonlyMap<string, KeyspaceState>;
  /** By host id; asked for only if volumes are to grow by themselves. */
  readonly disks: ReadonlyMap<string, DiskUse>;
}

/** What the operator was started with. */
export interface Defaults {
  /** Of the database. */
  readonly image: string;
}

/** @param uid of the DatacenterCluster */
export function keyspaceKey(uid: string, keyspace: object): string {
  return `${uid} ${JSON.stringify(keyspace)}`;
}

export function settingsKey(hostId: string): string {
  return `settings of ${hostId}`;
}

export function disruptionKey(hostIds: readonly string[]): string {
  return [...hostIds].sort().join(',');
}

export function hostIdOf({ object }: NodeView): string {
  return object.metadata.uid;
}

export function isPodReady(pod: Pod | null): boolean {
  return (
    pod !== null &&
    pod.metadata.deletionTimestamp === undefined &&
    pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ===
      true
  );
}

/** Whether its process may be there. */
export function mayRun({ status, spec }: Pod): boolean {
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') return false;
  if (spec.nodeName === undefined) return false;
  const container = status?.containerStatuses?.find(({ name }) => name === 'ilion');
  // Without a word of its container the kubelet may be about to start it, or be silent.
  return container?.state?.waiting === undefined && container?.state?.terminated === undefined;
}
