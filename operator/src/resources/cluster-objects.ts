/** What a cluster has besides its nodes. */
import type { DatacenterCluster } from '../api/objects.ts';
import { type DisruptionBudget, type Draft, ownedBy, type Service } from '../ports/kube-objects.ts';
import { clusterLabels, LABELS, PORTS, seedsServiceName } from './names.ts';

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

/** Nodes that serve: for clients. */
export function clientService(cluster: DatacenterCluster): Draft<Service> {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(cluster, name),
    spec: { selector: { [LABELS.cluster]: name }, ports: [port('cql')] },
  };
}

/** @param mayGo whether the ring can do without any one of them now */
export function disruptionBudget(
  cluster: DatacenterCluster,
  mayGo: boolean,
): Draft<DisruptionBudget> {
  const { name } = cluster.metadata;
  const spec = {
    maxUnavailable: mayGo ? 1 : 0,
    selector: { matchLabels: { [LABELS.cluster]: name } },
    // One that does not serve holds up no drain.
    unhealthyPodEvictionPolicy: 'AlwaysAllow',
  };
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadataOf(cluster, name),
    spec,
  };
}
