/** The API of Kubernetes over HTTP: paths, bodies and parameters of each call, and what is bounded about them. */

import type { Metadata } from '../api/objects.ts';
import {
  FIELD_MANAGER,
  type KubeApi,
  KubeError,
  type KubeErrorCode,
  type KubeEvent,
} from '../ports/kube.ts';
import type { Kind, Kinds } from '../ports/kube-objects.ts';
import { KIND_FACTS } from '../ports/kube-objects.ts';
import { createEventSender } from './kube-events.ts';
import { errorOfStatus, type KubeRequest, type KubeTransport } from './kube-transport.ts';
import { followKind, type Page, WATCH_TIMES, type WatchTimes } from './kube-watch.ts';

/** One call that has ended, for metrics. */
export interface KubeCall {
  readonly verb:
    | 'get'
    | 'list'
    | 'watch'
    | 'create'
    | 'apply'
    | 'annotate'
    | 'replace'
    | 'delete'
    | 'event';
  readonly kind: string;
  readonly outcome: 'OK' | KubeErrorCode;
  readonly seconds: number;
}

export interface KubeClientOptions {
  /** Name of this process, for events. */
  readonly instance: string;
  readonly onCall?: (call: KubeCall) => void;
  readonly times?: Partial<WatchTimes>;
}

type DraftMetadata = Pick<Metadata, 'name' | 'namespace'> & Partial<Metadata>;

const PAGE_SIZE = 500;
/** Beyond, something is wrong with the server's answers. */
const PAGES_MAX = 1_000;
const APPLY = 'application/apply-patch+yaml';
const MERGE = 'application/merge-patch+json';

interface ListAnswer {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly object[] | null;
}

function isListAnswer(value: unknown): value is ListAnswer {
  return typeof value === 'object' && value !== null && 'metadata' in value;
}

/** @param name not given: all of them */
export function pathOf(kind: Kind, namespace: string | null, name?: string): string {
  const { apiVersion, plural, namespaced } = KIND_FACTS[kind];
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = namespaced && namespace !== null ? `/namespaces/${namespace}` : '';
  return `${root}${place}/${plural}${name === undefined ? '' : `/${name}`}`;
}

function selectorOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

interface Given {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/**
 * Objects in lists and watches come without the first two; and who manages which field is half of an object, and of no use
 * here. Nor are the images that machines have, some fifty each.
 */
function complete<K extends Kind>(kind: K, object: unknown): Kinds[K] {
  const { apiVersion } = KIND_FACTS[kind];
  const given = object as Given;
  const { managedFields: _, ...metadata } = given.metadata ?? {};
  const whole = { ...given, apiVersion, kind, metadata };
  if (kind !== 'Node' || given.status === undefined) return whole as unknown as Kinds[K];
  const { images: __, ...status } = given.status;
  return { ...whole, status } as unknown as Kinds[K];
}

/** @param transport closed by whoever made it */
export function createKubeClient(
  transport: KubeTransport,
  { instance, onCall = () => {}, times = {} }: KubeClientOptions,
): KubeApi {
  const counted = async <T>(
    verb: KubeCall['verb'],
    kind: string,
    work: () => Promise<T>,
  ): Promise<T> => {
    const begun = performance.now();
    const tell = (outcome: KubeCall['outcome']) =>
      onCall({ verb, kind, outcome, seconds: (performance.now() - begun) / 1000 });
    try {
      const result = await work();
      tell('OK');
      return result;
    } catch (error) {
      tell(error instanceof KubeError ? error.code : 'UNAVAILABLE');
      throw error;
    }
  };
  const write = async <K extends Kind>(
    verb: KubeCall['verb'],
    kind: K,
    request: KubeRequest,
  ): Promise<Kinds[K]> => complete(kind, await counted(verb, kind, () => transport.call(request)));

  const pages = async <K extends Kind>(
    kind: K,
    path: string,
    query: Readonly<Record<string, string>>,
  ): Promise<Page<Kinds[K]>> => {
    const items: Kinds[K][] = [];
    let from = '';
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer = await transport.call({
        method: 'GET',
        path,
        query: {
          ...query,
          limit: String(PAGE_SIZE),
          ...(from === '' ? {} : { continue: from }),
        },
      });
      if (!isListAnswer(answer)) throw new KubeError('UNAVAILABLE', 'a list without metadata');
      for (const item of answer.items ?? []) items.push(complete(kind, item));
      from = answer.metadata?.continue ?? '';
      const resourceVersion = answer.metadata?.resourceVersion ?? '';
      if (from === '') return { items, resourceVersion };
    }
    throw new KubeError('UNAVAILABLE', `a list of more than ${PAGES_MAX} pages`);
  };
  /** Pages of a list that got too old on the way are of no use: once again. */
  const listed = <K extends Kind>(
    kind: K,
    namespace: string | null,
    query: Readonly<Record<string, string>>,
  ): Promise<Page<Kinds[K]>> =>
    counted('list', kind, async () => {
      const path = pathOf(kind, namespace);
      try {
        return await pages(kind, path, query);
      } catch (error) {
        if (!(error instanceof KubeError) || error.code !== 'GONE') throw error;
        return pages(kind, path, query);
      }
    });
  const queryOf = (labels: Readonly<Record<string, string>> = {}): Record<string, string> =>
    Object.keys(labels).length === 0 ? {} : { labelSelector: selectorOf(labels) };

  /**
   * An apply that names a resourceVersion and no uid makes an object that is not there: the uid of the one that is there
   * keeps it from that.
   */
  const withUid = async <K extends Kind>(kind: K, body: Kinds[K]): Promise<Kinds[K]> => {
    const { uid, resourceVersion, namespace, name } = body.metadata;
    if (resourceVersion === undefined || uid !== undefined) return body;
    const path = pathOf(kind, namespace, name);
    const found = await counted('get', kind, () => transport.call({ method: 'GET', path })).catch(
      (error: unknown) => {
        if (!(error instanceof KubeError) || error.code !== 'NOT_FOUND') throw error;
        throw new KubeError('CONFLICT', `${kind} ${name} is not there any more`);
      },
    );
    const there = complete(kind, found).metadata.uid;
    return { ...body, metadata: { ...body.metadata, uid: there } };
  };
  const applied = async <K extends Kind>(
    kind: K,
    object: { readonly metadata: DraftMetadata },
    subresource: string,
  ): Promise<Kinds[K]> => {
    const body = await withUid(kind, complete(kind, object));
    const path = `${pathOf(kind, object.metadata.namespace, object.metadata.name)}${subresource}`;
    const query = { fieldManager: FIELD_MANAGER, force: 'true' };
    return write('apply', kind, { method: 'PATCH', path, query, body, contentType: APPLY });
  };

  const sendEvent = createEventSender(instance, async (namespace, body) => {
    const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
    await counted('event', 'Event', () => transport.call({ method: 'POST', path, body }));
  });

  return {
    get: async (kind, { namespace, name }) => {
      const path = pathOf(kind, namespace, name);
      try {
        const found = await counted('get', kind, () => transport.call({ method: 'GET', path }));
        return complete(kind, found);
      } catch (error) {
        if (error instanceof KubeError && error.code === 'NOT_FOUND') return null;
        throw error;
      }
    },
    list: async (kind, namespace, labels) => (await listed(kind, namespace, queryOf(labels))).items,
    watch: (kind, namespace, sink, labels) => {
      const query = queryOf(labels);
      return followKind(
        transport,
        {
          list: () => listed(kind, namespace, query),
          request: { method: 'GET', path: pathOf(kind, namespace), query },
          complete: (object) => complete(kind, object),
          failed: ({ code }) => onCall({ verb: 'watch', kind, outcome: code, seconds: 0 }),
        },
        sink,
        (status) => errorOfStatus(status, 500),
        { ...WATCH_TIMES, ...times },
      );
    },
    create: (kind, object) => {
      const path = pathOf(kind, object.metadata.namespace);
      const body = complete(kind, object);
      const query = { fieldManager: FIELD_MANAGER };
      return write('create', kind, { method: 'POST', path, query, body });
    },
    apply: (kind, object) => applied(kind, object, ''),
    applyStatus: (kind, object) => applied(kind, object, '/status'),
    annotate: async ({ name, namespace, uid, annotations }) => {
      // No apply: that would take away what an earlier one has set and this one does not name.
      const path = pathOf('Pod', namespace, name);
      const query = { fieldManager: FIELD_MANAGER };
      const body = { metadata: { uid, annotations } };
      await write('annotate', 'Pod', { method: 'PATCH', path, query, body, contentType: MERGE });
    },
    replace: (kind, object) => {
      const path = pathOf(kind, object.metadata.namespace, object.metadata.name);
      const query = { fieldManager: FIELD_MANAGER };
      const body = complete(kind, object);
      return write('replace', kind, { method: 'PUT', path, query, body });
    },
    delete: async (kind, { namespace, name }, { uid, resourceVersion }) => {
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
        preconditions: resourceVersion === undefined ? { uid } : { uid, resourceVersion },
      };
      const path = pathOf(kind, namespace, name);
      try {
        await counted('delete', kind, () => transport.call({ method: 'DELETE', path, body }));
      } catch (error) {
        if (!(error instanceof KubeError) || error.code !== 'NOT_FOUND') throw error;
      }
    },
    event: (event: KubeEvent) => sendEvent(event),
  };
}
