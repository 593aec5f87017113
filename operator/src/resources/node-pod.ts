/** The pod of a node: all that it is told is in there, so that a pod never changes but by being made anew. */
import type { ClusterSpec, RackSpec } from '../api/datacenter-cluster.ts';
import { settingsOf as chosenOf, defaultOf, withoutHot } from '../api/node-config.ts';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { certificateSecretName } from '../ports/certificates.ts';
import { type Draft, type EnvironmentVariable, ownedBy, type Pod } from '../ports/kube-objects.ts';
import {
  LABELS,
  NEW_CLUSTER,
  nodeLabels,
  POD_HASH,
  PORTS,
  SETTING,
  SETTINGS_HASH,
  seedsServiceName,
} from './names.ts';
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

/** What a change of the spec changes about pods: written down for each node, for the time in which changes are held back. */
export type PodInputs = Pick<
  ClusterSpec,
  'imagePullPolicy' | 'resources' | 'config' | 'podTemplate'
> & {
  readonly image: string;
  readonly rack?: Omit<RackSpec, 'name' | 'replicas'>;
};

export interface PodPlan {
  readonly cluster: DatacenterCluster;
  readonly node: DatabaseNode;
  /** Of the database, where the spec has none. */
  readonly image: string;
  /** It begins a new cluster if it has no data. */
  readonly first: boolean;
  /** In the place of what the spec says now. */
  readonly made?: PodInputs | undefined;
}

/** As the spec says now. */
export function inputsOf({ cluster, node, image }: Omit<PodPlan, 'first' | 'made'>): PodInputs {
  const { spec } = cluster;
  const { resources, config, imagePullPolicy, podTemplate } = spec;
  const found = rackOf(spec, node.spec);
  const { name: _name, replicas: _replicas, ...rack } = found ?? { name: '' };
  return {
    image: spec.image ?? image,
    ...{ imagePullPolicy, podTemplate },
    ...(resources === undefined ? {} : { resources }),
    ...(config === undefined ? {} : { config }),
    ...(Object.keys(rack).length === 0 ? {} : { rack }),
  };
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

function seedsOf({ cluster }: PodPlan): string {
  const { name, namespace } = cluster.metadata;
  const own = `${seedsServiceName(name)}.${namespace}.svc`;
  return [...(cluster.spec.contactPoints ?? []), own].join(',');
}

function settingsOf(
  { cluster, node }: PodPlan,
  { config }: PodInputs,
): Readonly<Record<string, string>> {
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
  return { ...settings, ...chosenOf(config, 'restart') };
}

/** What the container may use, where the spec says it: the node itself would take a part of it, for a machine of its own. */
function limitsOf({ resources }: PodInputs): readonly EnvironmentVariable[] {
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
function environmentOf(plan: PodPlan, inputs: PodInputs): readonly EnvironmentVariable[] {
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
    variable('seeds', seedsOf(plan)),
    // Read at each start of the container. If it is missing the node does not start.
    {
      name: 'ILION_NEW_CLUSTER',
      valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${NEW_CLUSTER}']` } },
    },
    ...limitsOf(inputs),
    ...Object.entries(settingsOf(plan, inputs)).map(([name, value]) => variable(name, value)),
    ...Object.keys(chosenOf(inputs.config, 'hot')).map((name) => ({
      name: `ILION_${name.toUpperCase()}`,
      valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${SETTING}${name}']` } },
    })),
  ];
}

function probe(path: string, failureThreshold: number, timeoutSeconds = PROBE_SECONDS) {
  return {
    httpGet: { path, port: PORTS.metrics, scheme: 'HTTP' },
    ...{ periodSeconds: PROBE_SECONDS, timeoutSeconds, failureThreshold },
  };
}

function containerOf(plan: PodPlan, inputs: PodInputs) {
  const { tls } = plan.cluster.spec;
  const mounts = [
    { name: 'data', mountPath: HOME },
    { name: 'tmp', mountPath: '/tmp' },
    ...(tls.mode === 'None' ? [] : [{ name: 'tls', mountPath: TLS, readOnly: true }]),
  ];
  return {
    name: CONTAINER,
    image: inputs.image,
    imagePullPolicy: inputs.imagePullPolicy,
    env: environmentOf(plan, inputs),
    ports: Object.entries(PORTS).map(([name, containerPort]) => ({
      name,
      containerPort,
      protocol: 'TCP',
    })),
    ...(inputs.resources === undefined ? {} : { resources: inputs.resources }),
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

function placementOf({ podTemplate, rack }: PodInputs) {
  const zone = rack?.zone === undefined ? {} : { 'topology.kubernetes.io/zone': rack.zone };
  const nodeSelector = { ...podTemplate.nodeSelector, ...rack?.nodeSelector, ...zone };
  const tolerations = [...(podTemplate.tolerations ?? []), ...(rack?.tolerations ?? [])];
  return {
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(tolerations.length === 0 ? {} : { tolerations }),
  };
}

function specOf(plan: PodPlan) {
  const { cluster, node } = plan;
  const inputs = plan.made ?? inputsOf(plan);
  const { tls } = cluster.spec;
  const { podTemplate } = inputs;
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
    ...placementOf(inputs),
    ...(podTemplate.priorityClassName === undefined
      ? {}
      : { priorityClassName: podTemplate.priorityClassName }),
    ...(podTemplate.serviceAccountName === undefined
      ? {}
      : { serviceAccountName: podTemplate.serviceAccountName }),
    ...(podTemplate.imagePullSecrets === undefined
      ? {}
      : { imagePullSecrets: podTemplate.imagePullSecrets }),
    containers: [containerOf(plan, inputs)],
    volumes: [
      { name: 'data', persistentVolumeClaim: { claimName: name } },
      { name: 'tmp', emptyDir: {} },
      ...(tls.mode === 'None' ? [] : [{ name: 'tls', secret }]),
    ],
  };
}

function metadataOf(plan: PodPlan) {
  const { node } = plan;
  const { labels, annotations } = (plan.made ?? inputsOf(plan)).podTemplate;
  const { name, namespace } = node.metadata;
  return {
    ...{ name, namespace },
    labels: { ...labels, ...nodeLabels(name, node.spec) },
    annotations: { ...annotations },
    ownerReferences: [ownedBy(node)],
  };
}

/** Of what a restart would change. */
export function podHash(given: Omit<PodPlan, 'first'>): string {
  const inputs = given.made ?? inputsOf(given);
  const made = { ...inputs, config: withoutHot(inputs.config) };
  const plan: PodPlan = { ...given, first: false, made };
  const { labels, annotations } = metadataOf(plan);
  return hashOf({ labels, annotations, spec: specOf(plan) });
}

/** Settings that need no restart, by the names that nodes know. */
export function liveSettings({ config }: PodInputs): Readonly<Record<string, string>> {
  return chosenOf(config, 'hot');
}

/** Annotations of a pod that tell its container of those settings at its next start. @param there which the pod has */
export function settingMarks(
  inputs: PodInputs,
  there: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const live = liveSettings(inputs);
  const names = Object.keys(there)
    .filter((key) => key.startsWith(SETTING))
    .map((key) => key.slice(SETTING.length));
  const entries = [...new Set([...names, ...Object.keys(live)])].map((name) => [
    SETTING + name,
    live[name] ?? defaultOf(name) ?? '',
  ]);
  return Object.fromEntries(entries);
}

export function settingsHash(inputs: PodInputs): string {
  return hashOf(liveSettings(inputs));
}

export function nodePod(plan: PodPlan): Draft<Pod> {
  const metadata = metadataOf(plan);
  const inputs = plan.made ?? inputsOf(plan);
  const annotations = {
    ...metadata.annotations,
    [POD_HASH]: podHash(plan),
    [NEW_CLUSTER]: String(plan.first),
    [SETTINGS_HASH]: settingsHash(inputs),
    ...settingMarks(inputs),
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, annotations },
    spec: specOf(plan),
  };
}
