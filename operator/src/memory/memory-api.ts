/**
 * An API server in memory: versions, preconditions, server-side apply, garbage collection, watches that may be late. The simulation runs
 * the operator against it, and so does `ilion dev`, which keeps it on disk.
 */
import type { KubeObject } from '../api/objects.ts';
import {
  type Key,
  type KubeApi,
  KubeError,
  type KubeEvent,
  type PodMarks,
  type Precondition,
  type WatchSink,
} from '../ports/kube.ts';
import type { Draft, Kind, Kinds } from '../ports/kube-objects.ts';
import { isSame } from '../resources/values.ts';

export type Stored = Omit<KubeObject, 'metadata' | 'spec' | 'status'> & {
  metadata: Record<string, unknown> & {
    name: string;
    namespace: string;
    uid: string;
    resourceVersion: string;
  };
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
};

interface Watcher {
  readonly kind: Kind;
  readonly labels: Readonly<Record<string, string>>;
  readonly sink: WatchSink<never>;
  stopped: boolean;
}

export interface MemoryApiDeps {
  nowMillis(): number;
  /** Delivers what a watch has seen, now or later. */
  deliver(run: () => void): void;
  /** An object is gone. */
  onGone(kind: Kind, object: Stored): void;
  /** Of a new object. @param count a number that is used once */
  newUid(kind: Kind, count: number): string;
  /** Something is changing; it has when the microtasks run that are queued now, before whoever changed it goes on. */
  onChange?(kind: Kind): void;
}

/** What one manager has applied to an object. */
interface Applied {
  readonly spec: unknown;
  readonly status: unknown;
}

/** All that there is, to begin with it again. */
export interface MemoryApiContents {
  readonly version: number;
  readonly objects: readonly {
    readonly kind: Kind;
    readonly object: Stored;
    readonly applied: Applied | null;
  }[];
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** As server-side apply of one manager: fields it had before and does not name any more go. Lists are taken as a whole. */
function merged(live: unknown, last: unknown, next: unknown): unknown {
  if (!isFields(next)) return next;
  const result: Record<string, unknown> = isFields(live) ? { ...live } : {};
  if (isFields(last)) {
    for (const key of Object.keys(last)) if (!(key in next)) delete result[key];
  }
  for (const [key, value] of Object.entries(next)) {
    if (value === undefined) continue;
    result[key] = merged(result[key], isFields(last) ? last[key] : undefined, value);
  }
  return result;
}

function hasLabels(object: Stored, labels: Readonly<Record<string, string>>): boolean {
  const own = (object.metadata['labels'] ?? {}) as Readonly<Record<string, string>>;
  return Object.entries(labels).every(([name, value]) => own[name] === value);
}

export class MemoryApi implements KubeApi {
  private readonly deps: MemoryApiDeps;
  private readonly objects = new Map<Kind, Map<string, Stored>>();
  private readonly applied = new Map<string, Applied>();
  private readonly watchers = new Set<Watcher>();
  readonly events: KubeEvent[] = [];
  private version = 0;
  private uids = 0;

  constructor(deps: MemoryApiDeps) {
    this.deps = deps;
  }

  /** @param kinds of which it is made */
  contents(kinds: readonly Kind[]): MemoryApiContents {
    const objects = kinds.flatMap((kind) =>
      this.all(kind).map((object) => {
        return { kind, object, applied: this.applied.get(object.metadata.uid) ?? null };
      }),
    );
    return { version: this.version, objects };
  }

  /** Before anything is in it, and anybody watches. */
  restore({ version, objects }: MemoryApiContents): void {
    this.version = version;
    for (const { kind, object, applied } of objects) {
      this.of(kind).set(`${object.metadata.namespace}/${object.metadata.name}`, object);
      if (applied !== null) this.applied.set(object.metadata.uid, applied);
    }
  }

  // For the world.

  all(kind: Kind): readonly Stored[] {
    return [...this.of(kind).values()];
  }

  find(kind: Kind, name: string, namespace = 'default'): Stored | undefined {
    return this.of(kind).get(`${namespace}/${name}`);
  }

  /** Changes an object in place, as a controller or a person does. */
  edit(kind: Kind, object: Stored, change: (object: Stored) => void): void {
    const before = structuredClone(object);
    change(object);
    if (isSame(before, object)) return;
    if (!isSame(before.spec, object.spec)) this.bump(object);
    this.stamp(kind, object);
  }

  /** It is really gone. */
  remove(kind: Kind, object: Stored): void {
    const { namespace, name } = object.metadata;
    if (this.of(kind).get(`${namespace}/${name}`) !== object) return;
    this.of(kind).delete(`${namespace}/${name}`);
    this.applied.delete(object.metadata.uid);
    this.deps.onChange?.(kind);
    this.tell(kind, object, 'deleted');
    this.deps.onGone(kind, object);
  }

  /** Deletes those whose owner is not there. */
  collect(): void {
    const alive = new Set<string>();
    for (const objects of this.objects.values()) {
      for (const { metadata } of objects.values()) alive.add(metadata.uid);
    }
    for (const [kind, objects] of this.objects) {
      for (const object of [...objects.values()]) {
        const owners = object.metadata['ownerReferences'] as readonly { uid: string }[] | undefined;
        if (owners === undefined || owners.length === 0) continue;
        if (!owners.some(({ uid }) => alive.has(uid))) this.begin(kind, object);
      }
    }
  }

  put(kind: Kind, draft: Fields & { readonly metadata: Fields }): Stored {
    const metadata = draft.metadata as Fields & { readonly name: string };
    this.uids++;
    const uid = this.deps.newUid(kind, this.uids);
    const object = {
      ...structuredClone(draft),
      metadata: {
        ...structuredClone(metadata),
        namespace: (metadata['namespace'] as string | undefined) ?? '',
        uid,
        generation: 1,
        creationTimestamp: new Date(this.deps.nowMillis()).toISOString(),
      },
    } as unknown as Stored;
    this.of(kind).set(`${object.metadata.namespace}/${object.metadata.name}`, object);
    this.stamp(kind, object);
    return object;
  }

  relist(): void {
    for (const watcher of this.watchers) this.replay(watcher);
  }

  // As the operator sees it.

  async get<K extends Kind>(kind: K, { namespace, name }: Key): Promise<Kinds[K] | null> {
    const found = this.of(kind).get(`${namespace}/${name}`);
    return found === undefined ? null : (structuredClone(found) as unknown as Kinds[K]);
  }

  async list<K extends Kind>(
    kind: K,
    namespace: string | null,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<readonly Kinds[K][]> {
    const found = [...this.of(kind).values()].filter(
      (one) =>
        (namespace === null || one.metadata.namespace === namespace) && hasLabels(one, labels),
    );
    return structuredClone(found) as unknown as Kinds[K][];
  }

  watch<K extends Kind>(
    kind: K,
    _namespace: string | null,
    sink: WatchSink<Kinds[K]>,
    labels: Readonly<Record<string, string>> = {},
  ): () => void {
    const watcher: Watcher = { kind, labels, sink, stopped: false };
    this.watchers.add(watcher);
    this.replay(watcher);
    return () => {
      watcher.stopped = true;
      this.watchers.delete(watcher);
    };
  }

  async create<K extends Kind>(kind: K, draft: Draft<Kinds[K]>): Promise<Kinds[K]> {
    const { name, namespace } = draft.metadata;
    if (this.find(kind, name, namespace) !== undefined) {
      throw new KubeError('ALREADY_EXISTS', `${kind} ${name} exists`);
    }
    return structuredClone(this.put(kind, draft)) as unknown as Kinds[K];
  }

  async apply<K extends Kind>(kind: K, draft: Draft<Kinds[K]>): Promise<Kinds[K]> {
    const next = structuredClone(draft) as unknown as Fields & { metadata: Fields };
    const { name, namespace, uid, resourceVersion, ...metadata } = draft.metadata;
    let object = this.find(kind, name, namespace);
    if (object === undefined) {
      if (uid !== undefined) throw new KubeError('CONFLICT', `${kind} ${name} is another one`);
      object = this.put(kind, next);
    } else {
      this.require(object, {
        uid: uid ?? object.metadata.uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      });
      const last = this.applied.get(object.metadata.uid)?.spec as
        | { metadata: unknown; spec: unknown }
        | undefined;
      const spec = merged(object.spec, last?.spec, next['spec']) as Record<string, unknown>;
      if (
        kind === 'PersistentVolumeClaim' &&
        spec['storageClassName'] !== object.spec?.['storageClassName']
      ) {
        throw new KubeError('INVALID', 'spec is immutable after creation');
      }
      this.edit(kind, object, (one) => {
        Object.assign(one.metadata, merged(one.metadata, last?.metadata, metadata));
        one.spec = spec;
      });
    }
    const before = this.applied.get(object.metadata.uid);
    const kept = { metadata, spec: next['spec'] };
    this.applied.set(object.metadata.uid, { spec: kept, status: before?.status });
    return structuredClone(object) as unknown as Kinds[K];
  }

  async applyStatus<K extends 'DatacenterCluster' | 'DatabaseNode'>(
    kind: K,
    {
      metadata,
      status,
    }: Pick<Kinds[K], 'status'> & { readonly metadata: Draft<Kinds[K]>['metadata'] },
  ): Promise<Kinds[K]> {
    const { name, namespace, uid, resourceVersion } = metadata;
    const object = this.find(kind, name, namespace);
    if (object === undefined) throw new KubeError('NOT_FOUND', `${kind} ${name} is not there`);
    this.require(object, {
      uid: uid ?? object.metadata.uid,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    });
    const before = this.applied.get(object.metadata.uid);
    this.edit(kind, object, (one) => {
      one.status = merged(one.status, before?.status, structuredClone(status)) as Record<
        string,
        unknown
      >;
    });
    this.applied.set(object.metadata.uid, { spec: before?.spec, status: structuredClone(status) });
    return structuredClone(object) as unknown as Kinds[K];
  }

  async annotate({ name, namespace, uid, annotations }: PodMarks): Promise<void> {
    const pod = this.find('Pod', name, namespace);
    if (pod === undefined) throw new KubeError('CONFLICT', `Pod ${name} is not there`);
    this.require(pod, { uid });
    this.edit('Pod', pod, ({ metadata }) => {
      const before = metadata['annotations'] as Readonly<Record<string, string>> | undefined;
      metadata['annotations'] = { ...before, ...annotations };
    });
  }

  async replace<K extends Kind>(kind: K, next: Kinds[K]): Promise<Kinds[K]> {
    const { name, namespace, uid, resourceVersion } = next.metadata;
    const object = this.find(kind, name, namespace);
    if (object === undefined) throw new KubeError('NOT_FOUND', `${kind} ${name} is not there`);
    this.require(object, { uid, resourceVersion });
    this.edit(kind, object, (one) => {
      const { labels, annotations, ownerReferences, finalizers } = structuredClone(next.metadata);
      const metadata = { ...one.metadata, labels, annotations, ownerReferences, finalizers };
      Object.assign(one, structuredClone(next), { metadata });
    });
    return structuredClone(object) as unknown as Kinds[K];
  }

  async delete(kind: Kind, { namespace, name }: Key, precondition: Precondition): Promise<void> {
    const object = this.find(kind, name, namespace);
    if (object === undefined) return;
    this.require(object, precondition);
    this.begin(kind, object);
  }

  async event(event: KubeEvent): Promise<void> {
    this.events.push(event);
    if (this.events.length > 200) this.events.shift();
  }

  private of(kind: Kind): Map<string, Stored> {
    let objects = this.objects.get(kind);
    if (objects === undefined) this.objects.set(kind, (objects = new Map()));
    return objects;
  }

  private require({ metadata }: Stored, { uid, resourceVersion }: Precondition): void {
    if (metadata.uid !== uid) throw new KubeError('CONFLICT', `${metadata.name} is another one`);
    if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
      throw new KubeError('CONFLICT', `${metadata.name} has changed`);
    }
  }

  /** Pods stop first, volumes wait for the pods that use them. */
  private begin(kind: Kind, object: Stored): void {
    const waits =
      (kind === 'Pod' && object.spec?.['nodeName'] !== undefined) ||
      (kind === 'PersistentVolumeClaim' &&
        this.find('Pod', object.metadata.name, object.metadata.namespace) !== undefined);
    if (!waits) {
      this.remove(kind, object);
      return;
    }
    this.edit(kind, object, ({ metadata }) => {
      metadata['deletionTimestamp'] ??= new Date(this.deps.nowMillis()).toISOString();
    });
  }

  private bump({ metadata }: Stored): void {
    metadata['generation'] = ((metadata['generation'] as number | undefined) ?? 0) + 1;
  }

  private stamp(kind: Kind, object: Stored): void {
    this.version++;
    object.metadata.resourceVersion = String(this.version);
    this.deps.onChange?.(kind);
    this.tell(kind, object, 'changed');
  }

  private tell(kind: Kind, object: Stored, what: 'changed' | 'deleted'): void {
    for (const watcher of this.watchers) {
      if (watcher.kind !== kind || !hasLabels(object, watcher.labels)) continue;
      const copy = structuredClone(object) as never;
      this.deps.deliver(() => {
        if (!watcher.stopped) watcher.sink[what](copy);
      });
    }
  }

  private replay(watcher: Watcher): void {
    const { kind, labels, sink } = watcher;
    const found = structuredClone(
      [...this.of(kind).values()].filter((one) => hasLabels(one, labels)),
    );
    this.deps.deliver(() => {
      if (!watcher.stopped) sink.replaced(found as never);
    });
  }
}
