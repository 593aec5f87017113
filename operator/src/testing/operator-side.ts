/** What the operator in the simulation talks to: the world, with failures between any two calls. */
import type { SeededRandom } from '../../../node/src/simulation/random.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import {
  type AdminStatus,
  type DatabaseNodes,
  NodeCallError,
  type NodePlace,
  type OperationInfo,
} from '../ports/nodes.ts';
import { type FakeRing, OTHERS_FIRST } from './fake-ring.ts';
import type { World } from './world.ts';

/** The operator's process has ended: nothing of it goes on. */
export class Crash extends Error {}

export interface Faults {
  /** Whether anything goes wrong at all. */
  enabled: boolean;
  readonly crash: number;
  /** The process is stopped, and another one leads. */
  readonly pause: number;
  readonly error: number;
}

/** Counts and disturbs calls. */
export class Calls {
  writes = 0;
  /** What another process does while this one is stopped. */
  interlude: (() => Promise<void>) | null = null;
  private readonly world: World;
  private readonly random: SeededRandom;
  private readonly faults: Faults;

  constructor(world: World, random: SeededRandom, faults: Faults) {
    this.world = world;
    this.random = random;
    this.faults = faults;
  }

  /** Time passes; the operator may end before or after the call, or not hear of its outcome. */
  async run<T>(isWrite: boolean, call: () => Promise<T>, fail: () => Error): Promise<T> {
    const { random, faults, world } = this;
    world.advance(random.between(1, isWrite ? 200 : 40));
    const isOff = !faults.enabled;
    if (isOff) {
      if (isWrite) this.writes++;
      return call();
    }
    if (!isWrite && this.interlude !== null && random.chance(faults.pause)) await this.interlude();
    if (random.chance(faults.crash)) throw new Crash('before the call');
    if (random.chance(faults.error)) throw fail();
    if (isWrite) this.writes++;
    const result = await call();
    if (this.interlude !== null && random.chance(faults.pause)) await this.interlude();
    if (random.chance(faults.crash)) throw new Crash('after the call');
    if (random.chance(faults.error)) throw fail();
    return result;
  }
}

export function disturbed(world: World, calls: Calls): KubeApi {
  const { api } = world;
  const fail = () => new KubeError('UNAVAILABLE', 'the API server does not answer');
  const read = <T>(call: () => Promise<T>) => calls.run(false, call, fail);
  const write = <T>(call: () => Promise<T>) => calls.run(true, call, fail);
  return {
    get: (kind, key) => read(() => api.get(kind, key)),
    list: (kind, namespace, labels) => read(() => api.list(kind, namespace, labels)),
    watch: (kind, namespace, sink, labels) => api.watch(kind, namespace, sink, labels),
    create: (kind, object) =>
      write(() => {
        if (kind === 'Pod') world.watchCreation(object);
        return api.create(kind, object);
      }),
    apply: (kind, object) => write(() => api.apply(kind, object)),
    applyStatus: (kind, object) => write(() => api.applyStatus(kind, object)),
    annotate: (pod) => write(() => api.annotate(pod)),
    replace: (kind, object) => write(() => api.replace(kind, object)),
    delete: (kind, key, precondition) =>
      write(async () => {
        const found = api.find(kind, key.name, key.namespace);
        if (kind === 'Pod' && found?.metadata.uid === precondition.uid) world.watchDeletion(found);
        await api.delete(kind, key, precondition);
      }),
    event: (event) => api.event(event),
  };
}

function statusOf(world: World, ring: FakeRing, hostId: string): AdminStatus {
  const own = ring.members.get(hostId);
  const none = 0;
  const disk = world.diskOf(hostId);
  return {
    ...{
      version: own?.version ?? '',
      clusterName: 'demo',
      datacenter: own?.datacenter ?? '',
      rack: own?.rack ?? '',
    },
    ...{ hostId, cqlAddress: '', state: 'serving', uptimeSeconds: none, loadBytes: none },
    ...{ memtableBytes: none, cacheBytes: none, residentBytes: none, durability: 'group' },
    ...{ keyspaces: none, tables: none, workers: [], shards: [] },
    nodes: [...ring.members.values()].map((one) => ({
      hostId: one.hostId,
      address: `${one.address}:7000`,
      datacenter: one.datacenter,
      rack: one.rack,
      state: one.state,
      alive: one.state !== 'left' && world.seenUp(ring, one.hostId),
      tokens: one.state === 'left' ? 0 : 16,
      version: one.version,
    })),
    diskBytes: disk?.bytes ?? none,
    diskFreeBytes: Math.max(0, (disk?.bytes ?? none) - (disk?.usedBytes ?? none)),
    clusterId: 'cluster',
  };
}

function shown(ring: FakeRing): readonly OperationInfo[] {
  return ring.operations.map(({ id, kind, hostId, replaces, phase, left, total }) => {
    const progress = { bytesDone: Math.round(total - left), bytesTotal: Math.round(total) };
    const zero = { filesDone: 0, filesTotal: 0, rangesDone: 0, rangesTotal: 0, wholeBytes: 0 };
    const gainer = {
      hostId,
      address: '',
      done: false,
      ...progress,
      ...zero,
      seconds: 1,
      problem: '',
    };
    return {
      id,
      kind,
      hostId,
      address: '',
      replaces: replaces ?? '',
      phase,
      gainers: [gainer],
      waits: ring.missing({ hostId, replaces, kind }).join(', '),
    };
  });
}

/** The admin services of the simulated processes. */
export function simulatedNodes(world: World, calls: Calls): DatabaseNodes {
  const unknown = () => new NodeCallError('UNKNOWN', 'the deadline has passed');
  const at = <T>(place: NodePlace, isWrite: boolean, call: (ring: FakeRing, hostId: string) => T) =>
    calls.run(
      false,
      async () => {
        const process = world.answering(place.address);
        if (process === null) throw new NodeCallError('UNREACHABLE', 'nobody answers');
        if (process.ring === null)
          throw new NodeCallError('UNREACHABLE', 'it looks for its cluster');
        if (isWrite && !process.ring.hasMajority) throw unknown();
        return call(process.ring, process.hostId);
      },
      unknown,
    );
  const refuse = (reason: string | null) => {
    if (reason !== null) throw new NodeCallError('REFUSED', reason);
  };
  return {
    status: (place, agreed) => at(place, agreed, (ring, hostId) => statusOf(world, ring, hostId)),
    operations: (place) => at(place, false, (ring) => shown(ring)),
    ensureKeyspace: (place, { name }) =>
      at(place, true, (ring) => {
        const isNew = !ring.keyspaces.has(name);
        ring.keyspaces.add(name);
        return isNew;
      }),
    configure: (place, settings) =>
      at(place, false, (_ring, hostId) => {
        if (settings['read_request_timeout'] === '13s') refuse('it is an unlucky number');
        const process = world.processOf(hostId);
        if (process !== undefined) process.settings = { ...settings };
      }),
    removeNode: (place, hostId, dead) =>
      at(place, true, (ring) => {
        const reason = ring.leave(hostId, dead);
        if (reason === OTHERS_FIRST) throw new NodeCallError('BUSY', reason);
        refuse(reason);
      }),
    cancel: (place, id) => at(place, true, (ring) => refuse(ring.cancel(id))),
    checkDisruption: (place, hostIds) =>
      at(place, false, (ring) => {
        const reason = ring.refusalOfStopping(hostIds, (id) => world.seenUp(ring, id));
        return { allowed: reason === null, reason: reason ?? '' };
      }),
  };
}
