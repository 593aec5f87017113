/** What Kubernetes does with pods and volumes, on this machine alone: pods are processes, volumes are folders. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MemoryApi, Stored } from '../memory/memory-api.ts';
import type { Clock } from '../ports/clock.ts';
import type {
  Claim,
  ContainerStatus,
  KubeCondition,
  Pod,
  PodStatus,
} from '../ports/kube-objects.ts';
import { LABELS, PORTS } from '../resources/names.ts';
import { isFree } from './addresses.ts';
import { containerEnvironment } from './container.ts';
import { lastProblem, NodeProcess } from './node-process.ts';

/** The only machine there is. */
const MACHINE = 'this-machine';
const CONTAINER = 'ilion';
const DEFAULT_CLASS = 'folder';
/** Of a volume: where its node is, or was last. */
const ADDRESS = 'ilion.dev/address';
const BACKOFF_MILLIS = 500;
const BACKOFF_MILLIS_MAX = 30_000;
/** Whoever has run for so long has not failed to start. */
const STABLE_MILLIS = 30_000;
const GARBAGE_MILLIS = 1_000;
/** Who is stopped with this process need not drain longer. */
const STOP_MILLIS = 20_000;

export interface KubeletDeps {
  readonly api: MemoryApi;
  readonly clock: Clock;
  readonly directory: string;
  /** For nodes, in this order. */
  readonly addresses: readonly string[];
  /** For people. */
  tell(line: string): void;
}

interface Running {
  process: NodeProcess | null;
  restarts: number;
  /** Starts that failed, in a row. */
  failures: number;
  isReady: boolean;
  isEnding: boolean;
  /** A start that is due. */
  cancel(): void;
}

interface Volume {
  readonly name: string;
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly secret?: { readonly secretName: string };
}

/** Objects of Kubernetes as the API in memory has them. */
const asPod = (stored: Stored) => stored as unknown as Pod;
const asClaim = (stored: Stored) => stored as unknown as Claim;

function volumesOf({ spec }: Pod): readonly Volume[] {
  return (spec['volumes'] ?? []) as readonly Volume[];
}

function claimNameOf(pod: Pod): string | undefined {
  return volumesOf(pod).flatMap(
    ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? [],
  )[0];
}

export class Kubelet {
  private readonly deps: KubeletDeps;
  /** By UID of the pod. */
  private readonly running = new Map<string, Running>();
  private readonly watches: (() => void)[] = [];
  private stopCollecting = () => {};
  /** One pod after another: addresses are not given twice. */
  private turn: Promise<void> = Promise.resolve();
  private isStopping = false;

  constructor(deps: KubeletDeps) {
    this.deps = deps;
  }

  start(): void {
    const { api, directory } = this.deps;
    for (const folder of ['volumes', 'logs', 'secrets']) {
      mkdirSync(join(directory, folder), { recursive: true, mode: 0o700 });
    }
    const status = { conditions: [{ type: 'Ready', status: 'True' }] };
    api.put('Node', { metadata: { name: MACHINE, namespace: '' }, spec: {}, status });
    this.watch('PersistentVolumeClaim', (claim) => {
      this.bind(claim);
      this.later(claim.metadata.name, claim.metadata.namespace);
    });
    // What is mounted is written again when it has changed.
    this.watch('Secret', ({ metadata: { name, namespace } }) => {
      if (existsSync(this.secret(name))) this.writeSecret(name, namespace);
    });
    this.watch('Pod', ({ metadata }) => this.later(metadata.name, metadata.namespace));
    this.collectLater();
  }

  private watch(
    kind: 'Pod' | 'Secret' | 'PersistentVolumeClaim',
    changed: (object: Stored) => void,
  ): void {
    const { api } = this.deps;
    const see = ({ metadata }: { readonly metadata: Pod['metadata'] }) => {
      const live = api.find(kind, metadata.name, metadata.namespace);
      if (live !== undefined && !this.isStopping) changed(live);
    };
    this.watches.push(
      api.watch(kind, null, {
        replaced: (all) => all.forEach(see),
        changed: see,
        deleted: () => {},
      }),
    );
  }

  private collectLater(): void {
    this.stopCollecting = this.deps.clock.after(GARBAGE_MILLIS, () => {
      this.deps.api.collect();
      this.collectLater();
    });
  }

  /** All processes end; the objects stay as they are. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.stopCollecting();
    for (const stop of this.watches.splice(0)) stop();
    await this.turn;
    const ends = [...this.running.values()].map(({ process: one, cancel }) => {
      cancel();
      return one?.stop(STOP_MILLIS);
    });
    await Promise.all(ends);
  }

  /** All processes, at once. */
  kill(): void {
    for (const { process: one } of this.running.values()) {
      if (one !== null) process.kill(one.pid, 'SIGKILL');
    }
  }

  /** The volume of this name is gone. */
  dropVolume(name: string): void {
    rmSync(this.volume(name), { recursive: true, force: true });
  }

  volume(name: string): string {
    return join(this.deps.directory, 'volumes', name);
  }

  private later(name: string, namespace: string): void {
    this.turn = this.turn.then(async () => {
      const pod = this.deps.api.find('Pod', name, namespace);
      if (pod !== undefined && !this.isStopping) await this.sync(pod);
    });
  }

  private async sync(stored: Stored): Promise<void> {
    const pod = asPod(stored);
    const entry = this.running.get(pod.metadata.uid);
    if (pod.metadata.deletionTimestamp !== undefined) this.end(stored);
    else if (pod.spec.nodeName === undefined) await this.place(stored);
    else if (entry === undefined) this.launch(stored, 0, 0);
    else this.showReady(stored, entry);
  }

  // Volumes.

  private bind(stored: Stored): void {
    const { api } = this.deps;
    const { spec, status, metadata } = asClaim(stored);
    const className = spec.storageClassName ?? DEFAULT_CLASS;
    if (api.find('StorageClass', className, '') === undefined) {
      const more = { provisioner: 'ilion.dev/folder', allowVolumeExpansion: true };
      api.put('StorageClass', { ...more, metadata: { name: className, namespace: '' } });
    }
    const { storage } = spec.resources.requests;
    if (status?.phase === 'Bound' && status.capacity?.storage === storage) return;
    mkdirSync(this.volume(metadata.name), { recursive: true });
    api.edit('PersistentVolumeClaim', stored, (one) => {
      one.spec = { ...one.spec, storageClassName: className };
      one.status = { phase: 'Bound', capacity: { storage } };
    });
  }

  /** Folder of a Secret that is mounted somewhere. */
  secret(name: string): string {
    return join(this.deps.directory, 'secrets', name);
  }

  /** @returns false: it is not there yet */
  writeSecret(name: string, namespace: string): boolean {
    const secret = this.deps.api.find('Secret', name, namespace);
    if (secret === undefined) return false;
    const { data = {} } = secret as unknown as { readonly data?: Readonly<Record<string, string>> };
    const folder = this.secret(name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const [key, text] of Object.entries(data)) {
      const next = join(folder, `.${key}.new`);
      writeFileSync(next, Buffer.from(text, 'base64'), { mode: 0o600 });
      renameSync(next, join(folder, key));
    }
    return true;
  }

  // Places.

  private async place(stored: Stored): Promise<void> {
    const { api } = this.deps;
    const pod = asPod(stored);
    const claimName = claimNameOf(pod);
    const claim = api.find('PersistentVolumeClaim', claimName ?? '', pod.metadata.namespace);
    if (claim === undefined) return;
    this.bind(claim);
    const address = await this.addressFor(claim);
    if (address === null) {
      this.deps.tell(`${pod.metadata.name}: there is no address left for it`);
      return;
    }
    const isStill = api.find('Pod', pod.metadata.name, pod.metadata.namespace) === stored;
    if (!isStill || this.isStopping) return;
    api.edit('PersistentVolumeClaim', claim, ({ metadata }) => {
      metadata['annotations'] = { ...asClaim(claim).metadata.annotations, [ADDRESS]: address };
    });
    api.edit('Pod', stored, (one) => {
      one.spec = { ...one.spec, nodeName: MACHINE };
      one.status = { phase: 'Pending', podIP: address };
    });
  }

  /** Its last one, if it can be. */
  private async addressFor(claim: Stored): Promise<string | null> {
    const { api, addresses } = this.deps;
    const taken = new Set(
      api.all('PersistentVolumeClaim').flatMap((one) => {
        const { annotations, labels } = asClaim(one).metadata;
        const isOver = one === claim || labels?.[LABELS.released] === 'true';
        return isOver ? [] : (annotations?.[ADDRESS] ?? []);
      }),
    );
    const own = asClaim(claim).metadata.annotations?.[ADDRESS];
    for (const address of [...(own === undefined ? [] : [own]), ...addresses]) {
      if (taken.has(address) || !addresses.includes(address)) continue;
      if (await isFree(address, Object.values(PORTS))) return address;
    }
    return null;
  }

  // Processes.

  private launch(stored: Stored, restarts: number, failures: number): void {
    const { api, directory, clock } = this.deps;
    const pod = asPod(stored);
    const { name, namespace, uid } = pod.metadata;
    const secrets = volumesOf(pod).flatMap(({ secret }) => secret?.secretName ?? []);
    const entry: Running = {
      ...{ process: null, restarts, failures, isReady: false, isEnding: false },
      cancel: () => {},
    };
    this.running.set(uid, entry);
    if (!secrets.every((secret) => this.writeSecret(secret, namespace))) {
      // As the kubelet, which looks again.
      entry.cancel = clock.after(BACKOFF_MILLIS, () => this.launch(stored, restarts, failures));
      return;
    }
    const address = pod.status?.podIP ?? '';
    const logFile = join(directory, 'logs', `${name}.log`);
    entry.process = new NodeProcess({
      ...{ address, port: PORTS.metrics, logFile },
      environment: containerEnvironment(pod, {
        address,
        directoryOf: (volume) => this.directoryOf(pod, volume),
        resolve: (host) => this.resolve(host),
      }),
      onReady: (isReady) => {
        entry.isReady = isReady;
        this.show(stored, entry, { running: { startedAt: new Date().toISOString() } });
      },
      onEnd: (how) => this.ended(stored, entry, how, logFile),
    });
    api.edit('Pod', stored, (one) => {
      one.status = { ...one.status, phase: 'Running' };
    });
    this.show(stored, entry, { running: { startedAt: new Date().toISOString() } });
  }

  private directoryOf(pod: Pod, name: string): string {
    const volume = volumesOf(pod).find((one) => one.name === name);
    const { claimName } = volume?.persistentVolumeClaim ?? {};
    if (claimName !== undefined) return this.volume(claimName);
    const { secretName } = volume?.secret ?? {};
    return secretName === undefined ? tmpdir() : this.secret(secretName);
  }

  /** As the DNS of Kubernetes has it: `name.namespace.svc`. */
  private resolve(host: string): readonly string[] | null {
    const { api } = this.deps;
    const [, name, namespace] = /^([^.]+)\.([^.]+)\.svc$/.exec(host) ?? [];
    const service = api.find('Service', name ?? '', namespace);
    const selector = service?.spec?.['selector'] as Readonly<Record<string, string>> | undefined;
    if (selector === undefined) return null;
    return api.all('Pod').flatMap((one) => {
      const { metadata, status } = asPod(one);
      const fits = Object.entries(selector).every(
        ([key, value]) => metadata.labels?.[key] === value,
      );
      return fits ? (status?.podIP ?? []) : [];
    });
  }

  private ended(stored: Stored, entry: Running, how: string, logFile: string): void {
    const { clock, tell } = this.deps;
    const { name, uid } = stored.metadata;
    const ranMillis = Date.now() - (entry.process?.startedMillis ?? 0);
    entry.process = null;
    entry.isReady = false;
    if (entry.isEnding || this.isStopping) return;
    const failures = ranMillis >= STABLE_MILLIS ? 0 : entry.failures + 1;
    const wait = Math.min(BACKOFF_MILLIS * 2 ** failures, BACKOFF_MILLIS_MAX);
    const problem = lastProblem(logFile);
    const why = problem === '' ? how : `${how}: ${problem}`;
    tell(`${name}: its process has ended (${why}); it is started again in ${wait / 1000} s`);
    this.show(stored, entry, { waiting: { reason: 'CrashLoopBackOff', message: why } });
    entry.cancel = clock.after(wait, () => {
      if (this.running.get(uid) === entry) this.launch(stored, entry.restarts + 1, failures);
    });
  }

  /** The pod is deleted. */
  private end(stored: Stored): void {
    const { api } = this.deps;
    const pod = asPod(stored);
    const entry = this.running.get(pod.metadata.uid);
    if (entry?.isEnding === true) return;
    const gone = () => {
      this.running.delete(pod.metadata.uid);
      api.remove('Pod', stored);
      const claim = api.find(
        'PersistentVolumeClaim',
        claimNameOf(pod) ?? '',
        pod.metadata.namespace,
      );
      if (claim !== undefined && asClaim(claim).metadata.deletionTimestamp !== undefined) {
        api.remove('PersistentVolumeClaim', claim);
      }
    };
    if (entry === undefined) {
      gone();
      return;
    }
    entry.isEnding = true;
    entry.cancel();
    const grace = Number(pod.spec['terminationGracePeriodSeconds'] ?? 30) * 1000;
    void (entry.process?.stop(grace) ?? Promise.resolve()).then(() => {
      if (!this.isStopping) gone();
    });
  }

  // What is said of it.

  private show(stored: Stored, entry: Running, state: ContainerStatus['state']): void {
    const status: ContainerStatus = {
      ...{ name: CONTAINER, ready: entry.isReady, restartCount: entry.restarts },
      ...(state === undefined ? {} : { state }),
    };
    this.deps.api.edit('Pod', stored, (one) => {
      one.status = { ...one.status, containerStatuses: [status] };
    });
    this.showReady(stored, entry);
  }

  private showReady(stored: Stored, { isReady }: Running): void {
    const pod = asPod(stored);
    const { conditions = [] } = (pod.status ?? {}) as PodStatus;
    const gates = (pod.spec['readinessGates'] ?? []) as readonly {
      readonly conditionType: string;
    }[];
    const opens = gates.every(({ conditionType }) =>
      conditions.some(({ type, status }) => type === conditionType && status === 'True'),
    );
    const told = (type: string, holds: boolean): KubeCondition => ({
      type,
      status: holds ? 'True' : 'False',
    });
    const own = [told('ContainersReady', isReady), told('Ready', isReady && opens)];
    const others = conditions.filter(({ type }) => own.every((one) => one.type !== type));
    this.deps.api.edit('Pod', stored, (one) => {
      one.status = { ...one.status, conditions: [...others, ...own] };
    });
  }
}
