/** Each node by itself: volume, Service, pod. No node waits for another here, but for the first one. */
import type { Defaults } from '../observe/view.ts';
import { LABELS } from '../resources/names.ts';
import { nodeClaim, nodeService } from '../resources/node-objects.ts';
import { nodePod, type PodInputs } from '../resources/node-pod.ts';
import { bytesOf, hasAll } from '../resources/values.ts';
import { type Action, blocked, deletion, NOTHING, type Step, step, together } from './actions.ts';
import { isOpen } from './evictions.ts';
import type { Facts, NodeFacts } from './facts.ts';
import { hasMembers, mayStart, startsByItself, takeBackStart } from './first-node.ts';
import { targetSize } from './storage-size.ts';
import { refusalOfVersion } from './versions.ts';

/** A volume that is not bound for so long will not be by itself. */
const BINDING_MILLIS = 60_000;

/** Makes the volume if it never had one, and has it grow. */
export function upkeepOfVolume(node: NodeFacts, facts: Facts): Step {
  const { view } = facts;
  const { cluster } = view;
  const { claim, object } = node.view;
  const target = targetSize(node, facts);
  const wanted = nodeClaim(cluster, object, target.size);
  const told = { about: object, reason: 'Volume' };
  const apply = (note: string): Step =>
    step({
      actions: [{ do: 'apply', kind: 'PersistentVolumeClaim', object: wanted, ...told, note }],
    });
  if (node.isVolumeLost) {
    return blocked(
      'VolumeLost',
      `the volume of ${node.name} is gone or is another one; its data has to come from other nodes`,
    );
  }
  if (claim === null) return apply('makes the volume');
  if (claim.metadata.labels?.[LABELS.hostId] !== node.hostId) {
    return blocked(
      'VolumeOfAnother',
      `the PersistentVolumeClaim ${node.name} belongs to another node (${LABELS.hostId}): delete or rename it if nobody needs it`,
    );
  }
  if (claim.metadata.deletionTimestamp !== undefined) {
    return blocked(
      'VolumeDeleted',
      `the PersistentVolumeClaim ${node.name} was deleted and goes when its pod stops. Set spec.replace of the DatabaseNode to have its data moved to a new node`,
    );
  }
  const has = bytesOf(claim.spec.resources.requests.storage);
  const grows = bytesOf(target.size) > has;
  const className = claim.spec.storageClassName;
  const found = className === undefined ? undefined : view.storageClasses.get(className);
  if (grows && found !== undefined && found.allowVolumeExpansion !== true) {
    return blocked(
      'ClassDoesNotExpand',
      `volumes of the StorageClass ${className} cannot grow from ${claim.spec.resources.requests.storage} to ${target.size}: set its allowVolumeExpansion, or set spec.storage.size back (or take spec.storage.autogrow away) and add nodes`,
    );
  }
  if (grows)
    return apply(
      `has the volume grow from ${claim.spec.resources.requests.storage} to ${target.size}`,
    );
  // Others may own it besides.
  const isOwned = claim.metadata.ownerReferences?.some(({ uid }) => uid === cluster.metadata.uid);
  const isOwnedRight = (isOwned ?? false) === (cluster.spec.deletionPolicy === 'Delete');
  if (!isOwnedRight || !hasAll(claim.metadata.labels, wanted.metadata.labels)) {
    const size = claim.spec.resources.requests.storage;
    const spec = { ...wanted.spec, resources: { requests: { storage: size } } };
    const note = `volumes of the cluster: ${cluster.spec.deletionPolicy}`;
    return step({
      actions: [
        { do: 'apply', kind: 'PersistentVolumeClaim', object: { ...wanted, spec }, ...told, note },
      ],
    });
  }
  if (target.problem !== '') return blocked('Full', target.problem);
  const { phase } = claim.status ?? {};
  const since = Date.parse(claim.metadata.creationTimestamp ?? '');
  if (phase === 'Pending' && node.view.pod !== null && view.nowMillis - since > BINDING_MILLIS) {
    const cure =
      className !== undefined && found === undefined
        ? `there is no StorageClass ${className}: create it, or delete this cluster and name another in spec.storage.className`
        : 'see `kubectl describe pvc` for why: the class may have no provisioner, no room, or none where the pod can run';
    return blocked('NotBound', `the volume of ${node.name} is not bound: ${cure}`);
  }
  return NOTHING;
}

function upkeepOfService({ view }: NodeFacts): Step {
  const wanted = nodeService(view.object);
  if (view.service !== null && hasAll(view.service, wanted)) return NOTHING;
  const told = { about: view.object, reason: 'Service', note: 'makes its Service' };
  return step({ actions: [{ do: 'apply', kind: 'Service', object: wanted, ...told }] });
}

/** Why it may not have a pod now; null: it may. */
function refusalOfPod(node: NodeFacts, facts: Facts): Step | null {
  const { certificates } = facts.view;
  const { claim, object } = node.view;
  if (node.state === 'left') return NOTHING;
  // Its volume is written down first: from then on no other is taken for it.
  if (claim === null || object.status?.volume !== claim.metadata.uid) return NOTHING;
  if (claim.metadata.deletionTimestamp !== undefined) return NOTHING;
  if (certificates !== null && !certificates.ready.has(node.name)) {
    const why = certificates.problem ?? 'it is being made';
    return blocked('NoCertificate', `${node.name} has no certificate: ${why}`);
  }
  const isNew = node.state === 'none' || node.state === 'unknown';
  if (isNew && hasMembers(facts) && isOpen(facts)) return NOTHING;
  return mayStart(facts) ? null : NOTHING;
}

interface PodOptions {
  readonly defaults: Defaults;
  /** In the place of what the spec says now. */
  readonly made: PodInputs | undefined;
}

function upkeepOfPod(node: NodeFacts, facts: Facts, { defaults, made }: PodOptions): Step {
  const { cluster } = facts.view;
  const { pod, object } = node.view;
  const about = object;
  if (pod !== null) {
    const { phase } = pod.status ?? {};
    const isOver = phase === 'Failed' || phase === 'Succeeded';
    if (pod.metadata.deletionTimestamp !== undefined) return NOTHING;
    if (!isOver) return takeBackStart(node, facts);
    const note = `its pod has ended (${phase}): another is made`;
    return step({ actions: [deletion('Pod', pod, { about, reason: 'PodEnded', note })] });
  }
  const refusal = refusalOfPod(node, facts);
  if (refusal !== null) return refusal;
  if (made === undefined) {
    const why = refusalOfVersion(facts, defaults) ?? '';
    return blocked('VersionRefused', `${node.name} gets no pod: ${why}`);
  }
  const first =
    startsByItself(facts) &&
    !hasMembers(facts) &&
    cluster.status?.firstNode === node.hostId &&
    // Once it was a member it is so by its data, or never again.
    object.status?.tokens === undefined;
  const plan = { cluster, node: object, image: defaults.image, first, made };
  const note = first ? 'makes its pod, which starts the cluster' : 'makes its pod';
  const action: Action = {
    ...{ do: 'create', kind: 'Pod', object: nodePod(plan) },
    ...{ about, reason: 'Pod', note },
  };
  return step({ actions: [action] });
}

/** @param isKeptOff its pod has to stay away: another takes its place, or it goes */
export function upkeepOfNode(
  node: NodeFacts,
  facts: Facts,
  { isKeptOff, ...options }: PodOptions & { readonly isKeptOff: boolean },
): Step {
  const { stopped } = facts.view.cluster.spec;
  const { metadata } = node.view.object;
  if (node.state === 'left' || metadata.deletionTimestamp !== undefined) return NOTHING;
  return together([
    // Who goes and has no volume gets none: nobody would take it away again.
    isKeptOff && !node.hadVolume && node.view.claim === null
      ? NOTHING
      : upkeepOfVolume(node, facts),
    upkeepOfService(node),
    stopped || isKeptOff || node.isVolumeLost ? NOTHING : upkeepOfPod(node, facts, options),
  ]);
}

/** All pods go; volumes, names and tokens stay. */
export function stopAll({ nodes }: Facts): Step {
  const actions = nodes.flatMap(({ view }) => {
    const { pod, object } = view;
    if (pod === null || pod.metadata.deletionTimestamp !== undefined) return [];
    const told = { about: object, reason: 'Stopped', note: 'the cluster is to be stopped' };
    return [deletion('Pod', pod, told)];
  });
  return step({ actions });
}
