/**
 * A random world for Raft nodes, the same for a seed: messages are lost, doubled, late and out of order, links are cut,
 * nodes crash with what was not persisted lost, restart, hand over, change their voters and compact their logs. Rules of
 * Raft are checked all the time; a broken one is a `RuleBroken`.
 */

import { RaftNode } from '../raft.ts';
import { decodeRaftMessage, encodeRaftMessage } from '../raft-codec.ts';
import type { RaftStart } from '../raft-store.ts';
import type { HardState, RaftEntry, RaftOptions, RaftReady, RaftSnapshot } from '../raft-types.ts';
import { seededRandom } from './nodes.ts';

const STEP_MILLIS = 10;

/** Something that must never be. */
export class RuleBroken extends Error {}
/** All is well again, but nothing is agreed. */
export class NoProgress extends Error {}

export class OpenRaftNode extends RaftNode {
  termOf(index: number): number | null {
    return this.log.termAt(index);
  }
  all(): readonly RaftEntry[] {
    return this.log.slice(this.log.firstIndex, this.log.lastIndex);
  }
}

export interface World {
  readonly seed: number;
  readonly nodes: number;
  readonly steps: number;
  readonly create?: (start: RaftStart, options: RaftOptions) => OpenRaftNode;
  /** What a hard state is on disk. */
  readonly keep?: (state: HardState, before: HardState) => HardState;
  /** Longest time to persist something, milliseconds. */
  readonly diskMillis?: number;
  /** Sends before it persists. */
  readonly sendsEarly?: boolean;
  /** Times the usual number of crashes and cuts. */
  readonly trouble?: number;
  /** Leaders crash, times 1 % a step. */
  readonly leaderTrouble?: number;
  readonly changesVoters?: boolean;
  readonly appendEntriesMax?: number;
}

interface Disk {
  snapshot: RaftSnapshot;
  entries: RaftEntry[];
  hardState: HardState;
}

interface Member {
  readonly id: string;
  readonly disk: Disk;
  raft: OpenRaftNode | null;
  saving: { readonly ready: RaftReady; readonly until: number } | null;
  /** Index of the last entry applied, and a number made of all of them. */
  applied: number;
  digest: number;
  restartAt: number;
}

function mix(digest: number, entry: RaftEntry): number {
  let mixed = Math.imul(digest ^ entry.term, 0x9e3779b1);
  for (const byte of entry.data) mixed = Math.imul(mixed ^ byte, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

function encodeState(digest: number): Uint8Array {
  const data = Buffer.alloc(64);
  data.writeInt32BE(digest);
  return data;
}

export class RaftWorld {
  readonly members: Member[] = [];
  /** What was applied anywhere, by index. */
  private readonly agreed = new Map<number, { readonly term: number; readonly digest: number }>();
  agreedLast = 0;
  private readonly leaders = new Map<number, string>();
  private readonly random: () => number;
  private readonly world: World;
  private now = 0;
  private network: { at: number; from: string; to: string; bytes: Uint8Array }[] = [];
  private cuts = new Set<string>();
  private healed = false;
  private proposals = 0;
  private reads = new Map<number, number>();

  constructor(world: World) {
    this.world = world;
    this.random = seededRandom(world.seed);
    const first = Array.from({ length: Math.min(3, world.nodes) }, (_, i) => `n${i}`);
    const voters = world.changesVoters ? first : this.ids();
    for (const id of this.ids()) {
      const snapshot = { index: 1, term: 1, voters, data: encodeState(0) };
      const hardState = { term: 1, votedFor: '', commit: 1 };
      const disk = { snapshot, entries: [], hardState };
      this.members.push({
        id,
        disk,
        raft: null,
        saving: null,
        applied: 1,
        digest: 0,
        restartAt: 0,
      });
    }
  }

  private ids(): string[] {
    return Array.from({ length: this.world.nodes }, (_, i) => `n${i}`);
  }

  private chance(probability: number): boolean {
    return this.random() < probability;
  }

  private pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)];
  }

  /** Trouble, then none; then everything has to come to one end. */
  run(): void {
    for (let i = 0; i < this.world.steps; i++) {
      this.makeTrouble();
      this.step();
      if (i % 20 === 0) this.checkLogs();
    }
    this.heal();
    const before = this.agreedLast;
    for (let i = 0; i < 1500 && !this.isSettled(before); i++) this.step();
    this.checkLogs();
    if (!this.isSettled(before)) throw new NoProgress(`seed ${this.world.seed}`);
  }

  private isSettled(before: number): boolean {
    return (
      this.agreedLast > before + 5 &&
      this.members.every((member) => member.applied === this.agreedLast)
    );
  }

  private heal(): void {
    this.healed = true;
    this.cuts.clear();
    for (const member of this.members) member.restartAt = Math.min(member.restartAt, this.now);
  }

  private makeTrouble(): void {
    const trouble = this.world.trouble ?? 1;
    if (this.chance(0.01 * trouble)) this.cut();
    if (this.chance(0.01)) this.cuts.clear();
    if (this.chance(0.01 * trouble)) this.crash(this.pick(this.members));
    const leader = this.members.find(({ raft }) => raft?.state.role === 'leader');
    if (leader?.raft == null) return;
    if (this.chance(0.01 * (this.world.leaderTrouble ?? 0))) this.crash(leader);
    if (leader.raft === null) return;
    if (this.chance(0.004)) leader.raft.transferLeadership();
    if (this.world.changesVoters === true && this.chance(0.03)) this.changeVoters(leader.raft);
  }

  /** Links of one node, or between two halves, both ways or one. */
  private cut(): void {
    const side = new Set(this.members.filter(() => this.chance(0.4)).map(({ id }) => id));
    const oneWay = this.chance(0.3);
    for (const a of this.members) {
      for (const b of this.members) {
        if (side.has(a.id) === side.has(b.id) || (oneWay && side.has(a.id))) continue;
        this.cuts.add(`${a.id}>${b.id}`);
      }
    }
  }

  private changeVoters(leader: OpenRaftNode): void {
    const voters = new Set(leader.state.voters);
    const id = this.pick(this.members).id;
    if (!voters.delete(id)) voters.add(id);
    if (voters.size > 0 && voters.size <= 5) leader.proposeVoters([...voters]);
  }

  private crash(member: Member): void {
    if (member.raft === null) return;
    // Of what was being written, a part may have come to the disk.
    if (member.saving !== null && this.chance(0.5)) {
      this.write(member, { ...member.saving.ready, hardState: null });
    }
    member.raft = null;
    member.saving = null;
    member.restartAt = this.now + this.random() * (this.chance(0.5) ? 200 : 3000);
  }

  private start(member: Member): void {
    const { disk } = member;
    const options: RaftOptions = {
      hostId: member.id,
      random: this.random,
      heartbeatMillis: 50,
      electionMillis: 200,
      retryMillisMax: 400,
      appendBytesMax: 40,
      appendEntriesMax: this.world.appendEntriesMax ?? 8,
      unappliedBytesMax: 10_000,
    };
    const from = { ...disk, entries: [...disk.entries] };
    member.raft = this.world.create?.(from, options) ?? new OpenRaftNode(from, options);
    member.raft.setLearners(this.ids());
    member.applied = disk.snapshot.index;
    member.digest = Buffer.from(disk.snapshot.data).readInt32BE();
  }

  private write(member: Member, ready: RaftReady): void {
    const { disk } = member;
    if (ready.snapshot !== null) {
      disk.snapshot = ready.snapshot;
      disk.entries = [];
    }
    if (ready.entries.length > 0) {
      const from = ready.entries[0].index;
      disk.entries = [...disk.entries.filter(({ index }) => index < from), ...ready.entries];
    }
    if (ready.hardState !== null) {
      const keep = this.world.keep ?? ((state: HardState) => state);
      disk.hardState = keep(ready.hardState, disk.hardState);
    }
  }

  private step(): void {
    this.now += STEP_MILLIS;
    this.deliver();
    for (const member of this.members) {
      if (member.raft === null && this.now >= member.restartAt) this.start(member);
      if (member.raft === null) continue;
      member.raft.tick(this.now);
      this.checkLeader(member, member.raft);
      this.use(member.raft);
      this.turn(member, member.raft);
    }
  }

  private use(raft: OpenRaftNode): void {
    if (raft.state.role !== 'leader' || !this.chance(0.2)) return;
    raft.propose(Buffer.from(`p${this.proposals++}`));
    if (!this.chance(0.2)) return;
    this.reads.set(this.proposals, this.agreedLast);
    raft.readIndex(this.proposals);
  }

  private turn(member: Member, raft: OpenRaftNode): void {
    if (member.saving === null) {
      const ready = raft.ready();
      if (ready === null) return;
      member.saving = {
        ready,
        until: this.now + (this.chance(0.5) ? 0 : this.random() * (this.world.diskMillis ?? 40)),
      };
      if (this.world.sendsEarly === true) this.sendAll(member.id, ready);
    }
    const { ready, until } = member.saving;
    if (this.now < until) return;
    this.write(member, ready);
    member.saving = null;
    if (this.world.sendsEarly !== true) this.sendAll(member.id, ready);
    this.apply(member, ready);
    raft.advance();
    if (this.chance(0.01)) this.compact(member, raft);
  }

  private compact(member: Member, raft: OpenRaftNode): void {
    const snapshot = raft.compact(member.applied, encodeState(member.digest), 2);
    if (snapshot === null) return;
    member.disk.snapshot = snapshot;
    member.disk.entries = member.disk.entries.filter(({ index }) => index > snapshot.index);
  }

  private sendAll(from: string, ready: RaftReady): void {
    for (const { to, message } of ready.messages) {
      const bytes = encodeRaftMessage(message);
      const copies = this.healed ? 1 : this.chance(0.05) ? 0 : this.chance(0.05) ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const late = !this.healed && this.chance(0.05) ? 500 : 20;
        this.network.push({ at: this.now + this.random() * late, from, to, bytes });
      }
    }
  }

  private deliver(): void {
    const due = this.network.filter(({ at }) => at <= this.now);
    if (due.length === 0) return;
    this.network = this.network.filter(({ at }) => at > this.now);
    for (const { from, to, bytes } of due.sort((a, b) => a.at - b.at)) {
      const raft = this.members.find(({ id }) => id === to)?.raft;
      if (raft == null || this.cuts.has(`${from}>${to}`)) continue;
      const message = decodeRaftMessage(bytes);
      if (message === null) throw new RuleBroken('a message cannot be read');
      raft.step(from, message);
    }
  }

  // The rules.

  private apply(member: Member, ready: RaftReady): void {
    if (ready.snapshot !== null) {
      member.applied = ready.snapshot.index;
      member.digest = Buffer.from(ready.snapshot.data).readInt32BE();
    }
    for (const entry of ready.committed) {
      if (entry.index !== member.applied + 1) throw new RuleBroken('applied out of order');
      member.applied = entry.index;
      member.digest = mix(member.digest, entry);
      const { digest } = member;
      const agreed = this.agreed.get(entry.index);
      if (agreed !== undefined && (agreed.term !== entry.term || agreed.digest !== digest)) {
        throw new RuleBroken(`seed ${this.world.seed}: entry ${entry.index} is not the same`);
      }
      this.agreed.set(entry.index, { term: entry.term, digest });
      this.agreedLast = Math.max(this.agreedLast, entry.index);
    }
    for (const { context, index } of ready.reads) {
      if (index !== null && index < (this.reads.get(context) ?? 0)) {
        throw new RuleBroken(`seed ${this.world.seed}: a read does not see what was agreed`);
      }
    }
  }

  /** One leader a term, and it has all that was agreed before. */
  private checkLeader(member: Member, raft: OpenRaftNode): void {
    const { role, term } = raft.state;
    if (role !== 'leader') return;
    const known = this.leaders.get(term);
    if (known === member.id) return;
    if (known !== undefined) {
      throw new RuleBroken(`seed ${this.world.seed}: two leaders in term ${term}`);
    }
    this.leaders.set(term, member.id);
    for (let index = this.agreedLast; index > this.agreedLast - 20; index--) {
      const agreed = this.agreed.get(index);
      if (agreed === undefined || agreed.term >= term) continue;
      const has = raft.termOf(index);
      if (has !== agreed.term && (has !== null || index > raft.state.lastIndex)) {
        throw new RuleBroken(`seed ${this.world.seed}: leader of ${term} lacks entry ${index}`);
      }
    }
  }

  /** The same index and term: the same entry, and the same before it. */
  private checkLogs(): void {
    const a = this.pick(this.members).raft;
    const b = this.pick(this.members).raft;
    if (a === null || b === null || a === b) return;
    const other = new Map(b.all().map((entry) => [entry.index, entry]));
    let same = false;
    for (const entry of a.all().toReversed()) {
      const twin = other.get(entry.index);
      if (twin === undefined) continue;
      const equal = twin.term === entry.term && Buffer.compare(twin.data, entry.data) === 0;
      if (same && !equal) throw new RuleBroken(`seed ${this.world.seed}: logs do not match`);
      if (twin.term === entry.term && !equal) {
        throw new RuleBroken(`seed ${this.world.seed}: two entries of one index and term`);
      }
      same ||= equal;
    }
  }
}
