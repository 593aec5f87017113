/** Names, labels and ports of all that belongs to a cluster. Names are for people; who is who is told by UIDs. */

export const LABELS = {
  name: 'app.kubernetes.io/name',
  manager: 'app.kubernetes.io/managed-by',
  cluster: 'ilion.dev/cluster',
  clusterUid: 'ilion.dev/cluster-uid',
  node: 'ilion.dev/node',
  datacenter: 'ilion.dev/datacenter',
  rack: 'ilion.dev/rack',
  /** Of a volume: the node whose data it has, for good. */
  hostId: 'ilion.dev/host-id',
  /** Of a volume that is kept though its node has left. */
  released: 'ilion.dev/released',
} as const;

/** Of pods: what they are made of. */
export const POD_HASH = 'ilion.dev/pod-hash';
/** Of pods, `true` or `false`: the container is told at each start, so that it can be taken back. */
export const NEW_CLUSTER = 'ilion.dev/new-cluster';

export const PORTS = {
  cql: 9042,
  gossip: 7000,
  data: 7001,
  stream: 7002,
  admin: 9043,
  metrics: 9180,
} as const;

/** Of pods: hash of the settings that need no restart, as their container was first started with. */
export const SETTINGS_HASH = 'ilion.dev/settings-hash';
/** Of pods, before names of such settings: the container is told them at each start. */
export const SETTING = 'setting.ilion.dev/';

const SUFFIX_LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const SUFFIX_LENGTH = 5;
/** Of names of Services, and of values of labels. */
const NAME_MAX = 63;

export function seedsServiceName(cluster: string): string {
  return `${cluster}-seeds`;
}

/** Of the PodDisruptionBudget of pods that are not to be evicted now; that of the others has the name of the cluster. */
export function heldBudgetName(cluster: string): string {
  // No cluster has such a name: Services do not.
  return `${cluster}.held`;
}

export interface NodePlacement {
  readonly cluster: string;
  readonly datacenter: string;
  readonly rack: string;
}

/** @param random evenly in [0, 1), a number for each call */
export function newNodeName(
  { cluster, datacenter, rack }: NodePlacement,
  random: () => number,
): string {
  let suffix = '';
  for (let i = 0; i < SUFFIX_LENGTH; i++) {
    suffix += SUFFIX_LETTERS[Math.floor(random() * SUFFIX_LETTERS.length)];
  }
  const place = `${cluster}-${datacenter}-${rack}`.slice(0, NAME_MAX - SUFFIX_LENGTH - 1);
  return `${place}-${suffix}`;
}

/** Of all objects of a cluster. */
export function clusterLabels(cluster: string): Readonly<Record<string, string>> {
  return { [LABELS.name]: 'ilion', [LABELS.manager]: 'ilion-operator', [LABELS.cluster]: cluster };
}

export function nodeLabels(
  name: string,
  { cluster, datacenter, rack }: NodePlacement,
): Readonly<Record<string, string>> {
  return {
    ...clusterLabels(cluster),
    [LABELS.node]: name,
    [LABELS.datacenter]: datacenter,
    [LABELS.rack]: rack,
  };
}
