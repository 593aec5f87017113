/** A history of a cluster under a seed: edits of its spec, faults of all kinds, an operator that is restarted; then peace, and what has become of it. */
import { SeededRandom } from '../../../node/src/simulation/random.ts';
import { authoritySecretName } from '../adapters/certificate-secrets.ts';
import { createCertificates } from '../adapters/certificates.ts';
import { RENEW } from '../adapters/own-certificates.ts';
import type { ClusterSpec, ClusterStatus } from '../api/datacenter-cluster.ts';
import { desiredNodes } from '../decide/numbers.ts';
import type { Stored } from '../memory/memory-api.ts';
import type { Source } from '../observe/source.ts';
import type { Log } from '../ports/clock.ts';
import type { KubeApi } from '../ports/kube.ts';
import type { ClaimSpec, Secret } from '../ports/kube-objects.ts';
import type { DatabaseNodes } from '../ports/nodes.ts';
import { LABELS } from '../resources/names.ts';
import { bytesOf } from '../resources/values.ts';
import { Cache, liveSource } from '../runtime/cache.ts';
import { Reconciler } from '../runtime/reconcile.ts';
import { Calls, Crash, disturbed, type Faults, simulatedNodes } from './operator-side.ts';
import { SETTLE_MILLIS, TlsWorld } from './tls-world.ts';
import { ELSEWHERE, environmentOf, World } from './world.ts';

/** A mistake that an operator could make, planted between it and the world. */
export interface Bug {
  readonly name: string;
  /** Has found it before: looked at first. */
  readonly seed?: number;
  kube?(kube: KubeApi, world: World): KubeApi;
  database?(database: DatabaseNodes, world: World): DatabaseNodes;
  live?(live: Source, cache: Source): Source;
  certificates?: typeof createCertificates;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly bug?: Bug;
  /** Edits and faults. */
  readonly steps?: number;
  /** Gets what the operator does and what befalls it. */
  tell?(seconds: number, text: string): void;
}

export interface SimulationResult {
  readonly violations: readonly string[];
  readonly reconciliations: number;
  readonly crashes: number;
  readonly virtualSeconds: number;
}

const KEY = { namespace: 'default', name: 'demo' };
const PEACE_ROUNDS_MAX = 900;
const MACHINES_MIN = 5;
const SHOP = { name: 'shop', durableWrites: true };
const TWO = {
  datacenters: ['east', 'west'].map((name) => ({
    ...{ name, replicas: 3 },
    racks: ['a', 'b', 'c'].map((rack) => ({ name: rack })),
  })),
};
const VERSIONS = ['0.9.0', '1.0.0', '1.1.0', '2.0.0', '3.0.0'].map((tag) => `ilion:${tag}`);
const AUTOGROW = { max: '8Gi', step: '1Gi', threshold: 80 };
/** Of a node, for reads. */
const DEFAULT_TIMEOUT = '5s';
/** With which histories begin. */
export const SIMULATED_SPEC: ClusterSpec = {
  replicas: 3,
  datacenterName: 'dc1',
  imagePullPolicy: 'IfNotPresent',
  storage: { size: '1Gi', className: 'standard' },
  tls: { mode: 'None' },
  update: { maxUnavailable: 1, paused: false },
  healing: { replaceAfter: '2m', maxReplacements: 1 },
  joinsAtOnce: 2,
  stopped: false,
  deletionPolicy: 'Delete',
  podTemplate: { terminationGracePeriodSeconds: 30 },
};

function sizeOf(claim: Stored): string {
  const { resources } = claim.spec as unknown as ClaimSpec;
  return resources.requests.storage;
}

function isFailure(error: unknown): boolean {
  return error instanceof Crash || (error instanceof Error && error.name === 'KubeError');
}

export class Simulation {
  private readonly random: SeededRandom;
  /** What becomes of members that another operator cares for. */
  private readonly others: SeededRandom;
  private readonly world: World;
  private readonly bug: Bug | undefined;
  private readonly tell: (text: string) => void;
  private readonly log: Log;
  private readonly faults: Faults = { enabled: true, crash: 0.004, pause: 0.003, error: 0.01 };
  private readonly calls: Calls;
  private readonly cluster: Stored;
  private cache: Cache;
  private reconciler: Reconciler;
  private reconciliations = 0;
  private crashes = 0;
  private again = 0;
  /** Counts operators: the newest leads. */
  private leader = 0;
  private readonly certificates = new Set<string>();
  private readonly trust: SeededRandom;
  private readonly versions: SeededRandom;
  /** Images say their version, and not each may follow each. */
  private readonly hasVersions: boolean;
  /** Certificates are real ones, and what nodes show each other is looked at. */
  private readonly isSigned: boolean;

  constructor({ seed, bug, tell }: SimulationOptions) {
    this.random = new SeededRandom(seed, 'operator');
    this.others = this.random.fork('elsewhere');
    this.trust = this.random.fork('certificates');
    this.versions = this.random.fork('versions');
    this.hasVersions = this.versions.chance(0.2);
    this.world = new World(this.random.fork('world'));
    this.bug = bug;
    const began = this.world.nowMillis;
    this.tell = (text) => tell?.((this.world.nowMillis - began) / 1000, text);
    const line = (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      this.tell(`  ${message} ${JSON.stringify(fields)}`);
    this.log = { info: line, warn: line, error: line };
    this.calls = new Calls(this.world, this.random.fork('calls'), this.faults);
    const racks = this.random.chance(0.6)
      ? { racks: ['a', 'b', 'c'].map((name) => ({ name })) }
      : {};
    const isTwo = this.random.chance(0.3);
    const replication: Record<string, number> = isTwo ? { east: 2, west: 2 } : { dc1: 3 };
    const isJoining = this.others.chance(0.2);
    const contactPoints = isJoining ? this.world.startElsewhere(this.others.between(2, 4)) : [];
    const spec = {
      ...SIMULATED_SPEC,
      ...(isTwo ? { ...TWO, replicas: undefined } : racks),
      ...(isJoining ? { contactPoints } : {}),
      keyspaces: this.random.chance(0.5) ? [{ ...SHOP, replication }] : [],
      tls: { mode: this.random.pick(['None', 'Operator']) },
      deletionPolicy: this.random.pick(['Delete', 'Retain']),
      storage: this.random.chance(0.5)
        ? { ...SIMULATED_SPEC.storage, autogrow: AUTOGROW }
        : SIMULATED_SPEC.storage,
    };
    const metadata = { ...KEY };
    this.cluster = this.world.api.put('DatacenterCluster', {
      ...{ apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster', metadata, spec },
    });
    this.isSigned = spec.tls.mode === 'Operator' && this.trust.chance(0.4);
    if (this.isSigned) {
      // A pod waits for its Secret.
      this.world.tls = new TlsWorld(this.world, this.trust);
    } else this.world.hasCertificate = (name) => this.certificates.has(name);
    [this.cache, this.reconciler] = this.newOperator();
  }

  private newOperator(): [Cache, Reconciler] {
    const { world, bug, random } = this;
    this.leader++;
    const own = this.leader;
    const plain = disturbed(world, this.calls);
    const kube = bug?.kube?.(plain, world) ?? plain;
    const nodes = simulatedNodes(world, this.calls);
    const cache = new Cache(kube, () => {
      this.again = 0;
    });
    cache.start([]);
    const live = liveSource(kube, cache);
    const reconciler = new Reconciler({
      ...{ kube, cache, log: this.log, defaults: { image: 'ilion:1' } },
      live: bug?.live?.(live, cache) ?? live,
      database: bug?.database?.(nodes, world) ?? nodes,
      clock: { nowMillis: () => world.nowMillis, after: () => () => {} },
      isLeader: () => this.leader === own,
      certificates: this.isSigned
        ? (bug?.certificates ?? createCertificates)(kube, {
            nowMillis: () => world.nowMillis,
            settleMillis: SETTLE_MILLIS,
          })
        : { ensure: async (_, nodes) => this.makeCertificates(nodes) },
      random: () => random.next(),
    });
    return [cache, reconciler];
  }

  /** One at a time, and not always. */
  private makeCertificates(nodes: readonly { readonly metadata: { readonly name: string } }[]) {
    const { certificates, faults, random } = this;
    const next = nodes.find(({ metadata }) => !certificates.has(metadata.name));
    const fails = faults.enabled && random.chance(0.3);
    if (next !== undefined && !fails) certificates.add(next.metadata.name);
    const problem = fails ? 'the authority does not answer' : null;
    return { ready: new Set(certificates), problem, writes: 0, dueMillis: null };
  }

  /** While the leader is stopped for longer than its Lease another one leads; the first goes on where it was. */
  private async interlude(): Promise<void> {
    const { world, calls, random, cache: old } = this;
    calls.interlude = null;
    this.tell('another operator leads');
    world.advance(random.between(15_000, 40_000));
    [this.cache, this.reconciler] = this.newOperator();
    const rounds = random.between(1, 6);
    for (let round = 0; round < rounds; round++) {
      world.advance(random.between(500, 4_000));
      try {
        await this.reconciler.reconcile(KEY);
      } catch (error) {
        if (!isFailure(error)) throw error;
      }
    }
    old.stop();
    this.tell('the one that led before goes on');
  }

  private async reconcile(): Promise<void> {
    this.reconciliations++;
    this.calls.interlude = () => this.interlude();
    try {
      const { again } = await this.reconciler.reconcile(KEY);
      this.again = this.world.nowMillis + (again ?? 30) * 1000;
    } catch (error) {
      if (error instanceof Crash) {
        this.crashes++;
        this.tell(`the operator ends: ${error.message}`);
        this.cache.stop();
        // Another one takes over, at once or much later.
        this.world.advance(this.random.chance(0.2) ? 120_000 : 3_000);
        [this.cache, this.reconciler] = this.newOperator();
        this.world.advance(1_000);
      } else if (!isFailure(error)) throw error;
    }
    this.calls.interlude = null;
  }

  private async wait(millis: number): Promise<void> {
    const end = this.world.nowMillis + millis;
    while (this.world.nowMillis < end && this.world.violations.length === 0) {
      if (this.world.nowMillis >= this.again) await this.reconcile();
      this.world.advance(this.random.between(500, 2_500));
    }
  }

  private edit(change: (spec: Record<string, unknown>) => void): void {
    this.world.api.edit('DatacenterCluster', this.cluster, ({ spec = {} }) => change(spec));
  }

  private isHealthy(): boolean {
    const { ring } = this.world;
    if (ring === null || this.cluster.spec?.['stopped'] === true) return false;
    const members = ring.in('normal', 'leaving');
    return members.length >= 3 && members.every(({ downMillis }) => downMillis === null);
  }

  /** Something happens. */
  private step(): void {
    const { random, world } = this;
    const pods = world.clusterPods();
    const nodes = world.api.all('DatabaseNode');
    const events: readonly (() => void)[] = [
      () => this.scale(1 + random.below(6)),
      () => this.scale(3 + random.below(4)),
      () => this.scale(3 + random.below(4)),
      () => this.scale(3),
      () =>
        this.edit((spec) => (spec['config'] = { readRequestTimeout: `${1 + random.below(9)}s` })),
      () => this.edit((spec) => (spec['image'] = random.pick(['ilion:1', 'ilion:2', 'bad']))),
      () => this.edit((spec) => (spec['config'] = { concurrentReads: 1 + random.below(9) })),
      () => this.edit((spec) => (spec['config'] = random.chance(0.5) ? { numTokens: 13 } : {})),
      () =>
        this.edit(
          (spec) =>
            (spec['update'] = {
              ...{ maxUnavailable: 1 + random.below(2), paused: random.chance(0.3) },
              ...(random.chance(0.3) ? { canary: 1 } : {}),
            }),
        ),
      () => this.pause(),
      () => this.fill(),
      () => this.grow(),
      () => this.moveRacks(),
      () => random.chance(0.3) && this.edit((spec) => (spec['stopped'] = true)),
      () => this.edit((spec) => (spec['stopped'] = false)),
      () => this.edit((spec) => (spec['deletionPolicy'] = random.pick(['Delete', 'Retain']))),
      () => nodes.length > 0 && this.mark(random.pick(nodes), 'remove'),
      () => nodes.length > 0 && this.isHealthy() && this.mark(random.pick(nodes), 'replace'),
      () => pods.length > 0 && this.harm(() => this.kill(random.pick(pods))),
      () => pods.length > 0 && this.harm(() => this.deletePod(random.pick(pods))),
      () => this.harm(() => this.powerOff()),
      () => this.drain(),
      () => this.drain(),
      () => this.isHealthy() && random.chance(0.5) && this.removeMachine(),
      () =>
        this.isHealthy() &&
        nodes.length > 0 &&
        this.harm(() => this.loseVolume(random.pick(nodes))),
      () => this.isHealthy() && pods.length > 0 && this.harm(() => this.empty(pods)),
      () =>
        this.isHealthy() &&
        nodes.length > 0 &&
        random.chance(0.5) &&
        this.harm(() => this.deleteNode(random.pick(nodes))),
      () => (world.watchesStalled = !world.watchesStalled),
      () => world.loseWatches(),
    ];
    const own = this.isSingle && this.others.chance(0.2) ? this.loseTwo : random.pick(events);
    const isElsewhere = this.isJoining && this.others.chance(0.3);
    if (this.hasVersions && this.versions.chance(0.3)) {
      const image = this.versions.pick(VERSIONS);
      this.tell(`the image is to be ${image}`);
      this.edit((spec) => (spec['image'] = image));
      return;
    }
    const isTrust = this.isSigned && this.trust.chance(0.25);
    const happens = isTrust
      ? () => this.disturbTrust()
      : isElsewhere
        ? this.others.pick(this.eventsElsewhere())
        : own;
    this.tell(String(happens).replace(/\s+/g, ' '));
    happens();
  }

  /** Besides: this datacenter is not the only one. */
  private eventsElsewhere(): readonly (() => void)[] {
    const all = [...this.world.elsewhere.values()];
    const cut = () =>
      this.harm(() => {
        for (const one of all) one.isUp = !one.isUp;
      });
    const one = () =>
      this.harm(() => {
        const other = this.others.pick(all);
        other.isUp = !other.isUp;
      });
    return [cut, one, () => this.scale(0), () => this.scale(3)];
  }

  /** The authority is to be another one, or a Secret is deleted. */
  private disturbTrust(): void {
    const { world, trust } = this;
    const secrets = world.api.all('Secret');
    if (secrets.length === 0) return;
    const authority = world.api.find('Secret', authoritySecretName(KEY.name));
    const secret = trust.chance(0.5) ? trust.pick(secrets) : authority;
    // With both of them gone at one time there is nothing that a node could show and all believe.
    const isWhole = ((authority as Secret | undefined)?.data?.['tls.key'] ?? '') !== '';
    const isEach = world.clusterPods().every(({ metadata }) => world.tls?.isThere(metadata.name));
    if (secret === undefined || !isWhole || !isEach) return;
    const isDeleted = secret !== authority || trust.chance(0.3);
    this.tell(`${secret.metadata.name} is ${isDeleted ? 'deleted' : 'to be renewed'}`);
    if (isDeleted) world.api.remove('Secret', secret);
    else
      world.api.edit('Secret', secret, ({ metadata }) => {
        metadata['annotations'] = { ...(metadata['annotations'] as object), [RENEW]: 'now' };
      });
  }

  /** Nodes believe an authority that does not sign. */
  private isTrustOnItsWay(): boolean {
    if (!this.isSigned) return false;
    const secret = this.world.api.find('Secret', authoritySecretName(KEY.name)) as
      | Secret
      | undefined;
    const { 'next.crt': next, 'old.crt': old } = secret?.data ?? {};
    return next !== '' || old !== '' || secret?.metadata.annotations?.[RENEW] !== undefined;
  }

  private get isJoining(): boolean {
    return this.world.elsewhere.size > 0;
  }

  private harm(run: () => void): void {
    this.world.lastHarmMillis = this.world.nowMillis;
    run();
  }

  /** Of the only datacenter, or of one of them. */
  private changeDatacenter(change: (datacenter: Record<string, unknown>) => void): void {
    this.edit((spec) => {
      const datacenters = spec['datacenters'] as Record<string, unknown>[] | undefined;
      change(datacenters === undefined ? spec : this.random.pick(datacenters));
    });
  }

  private scale(replicas: number): void {
    this.changeDatacenter((datacenter) => this.setReplicas(datacenter, replicas));
  }

  /** Who gives up a datacenter takes its replicas away before. */
  private setReplicas(datacenter: Record<string, unknown>, replicas: number): void {
    datacenter['replicas'] = replicas;
    const name = String(datacenter['name'] ?? SIMULATED_SPEC.datacenterName);
    if (replicas === 0) this.world.ring?.bare.add(name);
    else this.world.ring?.bare.delete(name);
  }

  /**
   * Data on one node only may be lost with it: until that is replaced nobody joins. If it is not to be any more where it was, it can only
   * leave, for which others have to join first: people have to decide.
   */
  private get isSingle(): boolean {
    return this.world.ring?.isSingle === true;
  }

  private moveRacks(): void {
    if (this.isSingle) return;
    const names = this.random.pick([
      ['a', 'b', 'c'],
      ['a', 'b'],
      ['b', 'c', 'd'],
    ]);
    this.changeDatacenter((datacenter) => {
      datacenter['racks'] = names.map((name) => ({ name }));
    });
  }

  /** A change that is held back; then a pod goes, as one does when its machine is emptied. */
  private pause(): void {
    const { update } = this.cluster.spec as unknown as ClusterSpec;
    this.edit((spec) => {
      if (update.paused) spec['config'] = { concurrentReads: 10 + this.random.below(9) };
      else spec['update'] = { maxUnavailable: 1, paused: true };
    });
    const pods = this.world.clusterPods();
    if (update.paused && pods.length > 0) this.harm(() => this.deletePod(this.random.pick(pods)));
  }

  private grow(): void {
    this.edit((spec) => {
      const storage = spec['storage'] as ClusterSpec['storage'];
      spec['storage'] = { ...storage, size: `${bytesOf(storage.size) / 2 ** 30 + 1}Gi` };
    });
  }

  /** Somebody writes much. */
  private fill(): void {
    const disks = [...this.world.disks.values()];
    if (disks.length > 0) this.random.pick(disks).usedBytes += 2 ** 30;
  }

  /** Volumes that are fuller than they may be, and could grow. */
  private areFull(): boolean {
    const { autogrow } = (this.cluster.spec as unknown as ClusterSpec).storage;
    if (autogrow === undefined) return false;
    return [...this.world.disks.values()].some(
      ({ hostId, bytes, usedBytes }) =>
        hostId !== null &&
        this.world.processOf(hostId) !== undefined &&
        bytes < bytesOf(autogrow.max) &&
        usedBytes >= (bytes * autogrow.threshold) / 100,
    );
  }

  private mark(node: Stored, field: 'remove' | 'replace'): void {
    this.world.api.edit('DatabaseNode', node, ({ spec = {} }) => (spec[field] = true));
  }

  /** The process ends, and is started again. */
  private kill(pod: Stored): void {
    this.world.stop(pod);
  }

  private deletePod({ metadata }: Stored): void {
    void this.world.api.delete('Pod', metadata, { uid: metadata.uid });
  }

  private powerOff(): void {
    const off = this.world.machines.filter(({ isUp }) => !isUp);
    for (const machine of off) machine.isUp = true;
    if (off.length > 0 || !this.isHealthy()) return;
    this.random.pick(this.world.machines).isUp = false;
  }

  /** One at a time. */
  private drain(): void {
    const { world, random } = this;
    if (this.isSingle) return;
    const drained = world.machines.find(({ isDraining }) => isDraining);
    if (drained !== undefined) {
      world.drain(drained, false);
      return;
    }
    const used = world.machines.filter(
      ({ name, isGone }) => !isGone && world.podsOn(name).length > 0,
    );
    if (used.length > 0) world.drain(random.pick(used), true);
  }

  private removeMachine(): void {
    const { machines } = this.world;
    const there = machines.filter(({ isGone }) => !isGone);
    if (there.length <= MACHINES_MIN) return;
    const machine = this.random.pick(there);
    // More than one at a time is more than can be got back.
    const volumes = [...this.world.disks.values()].filter((one) => one.machine === machine.name);
    if (volumes.length <= 1) this.harm(() => this.world.removeMachine(machine));
  }

  private loseVolume({ metadata }: Stored): void {
    const { api, lossAllowed } = this.world;
    const claim = api.find('PersistentVolumeClaim', metadata.name);
    if (claim === undefined) return;
    lossAllowed.add(claim.metadata.uid);
    const pod = api.find('Pod', metadata.name);
    if (pod !== undefined) {
      this.world.stop(pod);
      api.remove('Pod', pod);
    }
    api.remove('PersistentVolumeClaim', claim);
  }

  /** What only those two had is lost; the rest goes on. */
  private readonly loseTwo = () => {
    const nodes = this.world.api.all('DatabaseNode');
    if (!this.isHealthy() || (this.world.ring?.in('normal').length ?? 0) < 5) return;
    this.harm(() => {
      for (const node of nodes.slice(0, 2)) this.loseVolume(node);
    });
  };

  /** Most of all of the node that started the cluster. */
  private empty(pods: readonly Stored[]): void {
    const { firstNode } = (this.cluster.status ?? {}) as ClusterStatus;
    const first = pods.find((pod) => environmentOf(pod)['ILION_HOST_ID'] === firstNode);
    const pod = first !== undefined && this.random.chance(0.5) ? first : this.random.pick(pods);
    this.world.empty(pod);
  }

  /** Somebody deletes the object of a node. */
  private deleteNode(node: Stored): void {
    if (this.isSingle) return;
    this.world.api.remove('DatabaseNode', node);
  }

  private bringPeace(): void {
    const { world } = this;
    this.faults.enabled = false;
    world.watchesStalled = false;
    world.loseWatches();
    for (const machine of world.machines) machine.isUp = true;
    for (const other of world.elsewhere.values()) other.isUp = true;
    const least = this.isJoining && this.others.chance(0.3) ? 0 : 3;
    this.edit((spec) => {
      const config = this.random.chance(0.5) ? { readRequestTimeout: '20s' } : {};
      Object.assign(spec, { stopped: false, image: 'ilion:2', config });
      spec['update'] = { maxUnavailable: 1, paused: false };
      const datacenters = (spec['datacenters'] ?? [spec]) as Record<string, unknown>[];
      for (const one of datacenters)
        this.setReplicas(one, least === 0 ? 0 : Math.max(least, Number(one['replicas'])));
    });
  }

  /** What is not as it should be in the end. */
  private unfinished(): string[] {
    const { world, cluster } = this;
    const wanted = desiredNodes(cluster.spec as unknown as ClusterSpec);
    const status = cluster.status as ClusterStatus | undefined;
    const nodes = world.api.all('DatabaseNode');
    const members = (world.ring?.in('normal', 'joining', 'leaving') ?? []).filter(
      ({ datacenter }) => datacenter !== ELSEWHERE,
    );
    const claims = world.api.all('PersistentVolumeClaim').filter(({ metadata }) => {
      const labels = metadata['labels'] as Readonly<Record<string, string>>;
      return labels[LABELS.released] !== 'true';
    });
    const pods = world.clusterPods();
    const ids = new Set(nodes.map(({ metadata }) => metadata.uid));
    const spec = cluster.spec as unknown as ClusterSpec;
    const { size } = spec.storage;
    const checks: readonly (readonly [boolean, string])[] = [
      [status?.observedGeneration === cluster.metadata['generation'], 'the status is old'],
      [
        status?.state === 'Ready',
        `the state is ${status?.state}: ${JSON.stringify(status?.conditions?.filter((one) => one.status === 'False' || one.type === 'Degraded').map((one) => `${one.type} ${one.reason} ${one.message}`))}`,
      ],
      [nodes.length === wanted, `${nodes.length} objects, not ${wanted}`],
      [members.length === wanted, `${members.length} members, not ${wanted}`],
      [
        members.every(({ hostId, state }) => state === 'normal' && ids.has(hostId)),
        'a member is strange',
      ],
      [pods.length === wanted, `${pods.length} pods, not ${wanted}`],
      [pods.every((pod) => environmentOf(pod)['image'] === 'ilion:2'), 'a pod has the old image'],
      [
        [...world.processes.values()].every(
          ({ settings }) =>
            (settings['read_request_timeout'] ?? DEFAULT_TIMEOUT) ===
            (spec.config?.['readRequestTimeout'] ?? DEFAULT_TIMEOUT),
        ),
        'a node has other settings',
      ],
      [
        !this.isSigned || pods.every(({ metadata }) => world.tls?.isThere(metadata.name)),
        'a certificate is not there',
      ],
      [
        pods.every((pod) => environmentOf(pod)['ILION_NUM_TOKENS'] === undefined),
        'a pod has old settings',
      ],
      [
        claims.every(({ metadata }) => pods.some((pod) => pod.metadata.name === metadata.name)),
        'a volume is left over',
      ],
      [claims.every((claim) => bytesOf(sizeOf(claim)) >= bytesOf(size)), 'a volume has not grown'],
      [!this.areFull(), 'a volume is full'],
      [!this.isTrustOnItsWay(), 'an authority is on its way'],
      [
        wanted === 0 || (spec.keyspaces ?? []).every(({ name }) => world.ring?.keyspaces.has(name)),
        'a keyspace is not there',
      ],
    ];
    return checks.filter(([ok]) => !ok).map(([, message]) => message);
  }

  private async end(): Promise<void> {
    this.bringPeace();
    const { violations } = this.world;
    if (!(await this.endDrains())) return;
    let open: string[] = [];
    for (let round = 0; round < PEACE_ROUNDS_MAX; round++) {
      await this.wait(5_000);
      if (violations.length > 0) return;
      open = this.unfinished();
      if (open.length === 0) break;
    }
    if (open.length > 0) violations.push(`not done in the end: ${open.join('; ')}`);
    if (violations.length > 0) return;
    await this.wait(60_000);
    const before = this.calls.writes;
    for (let round = 0; round < 5; round++) {
      this.again = 0;
      await this.wait(20_000);
    }
    const writes = this.calls.writes - before;
    if (writes > 0) violations.push(`${writes} writes though nothing had changed`);
  }

  /** Whoever drains a machine gets it empty. @returns false: something was wrong */
  private async endDrains(): Promise<boolean> {
    const { violations, machines } = this.world;
    const drained = machines.filter(({ isDraining }) => isDraining);
    const isLeft = () => drained.some(({ name }) => this.world.podsOn(name).length > 0);
    for (let round = 0; round < PEACE_ROUNDS_MAX && isLeft(); round++) {
      await this.wait(5_000);
      if (violations.length > 0) return false;
    }
    if (isLeft()) violations.push('a drain does not end');
    for (const machine of drained) this.world.drain(machine, false);
    return violations.length === 0;
  }

  async run(steps: number): Promise<SimulationResult> {
    const { world, random } = this;
    const began = world.nowMillis;
    world.advance(1_000);
    await this.wait(random.between(5_000, 120_000));
    for (let step = 0; step < steps && world.violations.length === 0; step++) {
      this.step();
      await this.wait(
        random.chance(0.5) ? random.between(100, 15_000) : random.between(5_000, 240_000),
      );
    }
    if (world.violations.length === 0) await this.end();
    return {
      violations: world.violations,
      reconciliations: this.reconciliations,
      crashes: this.crashes,
      virtualSeconds: Math.round((world.nowMillis - began) / 1000),
    };
  }
}

export function simulate({ steps = 12, ...options }: SimulationOptions): Promise<SimulationResult> {
  return new Simulation({ ...options }).run(steps);
}
