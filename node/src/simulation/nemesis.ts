/** What goes wrong in a world, drawn from its seed: one fault after another, some at the same time, all of them ending. */
import type { SeededRandom } from './random.ts';
import { LEARNS_SWITCH, type Moment } from './watched-links.ts';
import { DATA_PORT, type NodeSlot, type SimulatedNode, type World } from './world.ts';

export type FaultKind =
  | 'partition' // two halves cannot talk
  | 'one-way' // one node hears and is not heard
  | 'flapping' // a cut that comes and goes
  | 'break' // all streams of one node break
  | 'slow-link'
  | 'loss' // packets sent again and again
  | 'corruption' // bits change on the way
  | 'crash'
  | 'slow-disk'
  | 'full-disk'
  | 'clock' // jumps of the wall clock
  | 'aimed' // a crash between two steps of a request
  | 'blackout' // all nodes crash
  | 'datacenter' // all nodes of one crash
  | 'data-cut' // coordinators and replicas of one node are cut off, what agrees with others is not
  | 'aimed-cut' // the same, between two steps of a request
  | 'late-mail' // workers of one node hear late of what the main thread knows
  | 'aimed-late'; // the same, from a step of a request on

export const ALL_FAULTS: readonly FaultKind[] = [
  'partition',
  'one-way',
  'flapping',
  'break',
  'slow-link',
  'loss',
  'corruption',
  'crash',
  'slow-disk',
  'full-disk',
  'clock',
  'aimed',
  'blackout',
  'datacenter',
  'data-cut',
  'aimed-cut',
  'late-mail',
  'aimed-late',
];

/** What matters only where the ring changes. */
const RING_FAULTS: readonly FaultKind[] = ['data-cut', 'aimed-cut', 'late-mail', 'aimed-late'];

/** Between what was said and what comes next, something is known to one node only. */
export const MOMENTS: readonly Moment[] = [
  'asks Mutation',
  'answers Mutation',
  'hears Mutation',
  'hears BatchStore',
  'asks Counter',
  'answers Counter',
  'answers PaxosPrepare',
  'hears PaxosPrepare',
  'answers PaxosPropose',
  'hears PaxosPropose',
  'asks PaxosCommit',
  'answers PaxosCommit',
];

/** Steps of ranges that move, of which there are few. */
const RARE_MOMENTS: readonly Moment[] = [
  'answers StreamOpen',
  'hears StreamOpen',
  'hears StreamRows',
  'asks StreamClose',
  'answers StreamClose',
  'answers TopologyReached',
  'hears TopologyReached',
];

/** Steps of ranges that move. */
const RING_MOMENTS: readonly Moment[] = [...RARE_MOMENTS, LEARNS_SWITCH];

export interface NemesisOptions {
  readonly faults: readonly FaultKind[];
  /** Between the beginnings of two faults, and their length: up to twice of these. */
  readonly intervalMillis: number;
  readonly lengthMillis: number;
  /** Nodes that may be down at once; a whole datacenter counts as one. */
  readonly downMax: number;
  /** Steps that crashes are aimed at. */
  readonly moments: readonly Moment[];
}

export const DEFAULT_NEMESIS: NemesisOptions = {
  faults: ALL_FAULTS.filter((fault) => fault !== 'datacenter' && !RING_FAULTS.includes(fault)),
  intervalMillis: 1000,
  lengthMillis: 2000,
  downMax: 1,
  moments: MOMENTS,
};

/** Where the ring changes. */
export const RING_NEMESIS = {
  faults: [...DEFAULT_NEMESIS.faults, ...RING_FAULTS],
  moments: [...MOMENTS, ...RING_MOMENTS],
} satisfies Partial<NemesisOptions>;

const FLAP_MILLIS = 300;
/** An aimed crash lets so many of its moments pass, and comes so long after one, at most. */
const SKIPPED_MAX = 8;
/** Of those that do not come often. */
const SKIPPED_RARE_MAX = 2;
const AIM_MILLIS_MAX = 2;
/** What was just said is still on its way. */
const AIM_CUT_MILLIS_MAX = 0.3;
/** All nodes crash, and not only the one of the moment. */
const AIMED_AT_ALL_RATE = 0.25;
const CLOCK_MICROS_MAX = 5_000_000;

const HEALED_AS_ONE_RATE = 0.7;

/** From one address to another. */
interface Way {
  readonly from: string;
  readonly to: string;
  /** By default all. */
  readonly port?: number;
}

interface Addressed {
  readonly address: string;
}

function pairsOf(left: readonly Addressed[], right: readonly Addressed[]): Way[] {
  return left.flatMap(({ address: from }) => right.map(({ address: to }) => ({ from, to })));
}

export class Nemesis<Node extends SimulatedNode> {
  /** How often each fault came. */
  readonly counts = new Map<FaultKind, number>();
  private readonly world: World<Node>;
  private readonly options: NemesisOptions;
  private readonly random: SeededRandom;
  private running = false;
  private groupsDown = 0;

  constructor(world: World<Node>, options: Partial<NemesisOptions> = {}) {
    this.world = world;
    this.options = { ...DEFAULT_NEMESIS, ...options };
    this.random = world.random.fork('nemesis');
  }

  /** Begins; faults come until `stop`. */
  start(): void {
    this.running = true;
    this.next();
  }

  /** No more faults; the world is healed and all nodes are up. */
  async stop(): Promise<void> {
    this.running = false;
    await this.world.heal();
  }

  private next(): void {
    const { intervalMillis } = this.options;
    this.world.scheduler.after(this.random.between(0, 2 * intervalMillis), () => {
      if (!this.running) return;
      this.strike(this.random.pick(this.options.faults));
      this.next();
    });
  }

  private strike(fault: FaultKind): void {
    const { world, random } = this;
    const node = random.pick(world.nodes);
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
    world.note(node.index, `nemesis: ${fault}`);
    switch (fault) {
      case 'partition':
        this.partition();
        break;
      case 'one-way':
        this.cut(
          random.chance(0.5)
            ? pairsOf([node], this.others(node))
            : pairsOf(this.others(node), [node]),
        );
        break;
      case 'flapping':
        this.flap(node, random.between(1, 6));
        break;
      case 'break':
        for (const other of this.others(node)) {
          world.network.breakStreams(node.address, other.address);
        }
        break;
      case 'slow-link':
        this.link(node, { latencyMin: 20, latencyMax: random.between(50, 400) });
        break;
      case 'loss':
        this.link(node, { loss: random.between(0.05, 0.5) });
        break;
      case 'corruption':
        this.link(node, { corruption: 0.02 });
        break;
      case 'crash':
        this.crash([node]);
        break;
      case 'aimed':
        this.aim(AIM_MILLIS_MAX, (one, isWide) => this.crash(isWide ? world.nodes : [one]));
        break;
      case 'aimed-cut':
        this.aim(AIM_CUT_MILLIS_MAX, (one) => this.cutData(one));
        break;
      case 'data-cut':
        this.cutData(node);
        break;
      case 'late-mail':
        this.delayMail(node);
        break;
      case 'aimed-late':
        this.aim(AIM_CUT_MILLIS_MAX, (one) => this.delayMail(one));
        break;
      case 'blackout':
        this.crash(world.nodes);
        break;
      case 'datacenter':
        this.crash(world.nodes.filter((n) => n.place.datacenter === node.place.datacenter));
        break;
      case 'slow-disk':
        node.disk.faults.syncMillis = node.disk.faults.readMillis = random.between(20, 500);
        this.later(() => node.disk.heal());
        break;
      case 'full-disk':
        node.disk.faults.writeFailure = 'NO_SPACE';
        this.later(() => node.disk.heal());
        break;
      case 'clock':
        node.skewMicros = Math.floor(random.between(-CLOCK_MICROS_MAX, CLOCK_MICROS_MAX));
        this.later(() => {
          node.skewMicros = 0;
        });
        break;
    }
  }

  /** After the length of a fault, unless all is healed by then. */
  private later(run: () => void): void {
    this.world.scheduler.after(this.random.between(0, 2 * this.options.lengthMillis), () => {
      if (this.running) run();
    });
  }

  private others(node: NodeSlot<Node>): NodeSlot<Node>[] {
    return this.world.nodes.filter((other) => other !== node);
  }

  private partition(): void {
    const shuffled = this.random.shuffle(this.world.nodes);
    const cut = 1 + this.random.below(Math.max(1, shuffled.length - 1));
    const [left, right] = [shuffled.slice(0, cut), shuffled.slice(cut)];
    this.cut([...pairsOf(left, right), ...pairsOf(right, left)]);
  }

  /** Ways in one direction; they are healed all at one time, or one after another. */
  private cut(ways: readonly Way[]): void {
    const { network } = this.world;
    const heal = ({ from, to, port }: Way) => network.unblock(from, to, port);
    for (const { from, to, port } of ways) network.block(from, to, port);
    if (this.random.chance(HEALED_AS_ONE_RATE)) this.later(() => ways.forEach(heal));
    else for (const way of ways) this.later(() => heal(way));
  }

  /** It hears nothing, or is not heard, or both. */
  private cutData(node: NodeSlot<Node>): void {
    const others = this.others(node);
    const [hears, isHeard] = this.random.pick([
      [true, false],
      [false, true],
      [false, false],
    ]);
    const ways = [
      ...(hears ? [] : pairsOf(others, [node])),
      ...(isHeard ? [] : pairsOf([node], others)),
    ];
    this.cut(ways.map((way) => ({ ...way, port: DATA_PORT })));
  }

  private delayMail(node: NodeSlot<Node>): void {
    node.mailAtMillis = this.world.now + this.random.between(0, 2 * this.options.lengthMillis);
  }

  private flap(node: NodeSlot<Node>, times: number): void {
    const { network, scheduler } = this.world;
    const others = this.others(node);
    for (const { address } of others) network.block(node.address, address);
    scheduler.after(this.random.between(0, 2 * FLAP_MILLIS), () => {
      for (const { address } of others) network.unblock(node.address, address);
      if (times < 1 || !this.running) return;
      scheduler.after(this.random.between(0, 2 * FLAP_MILLIS), () => {
        if (this.running) this.flap(node, times - 1);
      });
    });
  }

  private link(
    node: NodeSlot<Node>,
    quality: Parameters<World<Node>['network']['setQuality']>[2],
  ): void {
    const { network } = this.world;
    for (const other of this.others(node)) {
      network.setQuality(node.address, other.address, quality);
      this.later(() => network.setQuality(node.address, other.address, null));
    }
  }

  /** It strikes whoever comes to a certain step next there, or a moment later. */
  private aim(millisMax: number, strike: (node: NodeSlot<Node>, isWide: boolean) => void): void {
    const { world, random, options } = this;
    const moment = random.pick(options.moments);
    const isWide = random.chance(AIMED_AT_ALL_RATE);
    const millis = random.chance(0.3) ? 0 : random.between(0, millisMax);
    let skipped = random.below(RARE_MOMENTS.includes(moment) ? SKIPPED_RARE_MAX : SKIPPED_MAX);
    const hearers = new Map<NodeSlot<Node>, (name: string) => void>();
    // The next aim may have taken the place of this one.
    const end = () => {
      for (const [node, hear] of hearers) if (node.onMoment === hear) node.onMoment = null;
    };
    for (const node of world.nodes) {
      const hear = (name: string) => {
        if (name !== moment || skipped-- > 0) return;
        end();
        world.scheduler.after(millis, () => {
          if (!this.running) return;
          world.note(node.index, `nemesis: aimed at ${name}`);
          strike(node, isWide);
        });
      };
      hearers.set(node, hear);
      node.onMoment = hear;
    }
    this.later(end);
  }

  private crash(nodes: readonly NodeSlot<Node>[]): void {
    if (this.groupsDown >= this.options.downMax) return;
    const group = nodes.filter((node) => node.running !== null);
    this.groupsDown++;
    const kind = this.random.chance(0.5) ? 'power' : 'process';
    for (const node of group) node.crash(kind);
    this.world.scheduler.after(this.random.between(0, 2 * this.options.lengthMillis), () => {
      this.groupsDown--;
      if (!this.running) return;
      for (const node of group) if (node.running === null) void node.startSupervised();
    });
  }
}
