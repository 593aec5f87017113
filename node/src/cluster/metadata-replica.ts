/**
 * One node's copy of the metadata log: Raft driven by time, messages and the disk, and the state that its committed
 * entries make. What it is asked to do is done one after another: persist, send, apply.
 */
import { Reader, Writer } from '../common/bytes.ts';
import { type AnswerSink, type Links, type Peer, Verb } from '../internode/links.ts';
import type { ClusterState } from './cluster-state.ts';
import { decodeCommand, decodeState, encodeState, type LogState } from './command-codec.ts';
import { applyCommand, EMPTY_CLUSTER } from './commands.ts';
import { MetadataDamagedError } from './metadata-errors.ts';
import type { NodesDraft } from './node-map.ts';
import type { ClusterClock, MetadataDisk, MetadataFiles } from './ports.ts';
import { RaftNode } from './raft.ts';
import { decodeRaftMessage, encodeRaftMessage } from './raft-codec.ts';
import type {
  AddressedMessage,
  HardState,
  RaftEntry,
  RaftMessage,
  RaftReady,
  RaftSnapshot,
  RaftTimes,
} from './raft-types.ts';

export interface ReplicaOptions extends RaftTimes {
  /** A snapshot is made after so many entries, or so many bytes of them. */
  readonly snapshotEntries: number;
  readonly snapshotBytes: number;
}

export interface ReplicaDeps {
  readonly hostId: string;
  readonly links: Links;
  readonly disk: MetadataDisk;
  readonly clock: ClusterClock;
  /** In [0, 1). */
  random(): number;
  peerOf(hostId: string): Peer | null;
}

/** What the replica tells of. */
export interface ReplicaEvents {
  /** A proposal was applied, or not, by an entry or in a snapshot. @param refused null: applied */
  decided(id: string, refused: string | null): void;
  /** After one entry or several that came together. */
  changed(state: ClusterState, previous: ClusterState): void;
  /** After each round: everything up to `index` is applied. */
  reached(index: number): void;
  /** @param index null: not the leader any more */
  read(context: number, index: number | null): void;
  /** The disk failed, or what is on it cannot be: the log has stopped. */
  fatal(error: Error): void;
}

/** What became of a proposal. */
interface Decision {
  readonly id: string;
  readonly refused: string | null;
}

/** Entries that stay in memory although a snapshot has them: for nodes that are a little behind. */
const KEPT_ENTRIES = 64;
/** Proposals that are remembered: many more than are made while one waits. Part of the log's format. */
const RECENT_MAX = 1_000;
const APPEND_BYTES_MAX = 256 << 10;
const APPEND_ENTRIES_MAX = 256;
const UNAPPLIED_BYTES_MAX = 32 << 20;
const MESSAGE_TIMEOUT_MILLIS = 5_000;

/** A node that has left follows for so long, to hear that it has. */
const DEPARTURE_MILLIS = 60_000;

/** Messages of Raft are sent again by itself. */
const NO_ANSWER: AnswerSink = { answered: () => {}, failed: () => {} };

export class MetadataReplica {
  private readonly deps: ReplicaDeps;
  private readonly options: ReplicaOptions;
  private readonly events: ReplicaEvents;
  private node: RaftNode | null = null;
  private state: ClusterState = EMPTY_CLUSTER;
  /** The same on all nodes that have applied the same entries. */
  private recent = new Map<string, boolean>();
  private applied = 0;
  private snapshotIndex = 0;
  /** Who follows, and of those who have left, until when (monotonic milliseconds). */
  private followers: ReadonlySet<string> = new Set();
  private readonly departing = new Map<string, number>();
  /** The last one that was asked for: many nodes that join together begin with the same. */
  private given: RaftSnapshot | null = null;
  private hardState: HardState = { term: 0, votedFor: '', commit: 0 };
  private draining = false;
  private drained: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(deps: ReplicaDeps, options: ReplicaOptions, events: ReplicaEvents) {
    this.deps = deps;
    this.options = options;
    this.events = events;
  }

  /** Null: not a member of a cluster. */
  get raft(): RaftNode | null {
    return this.node;
  }

  get current(): ClusterState {
    return this.state;
  }

  /** Index of the last entry in `current`. */
  get appliedIndex(): number {
    return this.applied;
  }

  /** Starts with what is on the disk. @returns false: nothing @throws MetadataDamagedError, or an error of the disk */
  async load(): Promise<boolean> {
    const files = await this.deps.disk.load();
    if (files !== null) await this.open(files);
    return files !== null;
  }

  /** Starts a log of which this is the first that this node has. */
  async create(snapshot: RaftSnapshot): Promise<void> {
    const hardState = { term: snapshot.term, votedFor: '', commit: snapshot.index };
    const files: MetadataFiles = { snapshot, entries: [], hardState };
    await this.deps.disk.replace(files);
    await this.open(files);
  }

  private async open(files: MetadataFiles): Promise<void> {
    const { snapshot } = files;
    this.become(snapshot, readState(snapshot));
    this.hardState = files.hardState;
    this.node = new RaftNode(files, {
      ...this.options,
      hostId: this.deps.hostId,
      random: () => this.deps.random(),
      appendBytesMax: APPEND_BYTES_MAX,
      appendEntriesMax: APPEND_ENTRIES_MAX,
      unappliedBytesMax: UNAPPLIED_BYTES_MAX,
    });
    this.node.tick(this.deps.clock.nowMillis());
    this.updateLearners();
    await this.pump();
  }

  private become(snapshot: RaftSnapshot, { cluster, recent }: LogState): void {
    const previous = this.state;
    this.state = cluster;
    this.recent = new Map(recent);
    this.applied = snapshot.index;
    this.snapshotIndex = snapshot.index;
    this.events.changed(this.state, previous);
    for (const [id, applied] of this.recent) {
      this.events.decided(id, applied ? null : 'the cluster had changed meanwhile');
    }
  }

  private updateLearners(): void {
    const now = this.deps.clock.nowMillis();
    for (const [hostId, until] of this.departing) if (until <= now) this.departing.delete(hostId);
    const followers = new Set<string>();
    for (const { hostId, state } of this.state.nodes.values()) {
      if (state !== 'left') followers.add(hostId);
      else if (this.followers.has(hostId)) {
        this.departing.set(hostId, now + DEPARTURE_MILLIS);
      }
    }
    this.followers = followers;
    this.node?.setLearners([...followers, ...this.departing.keys()]);
  }

  /** Lets a node that has left hear of that, if it asks. */
  tellDeparted(hostId: string): void {
    if (this.state.nodes.get(hostId)?.state !== 'left' || this.departing.has(hostId)) return;
    this.departing.set(hostId, this.deps.clock.nowMillis() + DEPARTURE_MILLIS);
    this.updateLearners();
  }

  tick(): void {
    if (this.stopped || this.node === null) return;
    const now = this.deps.clock.nowMillis();
    if ([...this.departing.values()].some((until) => until <= now)) this.updateLearners();
    this.node.tick(now);
    void this.pump();
  }

  /** @param body of Verb.Raft, lent */
  receive(from: string, body: Uint8Array): void {
    if (this.stopped || this.node === null) return;
    const message = openEnvelope(body, this.state.clusterId, this.deps.hostId);
    if (message === null) return;
    this.node.step(from, message);
    void this.pump();
  }

  /** Does what Raft wants done. Resolves when nothing is left; never rejects. */
  pump(): Promise<void> {
    if (!this.draining) this.drained = this.drain();
    return this.drained;
  }

  private async drain(): Promise<void> {
    this.draining = true;
    try {
      while (!this.stopped && this.node !== null) {
        const ready = this.node.ready();
        if (ready === null) return;
        await this.turn(this.node, ready);
      }
    } catch (error) {
      this.stopped = true;
      this.events.fatal(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.draining = false;
    }
  }

  private async turn(node: RaftNode, ready: RaftReady): Promise<void> {
    const { snapshot } = ready;
    // Before it takes the place of what is on the disk.
    const read = snapshot === null ? null : readState(snapshot);
    await this.persist(ready);
    if (this.stopped) return;
    this.sendAll(ready.messages);
    if (snapshot !== null && read !== null) this.become(snapshot, read);
    const before = this.state.nodes;
    this.applyAll(ready.committed);
    if (snapshot !== null || this.state.nodes !== before) this.updateLearners();
    node.advance();
    for (const { context, index } of ready.reads) this.events.read(context, index);
    this.events.reached(this.applied);
    await this.compact(node);
  }

  private async persist({ snapshot, entries, hardState }: RaftReady): Promise<void> {
    const { disk } = this.deps;
    this.hardState = hardState ?? this.hardState;
    if (snapshot !== null) {
      await disk.replace({ snapshot, entries, hardState: this.hardState });
    } else if (entries.length > 0 || hardState !== null) {
      await disk.append(entries, hardState);
    }
  }

  private sendAll(messages: readonly AddressedMessage[]): void {
    // Who follows without a vote gets the same as many others: it is written once.
    let last: { readonly message: RaftMessage; readonly bytes: Uint8Array } | null = null;
    for (const { to, message } of messages) {
      if (last === null || !isSameAppend(last.message, message)) {
        last = { message, bytes: encodeRaftMessage(message) };
      }
      this.send(to, last.bytes);
    }
  }

  private send(to: string, message: Uint8Array): void {
    const peer = this.deps.peerOf(to) ?? this.state.nodes.get(to);
    if (peer === undefined || peer === null) return;
    const body = envelope(this.state.clusterId, to, message);
    this.deps.links.call(peer, Verb.Raft, body, MESSAGE_TIMEOUT_MILLIS, NO_ANSWER);
  }

  /** Who listens hears once of all of them: a node that catches up has many at a time. */
  private applyAll(entries: readonly RaftEntry[]): void {
    const previous = this.state;
    const draft: NodesDraft = { nodes: null };
    const decisions: Decision[] = [];
    for (const entry of entries) {
      const decision = this.apply(entry, draft);
      if (decision !== null) decisions.push(decision);
    }
    if (this.state !== previous) this.events.changed(this.state, previous);
    for (const { id, refused } of decisions) this.events.decided(id, refused);
  }

  /** @returns null: nothing was to be decided */
  private apply(entry: RaftEntry, draft: NodesDraft): Decision | null {
    this.applied = entry.index;
    if (entry.kind !== 'command') return null;
    const proposed = decodeCommand(entry.data);
    if (proposed === null) {
      // Others understand it: going on without it would make this node another cluster.
      throw new MetadataDamagedError(
        `its entry ${entry.index} is of a later version of Ilion: start that version`,
      );
    }
    // It was not heard of and proposed once more.
    if (this.recent.has(proposed.id)) return null;
    const { state, refused } = applyCommand(this.state, proposed.command, entry.index, draft);
    this.state = state;
    this.remember(proposed.id, refused === null);
    return { id: proposed.id, refused };
  }

  private remember(id: string, applied: boolean): void {
    this.recent.set(id, applied);
    if (this.recent.size <= RECENT_MAX) return;
    for (const oldest of this.recent.keys()) {
      this.recent.delete(oldest);
      return;
    }
  }

  private encoded(): Uint8Array {
    return encodeState({ cluster: this.state, recent: this.recent });
  }

  private async compact(node: RaftNode): Promise<void> {
    const { logBytes } = node.state;
    const { applied, snapshotIndex, options } = this;
    const isLong = applied - snapshotIndex >= options.snapshotEntries;
    const isLarge = logBytes >= options.snapshotBytes && applied - snapshotIndex >= KEPT_ENTRIES;
    if (!isLong && !isLarge) return;
    const snapshot = node.compact(applied, this.encoded(), KEPT_ENTRIES);
    if (snapshot === null) return;
    this.snapshotIndex = snapshot.index;
    const entries = node.entriesAfter(snapshot.index);
    await this.deps.disk.replace({ snapshot, entries, hardState: this.hardState });
  }

  /** The state as a node can start with it. Null: not a member of a cluster. */
  snapshot(): RaftSnapshot | null {
    const position = this.node?.positionOf(this.applied) ?? null;
    if (position === null) return null;
    if (this.given?.index !== this.applied) {
      this.given = { index: this.applied, ...position, data: this.encoded() };
    }
    return this.given;
  }

  /** Nothing is done any more; what is being written is waited for. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.drained;
  }
}

/** @throws MetadataDamagedError */
function readState(snapshot: RaftSnapshot): LogState {
  const read = decodeState(snapshot.data);
  if (read !== null) return read;
  throw new MetadataDamagedError(
    `its snapshot at ${snapshot.index} is damaged or of a later version of Ilion`,
  );
}

/** Of one leader, made in one turn: entries of the same indexes are the same. */
function isSameAppend(a: RaftMessage, b: RaftMessage): boolean {
  return (
    a.kind === 'append' &&
    b.kind === 'append' &&
    a.term === b.term &&
    a.commit === b.commit &&
    a.prevIndex === b.prevIndex &&
    a.entries.length === b.entries.length &&
    a.entries.at(-1)?.term === b.entries.at(-1)?.term
  );
}

/**
 * [string] id of the cluster, [string] host id of who it is for, and the message. What a leader says is true for one
 * node only, and addresses change hands.
 */
function envelope(clusterId: string, to: string, message: Uint8Array): Uint8Array {
  const out = new Writer(message.length + clusterId.length * 3 + 64);
  out.string(clusterId);
  out.string(to);
  out.raw(message);
  return out.view();
}

/** @returns null if it is malformed, or not for this node */
function openEnvelope(body: Uint8Array, clusterId: string, hostId: string): RaftMessage | null {
  const from = new Reader(body);
  try {
    if (from.string() !== clusterId || from.string() !== hostId) return null;
  } catch {
    // The reader throws for what is cut short.
    return null;
  }
  return decodeRaftMessage(body.subarray(from.offset));
}
