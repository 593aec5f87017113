/** Mistakes that operators make, each planted between the reconciler and the world, so that its own code stays as it is. */
import { createCertificates } from '../adapters/certificates.ts';
import type { KubeApi } from '../ports/kube.ts';
import type { AdminStatus, DatabaseNodes } from '../ports/nodes.ts';
import { NEW_CLUSTER } from '../resources/names.ts';
import type { Bug } from './simulation.ts';

type Changed = Partial<Record<keyof KubeApi, unknown>>;

/** The API with some calls changed. The changes are of the same shape, which the compiler cannot follow through generics. */
function withCalls(kube: KubeApi, changed: Changed): KubeApi {
  return { ...kube, ...changed } as KubeApi;
}

interface Loose {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

type LooseCall = (kind: string, object: Loose) => Promise<unknown>;

function changing(call: unknown, kind: string, change: (object: Loose) => Loose): LooseCall {
  const given = call as LooseCall;
  return (of, object) => given(of, of === kind ? change(object) : object);
}

/** What is read of objects of a kind is another. */
function seeing(kube: KubeApi, kind: string, change: (object: Loose) => Loose): KubeApi {
  const seen = (of: string, object: unknown) =>
    object !== null && of === kind ? change(object as Loose) : object;
  const list = kube.list as (...given: unknown[]) => Promise<readonly unknown[]>;
  const get = kube.get as (...given: unknown[]) => Promise<unknown>;
  const watch = kube.watch as (
    of: string,
    namespace: unknown,
    sink: Sink,
    labels: unknown,
  ) => () => void;
  return withCalls(kube, {
    list: async (of: string, ...rest: unknown[]) =>
      (await list(of, ...rest)).map((one) => seen(of, one)),
    get: async (of: string, key: unknown) => seen(of, await get(of, key)),
    watch: (of: string, namespace: unknown, sink: Sink, labels: unknown) =>
      watch(
        of,
        namespace,
        {
          replaced: (all) => sink.replaced(all.map((one) => seen(of, one))),
          changed: (one) => sink.changed(seen(of, one)),
          deleted: (one) => sink.deleted(one),
        },
        labels,
      ),
  });
}

interface Sink {
  replaced(all: readonly unknown[]): void;
  changed(one: unknown): void;
  deleted(one: unknown): void;
}

function without(object: Readonly<Record<string, unknown>>, field: string) {
  const { [field]: _, ...rest } = object;
  return rest;
}

function answering(
  database: DatabaseNodes,
  change: (status: AdminStatus) => AdminStatus,
): DatabaseNodes {
  return {
    ...database,
    status: async (place, agreed) => change(await database.status(place, agreed)),
  };
}

export const BUGS: readonly Bug[] = [
  {
    name: 'a node that leaves is taken for one that has left',
    seed: 5,
    database: (database) => ({
      ...answering(database, (status) => ({
        ...status,
        nodes: status.nodes.map((one) =>
          one.state === 'leaving' ? { ...one, state: 'left' } : one,
        ),
      })),
      operations: async (place) =>
        (await database.operations(place)).filter(({ kind }) => kind !== 'leave'),
    }),
  },
  {
    name: 'who is down is taken for gone',
    seed: 3,
    database: (database) =>
      answering(database, (status) => ({
        ...status,
        nodes: status.nodes.filter(({ alive, state }) => alive || state === 'left'),
      })),
  },
  {
    name: 'what a node has heard long ago is taken for what is agreed',
    seed: 6,
    database: (database, world) => {
      const heard = new Map<string, { readonly atMillis: number; readonly status: AdminStatus }>();
      return {
        ...database,
        status: async (place, agreed) => {
          const old = heard.get(place.address);
          if (old !== undefined && world.nowMillis - old.atMillis < 90_000) return old.status;
          const status = await database.status(place, agreed);
          heard.set(place.address, { atMillis: world.nowMillis, status });
          return status;
        },
      };
    },
  },
  {
    name: 'nodes that are not wanted are not taken out of the ring, only deleted',
    seed: 9,
    database: (database) => {
      const removed = new Set<string>();
      const lying = answering(database, (status) => ({
        ...status,
        nodes: status.nodes.map((one) =>
          removed.has(one.hostId) ? { ...one, state: 'left' } : one,
        ),
      }));
      return { ...lying, removeNode: async (_place, hostId) => void removed.add(hostId) };
    },
  },
  {
    name: 'the database is not asked whether nodes may stop',
    seed: 8,
    database: (database) => ({
      ...database,
      checkDisruption: async () => ({ allowed: true, reason: '' }),
    }),
    kube: (kube) =>
      seeing(kube, 'Pod', (pod) => ({
        ...pod,
        status: { ...pod.status, conditions: [{ type: 'Ready', status: 'True' }] },
      })),
  },
  {
    name: 'volumes belong to the objects of nodes, and go with them',
    kube: (kube) => {
      const owners = new Map<string, unknown>();
      const own = changing(kube.apply, 'PersistentVolumeClaim', (claim) => ({
        ...claim,
        metadata: {
          ...claim.metadata,
          ownerReferences: [owners.get(String(claim.metadata['name']))],
        },
      }));
      const noting = seeing(kube, 'DatabaseNode', (node) => {
        owners.set(String(node.metadata['name']), { uid: node.metadata['uid'] });
        return node;
      });
      return withCalls(noting, { apply: own });
    },
  },
  {
    name: 'each node is its own seed',
    kube: (kube) =>
      withCalls(kube, {
        create: changing(kube.create, 'Pod', (pod) => marked(pod, 'true')),
      }),
  },
  {
    name: 'the first node starts a cluster whenever it has no data',
    seed: 2,
    kube: (kube) =>
      withCalls(
        seeing(kube, 'Pod', (pod) => marked(pod, 'false')),
        { annotate: async () => {} },
      ),
  },
  {
    name: 'who comes back during a pause comes back with what has changed',
    seed: 4,
    kube: (kube, world) =>
      seeing(kube, 'DatacenterCluster', (cluster) => {
        const isGone = world.api.all('DatabaseNode').some(({ metadata }) => {
          return world.api.find('Pod', metadata.name) === undefined;
        });
        const update = { ...(cluster.spec['update'] as object), paused: false };
        return isGone ? { ...cluster, spec: { ...cluster.spec, update } } : cluster;
      }),
  },
  {
    name: 'a lost volume is made anew',
    seed: 51,
    kube: (kube, world) =>
      seeing(kube, 'DatabaseNode', (node) => {
        const { name, namespace } = node.metadata;
        const claim = world.api.find('PersistentVolumeClaim', String(name), String(namespace));
        const status = without(node.status ?? {}, 'volume');
        const volume = claim === undefined ? {} : { volume: claim.metadata.uid };
        return { ...node, status: { ...status, ...volume } };
      }),
  },
  {
    name: 'replacements do not say whom they replace',
    kube: (kube) =>
      withCalls(kube, {
        create: changing(kube.create, 'DatabaseNode', (node) => ({
          ...node,
          spec: without(node.spec, 'replaces'),
        })),
      }),
  },
  {
    name: 'volumes do not grow',
    kube: (kube) =>
      withCalls(kube, {
        apply: changing(kube.apply, 'PersistentVolumeClaim', (claim) => ({
          ...claim,
          spec: { ...claim.spec, resources: { requests: { storage: '1Gi' } } },
        })),
      }),
  },
  {
    name: 'others may always stop a node',
    seed: 26,
    kube: (kube) => {
      const wanted = new Map<unknown, Loose['spec']>();
      const seen = seeing(kube, 'PodDisruptionBudget', (budget) => ({
        ...budget,
        spec: wanted.get(budget.metadata['name']) ?? budget.spec,
      }));
      return withCalls(seen, {
        apply: changing(kube.apply, 'PodDisruptionBudget', (budget) => {
          wanted.set(budget.metadata['name'], budget.spec);
          return { ...budget, spec: { ...budget.spec, minAvailable: 0 } };
        }),
      });
    },
  },
  {
    name: 'what waits for a node that is lost is waited for',
    seed: 22,
    database: (database) => ({
      ...database,
      operations: async (place) =>
        (await database.operations(place)).map((one) => ({ ...one, waits: '' })),
    }),
  },
  {
    name: 'nobody looks how full volumes are',
    seed: 38,
    database: (database) =>
      answering(database, (status) => ({ ...status, diskFreeBytes: status.diskBytes })),
  },
  {
    name: 'settings that take effect at once are only for the next start',
    seed: 31,
    database: (database) => ({ ...database, configure: async () => {} }),
  },
  {
    name: 'something in the status is always new',
    kube: (kube, world) => {
      const apply = kube.applyStatus as unknown as LooseCall;
      return withCalls(kube, {
        applyStatus: (kind: string, object: Loose) =>
          apply(kind, {
            ...object,
            status: { ...object.status, version: String(world.nowMillis) },
          }),
      });
    },
  },
  {
    name: 'joins of nodes that are not wanted any more are not undone, and their objects go',
    seed: 17,
    database: (database) =>
      answering({ ...database, cancel: async () => {} }, (status) => ({
        ...status,
        nodes: status.nodes.filter(({ state }) => state !== 'joining'),
      })),
  },
  {
    name: 'nobody looks which versions run',
    seed: 32,
    database: (database) =>
      answering(database, (status) => ({
        ...status,
        version: '',
        nodes: status.nodes.map((one) => ({ ...one, version: '' })),
      })),
  },
  {
    name: 'an authority signs before it is believed',
    certificates: (kube, options) => createCertificates(kube, { ...options, settleMillis: 0 }),
  },
  {
    name: 'a pod that was deleted is thought to be there for ever',
    kube: (kube) =>
      withCalls(kube, {
        delete: (kind: string, ...rest: unknown[]) =>
          kind === 'Pod'
            ? Promise.resolve()
            : (kube.delete as (...given: unknown[]) => Promise<void>)(kind, ...rest),
      }),
  },
];

function marked(pod: Loose, isFirst: string): Loose {
  const annotations = pod.metadata['annotations'] as Readonly<Record<string, string>>;
  const metadata = { ...pod.metadata, annotations: { ...annotations, [NEW_CLUSTER]: isFirst } };
  return { ...pod, metadata };
}
