/**
 * The people (or the operator) that change the ring of a world while it serves: nodes join, are decommissioned, die for
 * good and are replaced or removed, take other tokens, and some of it is undone.
 */
import type { ClusterState } from '../cluster/cluster-state.ts';
import { GRID_BUCKETS, gridToken } from '../cluster/grid.ts';
import { gainersOf } from '../cluster/operations.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { SeededRandom } from './random.ts';
import { Tallies } from './tallies.ts';
import type { NodePlace, NodeSlot, World } from './world.ts';

export interface RingChangesOptions {
  /** Of members of one datacenter. */
  readonly nodesMin: number;
  readonly nodesMax: number;
  /** Nodes die for good. */
  readonly kills: boolean;
  /** Between two things that are begun, on average. */
  readonly intervalMillis: number;
  /** Of each new node, before its first start. */
  readonly prepare: (node: NodeSlot<ClusterNode>) => void;
}

type Slot = NodeSlot<ClusterNode>;

const LOOK_MILLIS = 500;
/** Changes may be a flip of a bit at this interval, or a longer one. */
const FLIP_MILLIS = 3_000;
const JOINERS_MAX = 3;
const TOKENS = 4;
/** Of looks at an operation that goes on while a member is dead. */
const CANCEL_RATE = 0.02;
/** A request waits so long for its turn. */
const WAIT_MILLIS = 20_000;
/** A node that has left goes on for a while, as those that were not told so soon. */
const LINGER_MILLIS = 15_000;

export class RingChanges {
  readonly tallies = new Tallies();
  private readonly world: World<ClusterNode>;
  private readonly options: RingChangesOptions;
  private readonly random: SeededRandom;
  private isGoing = true;
  private isOver = false;
  /** Killed, and still owning something. One at a time: two of three copies would be gone. */
  private dead: { readonly hostId: string; readonly place: NodePlace; isReplaced: boolean } | null =
    null;
  private readonly leaving = new Set<Slot>();
  /** The newest state that any node has shown. */
  private latest: ClusterState | null = null;

  constructor(world: World<ClusterNode>, options: RingChangesOptions) {
    this.world = world;
    this.options = options;
    this.random = world.random.fork('ring');
    world.onCrash = (slot) => this.tallies.add('crashes', this.partOf(slot));
  }

  /** What a node is in the changes that go on. */
  private partOf({ hostId, running }: Slot): string {
    const state = this.state();
    if (state === null || state.operations.length === 0) return 'while nothing moved';
    if (state.operations.some((one) => one.hostId === hostId)) return 'of who joins, leaves, moves';
    if (state.operations.some((one) => gainersOf(state, one).has(hostId))) return 'of who gains';
    return running?.control.logIfStarted?.isLeader ? 'of who leads' : 'of who gives';
  }

  start(): void {
    this.again();
    this.look();
  }

  /** Nothing more is begun; what has begun is brought to its end. */
  stop(): void {
    this.isGoing = false;
  }

  /** Nothing is done any more. */
  end(): void {
    this.isOver = true;
  }

  /** The newest state that any node has shown. */
  state(): ClusterState | null {
    for (const { running } of this.world.alive) {
      const state = running?.control.logIfStarted?.current();
      if (state !== undefined && state.epoch > (this.latest?.epoch ?? 0)) this.latest = state;
    }
    return this.latest;
  }

  /** What is not over yet, in words. */
  unfinished(): string[] {
    const state = this.state();
    if (state === null) return ['nobody is there'];
    const waits = this.world.alive.flatMap(({ running }) => [
      ...(running?.control.waiting() ?? []),
    ]);
    const why = (id: string) => waits.find(([name]) => name === id)?.[1] ?? '';
    const operations = state.operations.map(
      ({ id, kind, hostId, phase, done }) =>
        `${kind} of ${hostId} is ${phase}, ${done.length} are done: ${why(id)}`,
    );
    const joining = [...state.nodes.values()].filter(
      (node) =>
        node.state === 'joining' && !state.operations.some(({ hostId }) => hostId === node.hostId),
    );
    const dead = this.dead === null ? [] : [`${this.dead.hostId} is dead and a member`];
    const leaving = [...this.leaving].map(({ hostId }) => `${hostId} has left and is up`);
    return [
      ...operations,
      ...joining.map(({ hostId }) => `${hostId} is joining: ${why(hostId)}`),
      ...dead,
      ...leaving,
    ];
  }

  private again(): void {
    const { intervalMillis } = this.options;
    this.world.scheduler.after(this.random.between(0, 2 * intervalMillis), () => {
      if (!this.isGoing) return;
      this.change();
      this.again();
    });
  }

  private change(): void {
    switch (this.random.below(7)) {
      case 0:
      case 1:
        this.join();
        break;
      case 2:
        this.decommission();
        break;
      case 3:
        this.move();
        break;
      case 4:
        this.cancel();
        break;
      case 5:
        this.flip();
        break;
      default:
        this.kill();
    }
  }

  /** Members that own something and are there. */
  private members(datacenter?: string): Slot[] {
    const state = this.state();
    return this.world.nodes.filter(
      ({ hostId, place }) =>
        state?.nodes.get(hostId)?.state === 'normal' &&
        (datacenter === undefined || place.datacenter === datacenter),
    );
  }

  /** All that are, or are to be. */
  private countIn(datacenter: string): number {
    return this.world.nodes.filter(
      (slot) => slot.place.datacenter === datacenter && !this.leaving.has(slot),
    ).length;
  }

  private join(): void {
    const { random, world, options } = this;
    const { place } = random.pick(world.nodes);
    const count = 1 + random.below(JOINERS_MAX);
    for (let i = 0; i < count && this.countIn(place.datacenter) < options.nodesMax; i++) {
      this.add({ ...place, rack: `rack${1 + random.below(3)}` }, null);
    }
  }

  private add(place: NodePlace, replaces: string | null): Slot {
    const slot = this.world.add(place, replaces);
    this.options.prepare(slot);
    this.world.note(slot.index, replaces === null ? 'is to join' : `is to replace ${replaces}`);
    this.tallies.add('ring', replaces === null ? 'join' : 'replace');
    void slot.startSupervised();
    return slot;
  }

  /** Through any node. */
  private ask(
    what: string,
    run: (requests: ClusterNode['control']['requests']) => Promise<unknown>,
  ): void {
    const servers = this.world.alive.filter(({ running }) => running?.isServing);
    if (servers.length === 0) return;
    const server = this.random.pick(servers);
    this.world.note(server.index, `is asked: ${what}`);
    const [kind] = what.split(' ');
    run(server.node.control.requests).then(
      () => this.tallies.add('ring', kind),
      (error: unknown) => {
        this.tallies.add('ring', `${kind} refused`);
        this.world.note(server.index, `refused: ${what}`, { error });
      },
    );
  }

  private decommission(): void {
    const { random, options } = this;
    const { datacenter } = random.pick(this.world.nodes).place;
    const members = this.members(datacenter);
    if (members.length <= options.nodesMin) return;
    const { hostId } = random.pick(members);
    this.ask(`decommission ${hostId}`, (requests) =>
      requests.leave({ hostId, dead: false }, WAIT_MILLIS),
    );
  }

  private move(): void {
    const { random } = this;
    const members = this.members();
    if (members.length === 0) return;
    const { hostId } = random.pick(members);
    const buckets = new Set(Array.from({ length: TOKENS }, () => random.below(GRID_BUCKETS)));
    const tokens = [...buckets].map(gridToken).sort((a, b) => (a < b ? -1 : 1));
    this.ask(`move ${hostId}`, (requests) => requests.move({ hostId, tokens }, WAIT_MILLIS));
  }

  private cancel(): void {
    const operations = this.state()?.operations ?? [];
    if (operations.length === 0) return;
    const { id, kind } = this.random.pick(operations);
    this.ask(`cancel a ${kind}`, (requests) => requests.cancel(id, 'changed their minds'));
  }

  /** The faster the ring changes the fewer: who has sent such a file is not asked for half a minute. */
  private flip(): void {
    if (!this.random.chance(this.options.intervalMillis / FLIP_MILLIS)) return;
    this.random.pick(this.world.nodes).disk.planted.flipsNextFile = true;
    this.tallies.add('ring', 'flipped file');
  }

  private kill(): void {
    const { world, random, options } = this;
    if (!options.kills || this.dead !== null) return;
    const slot = random.pick(world.nodes);
    const { hostId, place } = slot;
    const isMember = this.state()?.nodes.get(hostId)?.state;
    // One that is being taken in, and has not been heard of.
    if (isMember === undefined) return;
    world.note(slot.index, 'dies for good');
    this.tallies.add('ring', `kill ${isMember}`);
    this.leaving.delete(slot);
    slot.destroy();
    this.dead = { hostId, place, isReplaced: false };
  }

  private look(): void {
    if (this.isOver) return;
    this.world.scheduler.after(LOOK_MILLIS, () => {
      this.lookAtDead();
      this.lookAtLeft();
      this.look();
    });
  }

  /** Replaces it, or has it removed, as long as it is a member. */
  private lookAtDead(): void {
    const { dead, random } = this;
    const state = this.state();
    if (dead === null || state === null) return;
    const { hostId, place } = dead;
    const phase = state.nodes.get(hostId)?.state;
    if (phase === 'left') {
      this.dead = null;
      return;
    }
    // It will never have, or give, what it is waited for.
    const stuck = state.operations.find((one) => one.phase === 'streaming');
    if (stuck !== undefined && random.chance(CANCEL_RATE)) {
      this.ask(`cancel a ${stuck.kind}`, (requests) => requests.cancel(stuck.id, 'it is stuck'));
      return;
    }
    if (phase !== 'normal') return;
    const isBusy = state.operations.some(
      (one) =>
        one.replaces === hostId ||
        (one.hostId === hostId && (one.kind === 'leave' || one.phase === 'streaming')),
    );
    if (isBusy) return;
    const isBeingReplaced = this.world.nodes.some(
      (slot) => slot.replaces === hostId && state.nodes.get(slot.hostId)?.state !== 'left',
    );
    if (isBeingReplaced || random.chance(0.8)) return;
    const canRemove = this.members(place.datacenter).length >= this.options.nodesMin;
    if (canRemove && random.chance(0.4)) {
      this.ask(`remove ${hostId}`, (requests) => requests.leave({ hostId, dead: true }, 0));
      return;
    }
    dead.isReplaced = true;
    this.add(place, hostId);
  }

  private lookAtLeft(): void {
    const { latest } = this;
    for (const slot of this.world.nodes) {
      const isLeft = latest?.nodes.get(slot.hostId)?.state === 'left';
      if (!isLeft || this.leaving.has(slot)) continue;
      this.leaving.add(slot);
      this.world.scheduler.after(LINGER_MILLIS, () => {
        this.leaving.delete(slot);
        if (!slot.isRetired) void slot.retire();
      });
    }
  }
}
