/** The volume and the Service of a node. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { type Claim, type Draft, ownedBy, type Service } from '../ports/kube-objects.ts';
import { LABELS, nodeLabels, PORTS } from './names.ts';

/**
 * Its volume. With deletionPolicy Delete it goes with the cluster; never with the DatabaseNode, which proves nothing.
 * @param size such as `10Gi`
 */
export function nodeClaim(
  cluster: DatacenterCluster,
  node: DatabaseNode,
  size = cluster.spec.storage.size,
): Draft<Claim> {
  const { storage, deletionPolicy } = cluster.spec;
  const { name, namespace, uid } = node.metadata;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name,
      namespace,
      labels: {
        ...nodeLabels(name, node.spec),
        [LABELS.clusterUid]: cluster.metadata.uid,
        [LABELS.hostId]: uid,
      },
      ownerReferences: deletionPolicy === 'Delete' ? [ownedBy(cluster)] : [],
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      ...(storage.className === undefined ? {} : { storageClassName: storage.className }),
      resources: { requests: { storage: size } },
    },
  };
}

/** The volume of a node that has left, to be kept: nothing takes it away but people. */
export function releasedClaim({ apiVersion, kind, metadata, spec }: Claim): Draft<Claim> {
  const { name, namespace, uid, resourceVersion, labels } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      ...{ name, namespace, uid, resourceVersion },
      labels: { ...labels, [LABELS.released]: 'true' },
      ownerReferences: [],
    },
    // What was applied and is not named any more would be taken away, which the API server refuses.
    spec: {
      accessModes: spec.accessModes,
      resources: spec.resources,
      ...(spec.storageClassName === undefined ? {} : { storageClassName: spec.storageClassName }),
    },
  };
}

/** A name of its own, ready or not. */
export function nodeService(node: DatabaseNode): Draft<Service> {
  const { name, namespace } = node.metadata;
  const ports = [
    { name: 'cql', port: PORTS.cql, protocol: 'TCP' },
    { name: 'admin', port: PORTS.admin, protocol: 'TCP' },
    { name: 'metrics', port: PORTS.metrics, protocol: 'TCP' },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...{ name, namespace },
      labels: nodeLabels(name, node.spec),
      ownerReferences: [ownedBy(node)],
    },
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: { [LABELS.node]: name },
      ports,
    },
  };
}
