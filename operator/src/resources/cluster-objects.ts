/** What a cluster has besides its nodes. */
import type { DatacenterCluster } from '../api/objects.ts';
import { type DisruptionBudget, type Draft, ownedBy, type Service } from '../ports/kube-objects.ts';
import { clusterLabels, heldBudgetName, LABELS, PORTS, seedsServiceName } from './names.ts';

const port = (name: keyof typeof PORTS) => ({ name, port: PORTS[name], protocol: 'TCP' });

function metadataOf(cluster: DatacenterCluster, name: string) {
  const { namespace } = cluster.metadata;
  return {
    name,
    namespace,
    labels: clusterLabels(cluster.metadata.name),
    ownerReferences: [ownedBy(cluster)],
  };
}

/** All nodes, ready or not: where they find each other. */
export function seedsService(cluster: DatacenterCluster): Draft<Service> {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(cluster, seedsServiceName(name)),
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: { [LABELS.cluster]: name },
      ports: [port('gossip'), port('data'), port('stream'), port('admin')],
    },
  };
}

/**
 * Nodes that serve: for clients. Without an address of its own, as drivers take an address for a node: behind one address they would know
 * one of the nodes by it for as long as they live, whichever it leads to.
 */
export function clientService(cluster: DatacenterCluster): Draft<Service> {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(cluster, name),
    spec: { clusterIP: 'None', selector: { [LABELS.cluster]: name }, ports: [port('cql')] },
  };
}

/** All of a cluster's nodes, or those of these names. */
export type NodeSet = 'all' | readonly string[];

function selectorOf(
  cluster: string,
  free: NodeSet,
  isFree: boolean,
): DisruptionBudget['spec']['selector'] {
  const matchLabels = { [LABELS.cluster]: cluster };
  if (free === 'all' || free.length === 0) {
    if ((free === 'all') === isFree) return { matchLabels };
    // Every pod has the label.
    return { matchLabels, matchExpressions: [{ key: LABELS.node, operator: 'DoesNotExist' }] };
  }
  const values = [...free].sort();
  return {
    matchLabels,
    matchExpressions: [{ key: LABELS.node, operator: isFree ? 'In' : 'NotIn', values }],
  };
}

/** Which are free by a budget that is there. */
export function freeBy({ selector }: DisruptionBudget['spec']): NodeSet {
  const [only] = selector.matchExpressions ?? [];
  return only === undefined ? 'all' : (only.values ?? []);
}

/**
 * How many pods may be evicted: one of those that the ring can do without, none of the others. A pod must be in one budget only:
 * there is no eviction of one that is in two. Numbers of pods that have to be healthy, as Kubernetes does not know how many there are to
 * be of pods that belong to objects of ours.
 * @param free which the ring can do without, one at a time
 * @param least how many of those have to stay healthy
 * @param all nodes of the cluster
 */
export function disruptionBudgets(
  cluster: DatacenterCluster,
  free: NodeSet,
  { least, all }: { readonly least: number; readonly all: number },
): readonly Draft<DisruptionBudget>[] {
  const { name } = cluster.metadata;
  const budget = (own: string, spec: DisruptionBudget['spec']): Draft<DisruptionBudget> => ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadataOf(cluster, own),
    spec,
  });
  return [
    // One that gets data is held though it is not ready: writes wait for it.
    budget(heldBudgetName(name), {
      minAvailable: Math.max(1, all),
      selector: selectorOf(name, free, false),
      unhealthyPodEvictionPolicy: 'IfHealthyBudget',
    }),
    // One that does not serve holds up no drain.
    budget(name, {
      minAvailable: least,
      selector: selectorOf(name, free, true),
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    }),
  ];
}
