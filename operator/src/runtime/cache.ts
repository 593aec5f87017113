/** What watches have brought of the objects that the operator reads: objects of clusters by cluster, others by name. */
import type { Source } from '../observe/source.ts';
import type { Key, KubeApi } from '../ports/kube.ts';
import type { Kind, Kinds } from '../ports/kube-objects.ts';
import { clusterLabels, LABELS } from '../resources/names.ts';

type Any = Kinds[Kind];

/** Of them only those of clusters are watched. */
const OWNED: readonly Kind[] = [
  'DatabaseNode',
  'Pod',
  'PersistentVolumeClaim',
  'Service',
  'PodDisruptionBudget',
];
const CLUSTER_WIDE: readonly Kind[] = ['Node', 'StorageClass'];

const keyOf = (namespace: string | undefined, name: string) => `${namespace ?? ''}/${name}`;

/** The cluster that an object belongs to, by its label. */
function clusterOf(kind: Kind, { metadata }: Any): Key | null {
  const { namespace = '', name, labels } = metadata;
  const cluster = kind === 'DatacenterCluster' ? name : labels?.[LABELS.cluster];
  return cluster === undefined ? null : { namespace, name: cluster };
}

export class Cache implements Source {
  private readonly kube: KubeApi;
  private readonly changed: (cluster: Key) => void;
  private readonly objects = new Map<Kind, Map<string, Any>>();
  /** By kind and cluster. */
  private readonly byCluster = new Map<string, Map<string, Any>>();
  private readonly filled = new Set<string>();
  private readonly stops: (() => void)[] = [];
  private watches = 0;

  /** @param changed hears of each cluster of which something has changed */
  constructor(kube: KubeApi, changed: (cluster: Key) => void) {
    this.kube = kube;
    this.changed = changed;
  }

  /** @param namespaces empty: all */
  start(namespaces: readonly string[]): void {
    const places: readonly (string | null)[] = namespaces.length === 0 ? [null] : namespaces;
    for (const namespace of places) {
      this.watch('DatacenterCluster', namespace);
      for (const kind of OWNED) this.watch(kind, namespace, managed());
    }
    for (const kind of CLUSTER_WIDE) this.watch(kind, null);
  }

  stop(): void {
    for (const stop of this.stops.splice(0)) stop();
  }

  /** Every watch has brought what there was at first. */
  get isFilled(): boolean {
    return this.filled.size === this.watches;
  }

  /** All clusters that are known. */
  clusters(): readonly Key[] {
    return [...this.of('DatacenterCluster').values()].map(({ metadata }) => ({
      namespace: metadata.namespace,
      name: metadata.name,
    }));
  }

  async get<K extends Kind>(kind: K, { namespace, name }: Key): Promise<Kinds[K] | null> {
    return (this.of(kind).get(keyOf(namespace, name)) as Kinds[K] | undefined) ?? null;
  }

  async list<K extends Kind>(
    kind: K,
    namespace: string,
    labels: Readonly<Record<string, string>>,
  ): Promise<readonly Kinds[K][]> {
    if (CLUSTER_WIDE.includes(kind)) return [...this.of(kind).values()] as Kinds[K][];
    const cluster = labels[LABELS.cluster];
    const found = this.byCluster.get(`${kind} ${keyOf(namespace, cluster)}`);
    return found === undefined ? [] : ([...found.values()] as Kinds[K][]);
  }

  private of(kind: Kind): Map<string, Any> {
    let objects = this.objects.get(kind);
    if (objects === undefined) this.objects.set(kind, (objects = new Map()));
    return objects;
  }

  private watch<K extends Kind>(
    kind: K,
    namespace: string | null,
    labels?: Readonly<Record<string, string>>,
  ): void {
    this.watches++;
    const name = `${kind} ${namespace ?? ''}`;
    const sink = {
      replaced: (objects: readonly Kinds[K][]) => {
        this.filled.add(name);
        this.replace(kind, namespace, objects);
      },
      changed: (object: Kinds[K]) => this.put(kind, object),
      deleted: (object: Kinds[K]) => this.drop(kind, object),
    };
    this.stops.push(this.kube.watch(kind, namespace, sink, labels));
  }

  private replace(kind: Kind, namespace: string | null, objects: readonly Any[]): void {
    const there = new Set(objects.map(({ metadata }) => keyOf(metadata.namespace, metadata.name)));
    for (const [key, object] of this.of(kind)) {
      const isOurs = namespace === null || object.metadata.namespace === namespace;
      if (isOurs && !there.has(key)) this.drop(kind, object);
    }
    for (const object of objects) this.put(kind, object);
  }

  private put(kind: Kind, object: Any): void {
    const { namespace, name, resourceVersion } = object.metadata;
    const key = keyOf(namespace, name);
    const old = this.of(kind).get(key);
    if (
      old?.metadata.resourceVersion === resourceVersion &&
      old.metadata.uid === object.metadata.uid
    )
      return;
    if (old !== undefined) this.unlink(kind, old);
    this.of(kind).set(key, object);
    const cluster = clusterOf(kind, object);
    if (cluster === null) return;
    const group = `${kind} ${keyOf(cluster.namespace, cluster.name)}`;
    const members = this.byCluster.get(group) ?? new Map<string, Any>();
    members.set(key, object);
    this.byCluster.set(group, members);
    this.changed(cluster);
  }

  private drop(kind: Kind, object: Any): void {
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    const old = this.of(kind).get(key);
    if (old === undefined || old.metadata.uid !== object.metadata.uid) return;
    this.of(kind).delete(key);
    this.unlink(kind, old);
    const cluster = clusterOf(kind, old);
    if (cluster !== null) this.changed(cluster);
  }

  private unlink(kind: Kind, object: Any): void {
    const cluster = clusterOf(kind, object);
    if (cluster === null) return;
    const group = `${kind} ${keyOf(cluster.namespace, cluster.name)}`;
    const members = this.byCluster.get(group);
    members?.delete(keyOf(object.metadata.namespace, object.metadata.name));
    if (members?.size === 0) this.byCluster.delete(group);
  }
}

/** Of all that the operator makes, whichever the cluster. */
function managed(): Readonly<Record<string, string>> {
  const { [LABELS.manager]: manager } = clusterLabels('');
  return { [LABELS.manager]: manager };
}

/** The API server itself; machines and classes of volumes as they are cached: they decide nothing that cannot be undone. */
export function liveSource(kube: KubeApi, cache: Source): Source {
  return {
    get: (kind, key) => (CLUSTER_WIDE.includes(kind) ? cache.get(kind, key) : kube.get(kind, key)),
    list: (kind, namespace, labels) =>
      CLUSTER_WIDE.includes(kind)
        ? cache.list(kind, namespace, labels)
        : kube.list(kind, namespace, labels),
  };
}
