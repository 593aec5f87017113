/** The pod of a node: all that it is told is in there, so that a pod never changes but by being made anew. */
import type { ClusterSpec, RackSpec } from '../api/datacenter-cluster.ts';
import { NODE_SETTINGS } from '../api/node-config.ts';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { certificateSecretName } from '../ports/certificates.ts';
import { type Draft, type EnvironmentVariable, ownedBy, type Pod } from '../ports/kube-objects.ts';
import { LABELS, nodeLabels, POD_HASH, PORTS, seedsServiceName } from './names.ts';
import { bytesOf, hashOf } from './values.ts';

/** Of the container, and of its files. */
const USER = 65532;
const CONTAINER = 'ilion';
const HOME = '/var/lib/ilion';
const TLS = '/etc/ilion/tls';
/** A start may read a long log, or wait for the rest of the cluster. */
const START_SECONDS_MAX = 3600;
const PROBE_SECONDS = 5;
/** Of the container's memory: the rest is for what the node does not count. */
const MEMORY_SHARE = 0.85;
/** The node's own least. */
const MEMORY_MIB_MIN = 256;

export interface PodPlan {
  readonly cluster: DatacenterCluster;
  readonly node: DatabaseNode;
  /** Of the database, where the spec has none. */
  readonly image: string;
  /** It begins a new cluster: it is its own seed. */
  readonly first: boolean;
}

/** The rack as the spec has it; undefined: not there (any more). */
export function rackOf(
  spec: ClusterSpec,
  { datacenter, rack }: { readonly datacenter: string; readonly rack: string },
): RackSpec | undefined {
  const racks =
    spec.datacenters === undefined
      ? datacenter === spec.datacenterName
        ? spec.racks
        : []
      : spec.datacenters.find(({ name }) => name === datacenter)?.racks;
  return racks?.find(({ name }) => name === rack);
}

/** @param address of the pod, as the container sees it */
function seedsOf({ cluster, first }: PodPlan, address: string): string {
  if (first) return address;
  const { name, namespace } = cluster.metadata;
  const own = `${seedsServiceName(name)}.${namespace}.svc`;
  return [...(cluster.spec.contactPoints ?? []), own].join(',');
}

function settingsOf({ cluster, node }: PodPlan): Readonly<Record<string, string>> {
  const { spec, metadata } = cluster;
  const settings: Record<string, string> = {
    cluster_name: spec.clusterName ?? metadata.name,
    data_center: node.spec.datacenter,
    rack: node.spec.rack,
    data_directory: `${HOME}/data`,
    host_id: node.metadata.uid,
    log_format: 'json',
  };
  if (node.spec.replaces !== undefined) settings['replace_host_id'] = node.spec.replaces;
  if (spec.tls.mode !== 'None') {
    settings['internode_encryption'] = 'all';
    settings['internode_certificate'] = `${TLS}/tls.crt`;
    settings['internode_key'] = `${TLS}/tls.key`;
    settings['internode_authority'] = `${TLS}/ca.crt`;
    settings['admin_encryption'] = 'all';
  }
  for (const [name, value] of Object.entries(spec.config ?? {})) {
    const option = NODE_SETTINGS.get(name);
    if (option !== undefined) settings[option.name] = String(value);
  }
  return settings;
}

/** What the container may use, where the spec says it: the node itself would take a part of it, for a machine of its own. */
function limitsOf({ resources }: ClusterSpec): readonly EnvironmentVariable[] {
  const { memory, cpu } = resources?.limits ?? {};
  const variables: EnvironmentVariable[] = [];
  const mib = Math.floor((bytesOf(memory ?? '') * MEMORY_SHARE) / (1 << 20));
  // What is no quantity Kubernetes refuses with the pod.
  if (!Number.isNaN(mib)) {
    const value = `${Math.max(MEMORY_MIB_MIN, mib)}MiB`;
    variables.push({ name: 'ILION_MEMORY_LIMIT', value });
  }
  if (cpu !== undefined) {
    // Rounded up by the kubelet; Node does not see every kind of control group.
    const resourceFieldRef = { containerName: CONTAINER, resource: 'limits.cpu' };
    variables.push({ name: 'ILION_WORKERS', valueFrom: { resourceFieldRef } });
  }
  return variables;
}

/** The address comes first: others are made from it. */
function environmentOf(plan: PodPlan): readonly EnvironmentVariable[] {
  const address = '$(ILION_LISTEN_ADDRESS)';
  const variable = (name: string, value: string) => ({
    name: `ILION_${name.toUpperCase()}`,
    value,
  });
  return [
    { name: 'ILION_LISTEN_ADDRESS', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    // Also for `kubectl port-forward`, which comes from within; drivers are told the pod's address.
    variable('rpc_address', '0.0.0.0'),
    variable('admin_address', address),
    variable('metrics_address', '0.0.0.0'),
    variable('seeds', seedsOf(plan, address)),
    ...limitsOf(plan.cluster.spec),
    ...Object.entries(settingsOf(plan)).map(([name, value]) => variable(name, value)),
  ];
}

function probe(path: string, failureThreshold: number, timeoutSeconds = PROBE_SECONDS) {
  return {
    httpGet: { path, port: PORTS.metrics, scheme: 'HTTP' },
    ...{ periodSeconds: PROBE_SECONDS, timeoutSeconds, failureThreshold },
  };
}

function containerOf(plan: PodPlan) {
  const { spec } = plan.cluster;
  const mounts = [
    { name: 'data', mountPath: HOME },
    { name: 'tmp', mountPath: '/tmp' },
    ...(spec.tls.mode === 'None' ? [] : [{ name: 'tls', mountPath: TLS, readOnly: true }]),
  ];
  return {
    name: CONTAINER,
    image: spec.image ?? plan.image,
    imagePullPolicy: spec.imagePullPolicy,
    env: environmentOf(plan),
    ports: Object.entries(PORTS).map(([name, containerPort]) => ({
      name,
      containerPort,
      protocol: 'TCP',
    })),
    ...(spec.resources === undefined ? {} : { resources: spec.resources }),
    volumeMounts: mounts,
    startupProbe: probe('/healthz', START_SECONDS_MAX / PROBE_SECONDS),
    livenessProbe: probe('/healthz', 12),
    readinessProbe: probe('/readyz', 2, 3),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}

/** Not two of a cluster on one machine, if it can be helped. */
function affinityOf(cluster: string) {
  const term = {
    topologyKey: 'kubernetes.io/hostname',
    labelSelector: { matchLabels: { [LABELS.cluster]: cluster } },
  };
  return {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }],
    },
  };
}

function placementOf({ spec }: DatacenterCluster, rack: RackSpec | undefined) {
  const zone = rack?.zone === undefined ? {} : { 'topology.kubernetes.io/zone': rack.zone };
  const nodeSelector = { ...spec.podTemplate.nodeSelector, ...rack?.nodeSelector, ...zone };
  const tolerations = [...(spec.podTemplate.tolerations ?? []), ...(rack?.tolerations ?? [])];
  return {
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(tolerations.length === 0 ? {} : { tolerations }),
  };
}

function specOf(plan: PodPlan) {
  const { cluster, node } = plan;
  const { podTemplate, tls } = cluster.spec;
  const { name } = node.metadata;
  const secret = { secretName: certificateSecretName(name), defaultMode: 0o440 };
  return {
    hostname: name,
    subdomain: seedsServiceName(cluster.metadata.name),
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: podTemplate.terminationGracePeriodSeconds,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      ...{ runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER },
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    affinity: podTemplate.affinity ?? affinityOf(cluster.metadata.name),
    ...placementOf(cluster, rackOf(cluster.spec, node.spec)),
    ...(podTemplate.priorityClassName === undefined
      ? {}
      : { priorityClassName: podTemplate.priorityClassName }),
    ...(podTemplate.serviceAccountName === undefined
      ? {}
      : { serviceAccountName: podTemplate.serviceAccountName }),
    ...(podTemplate.imagePullSecrets === undefined
      ? {}
      : { imagePullSecrets: podTemplate.imagePullSecrets }),
    containers: [containerOf(plan)],
    volumes: [
      { name: 'data', persistentVolumeClaim: { claimName: name } },
      { name: 'tmp', emptyDir: {} },
      ...(tls.mode === 'None' ? [] : [{ name: 'tls', secret }]),
    ],
  };
}

function metadataOf({ cluster, node }: PodPlan) {
  const { labels, annotations } = cluster.spec.podTemplate;
  const { name, namespace } = node.metadata;
  return {
    ...{ name, namespace },
    labels: { ...labels, ...nodeLabels(name, node.spec) },
    annotations: { ...annotations },
    ownerReferences: [ownedBy(node)],
  };
}

/** Of what a restart would change: seeds matter to a node that is no member yet, and to no other. */
export function podHash(plan: PodPlan): string {
  const { labels, annotations } = metadataOf(plan);
  return hashOf({ labels, annotations, spec: specOf({ ...plan, first: false }) });
}

export function nodePod(plan: PodPlan): Draft<Pod> {
  const metadata = metadataOf(plan);
  const annotations = { ...metadata.annotations, [POD_HASH]: podHash(plan) };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, annotations },
    spec: specOf(plan),
  };
}
