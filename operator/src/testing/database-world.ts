/**
 * Machines that run pods, where the processes in them are simulated database nodes: the real gossip, metadata log, coordinator,
 * storage and streaming, on the scheduler's time. The operator's side is `DatabaseNodes` over the real admin functions.
 */
import { refusalOfStopping } from '../../../node/src/cluster/disruption.ts';
import { AdminError } from '../../../node/src/main/admin-messages.ts';
import {
  TopologyAdmin,
  type TopologyControl,
} from '../../../node/src/main/admin-server-topology.ts';
import { VERSION } from '../../../node/src/main/version.ts';
import type { Schema } from '../../../node/src/schema/schema.ts';
import { ClusterNode } from '../../../node/src/simulation/cluster-node.ts';
import type { SeededRandom } from '../../../node/src/simulation/random.ts';
import { type NodeSlot, World } from '../../../node/src/simulation/world.ts';
import { MemoryApi, type Stored } from '../memory/memory-api.ts';
import type { Pod } from '../ports/kube-objects.ts';
import {
  type AdminStatus,
  type DatabaseNodes,
  NodeCallError,
  type NodePlace,
} from '../ports/nodes.ts';
import { environmentOf } from './world.ts';

type Slot = NodeSlot<ClusterNode>;

export const EPOCH_MILLIS = Date.UTC(2026, 0, 1);
const TICK_MILLIS = 500;
const GARBAGE_TICKS = 4;
const DEADLINE_MILLIS = 15_000;
const AGREE_MILLIS = 2_000;
const PROPOSE_MILLIS = 10_000;
const GRACE_MILLIS = 30_000;
/** Peers need so long to see what has happened. */
const NOTICE_MILLIS = 30_000;
const CONTROL_PORT = 7000;
/** Whoever deletes a pod more often does not know what it wants. */
const DELETIONS_MAX = 5;
const FLAPPING_MILLIS = 60_000;

const asPod = (stored: Stored) => stored as unknown as Pod;

function controlOf({ control, facts }: ClusterNode): TopologyControl {
  const { log, gossip, requests, links } = control;
  return {
    current: () => log.current(),
    alive: () => {
      const ids = [...log.current().nodes.keys()];
      return new Set(ids.filter((id) => id === facts.hostId || gossip.isAlive(id)));
    },
    agree: () => log.barrier(AGREE_MILLIS),
    waits: async () => control.waiting(),
    propose: (command) => log.propose(command, PROPOSE_MILLIS),
    ...{ requests, links },
  };
}

function statusOf(node: ClusterNode): AdminStatus {
  const { hostId, datacenter, rack } = node.facts;
  const control = controlOf(node);
  const state = control.current();
  const alive = control.alive();
  const none = 0;
  return {
    ...{ version: VERSION, clusterName: 'simulation', datacenter, rack, hostId, cqlAddress: '' },
    ...{ state: 'serving', uptimeSeconds: none, loadBytes: none, memtableBytes: none },
    ...{ cacheBytes: none, residentBytes: none, durability: 'group', keyspaces: none },
    ...{ tables: none, workers: [], shards: [], diskBytes: none, diskFreeBytes: none },
    clusterId: state.clusterId,
    nodes: [...state.nodes.values()].map((one) => ({
      hostId: one.hostId,
      address: `${one.address}:${one.controlPort}`,
      datacenter: one.datacenter,
      rack: one.rack,
      state: one.state,
      alive: alive.has(one.hostId),
      tokens: one.tokens.length,
      version: VERSION,
    })),
  };
}

function callError(error: unknown): NodeCallError {
  const { code = '', message } = error instanceof AdminError ? error : { message: String(error) };
  if (code === 'ABORTED') return new NodeCallError('BUSY', message);
  const isRefusal = ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'NOT_FOUND'].includes(code);
  return new NodeCallError(isRefusal ? 'REFUSED' : 'UNKNOWN', message, { cause: error });
}

export class DatabaseWorld {
  readonly world: World<ClusterNode>;
  readonly api: MemoryApi;
  /** What must not happen, and did. */
  readonly violations: string[] = [];
  /** UIDs of claims that others than the operator take away. */
  readonly lossAllowed = new Set<string>();
  /** When something last went wrong that is not the operator's doing. */
  lastHarmMillis = Number.NEGATIVE_INFINITY;
  private readonly random: SeededRandom;
  private readonly ending = new Set<string>();
  /** By name: when their pods were deleted by the operator. */
  private readonly deletions = new Map<string, number[]>();
  private addresses = 0;
  private ticks = 0;
  private delivered = 0;
  private clusters = 0;

  constructor(seed: number, schema: Schema) {
    this.world = new World<ClusterNode>(seed, {
      places: [],
      create: (facts) =>
        new ClusterNode(facts, {
          schema,
          moves: 'files',
          entry: {
            starts: this.startsCluster(facts.hostId),
            contacts: () => this.contactsFor(facts.address),
          },
        }),
    });
    this.random = this.world.random.fork('machines');
    const { scheduler } = this.world;
    this.api = new MemoryApi({
      nowMillis: () => EPOCH_MILLIS + scheduler.now,
      // In the order in which it happened.
      deliver: (run) => {
        const at = scheduler.now + this.random.between(0, 300);
        this.delivered = Math.max(this.delivered, at);
        scheduler.at(this.delivered, run);
      },
      onGone: (kind, object) => {
        if (kind === 'PersistentVolumeClaim') this.volumeGone(object);
      },
      newUid: (kind, count) => {
        const number = count.toString(16).padStart(12, '0');
        return kind === 'DatabaseNode' ? `00000000-0000-4000-8000-${number}` : `${kind}-${count}`;
      },
    });
    this.api.put('Node', { metadata: { name: 'machine', namespace: '' }, spec: {} });
    const expands = { allowVolumeExpansion: true, provisioner: 'test' };
    this.api.put('StorageClass', { ...expands, metadata: { name: 'standard', namespace: '' } });
    this.tick();
  }

  slotOf(hostId: string): Slot | undefined {
    return this.world.nodes.find((slot) => slot.hostId === hostId);
  }

  /** As the newest of those that run has it. */
  state() {
    const states = this.world.alive.flatMap(
      ({ running }) => running?.control.logIfStarted?.current() ?? [],
    );
    return states.sort((a, b) => b.epoch - a.epoch)[0];
  }

  /** Operations, and what they wait for. */
  moving(): readonly string[] {
    const waits = this.world.alive.flatMap(({ running }) => [
      ...(running?.isStarted === true ? running.control.waiting() : []),
    ]);
    return (this.state()?.operations ?? []).map(({ id, kind, hostId, phase }) => {
      const why = waits.find(([name]) => name === id)?.[1] ?? '';
      return `${kind} of ${hostId} is ${phase}: ${why}`;
    });
  }

  /** All members serve and nothing moves. */
  isHealthy(): boolean {
    const state = this.state();
    if (state === undefined || state.operations.length > 0) return false;
    const members = [...state.nodes.values()].filter((one) => one.state !== 'left');
    return (
      members.length >= 3 &&
      members.every(
        ({ hostId, state: one }) => one === 'normal' && this.slotOf(hostId)?.running?.isServing,
      )
    );
  }

  // Processes.

  private podOf(hostId: string): Stored | undefined {
    return this.api.all('Pod').find((pod) => environmentOf(pod)['ILION_HOST_ID'] === hostId);
  }

  private startsCluster(hostId: string): boolean {
    const pod = this.podOf(hostId);
    const starts = pod !== undefined && environmentOf(pod)['ILION_NEW_CLUSTER'] === 'true';
    const isMember = this.state()?.nodes.has(hostId) === true;
    // Its own disk knows better; with none it would be another cluster.
    if (starts && !isMember && this.clusters > 0 && this.slotOf(hostId)?.disk.files.size === 0) {
      this.violations.push(`${hostId} starts a second cluster`);
    }
    if (starts) this.clusters++;
    return starts;
  }

  private contactsFor(own: string) {
    return this.api.all('Pod').flatMap((pod) => {
      const { podIP } = asPod(pod).status ?? {};
      if (podIP === undefined || podIP === own) return [];
      return [{ hostId: '', address: podIP, controlPort: CONTROL_PORT, dataPort: 0 }];
    });
  }

  private tick(): void {
    this.world.scheduler.after(TICK_MILLIS, () => {
      this.tick();
      this.ticks++;
      if (this.ticks % GARBAGE_TICKS === 0) this.api.collect();
      for (const pod of this.api.all('Pod')) this.kubelet(pod);
    });
  }

  private kubelet(pod: Stored): void {
    const { metadata, spec = {} } = pod;
    const environment = environmentOf(pod);
    if (metadata['deletionTimestamp'] !== undefined) this.end(pod);
    else if (spec['nodeName'] === undefined) this.place(pod);
    else {
      const slot = this.slotOf(environment['ILION_HOST_ID'] ?? '') ?? this.newSlot(environment);
      slot.address = slot.running === null ? String(asPod(pod).status?.podIP) : slot.address;
      if (slot.running === null) void slot.startSupervised();
      this.show(pod, slot.running?.isServing === true);
    }
  }

  private newSlot(environment: ReturnType<typeof environmentOf>): Slot {
    const place = {
      datacenter: environment['ILION_DATA_CENTER'] ?? '',
      rack: environment['ILION_RACK'] ?? '',
    };
    const replaces = environment['ILION_REPLACE_HOST_ID'] ?? null;
    return this.world.add(place, replaces, environment['ILION_HOST_ID']);
  }

  private place(pod: Stored): void {
    const claim = this.api.find('PersistentVolumeClaim', pod.metadata.name);
    if (claim === undefined) return;
    this.api.edit('PersistentVolumeClaim', claim, (one) => {
      one.status = { phase: 'Bound' };
    });
    this.addresses++;
    const podIP = `10.0.${this.addresses >> 8}.${this.addresses & 255}`;
    this.api.edit('Pod', pod, (one) => {
      one.spec = { ...one.spec, nodeName: 'machine' };
      one.status = { phase: 'Running', podIP };
    });
  }

  private show(pod: Stored, ready: boolean): void {
    const state = { running: {} };
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
    const containerStatuses = [{ name: 'ilion', ready, restartCount: 0, state }];
    this.api.edit('Pod', pod, (one) => {
      one.status = { ...one.status, conditions, containerStatuses };
    });
  }

  /** It drains; who takes too long is killed. */
  private end(pod: Stored): void {
    const { uid } = pod.metadata;
    if (this.ending.has(uid)) return;
    this.ending.add(uid);
    const slot = this.slotOf(environmentOf(pod)['ILION_HOST_ID'] ?? '');
    let isOver = false;
    const gone = () => {
      if (isOver) return;
      isOver = true;
      slot?.crash('process');
      this.api.remove('Pod', pod);
      const claim = this.api.find('PersistentVolumeClaim', pod.metadata.name);
      if (claim?.metadata['deletionTimestamp'] !== undefined) {
        this.api.remove('PersistentVolumeClaim', claim);
      }
    };
    this.world.scheduler.after(GRACE_MILLIS, gone);
    (slot?.running?.isStarted === true ? slot.stop() : Promise.resolve()).then(gone, gone);
  }

  // Volumes.

  private volumeGone({ metadata }: Stored): void {
    const labels = metadata['labels'] as Readonly<Record<string, string>>;
    const hostId = labels['ilion.dev/host-id'];
    const member = this.state()?.nodes.get(hostId);
    const isAllowed = this.lossAllowed.delete(metadata.uid);
    if (!isAllowed && member !== undefined && member.state !== 'left') {
      this.violations.push(`the volume of ${hostId}, which is ${member.state}, was deleted`);
    }
    this.slotOf(hostId)?.destroy();
  }

  /** The machine with it is gone. */
  loseVolume(hostId: string): void {
    const pod = this.podOf(hostId);
    if (pod === undefined) return;
    const claim = this.api.find('PersistentVolumeClaim', pod.metadata.name);
    if (claim === undefined) return;
    this.lossAllowed.add(claim.metadata.uid);
    this.ending.add(pod.metadata.uid);
    this.slotOf(hostId)?.destroy();
    this.api.remove('Pod', pod);
    this.api.remove('PersistentVolumeClaim', claim);
  }

  /** Before the operator deletes a pod: what is there now is not only what it has heard. */
  watchDeletion(pod: Stored): void {
    const { world } = this;
    const { name } = pod.metadata;
    const since = world.now - FLAPPING_MILLIS;
    const times = (this.deletions.get(name) ?? []).filter((at) => at >= since);
    this.deletions.set(name, [...times, world.now]);
    if (times.length >= DELETIONS_MAX) this.violations.push(`the pod ${name} comes and goes`);
    const state = this.state();
    const hostId = environmentOf(pod)['ILION_HOST_ID'] ?? '';
    if (state === undefined || world.now - this.lastHarmMillis < NOTICE_MILLIS) return;
    if (state.nodes.get(hostId)?.state === 'left' || !state.nodes.has(hostId)) return;
    const isAlive = (id: string) => this.slotOf(id)?.running?.isServing === true;
    const reason = isAlive(hostId) ? refusalOfStopping({ state, isAlive }, [hostId]) : null;
    if (reason !== null) this.violations.push(`the pod of ${hostId} was deleted: ${reason}`);
  }

  // The admin service.

  private slotAt(address: string): Slot | undefined {
    return this.world.alive.find((slot) => slot.address === address);
  }

  private async call<T>(
    { address }: NodePlace,
    run: (node: ClusterNode, admin: TopologyAdmin) => T | Promise<T>,
  ): Promise<T> {
    const { scheduler } = this.world;
    await scheduler.sleep(this.random.between(1, 20));
    const slot = this.slotAt(address);
    const node = slot?.running;
    if (slot === undefined || node == null || !node.isStarted || node.movements === null) {
      throw new NodeCallError('UNREACHABLE', `nobody answers at ${address}`);
    }
    const { movements } = node.movements;
    const admin = new TopologyAdmin({ hostId: slot.hostId, control: controlOf(node), movements });
    const { promise: lost, reject } = Promise.withResolvers<never>();
    const fail = () => reject(new NodeCallError('UNKNOWN', `${address} has not answered`));
    const forget = slot.disk.atCrash(fail);
    const cancel = scheduler.after(DEADLINE_MILLIS, fail);
    try {
      return await Promise.race([Promise.resolve(run(node, admin)), lost]);
    } catch (error) {
      throw error instanceof NodeCallError ? error : callError(error);
    } finally {
      forget();
      cancel();
    }
  }

  nodes(): DatabaseNodes {
    return {
      status: (place, agreed) =>
        this.call(place, async (node, admin) => {
          if (agreed) await admin.agree();
          return statusOf(node);
        }),
      operations: (place) => this.call(place, async (_, admin) => (await admin.list()).operations),
      removeNode: (place, hostId, dead) =>
        this.call(place, async (_, admin) => {
          await admin.remove({ hostId, dead, atOnce: true });
        }),
      cancel: (place, id) => this.call(place, (_, admin) => admin.cancel(id)),
      configure: async () => {},
      ensureKeyspace: async () => false,
      checkDisruption: (place, hostIds) =>
        this.call(place, (_, admin) => admin.checkDisruption(hostIds)),
    };
  }
}
