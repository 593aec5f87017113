/**
 * All that is around the operator, under a seed: an API server with late watches, machines that run pods, volumes, and the database's
 * processes, which keep the rules of its ring. Time passes only with calls of the operator, and when it waits.
 */
import type { SeededRandom } from '../../../node/src/simulation/random.ts';
import { MemoryApi, type Stored } from '../memory/memory-api.ts';
import { holds } from '../observe/homes.ts';
import type { ClaimSpec, Kind, NodeExpression } from '../ports/kube-objects.ts';
import { LABELS } from '../resources/names.ts';
import { bytesOf } from '../resources/values.ts';
import { FakeRing } from './fake-ring.ts';

const TICK_MILLIS = 500;
/** The failure detector takes so long. */
const DETECT_MILLIS = 10_000;
const GARBAGE_MILLIS = 3_000;
/** Between two tries of `kubectl drain`. */
const EVICT_MILLIS = 5_000;
const HOSTNAME = 'kubernetes.io/hostname';
const DRAIN_MILLIS = 2_000;
/** Datacenter of those whom another operator cares for. */
export const ELSEWHERE = 'elsewhere';
/** What the operator has read before a pause is acted on for so long at most. */
const PAUSED_MILLIS = 30_000;

interface Machine {
  readonly name: string;
  isUp: boolean;
  /** Somebody drains it. */
  isDraining: boolean;
  /** For good. */
  isGone: boolean;
}

interface Disk {
  /** Of its file system. */
  bytes: number;
  usedBytes: number;
  /** Of Ilion, that has written it; empty: it is not known, or none has. */
  version: string;
  hostId: string | null;
  ring: FakeRing | null;
  /** A volume is only in one place. */
  readonly machine: string | null;
}

interface Process {
  readonly pod: Stored;
  /** As it was when it was started. */
  readonly environment: Environment;
  readonly disk: Disk;
  readonly hostId: string;
  readonly startedMillis: number;
  /** Those that can change while it runs, by name. */
  settings: Readonly<Record<string, string>>;
  /** Of the ring; null: it looks for one. */
  ring: FakeRing | null;
  isReady: boolean;
}

interface Environment {
  readonly [name: string]: string | undefined;
}

export function environmentOf(pod: Stored): Environment {
  const [container] = (pod.spec?.['containers'] ?? []) as readonly {
    readonly image: string;
    readonly env: readonly {
      readonly name: string;
      readonly value?: string;
      readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
    }[];
  }[];
  const annotations = (pod.metadata['annotations'] ?? {}) as Readonly<Record<string, string>>;
  const variables = container.env.map(({ name, value, valueFrom }) => {
    const [, annotation] =
      /^metadata\.annotations\['(.+)'\]$/.exec(valueFrom?.fieldRef?.fieldPath ?? '') ?? [];
    return [name, annotation === undefined ? value : (annotations[annotation] ?? '')];
  });
  return { ...Object.fromEntries(variables), image: container.image };
}

export class World {
  readonly api: MemoryApi;
  readonly random: SeededRandom;
  /** Looks at what processes show each other; null: nothing is encrypted. */
  tls: { tick(): void; isThere(node: string): boolean } | null = null;
  /** Whether there is a certificate for the node of this name. */
  hasCertificate: (name: string) => boolean = () => true;
  /** What must not happen, and did. */
  readonly violations: string[] = [];
  readonly machines: Machine[];
  /** Members that another operator cares for, by address; they are up or not as histories have it. */
  readonly elsewhere = new Map<string, { readonly hostId: string; isUp: boolean }>();
  /** Clusters that were started: there is to be one. */
  readonly rings: FakeRing[] = [];
  readonly disks = new Map<string, Disk>();
  readonly processes = new Map<string, Process>();
  nowMillis = Date.UTC(2026, 0, 1);
  /** When something last went wrong that is not the operator's doing. */
  lastHarmMillis = 0;
  /** Watches bring nothing. */
  watchesStalled = false;
  private pending: { at: number; run: () => void }[] = [];
  private readonly failed = new Map<string, number>();
  private readonly restarts = new Map<string, number>();
  private garbageAt = 0;
  private drainAt = 0;
  private addresses = 0;
  private readonly isLocal: boolean;

  constructor(random: SeededRandom) {
    this.random = random;
    this.isLocal = random.chance(0.5);
    this.machines = Array.from({ length: 7 }, (_, i) => ({
      ...{ name: `machine-${i}`, isUp: true },
      ...{ isDraining: false, isGone: false },
    }));
    this.api = new MemoryApi({
      nowMillis: () => this.nowMillis,
      deliver: (run) => {
        const late = random.chance(0.1) ? random.between(1_000, 20_000) : random.between(0, 300);
        // In the order in which it happened.
        const at = Math.max(this.nowMillis + late, this.pending.at(-1)?.at ?? 0);
        this.pending.push({ at, run });
      },
      onGone: (kind, object) => this.onGone(kind, object),
      newUid: (kind, count) => `${kind === 'DatabaseNode' ? 'host' : kind.toLowerCase()}-${count}`,
    });
    for (const { name } of this.machines)
      this.api.put('Node', {
        metadata: { name, namespace: '', labels: { [HOSTNAME]: name } },
        spec: {},
      });
    const expands = { allowVolumeExpansion: true, provisioner: 'test' };
    this.api.put('StorageClass', { ...expands, metadata: { name: 'standard', namespace: '' } });
  }

  /** A ring that the cluster is to join, by members of another datacenter that are not in this Kubernetes. */
  startElsewhere(count: number): readonly string[] {
    const ring = new FakeRing(() => this.random.between(3_000, 60_000));
    for (let i = 1; i <= count; i++) {
      const [hostId, address] = [`elsewhere-${i}`, `10.255.0.${i}`];
      const place = { datacenter: ELSEWHERE, rack: 'x', replaces: null, address, version: '' };
      ring.members.set(hostId, { ...place, hostId, state: 'normal', downMillis: null });
      this.elsewhere.set(address, { hostId, isUp: true });
    }
    this.rings.push(ring);
    return [...this.elsewhere.keys()];
  }

  get ring(): FakeRing | null {
    return this.rings[0] ?? null;
  }

  advance(millis: number): void {
    const end = this.nowMillis + millis;
    while (this.nowMillis < end) {
      const passed = Math.min(TICK_MILLIS, end - this.nowMillis);
      this.nowMillis += passed;
      this.tick(passed);
    }
  }

  private tick(passed: number): void {
    this.deliver();
    if (this.nowMillis >= this.garbageAt) {
      this.garbageAt = this.nowMillis + GARBAGE_MILLIS;
      this.api.collect();
    }
    for (const pod of this.api.all('Pod')) this.kubelet(pod);
    if (this.nowMillis >= this.drainAt) {
      this.drainAt = this.nowMillis + EVICT_MILLIS;
      for (const machine of this.machines) if (machine.isDraining) this.evictFrom(machine.name);
    }
    this.watchPause();
    this.growDisks();
    this.database();
    for (const ring of this.rings) ring.tick(this.nowMillis, passed);
    for (const process of [...this.processes.values()]) this.serve(process);
    this.tls?.tick();
  }

  private deliver(): void {
    if (this.watchesStalled) return;
    const due = this.pending.filter(({ at }) => at <= this.nowMillis);
    if (due.length === 0) return;
    this.pending = this.pending.filter(({ at }) => at > this.nowMillis);
    for (const { run } of due) run();
  }

  /** What the watches had to bring is lost; they begin anew. */
  loseWatches(): void {
    this.pending = [];
    this.api.relist();
  }

  isMachineUp(name: unknown): boolean {
    const machine = this.machines.find((one) => one.name === name);
    return machine?.isUp === true && !machine.isGone;
  }

  /** Cordons a machine and evicts what is on it, or takes that back. */
  drain(machine: Machine, isDraining: boolean): void {
    machine.isDraining = isDraining;
    const node = this.api.find('Node', machine.name, '');
    if (node === undefined) return;
    this.api.edit('Node', node, (one) => {
      one.spec = isDraining ? { unschedulable: true } : {};
    });
  }

  /** With what is on it. */
  removeMachine(machine: Machine): void {
    machine.isGone = true;
    const node = this.api.find('Node', machine.name, '');
    if (node !== undefined) this.api.remove('Node', node);
  }

  podsOn(machine: string): readonly Stored[] {
    return this.clusterPods().filter(({ spec }) => spec?.['nodeName'] === machine);
  }

  private evictFrom(machine: string): void {
    for (const pod of this.podsOn(machine)) {
      if (pod.metadata['deletionTimestamp'] !== undefined || !this.mayEvict(pod)) continue;
      this.watchDeletion(pod);
      void this.api.delete('Pod', pod.metadata, { uid: pod.metadata.uid });
    }
  }

  /** As the eviction API of Kubernetes. */
  private mayEvict(pod: Stored): boolean {
    const budgets = this.api
      .all('PodDisruptionBudget')
      .map(({ spec }) => spec as unknown as BudgetSpec)
      .filter((budget) => isSelected(pod, budget));
    if (budgets.length > 1) return false;
    const [budget] = budgets;
    if (budget === undefined) return true;
    const isHealthy = (one: Stored) =>
      one.metadata['deletionTimestamp'] === undefined &&
      ((one.status?.['conditions'] ?? []) as readonly { type: string; status: string }[]).some(
        ({ type, status }) => type === 'Ready' && status === 'True',
      );
    const healthy = this.clusterPods().filter(
      (one) => isSelected(one, budget) && isHealthy(one),
    ).length;
    if (isHealthy(pod)) return healthy > budget.minAvailable;
    const { unhealthyPodEvictionPolicy: policy } = budget;
    return policy === 'AlwaysAllow' || healthy >= budget.minAvailable;
  }

  private onGone(kind: Kind, { metadata }: Stored): void {
    if (kind === 'Pod') this.processes.delete(metadata.uid);
    if (kind !== 'PersistentVolumeClaim') return;
    const disk = this.disks.get(metadata.uid);
    this.disks.delete(metadata.uid);
    if (disk === undefined || disk.hostId === null || this.lossAllowed.delete(metadata.uid)) return;
    const member = disk.ring?.members.get(disk.hostId);
    if (member !== undefined && member.state !== 'left') {
      this.violations.push(`the volume of ${disk.hostId}, which is ${member.state}, was deleted`);
    }
  }

  /** UIDs of claims that others than the operator deleted. */
  readonly lossAllowed = new Set<string>();

  // Machines.

  private kubelet(pod: Stored): void {
    const { metadata, spec = {} } = pod;
    if (spec['nodeName'] === undefined) {
      this.schedule(pod);
      return;
    }
    if (!this.isMachineUp(spec['nodeName'])) {
      const isThere = this.api.find('Node', String(spec['nodeName']), '') !== undefined;
      if (isThere) this.setReady(pod, false);
      else this.takeAway(pod);
      return;
    }
    if (metadata['deletionTimestamp'] !== undefined) {
      const since = Date.parse(String(metadata['deletionTimestamp']));
      if (this.nowMillis - since >= DRAIN_MILLIS) this.takeAway(pod);
      return;
    }
    if (this.processes.has(metadata.uid)) return;
    const restartAt = this.failed.get(metadata.uid) ?? 0;
    if (this.nowMillis >= restartAt) this.start(pod);
  }

  private takeAway(pod: Stored): void {
    this.stop(pod);
    this.api.remove('Pod', pod);
    this.releaseClaim(pod);
  }

  private releaseClaim({ metadata }: Stored): void {
    const claim = this.api.find('PersistentVolumeClaim', metadata.name);
    if (claim?.metadata['deletionTimestamp'] !== undefined) {
      this.api.remove('PersistentVolumeClaim', claim);
    }
  }

  private schedule(pod: Stored): void {
    const age = this.nowMillis - Date.parse(String(pod.metadata['creationTimestamp']));
    const claim = this.api.find('PersistentVolumeClaim', pod.metadata.name);
    if (age < 1_000 || claim === undefined) return;
    const disk = this.disks.get(claim.metadata.uid);
    const up = this.machines.filter(
      ({ isUp, isDraining, isGone, name }) =>
        isUp && !isDraining && !isGone && (disk?.machine ?? name) === name,
    );
    if (up.length === 0) {
      this.setUnscheduled(pod);
      return;
    }
    const { name } = this.random.pick(up);
    if (disk === undefined) {
      const machine = this.isLocal ? name : null;
      const bytes = requestOf(claim);
      this.disks.set(claim.metadata.uid, {
        ...{ hostId: null, ring: null, machine, version: '' },
        ...{ bytes, usedBytes: bytes / 10 },
      });
    }
    this.bind(claim);
    this.addresses++;
    const podIP = `10.0.${this.addresses >> 8}.${this.addresses & 255}`;
    this.api.edit('Pod', pod, (one) => {
      one.spec = { ...one.spec, nodeName: name };
      one.status = { phase: 'Pending', podIP, containerStatuses: [waiting('ContainerCreating')] };
    });
  }

  private bind(claim: Stored): void {
    const volumeName = `volume-of-${claim.metadata.uid}`;
    if (claim.spec?.['volumeName'] !== undefined) return;
    const machine = this.disks.get(claim.metadata.uid)?.machine ?? null;
    const only = { key: HOSTNAME, operator: 'In', values: [machine] };
    const nodeSelectorTerms = [{ matchExpressions: [only] }];
    const spec = machine === null ? {} : { nodeAffinity: { required: { nodeSelectorTerms } } };
    this.api.put('PersistentVolume', { metadata: { name: volumeName, namespace: '' }, spec });
    this.api.edit('PersistentVolumeClaim', claim, (one) => {
      one.spec = { ...one.spec, volumeName };
      one.status = { ...one.status, phase: 'Bound' };
    });
  }

  private setUnscheduled(pod: Stored): void {
    if (pod.status !== undefined) return;
    const lastTransitionTime = new Date(this.nowMillis).toISOString();
    const condition = { type: 'PodScheduled', status: 'False', lastTransitionTime };
    this.api.edit('Pod', pod, (one) => {
      one.status = { phase: 'Pending', conditions: [condition] };
    });
  }

  private start(pod: Stored): void {
    const environment = environmentOf(pod);
    const claim = this.api.find('PersistentVolumeClaim', pod.metadata.name);
    const disk = this.disks.get(claim?.metadata.uid ?? '');
    if (disk === undefined || this.tls?.isThere(pod.metadata.name) === false) return;
    if (environment['image'] === 'bad') {
      this.fail(pod, 'ErrImagePull');
      return;
    }
    if (environment['ILION_NUM_TOKENS'] === '13') {
      this.fail(pod, 'CrashLoopBackOff');
      return;
    }
    const hostId = environment['ILION_HOST_ID'] ?? '';
    if (disk.hostId !== null && disk.hostId !== hostId) {
      this.fail(pod, 'CrashLoopBackOff');
      return;
    }
    disk.hostId = hostId;
    this.watchVersion(hostId, disk, environment['image'] ?? '');
    const { ring } = disk;
    const member = ring?.members.get(hostId);
    if (member?.state === 'left') {
      this.fail(pod, 'CrashLoopBackOff');
      return;
    }
    const timeout = environment['ILION_READ_REQUEST_TIMEOUT'];
    // As a node does with what is none.
    if (timeout === '') {
      this.fail(pod, 'CrashLoopBackOff');
      return;
    }
    const restarts = this.restarts.get(pod.metadata.uid) ?? -1;
    this.restarts.set(pod.metadata.uid, restarts + 1);
    this.processes.set(pod.metadata.uid, {
      settings: timeout === undefined ? {} : { read_request_timeout: timeout },
      ...{ pod, environment, disk, hostId, ring, isReady: false, startedMillis: this.nowMillis },
    });
    this.api.edit('Pod', pod, (one) => {
      one.status = { ...one.status, phase: 'Running', containerStatuses: [running(restarts + 1)] };
    });
  }

  /** Whether a version starts on data that it may not read, or that is too old for it. */
  private watchVersion(hostId: string, disk: Disk, image: string): void {
    const [, next = ''] = /:(\d+\.\d+\.\d+)$/.exec(image) ?? [];
    if (next === '') return;
    // Without a majority nobody can say which versions there are.
    const isKnown = disk.version !== '' && disk.ring?.hasMajority === true;
    const [from, to] = [isKnown ? disk.version : next, next].map((text) =>
      Number(text.split('.')[0]),
    );
    if (to < from || to > from + 1) {
      this.violations.push(`${hostId} is started with ${next} on data of ${disk.version}`);
    }
    disk.version = next;
  }

  /** The container does not run; it is tried again. */
  private fail(pod: Stored, reason: string): void {
    this.failed.set(pod.metadata.uid, this.nowMillis + 20_000);
    this.api.edit('Pod', pod, (one) => {
      one.status = { ...one.status, containerStatuses: [waiting(reason)] };
    });
    this.setReady(pod, false);
  }

  stop(pod: Stored): void {
    this.processes.delete(pod.metadata.uid);
  }

  /** Its files are lost; the volume is there, and the container is started again. */
  empty(pod: Stored): void {
    const claim = this.api.find('PersistentVolumeClaim', pod.metadata.name);
    const disk = this.disks.get(claim?.metadata.uid ?? '');
    if (disk === undefined) return;
    this.stop(pod);
    Object.assign(disk, { hostId: null, ring: null, version: '' });
  }

  private setReady(pod: Stored, isReady: boolean): void {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }];
    this.api.edit('Pod', pod, (one) => {
      one.status = { ...one.status, conditions };
    });
  }

  // The database.

  runs({ pod }: Process): boolean {
    return this.isMachineUp(pod.spec?.['nodeName']);
  }

  processOf(hostId: string): Process | undefined {
    return [...this.processes.values()].find((one) => one.hostId === hostId && this.runs(one));
  }

  private database(): void {
    for (const ring of this.rings) {
      for (const member of ring.members.values()) {
        const other = this.elsewhere.get(member.address);
        if (other !== undefined && member.state !== 'normal')
          this.violations.push(`${member.hostId}, another operator's, is ${member.state}`);
        const isUp = other?.isUp ?? (this.processOf(member.hostId)?.ring ?? null) !== null;
        if (isUp) member.downMillis = null;
        else member.downMillis ??= this.nowMillis;
      }
    }
    for (const process of [...this.processes.values()]) {
      if (process.ring === null && this.runs(process)) this.enter(process);
    }
  }

  private enter(process: Process): void {
    const { pod, environment, hostId, disk } = process;
    if (this.nowMillis - process.startedMillis < 1_500) return;
    const address = String(pod.status?.['podIP']);
    const node = {
      hostId,
      address,
      datacenter: environment['ILION_DATA_CENTER'] ?? '',
      rack: environment['ILION_RACK'] ?? '',
      version: disk.version,
      replaces: environment['ILION_REPLACE_HOST_ID'] ?? null,
    };
    if (environment['ILION_NEW_CLUSTER'] === 'true') {
      const isSingle = this.random.chance(0.2);
      const ring = new FakeRing(() => this.random.between(3_000, 60_000), isSingle);
      ring.members.set(hostId, { ...node, state: 'normal', downMillis: null });
      this.rings.push(ring);
      if (this.rings.length > 1) this.violations.push(`${hostId} has started a second cluster`);
      process.ring = disk.ring = ring;
      return;
    }
    const contact = [...this.processes.values()].find(
      (one) => one.ring !== null && one !== process && this.runs(one),
    );
    const isToldOf = (address: string) => environment['ILION_SEEDS']?.includes(address) === true;
    const isFound = [...this.elsewhere].some(([address, { isUp }]) => isUp && isToldOf(address));
    const ring = contact?.ring ?? (isFound ? this.ring : null);
    if (ring === null || ring === undefined || !ring.hasMajority) return;
    const refusal = ring.join(node);
    if (refusal !== null) {
      this.processes.delete(pod.metadata.uid);
      this.fail(pod, 'CrashLoopBackOff');
      return;
    }
    process.ring = disk.ring = ring;
  }

  private serve(process: Process): void {
    const { ring, hostId, pod } = process;
    const member = ring?.members.get(hostId);
    if (ring === null || member === undefined) return;
    if (member.state === 'left') {
      this.processes.delete(pod.metadata.uid);
      this.fail(pod, 'CrashLoopBackOff');
      return;
    }
    member.address = String(pod.status?.['podIP']);
    member.version = process.disk.version;
    const isStarted = this.nowMillis - process.startedMillis > 3_000;
    // Who has no majority still answers requests.
    const isReady = isStarted && this.runs(process) && member.state !== 'joining';
    if (isReady === process.isReady) return;
    process.isReady = isReady;
    this.setReady(pod, isReady && pod.metadata['deletionTimestamp'] === undefined);
  }

  /** As other members see it: later than it is. */
  seenUp(ring: FakeRing, hostId: string): boolean {
    const down = ring.members.get(hostId)?.downMillis ?? null;
    return down === null || this.nowMillis - down < DETECT_MILLIS;
  }

  /** @returns who answers there */
  answering(address: string): { readonly ring: FakeRing | null; readonly hostId: string } | null {
    const other = this.elsewhere.get(address);
    if (other !== undefined) return other.isUp ? { ring: this.ring, hostId: other.hostId } : null;
    const process = [...this.processes.values()].find(
      ({ pod }) => pod.status?.['podIP'] === address,
    );
    return process !== undefined && this.runs(process) ? process : null;
  }

  /** Whether a pod that is deleted now takes a quorum from a range. */
  watchDeletion(pod: Stored): void {
    const process = this.processes.get(pod.metadata.uid);
    const { ring } = this;
    if (process?.isReady !== true || ring === null || !this.runs(process)) return;
    if (this.nowMillis - this.lastHarmMillis < DETECT_MILLIS * 3) return;
    const state = ring.members.get(process.hostId)?.state;
    if (state !== 'normal' && state !== 'leaving') return;
    const cluster = this.api.find('DatacenterCluster', 'demo');
    if (cluster?.spec?.['stopped'] === true) return;
    const isUp = (hostId: string) => {
      const one = this.processOf(hostId);
      return one?.ring != null && one.pod.metadata['deletionTimestamp'] === undefined;
    };
    const operations = ring.operations;
    ring.operations = [];
    const refusal = ring.refusalOfStopping([process.hostId], isUp);
    ring.operations = operations;
    if (refusal !== null) this.violations.push(`stopping ${process.hostId}: ${refusal}`);
  }

  /** Of each node's last pod: its image and settings, without what is another with each start. */
  private readonly madeOf = new Map<string, string>();
  private pausedSince = Number.POSITIVE_INFINITY;

  /** Whether a pod comes back with something else while all are to stay as they are. */
  watchCreation(pod: object): void {
    const { metadata, spec } = pod as Stored;
    const isEncrypted = environmentOf({ metadata, spec } as Stored)['ILION_INTERNODE_ENCRYPTION'];
    if (isEncrypted === 'all' && !this.hasCertificate(metadata.name)) {
      this.violations.push(`${metadata.name} gets a pod before its certificate`);
    }
    // Those are told to pods and processes that are there, too.
    const told = ['ILION_NEW_CLUSTER', 'ILION_READ_REQUEST_TIMEOUT'];
    const environment = Object.entries(environmentOf({ metadata, spec } as Stored));
    const made = JSON.stringify(environment.filter(([name]) => !told.includes(name)).sort());
    const before = this.madeOf.get(metadata.name);
    this.madeOf.set(metadata.name, made);
    if (before === undefined || this.nowMillis - this.pausedSince < PAUSED_MILLIS) return;
    if (before !== made) this.violations.push(`${metadata.name} has changed, though paused`);
  }

  /** Those that are used get as large as is asked for, some time later. */
  private growDisks(): void {
    for (const claim of this.api.all('PersistentVolumeClaim')) {
      const disk = this.disks.get(claim.metadata.uid);
      if (disk === undefined || disk.bytes >= requestOf(claim) || !this.random.chance(0.1))
        continue;
      disk.bytes = requestOf(claim);
    }
  }

  diskOf(hostId: string): Disk | undefined {
    return [...this.disks.values()].find((disk) => disk.hostId === hostId);
  }

  private watchPause(): void {
    const update = this.api.find('DatacenterCluster', 'demo')?.spec?.['update'];
    const { paused } = (update ?? {}) as { readonly paused?: boolean };
    if (paused !== true) this.pausedSince = Number.POSITIVE_INFINITY;
    else if (this.pausedSince > this.nowMillis) this.pausedSince = this.nowMillis;
  }

  clusterPods(): readonly Stored[] {
    return this.api.all('Pod').filter(({ metadata }) => {
      const labels = metadata['labels'] as Readonly<Record<string, string>> | undefined;
      return labels?.[LABELS.cluster] === 'demo';
    });
  }
}

interface BudgetSpec {
  readonly minAvailable: number;
  readonly selector: {
    readonly matchLabels: Readonly<Record<string, string>>;
    readonly matchExpressions?: readonly NodeExpression[];
  };
  readonly unhealthyPodEvictionPolicy: string;
}

function isSelected({ metadata }: Stored, { selector }: BudgetSpec): boolean {
  const labels = metadata['labels'] as Readonly<Record<string, string>>;
  const { matchLabels, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((one) => holds(one, labels[one.key]))
  );
}

function requestOf({ spec }: Stored): number {
  const { resources } = spec as unknown as ClaimSpec;
  return bytesOf(resources.requests.storage);
}

function waiting(reason: string) {
  return { name: 'ilion', ready: false, restartCount: 0, state: { waiting: { reason } } };
}

function running(restartCount: number) {
  return { name: 'ilion', ready: true, restartCount, state: { running: {} } };
}
