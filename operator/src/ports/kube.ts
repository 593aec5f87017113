/** The API of Kubernetes, as the operator uses it. */
import type { Metadata } from '../api/objects.ts';
import type { Draft, Kind, Kinds } from './kube-objects.ts';

/** Of all that the operator applies. */
export const FIELD_MANAGER = 'ilion-operator';

/**
 * CONFLICT: it has changed since, or is not the one that was meant. INVALID: refused for what it says, with the API server's words. FORBIDDEN:
 * the operator may not. GONE: an old resourceVersion. UNAVAILABLE: no answer, too many requests, or a failure of the server: it may
 * have been done or not.
 */
export type KubeErrorCode =
  | 'CONFLICT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'INVALID'
  | 'FORBIDDEN'
  | 'GONE'
  | 'UNAVAILABLE';

export class KubeError extends Error {
  readonly code: KubeErrorCode;
  /** @param message for people, the API server's if there is one */
  constructor(code: KubeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KubeError';
    this.code = code;
  }
}

export interface Key {
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
}

/** Which one is meant: another of the same name is not touched. */
export interface Precondition {
  readonly uid: string;
  /** It is not touched either if it has changed since. */
  readonly resourceVersion?: string;
}

/** Gets what a watch sees, in order for each object. Handlers do not throw. */
export interface WatchSink<T> {
  /** All there is, at first and whenever the watch had to begin anew. */
  replaced(objects: readonly T[]): void;
  changed(object: T): void;
  deleted(object: T): void;
}

/** A step that people may want to know of. */
export interface KubeEvent {
  /** What it is about. */
  readonly regarding: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: Metadata;
  };
  readonly type: 'Normal' | 'Warning';
  /** One word for programs. */
  readonly reason: string;
  /** What was done, one word. */
  readonly action: string;
  /** At most 1,024 bytes. */
  readonly note: string;
}

/** @see KubeApi.annotate */
export interface PodMarks {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** All calls fail with KubeError. */
export interface KubeApi {
  /** As it is now, not from a cache; null: there is none. */
  get<K extends Kind>(kind: K, key: Key): Promise<Kinds[K] | null>;
  /** As it is now. @param namespace null: of all @param labels all of which they have */
  list<K extends Kind>(
    kind: K,
    namespace: string | null,
    labels?: Readonly<Record<string, string>>,
  ): Promise<readonly Kinds[K][]>;
  /** Follows until it is stopped, through all failures. @returns stops it */
  watch<K extends Kind>(
    kind: K,
    namespace: string | null,
    sink: WatchSink<Kinds[K]>,
    labels?: Readonly<Record<string, string>>,
  ): () => void;
  create<K extends Kind>(kind: K, object: Draft<Kinds[K]>): Promise<Kinds[K]>;
  /**
   * Server-side apply by FIELD_MANAGER, with force. With a uid or a resourceVersion in the metadata it is refused (CONFLICT) if the
   * object is not that one.
   */
  apply<K extends Kind>(kind: K, object: Draft<Kinds[K]>): Promise<Kinds[K]>;
  /** The same for the status; the object has to be there. */
  applyStatus<K extends 'DatacenterCluster' | 'DatabaseNode'>(
    kind: K,
    object: Pick<Kinds[K], 'status'> & { readonly metadata: Draft<Kinds[K]>['metadata'] },
  ): Promise<Kinds[K]>;
  /** Sets annotations of this very pod; others stay. CONFLICT: it is another one. NOT_FOUND: there is none. */
  annotate(pod: PodMarks): Promise<void>;
  /** Writes all of it; its resourceVersion has to be the newest. */
  replace<K extends Kind>(kind: K, object: Kinds[K]): Promise<Kinds[K]>;
  /** Done, too, if there is none (NOT_FOUND is not an error here). */
  delete(kind: Kind, key: Key, precondition: Precondition): Promise<void>;
  /** Never fails: an event that is lost is lost. */
  event(event: KubeEvent): Promise<void>;
}
