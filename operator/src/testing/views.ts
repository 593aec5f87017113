/** Views of clusters for tables of decisions. */
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import type { ClusterView, MemberState, NodeView } from '../observe/view.ts';
import type { Claim, Machine, Pod } from '../ports/kube-objects.ts';
import { LABELS } from '../resources/names.ts';
import { nodeClaim } from '../resources/node-objects.ts';
import { inputsOf, nodePod } from '../resources/node-pod.ts';

export interface Given {
  readonly name: string;
  readonly rack: string;
  readonly state?: MemberState;
  readonly remove?: boolean;
  readonly replaces?: string;
  readonly replace?: boolean;
}

/** A cluster of which every node is a member and serves, but for what is given. */
export function viewOf(
  given: readonly Given[],
  replicas: number,
  racks: readonly string[],
  version = '1',
): ClusterView {
  const metadata = { namespace: 'default', resourceVersion: '1' };
  const nodes: NodeView[] = given.map(
    ({ name, rack, remove = false, replace = false, replaces }, i) => ({
      object: {
        ...{ apiVersion: 'ilion.dev/v1alpha1', kind: 'DatabaseNode' },
        metadata: { ...metadata, name, uid: name, creationTimestamp: `2026-01-01T00:00:0${i}Z` },
        spec: {
          ...{ cluster: 'demo', datacenter: 'dc1', rack, replace, remove },
          ...(replaces === undefined ? {} : { replaces }),
        },
        status: { volume: `volume-${name}` },
      },
      ...{ pod: null, claim: null, service: null, homes: null },
    }),
  );
  const members = given.map(({ name, rack, state = 'normal' }) => ({
    ...{ hostId: name, address: '10.0.0.1:7000', datacenter: 'dc1', rack, state, tokens: 16 },
    ...{ aliveBy: 2, askedBy: 2, version },
  }));
  return {
    nowMillis: Date.UTC(2026, 1, 1),
    cluster: {
      ...{ apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster' },
      metadata: { ...metadata, name: 'demo', uid: 'cluster' },
      spec: {
        ...{ replicas, datacenterName: 'dc1', racks: racks.map((name) => ({ name })) },
        ...{ imagePullPolicy: 'IfNotPresent', storage: { size: '1Gi' }, tls: { mode: 'None' } },
        update: { maxUnavailable: 1, paused: false },
        healing: { replaceAfter: '10m', maxReplacements: 1 },
        ...{ joinsAtOnce: 3, stopped: false, deletionPolicy: 'Delete' },
        podTemplate: { terminationGracePeriodSeconds: 60 },
      },
      status: { firstNode: 'a1' },
    },
    nodes,
    ...{
      strays: [],
      predecessors: [],
      foreign: [],
      seeds: null,
      client: null,
      budgets: new Map(),
      certificates: null,
    },
    ...{ machines: new Map(), storageClasses: new Map() },
    ring: {
      known: true,
      members: new Map(members.map((one) => [one.hostId, one])),
      ...{ operations: [], places: [], clusterId: 'id' },
    },
    ...{ disruptions: new Map(), refusedWrites: [], refusals: new Map(), taken: new Map() },
    ...{ disks: new Map(), keyspaces: new Map() },
  };
}

/** With another spec. */
export function withSpec(view: ClusterView, change: Partial<ClusterSpec>): ClusterView {
  const { cluster } = view;
  return { ...view, cluster: { ...cluster, spec: { ...cluster.spec, ...change } } };
}

/** With the nodes that `change` makes of those that there are. */
export function withNodes(view: ClusterView, change: (node: NodeView) => NodeView): ClusterView {
  return { ...view, nodes: view.nodes.map(change) };
}

/** Each node has a volume and a pod that is ready, on a machine `on-<node>`, of what the spec says. */
export function withPods(view: ClusterView, image = 'ilion:1'): ClusterView {
  const { cluster } = view;
  const machines = new Map<string, Machine>();
  const nodes = view.nodes.map(({ object, ...node }): NodeView => {
    const { name, uid } = object.metadata;
    const own = { uid: `pod-${name}`, resourceVersion: '1' };
    const plan = { cluster, node: object, image, first: false };
    const draft = nodePod(plan);
    const nodeName = `on-${name}`;
    const about = { apiVersion: 'v1', kind: 'Node' };
    machines.set(nodeName, {
      ...about,
      metadata: { name: nodeName, namespace: '', uid: nodeName, resourceVersion: '1' },
      spec: {},
    });
    const pod: Pod = {
      ...draft,
      metadata: { ...draft.metadata, ...own },
      spec: { ...draft.spec, nodeName },
      status: {
        ...{ phase: 'Running', podIP: '10.0.0.1' },
        conditions: [{ type: 'Ready', status: 'True' }],
        containerStatuses: [
          { name: 'ilion', ready: true, restartCount: 0, state: { running: {} } },
        ],
      },
    };
    const volume = `volume-${name}`;
    const drafted = nodeClaim(cluster, object);
    const labels = { ...drafted.metadata.labels, [LABELS.hostId]: uid };
    const claim: Claim = {
      ...drafted,
      metadata: { ...drafted.metadata, labels, uid: volume, resourceVersion: '1' },
      status: { phase: 'Bound' },
    };
    const status = { ...object.status, volume, made: inputsOf(plan) };
    return { ...node, pod, claim, object: { ...object, status } };
  });
  return { ...view, nodes, machines };
}
