/** Gathers the view of a cluster. */
import type { DatacenterCluster } from '../api/objects.ts';
import type { CertificateState } from '../ports/certificates.ts';
import type { Key } from '../ports/kube.ts';
import type { Kinds, Machine, Service, StorageClass, Volume } from '../ports/kube-objects.ts';
import { type DatabaseNodes, NodeCallError } from '../ports/nodes.ts';
import { clusterLabels, LABELS, seedsServiceName } from '../resources/names.ts';
import { hasAll } from '../resources/values.ts';
import { findsNoPlace, homesOf } from './homes.ts';
import { isRunningPod, observeRing, placeOf } from './ring.ts';
import type { Source } from './source.ts';
import {
  type ClusterView,
  type DiskUse,
  hostIdOf,
  type KeyspaceState,
  type NodeView,
  type Refusal,
} from './view.ts';

/** How full a volume is is asked for so often. */
const DISK_MILLIS = 60_000;
const DISKS_ASKED_MAX = 16;

export interface ObserveDeps {
  readonly database: DatabaseNodes;
  /** Makes what is due, and says what there is. Null: the cluster needs none. */
  certificates(
    cluster: DatacenterCluster,
    nodes: readonly NodeView[],
  ): Promise<CertificateState | null>;
  /** Null: there is none of the name, or it may not be read. */
  volume(name: string): Promise<Volume | null>;
  readonly nowMillis: number;
  readonly refusedWrites: readonly string[];
  readonly refusals: ReadonlyMap<string, Refusal>;
  readonly taken: ReadonlyMap<string, string>;
  readonly keyspaces: ReadonlyMap<string, KeyspaceState>;
  /** By host id: what is known, and where it is kept. */
  readonly disks: Map<string, DiskUse>;
}

function byName<
  T extends Kinds['Pod' | 'PersistentVolumeClaim' | 'Service' | 'PodDisruptionBudget'],
>(objects: readonly T[]): ReadonlyMap<string, T> {
  return new Map(objects.map((one) => [one.metadata.name, one]));
}

async function nodesOf(
  source: Source,
  cluster: DatacenterCluster,
): Promise<Pick<ClusterView, 'nodes' | 'strays' | 'predecessors'>> {
  const { name, namespace, uid } = cluster.metadata;
  const labels = { [LABELS.cluster]: name };
  const [all, pods, claims, services] = [
    await source.list('DatabaseNode', namespace, labels),
    byName(await source.list('Pod', namespace, labels)),
    byName(await source.list('PersistentVolumeClaim', namespace, labels)),
    byName(await source.list('Service', namespace, labels)),
  ];
  const own = all
    .filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const nodes = own.map((object) => {
    const pod = pods.get(object.metadata.name) ?? null;
    const service = services.get(object.metadata.name) ?? null;
    const claim = claims.get(object.metadata.name) ?? null;
    return { object, pod, claim, service, homes: null };
  });
  const ids = new Set(own.map(({ metadata }) => metadata.uid));
  const strays = [...claims.values()].filter(
    ({ metadata }) =>
      metadata.labels?.[LABELS.clusterUid] === uid &&
      metadata.labels[LABELS.released] !== 'true' &&
      !ids.has(metadata.labels[LABELS.hostId]) &&
      !pods.has(metadata.name),
  );
  const predecessors = [
    ...all.map(({ metadata }) => `DatabaseNode ${metadata.name}`),
    ...[...pods.values()]
      .filter(({ metadata }) => LABELS.node in (metadata.labels ?? {}))
      .map(({ metadata }) => `Pod ${metadata.name}`),
  ];
  return { nodes, strays, predecessors: own.length === 0 ? predecessors : [] };
}

function isOwn(
  { metadata }: Kinds['Service' | 'PodDisruptionBudget'],
  { metadata: { name, uid } }: DatacenterCluster,
): boolean {
  const owners = metadata.ownerReferences ?? [];
  // Without an owner: `kubectl delete --cascade=orphan` has left it for whoever is next.
  return owners.length === 0
    ? hasAll(metadata.labels, clusterLabels(name))
    : owners.some((owner) => owner.uid === uid);
}

/** What a cluster has besides its nodes, by names that somebody else may have taken. */
class NamedObjects {
  readonly foreign: string[] = [];
  private readonly source: Source;
  private readonly cluster: DatacenterCluster;

  constructor(source: Source, cluster: DatacenterCluster) {
    this.source = source;
    this.cluster = cluster;
  }

  /** @returns null: there is none, or it is not the cluster's */
  async service(name: string): Promise<Service | null> {
    const { namespace } = this.cluster.metadata;
    const found = await this.source.get('Service', { namespace, name });
    if (found === null || isOwn(found, this.cluster)) return found;
    this.foreign.push(`Service ${name}`);
    return null;
  }

  async budgets(): Promise<ClusterView['budgets']> {
    const { namespace, name } = this.cluster.metadata;
    const labels = { [LABELS.cluster]: name };
    const found = await this.source.list('PodDisruptionBudget', namespace, labels);
    const own = found.filter((one) => isOwn(one, this.cluster));
    const others = found.filter((one) => !own.includes(one));
    this.foreign.push(...others.map(({ metadata }) => `PodDisruptionBudget ${metadata.name}`));
    return byName(own);
  }
}

/** Where those can be whose pods find no place: that depends on their volumes. */
async function withHomes(
  source: Source,
  nodes: readonly NodeView[],
  volume: ObserveDeps['volume'],
): Promise<readonly NodeView[]> {
  const lost = nodes.filter(
    ({ pod, claim }) => findsNoPlace(pod) && claim?.spec.volumeName !== undefined,
  );
  if (lost.length === 0) return nodes;
  const machines = await source.list('Node', '', {});
  const found = new Map<NodeView, readonly string[] | null>();
  for (const node of lost) {
    const one = await volume(node.claim?.spec.volumeName ?? '');
    found.set(node, one === null ? null : homesOf(one, machines));
  }
  return nodes.map((node) => ({ ...node, homes: found.get(node) ?? null }));
}

async function machinesOf(
  source: Source,
  nodes: readonly NodeView[],
): Promise<ReadonlyMap<string, Machine>> {
  const names = new Set(
    nodes.flatMap(({ pod, homes }) => [
      ...(homes ?? []),
      ...(pod?.spec.nodeName === undefined ? [] : [pod.spec.nodeName]),
    ]),
  );
  const found = new Map<string, Machine>();
  for (const name of names) {
    const machine = await source.get('Node', { namespace: '', name });
    if (machine !== null) found.set(name, machine);
  }
  return found;
}

async function classesOf(
  source: Source,
  nodes: readonly NodeView[],
): Promise<ReadonlyMap<string, StorageClass>> {
  const names = new Set(nodes.flatMap(({ claim }) => claim?.spec.storageClassName ?? []));
  const found = new Map<string, StorageClass>();
  for (const name of names) {
    const one = await source.get('StorageClass', { namespace: '', name });
    if (one !== null) found.set(name, one);
  }
  return found;
}

/** Those that were asked longest ago are asked again, some at a time: what is not known is not acted on. */
async function disksOf(
  cluster: DatacenterCluster,
  nodes: readonly NodeView[],
  { database, disks, nowMillis }: ObserveDeps,
): Promise<ReadonlyMap<string, DiskUse>> {
  if (cluster.spec.storage.autogrow === undefined) return new Map();
  const askedAt = (node: NodeView) => disks.get(hostIdOf(node))?.atMillis ?? 0;
  const due = nodes
    .filter((node) => isRunningPod(node.pod) && nowMillis - askedAt(node) >= DISK_MILLIS)
    .toSorted((a, b) => askedAt(a) - askedAt(b))
    .slice(0, DISKS_ASKED_MAX);
  await Promise.all(
    due.map(async (node) => {
      try {
        const place = placeOf(cluster, node.pod?.status?.podIP ?? '');
        const { hostId, diskBytes: bytes, diskFreeBytes } = await database.status(place, false);
        const use = { bytes, freeBytes: diskFreeBytes, atMillis: nowMillis };
        if (hostId === hostIdOf(node) && bytes > 0) disks.set(hostId, use);
      } catch (error) {
        if (!(error instanceof NodeCallError)) throw error;
      }
    }),
  );
  return disks;
}

/**
 * Reads the objects first and asks the database then: what it says is newer than what is known of pods.
 * @returns null: there is no such cluster, or it is being deleted
 * @throws KubeError
 */
export async function observe(
  source: Source,
  key: Key,
  deps: ObserveDeps,
): Promise<ClusterView | null> {
  const cluster = await source.get('DatacenterCluster', key);
  if (cluster === null || cluster.metadata.deletionTimestamp !== undefined) return null;
  const { name } = cluster.metadata;
  // Before pods: with a budget that is shut, what is seen of pods then is not on its way out.
  const named = new NamedObjects(source, cluster);
  const budgets = await named.budgets();
  const { nodes: plain, strays, predecessors } = await nodesOf(source, cluster);
  const nodes = await withHomes(source, plain, deps.volume);
  return {
    nowMillis: deps.nowMillis,
    cluster,
    nodes,
    ...{ strays, predecessors },
    seeds: await named.service(seedsServiceName(name)),
    client: await named.service(name),
    foreign: named.foreign,
    budgets,
    machines: await machinesOf(source, nodes),
    storageClasses: await classesOf(source, nodes),
    certificates: await deps.certificates(cluster, nodes),
    ring: await observeRing(deps.database, cluster, nodes),
    disruptions: new Map(),
    refusedWrites: deps.refusedWrites,
    refusals: deps.refusals,
    taken: deps.taken,
    keyspaces: deps.keyspaces,
    disks: await disksOf(cluster, nodes, deps),
  };
}
