/** What a process on this machine is told in the place of a container: its environment, with paths and addresses that are there. */
import type { Container, Pod } from '../ports/kube-objects.ts';

export interface ContainerPlace {
  /** Of the pod. */
  readonly address: string;
  /** Where the volume of this name in the pod's spec is on this machine. */
  directoryOf(volume: string): string;
  /** Addresses of the pods of a Service, by its name in the DNS; null: there is none. */
  resolve(host: string): readonly string[] | null;
}

interface Mount {
  readonly name: string;
  readonly mountPath: string;
}

/** Each process would take all cores for itself. */
const ALONE: Readonly<Record<string, string>> = { ILION_WORKERS: '1', ILION_SHARDS: '1' };
const ANYWHERE = '0.0.0.0';
/** Of each process, whatever the pod may have: they share one machine. */
const MEMORY_MIB_MAX = 512;

function fieldOf({ metadata, spec, status }: Pod, path: string): string {
  const [, annotation] = /^metadata\.annotations\['(.+)'\]$/.exec(path) ?? [];
  if (annotation !== undefined) return metadata.annotations?.[annotation] ?? '';
  const values: Readonly<Record<string, string | undefined>> = {
    'status.podIP': status?.podIP,
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid,
    'spec.nodeName': spec.nodeName,
  };
  return values[path] ?? '';
}

/** As the kubelet rounds them. */
function limitOf(container: Container, resource: string): string {
  const resources = container['resources'] as
    | { readonly limits?: Readonly<Record<string, string | number>> }
    | undefined;
  const limit = String(resources?.limits?.[resource.replace('limits.', '')] ?? '1');
  const cores = limit.endsWith('m') ? Number.parseFloat(limit) / 1000 : Number(limit);
  return String(Math.max(1, Math.ceil(cores)));
}

function localPath(value: string, mounts: readonly Mount[], place: ContainerPlace): string {
  const mount = mounts.find(
    ({ mountPath }) => value === mountPath || value.startsWith(`${mountPath}/`),
  );
  if (mount === undefined) return value;
  return `${place.directoryOf(mount.name)}${value.slice(mount.mountPath.length)}`;
}

/** Names of Services become what they stand for now. */
function localSeeds(value: string, place: ContainerPlace): string {
  return value
    .split(',')
    .flatMap((seed) => place.resolve(seed) ?? [seed])
    .join(',');
}

/** Variables of the pod's only container. */
export function containerEnvironment(
  pod: Pod,
  place: ContainerPlace,
): Readonly<Record<string, string>> {
  const [container] = pod.spec.containers;
  const mounts = (container['volumeMounts'] ?? []) as readonly Mount[];
  const told: Record<string, string> = {};
  for (const { name, value = '', valueFrom } of container.env ?? []) {
    if (valueFrom === undefined) {
      told[name] = value.replaceAll(/\$\((\w+)\)/g, (whole, other: string) => told[other] ?? whole);
    } else if ('fieldRef' in valueFrom) told[name] = fieldOf(pod, valueFrom.fieldRef.fieldPath);
    else told[name] = limitOf(container, valueFrom.resourceFieldRef.resource);
  }
  const local = Object.entries({ ...ALONE, ...told }).map(([name, value]) => {
    if (value === ANYWHERE) return [name, place.address];
    if (name === 'ILION_MEMORY_LIMIT') {
      return [name, `${Math.min(Number.parseInt(value, 10), MEMORY_MIB_MAX)}MiB`];
    }
    if (name === 'ILION_SEEDS') return [name, localSeeds(value, place)];
    return [name, localPath(value, mounts, place)];
  });
  return Object.fromEntries(local);
}
