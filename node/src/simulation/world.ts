/**
 * A whole cluster in one process: nodes made by a factory from the real code, on virtual time, network and disks. All that
 * happens follows from the seed and from what the test does; `fingerprint` tells whether two runs were the same.
 *
 *   const world = new World(seed, { places: placesOf({ dc1: 3 }), create: (facts) => new MyNode(facts) });
 *   await world.startAll();
 *   world.network.partition([world.node(0).address], [world.node(1).address]);
 *   world.node(2).crash();
 *   await world.run(10_000);
 */
import type { MetadataDisk } from '../cluster/ports.ts';
import type { AcceptStream, Carrier } from '../internode/carrier.ts';
import type { Peer } from '../internode/links.ts';
import type { KvEngine } from '../storage/kv.ts';
import { History } from './history.ts';
import { MemoryEngine } from './memory-kv.ts';
import { MemoryMetadataDisk } from './metadata-disk.ts';
import { VirtualNetwork } from './network.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { StreamDisk } from './stream-disk.ts';
import { type CrashKind, VirtualDisk } from './virtual-disk.ts';

const CONTROL_PORT = 7000;
/** Of coordinators and replicas. */
export const DATA_PORT = 7001;
/** Lines of the log that are kept. */
const LINES_MAX = 5000;
const RESTART_MILLIS = 1000;
/** Wall clocks begin in 2025. */
const EPOCH_MICROS = 1_735_689_600_000_000;

/** A node's clock: its monotonic time is the world's, its wall clock may be wrong. Timers end with the process. */
export interface NodeClock {
  /** Milliseconds, monotonic. */
  nowMillis(): number;
  monotonicMillis(): number;
  /** The wall clock: microseconds since 1970. */
  micros(): number;
  /** Runs once. @returns takes it back */
  after(millis: number, run: () => void): () => void;
  /** Runs again and again. @returns stops it */
  every(millis: number, run: () => void): () => void;
}

type Fields = Readonly<Record<string, unknown>>;

export interface NodeLog {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** Where a node stands. */
export interface NodePlace {
  readonly datacenter: string;
  readonly rack: string;
}

/** All that one life of a node's process gets from the world. */
export interface NodeWorld extends Peer, NodePlace {
  readonly index: number;
  /** 1 at the first start, one more at each. */
  readonly life: number;
  readonly clock: NodeClock;
  readonly random: SeededRandom;
  readonly carrier: Carrier;
  readonly metadata: MetadataDisk;
  /** Besides stores and metadata log. */
  readonly files: StreamDisk;
  /** Host id of the dead node whose place this one takes; null: none. */
  readonly replaces: string | null;
  readonly log: NodeLog;
  /** The other nodes as they are now, to be joined by. */
  readonly contacts: readonly Peer[];
  listen(port: number, accept: AcceptStream): void;
  /** An engine for one more worker. */
  engine(): KvEngine;
  /** At the end of this turn of the node's event loop. */
  schedule(run: () => void): void;
  /** Tells of a step, at which a fault may strike. */
  moment(name: string): void;
  /** What the main thread tells its workers does not come before this, of the world's time. */
  mailAtMillis(): number;
  /** The process ends by itself, at once; it is started again a second later. */
  exit(reason: string): void;
}

/** What the factory makes. */
export interface SimulatedNode {
  /** Resolves when it serves. */
  start(): Promise<void>;
  /** The orderly end: resolves when nothing is left to do. */
  stop(): Promise<void>;
}

export interface WorldOptions<Node extends SimulatedNode> {
  readonly places: readonly NodePlace[];
  readonly create: (facts: NodeWorld) => Node;
  /** Whether a node that could not start with this never will. */
  readonly isOver?: (error: unknown) => boolean;
}

/** Nodes by datacenter, spread over `racks` racks in each. */
export function placesOf(datacenters: Readonly<Record<string, number>>, racks = 3): NodePlace[] {
  return Object.entries(datacenters).flatMap(([datacenter, count]) =>
    Array.from({ length: count }, (_, i) => ({ datacenter, rack: `rack${(i % racks) + 1}` })),
  );
}

/** A UUID that follows from the number. */
function hostIdOf(index: number): string {
  return `00000000-0000-4000-8000-${(index + 1).toString(16).padStart(12, '0')}`;
}

interface SlotPlan {
  readonly index: number;
  readonly place: NodePlace;
  readonly replaces: string | null;
  /** Not given: it follows from the index. */
  readonly hostId?: string;
}

/** The place of one node: what stays when its process dies. */
export class NodeSlot<Node extends SimulatedNode> {
  readonly index: number;
  readonly hostId: string;
  readonly place: NodePlace;
  readonly disk: VirtualDisk;
  readonly replaces: string | null;
  /** Never starts again. */
  isRetired = false;
  /** May be changed while the node is down. */
  address: string;
  /** The wall clock's error. */
  skewMicros = 0;
  /** Until then workers hear nothing of the main thread. */
  mailAtMillis = 0;
  /** Hears of each step that the process tells of. */
  onMoment: ((name: string) => void) | null = null;
  private readonly world: World<Node>;
  private process: Node | null = null;
  private life = 0;

  constructor(world: World<Node>, { index, place, replaces, hostId }: SlotPlan) {
    this.world = world;
    this.replaces = replaces;
    this.index = index;
    this.place = place;
    this.hostId = hostId ?? hostIdOf(index);
    this.address = `node${index}`;
    this.disk = new VirtualDisk(world.scheduler, world.random.fork(`disk ${index}`));
  }

  get peer(): Peer {
    const { hostId, address } = this;
    return { hostId, address, controlPort: CONTROL_PORT, dataPort: DATA_PORT };
  }

  /** Null: down. */
  get running(): Node | null {
    return this.process;
  }

  /** The process. @throws TypeError if the node is down */
  get node(): Node {
    if (this.process === null) throw new TypeError(`node ${this.index} is down`);
    return this.process;
  }

  /** Begins a new life; resolves when the node serves, and never if it dies before. One that cannot start is down. */
  async start(): Promise<void> {
    if (this.process !== null) throw new TypeError(`node ${this.index} is up`);
    this.life++;
    this.world.note(this.index, 'starts');
    const { life } = this;
    const process = this.world.create(this.facts());
    this.process = process;
    try {
      await process.start();
    } catch (error) {
      if (this.life === life) this.end('process');
      throw error;
    }
  }

  /** Starts, and again after a second for as long as that fails. @returns when it was tried once */
  async startSupervised(): Promise<void> {
    if (this.isRetired || this.process !== null) return;
    try {
      await this.start();
    } catch (error) {
      this.world.note(this.index, 'could not start', { error });
      if (this.world.isOver(error)) this.isRetired = true;
      else this.startLater();
    }
  }

  /** Dies at once: with the loss of power, or (`process`) as by kill -9. */
  crash(kind: CrashKind = 'power'): void {
    if (this.process === null) return;
    this.world.note(this.index, `crashes (${kind})`);
    this.world.onCrash?.(this);
    this.end(kind);
  }

  /** Dies for good, and its disk with it. */
  destroy(): void {
    this.isRetired = true;
    this.crash('power');
    this.disk.wipe();
  }

  /** Ends for good, in good order. */
  async retire(): Promise<void> {
    this.isRetired = true;
    await this.stop();
  }

  /** Crashes if it is up, and starts again. */
  restart(kind: CrashKind = 'power'): Promise<void> {
    this.crash(kind);
    return this.start();
  }

  /** Ends in good order. */
  async stop(): Promise<void> {
    const { process, life } = this;
    if (process === null) return;
    await process.stop();
    if (this.life === life) this.end('process');
  }

  private startLater(): void {
    const { life } = this;
    this.world.scheduler.after(RESTART_MILLIS, () => {
      if (this.life === life) void this.startSupervised();
    });
  }

  private exit(reason: string): void {
    this.world.note(this.index, `exits: ${reason}`);
    this.end('process');
    this.startLater();
  }

  private end(kind: CrashKind): void {
    this.process = null;
    this.life++;
    this.world.network.vanish(this.address, kind === 'power');
    this.disk.crash(kind);
  }

  private facts(): NodeWorld {
    const { world, life, address, index } = this;
    const { scheduler, network } = world;
    const alive = () => this.life === life;
    const ifAlive = (run: () => void) => () => {
      if (alive()) run();
    };
    return {
      ...this.peer,
      ...this.place,
      index,
      life: (life + 1) / 2,
      clock: this.clock(ifAlive),
      random: world.random.fork(`node ${index} life ${life}`),
      carrier: network.carrier(address),
      metadata: new MemoryMetadataDisk(this.disk),
      files: new StreamDisk(this.disk),
      replaces: this.replaces,
      log: world.logOf(index, alive),
      contacts: world.nodes.filter((node) => node !== this).map(({ peer }) => peer),
      listen: (port, accept) => void network.listen(address, port, accept),
      engine: () => new MemoryEngine(this.disk),
      schedule: (run) => scheduler.soon(ifAlive(run)),
      moment: (name) => {
        if (alive()) this.onMoment?.(name);
      },
      mailAtMillis: () => this.mailAtMillis,
      exit: (reason) => {
        if (alive()) this.exit(reason);
      },
    };
  }

  private clock(ifAlive: (run: () => void) => () => void): NodeClock {
    const { scheduler } = this.world;
    const nowMillis = () => scheduler.now;
    return {
      nowMillis,
      monotonicMillis: nowMillis,
      micros: () => EPOCH_MICROS + Math.floor(scheduler.now * 1000) + this.skewMicros,
      after: (millis, run) => scheduler.after(millis, ifAlive(run)),
      every: (millis, run) => {
        let cancel = () => {};
        const again = (): void => {
          cancel = scheduler.after(
            millis,
            ifAlive(() => {
              again();
              run();
            }),
          );
        };
        again();
        return () => cancel();
      },
    };
  }
}

export class World<Node extends SimulatedNode> {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly scheduler = new Scheduler();
  readonly network: VirtualNetwork;
  readonly create: (facts: NodeWorld) => Node;
  readonly isOver: (error: unknown) => boolean;
  /** What clients did, for the checkers. */
  readonly history = new History();
  /** Hears of each crash, while the node is still there. */
  onCrash: ((node: NodeSlot<Node>) => void) | null = null;
  private readonly slots: NodeSlot<Node>[];
  private lines: string[] = [];
  private hash = 0x811c9dc5;

  constructor(seed: number, { places, create, isOver }: WorldOptions<Node>) {
    this.seed = seed;
    this.random = new SeededRandom(seed, 'world');
    this.network = new VirtualNetwork(this.scheduler, this.random.fork('network'));
    this.create = create;
    this.isOver = isOver ?? (() => false);
    this.slots = places.map((place, index) => new NodeSlot(this, { index, place, replaces: null }));
  }

  get now(): number {
    return this.scheduler.now;
  }

  /** Without those that never start again. */
  get nodes(): readonly NodeSlot<Node>[] {
    return this.slots.filter(({ isRetired }) => !isRetired);
  }

  /**
   * One more, which is down.
   * @param replaces host id of the dead node whose place it takes
   * @param hostId a UUID; not given: one that follows from how many there are
   */
  add(place: NodePlace, replaces: string | null = null, hostId?: string): NodeSlot<Node> {
    const index = this.slots.length;
    const plan = { index, place, replaces, ...(hostId === undefined ? {} : { hostId }) };
    const slot = new NodeSlot(this, plan);
    this.slots.push(slot);
    return slot;
  }

  /** Of any that there ever was. */
  node(index: number): NodeSlot<Node> {
    const node = this.slots[index];
    if (node === undefined) throw new RangeError(`there is no node ${index}`);
    return node;
  }

  /** Nodes that are up. */
  get alive(): readonly NodeSlot<Node>[] {
    return this.nodes.filter(({ running }) => running !== null);
  }

  /** Lets things happen until this time. */
  run(untilMillis: number): Promise<void> {
    return this.scheduler.runUntil(untilMillis);
  }

  /** Lets things happen for so long. */
  runFor(millis: number): Promise<void> {
    return this.scheduler.runUntil(this.now + millis);
  }

  /** Lets things happen until the promise settles. @throws RangeError if it does not within `millisMax` */
  async settle<T>(promise: Promise<T>, millisMax = 60_000): Promise<T> {
    let open = true;
    const done = (): void => {
      open = false;
    };
    promise.then(done, done);
    if (await this.scheduler.runWhile(() => open, this.now + millisMax)) return promise;
    throw new RangeError(`seed ${this.seed}: nothing came in ${millisMax} ms of the world's time`);
  }

  /** Starts all nodes at once; resolves when all serve. */
  async startAll(millisMax = 60_000): Promise<void> {
    await this.settle(Promise.all(this.nodes.map((node) => node.start())), millisMax);
  }

  /** Nothing is wrong any more with network, disks and clocks; nodes that are down start. */
  async heal(millisMax = 60_000): Promise<void> {
    this.network.heal();
    this.network.resetQualities();
    for (const node of this.nodes) {
      node.disk.heal();
      node.skewMicros = 0;
      node.mailAtMillis = 0;
      node.onMoment = null;
    }
    const down = this.nodes.filter(({ running }) => running === null);
    await this.settle(Promise.all(down.map((node) => node.startSupervised())), millisMax);
  }

  /** Adds to the trace. */
  note(index: number, message: string, fields?: Fields): void {
    const line = `${this.now.toFixed(3)} node${index} ${message}${shown(fields)}`;
    for (let i = 0; i < line.length; i++) {
      this.hash = Math.imul(this.hash ^ line.charCodeAt(i), 0x01000193);
    }
    this.lines.push(line);
    if (this.lines.length > LINES_MAX) this.lines = this.lines.slice(LINES_MAX / 2);
  }

  /** The last lines that nodes logged, with the world's time. */
  get trace(): readonly string[] {
    return this.lines;
  }

  /** The same for two runs that were the same. */
  fingerprint(): string {
    const { packets, bytes } = this.network.total();
    const { eventCount } = this.scheduler;
    return `${(this.hash >>> 0).toString(16)}-${eventCount}-${packets}-${bytes}`;
  }

  logOf(index: number, alive: () => boolean): NodeLog {
    const at =
      (level: string) =>
      (message: string, fields?: Fields): void => {
        if (alive()) this.note(index, `${level} ${message}`, fields);
      };
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }
}

function shown(fields: Fields | undefined): string {
  if (fields === undefined) return '';
  const texts = Object.entries(fields).map(([name, value]) => {
    const text = value instanceof Error ? String(value) : JSON.stringify(value);
    return ` ${name}=${text ?? String(value)}`;
  });
  return texts.join('');
}
