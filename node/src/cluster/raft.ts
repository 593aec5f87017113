/**
 * Raft as a state machine without input or output: time, messages and proposals go in, `ready` says what to persist,
 * send and apply. With pre-votes, leaders that step down without a majority, learners, changes of one voter at a time,
 * snapshots in chunks, reads by index, and leadership that is handed over. Source: Ongaro, "Consensus: Bridging Theory
 * and Practice", 2014.
 *
 *     loop:  tick / step / propose …  →  ready()  →  persist  →  send, apply  →  advance()  →  ready() …
 *
 * Invariants: nothing is sent before what it promises is in a `RaftReady` before or with it; an entry counts for this
 * node only after `advance`; a leader commits by counting only entries of its own term.
 */
import { encodeVoters } from './raft-codec.ts';
import { RaftLog } from './raft-log.ts';
import { PeerProgress } from './raft-progress.ts';
import {
  type AddressedMessage,
  ENTRY_BYTES_MAX,
  type EntryKind,
  type HardState,
  type RaftEntry,
  type RaftMessage,
  type RaftReady,
  type RaftSnapshot,
} from './raft-types.ts';

export interface RaftTimes {
  /** Between heartbeats of a leader. */
  readonly heartbeatMillis: number;
  /** Without a leader for this up to twice this, a voter wants to be it. */
  readonly electionMillis: number;
  /** Longest time between two attempts to send the same to a peer. */
  readonly retryMillisMax: number;
}

export interface RaftOptions extends RaftTimes {
  readonly hostId: string;
  /** In [0, 1). */
  random(): number;
  /** Of one append: as much as fits, but one entry at least. */
  readonly appendBytesMax: number;
  readonly appendEntriesMax: number;
  /** Proposals are refused while the log has more than this that is not applied. */
  readonly unappliedBytesMax: number;
}

/** What a node had when it stopped; of a new node: index 0 and nothing. */
export interface RaftStart {
  readonly snapshot: RaftSnapshot;
  readonly entries: readonly RaftEntry[];
  readonly hardState: HardState;
}

export type RaftRole = 'follower' | 'pre-candidate' | 'candidate' | 'leader';
export type ProposeRefusal = 'NOT_LEADER' | 'TOO_LARGE' | 'BUSY';
export type Proposed =
  | { readonly index: number; readonly term: number }
  | { readonly refused: ProposeRefusal };

type MessageOf<K extends RaftMessage['kind']> = Extract<RaftMessage, { readonly kind: K }>;

interface PendingRead {
  readonly context: number;
  /** Null: the leader has not committed anything of its term yet. */
  index: number | null;
  round: number;
}

interface IncomingSnapshot {
  readonly index: number;
  readonly lastTerm: number;
  readonly parts: Uint8Array[];
  bytes: number;
}

const READS_MAX = 10_000;

export class RaftNode {
  protected readonly log: RaftLog;
  private readonly options: RaftOptions;
  private role: RaftRole = 'follower';
  private term: number;
  private votedFor: string;
  private commit: number;
  private leader: string | null = null;
  private now = 0;
  private started = false;
  private electionAt = 0;
  private leaderHeardAt = Number.NEGATIVE_INFINITY;
  private votes = new Set<string>();
  private learners: ReadonlySet<string> = new Set();

  // As a leader.
  private progress = new Map<string, PeerProgress>();
  private heartbeatAt = 0;
  private quorumCheckAt = 0;
  private round = 0;
  private pendingReads: PendingRead[] = [];
  private transfer: { readonly to: string; readonly until: number } | null = null;

  // What the next `ready` has.
  private messages: AddressedMessage[] = [];
  private doneReads: { context: number; index: number | null }[] = [];
  private snapshotToInstall: RaftSnapshot | null = null;
  private incoming: IncomingSnapshot | null = null;
  private hardStateSaved: HardState;
  /** First entry that is not in a `ready` yet. */
  private unsavedFrom: number;
  /** All up to here is on disk. */
  private saved: number;
  /** Last entry of the `ready` that is being persisted; null: none is. */
  private saving: number | null = null;
  private applied: number;

  constructor(start: RaftStart, options: RaftOptions) {
    this.options = options;
    this.log = new RaftLog(start.snapshot, start.entries);
    this.term = Math.max(start.hardState.term, this.log.lastTerm);
    this.votedFor = this.term === start.hardState.term ? start.hardState.votedFor : '';
    this.applied = start.snapshot.index;
    this.commit = Math.max(this.applied, Math.min(start.hardState.commit, this.log.lastIndex));
    this.hardStateSaved = this.hardState();
    this.saved = this.log.lastIndex;
    this.unsavedFrom = this.saved + 1;
  }

  get hostId(): string {
    return this.options.hostId;
  }

  get state(): {
    readonly role: RaftRole;
    readonly term: number;
    readonly leader: string | null;
    readonly commit: number;
    readonly applied: number;
    readonly lastIndex: number;
    readonly voters: readonly string[];
    /** A change of the voters is not committed yet. */
    readonly votersChanging: boolean;
    readonly logBytes: number;
    readonly logEntries: number;
  } {
    const { log } = this;
    return {
      role: this.role,
      term: this.term,
      leader: this.leader,
      commit: this.commit,
      applied: this.applied,
      lastIndex: log.lastIndex,
      voters: log.voters,
      votersChanging: log.votersIndex > this.commit,
      logBytes: log.bytes,
      logEntries: log.lastIndex - log.firstIndex + 1,
    };
  }

  /** As the leader: entries that a node has; null: not known. */
  matchOf(hostId: string): number | null {
    return this.progress.get(hostId)?.match ?? null;
  }

  /** Term and voters of an entry that is applied: what a snapshot of then would say. Null: compacted. */
  positionOf(index: number): { readonly term: number; readonly voters: readonly string[] } | null {
    const term = this.log.termAt(index);
    return term === null ? null : { term, voters: this.log.votersAt(index) };
  }

  /** Who follows without a vote; voters among them do not matter. */
  setLearners(hostIds: Iterable<string>): void {
    this.learners = new Set(hostIds);
    if (this.role === 'leader') this.updatePeers();
  }

  /** @param nowMillis monotonic */
  tick(nowMillis: number): void {
    this.now = nowMillis;
    if (!this.started) {
      this.started = true;
      this.resetElection();
      if (this.isOnlyVoter()) this.electionAt = nowMillis;
    }
    if (this.role === 'leader') this.tickLeader();
    else if (nowMillis >= this.electionAt) this.campaign('pre-candidate', false);
  }

  private tickLeader(): void {
    if (this.transfer !== null && this.now >= this.transfer.until) this.transfer = null;
    if (this.now >= this.quorumCheckAt) {
      this.quorumCheckAt = this.now + this.options.electionMillis;
      const since = this.now - this.options.electionMillis;
      const heard = (id: string) =>
        id === this.hostId || (this.progress.get(id)?.lastHeardMillis ?? 0) >= since;
      if (!this.isMajority(heard)) {
        this.becomeFollower(this.term, null);
        return;
      }
    }
    if (this.now >= this.heartbeatAt) this.sendHeartbeats();
    this.sendToAll();
  }

  private isOnlyVoter(): boolean {
    const { voters } = this.log;
    return voters.length === 1 && voters[0] === this.hostId;
  }

  private isMajority(has: (hostId: string) => boolean): boolean {
    const { voters } = this.log;
    return voters.filter(has).length * 2 > voters.length;
  }

  private resetElection(): void {
    this.electionAt = this.now + this.options.electionMillis * (1 + this.options.random());
  }

  private send(to: string, message: RaftMessage): void {
    this.messages.push({ to, message });
  }

  // Elections.

  private campaign(as: 'pre-candidate' | 'candidate', transfer: boolean): void {
    this.resetElection();
    const { log } = this;
    // Who is removed by an entry that is not committed may be the only one who has it, and is needed until then.
    const mayLead = log.voters.includes(this.hostId);
    if (!mayLead && !log.votersAt(this.commit).includes(this.hostId)) return;
    this.role = as;
    this.leader = null;
    this.votes = new Set([this.hostId]);
    const term = this.term + 1;
    if (as === 'candidate') {
      this.term = term;
      this.votedFor = this.hostId;
    }
    const position = { term, lastIndex: log.lastIndex, lastTerm: log.lastTerm };
    for (const voter of log.voters) {
      if (voter === this.hostId) continue;
      this.send(
        voter,
        as === 'candidate'
          ? { kind: 'vote', ...position, transfer }
          : { kind: 'pre-vote', ...position },
      );
    }
    this.countVotes();
  }

  private countVotes(): void {
    if (!this.isMajority((id) => this.votes.has(id))) return;
    if (this.role === 'pre-candidate') this.campaign('candidate', false);
    else if (this.role === 'candidate') this.becomeLeader();
  }

  private becomeFollower(term: number, leader: string | null): void {
    if (term > this.term) {
      this.term = term;
      this.votedFor = '';
    }
    if (this.role === 'leader') {
      for (const { context } of this.pendingReads) this.doneReads.push({ context, index: null });
      this.pendingReads = [];
      this.transfer = null;
      this.progress.clear();
    }
    this.role = 'follower';
    this.leader = leader;
    this.resetElection();
  }

  private becomeLeader(): void {
    this.role = 'leader';
    this.leader = this.hostId;
    this.progress = new Map();
    this.quorumCheckAt = this.now + this.options.electionMillis;
    this.updatePeers();
    this.push('empty', new Uint8Array(0));
    this.sendHeartbeats();
    this.sendToAll();
  }

  private updatePeers(): void {
    const peers = new Set([...this.log.voters, ...this.learners]);
    peers.delete(this.hostId);
    for (const id of this.progress.keys()) if (!peers.has(id)) this.progress.delete(id);
    for (const id of peers) {
      if (this.progress.has(id)) continue;
      this.progress.set(id, new PeerProgress(this.log.lastIndex + 1, this.now));
    }
  }

  /** Whether a leader was heard of so lately that nobody else should be one. */
  private hasLeader(): boolean {
    return this.role === 'leader' || this.now - this.leaderHeardAt < this.options.electionMillis;
  }

  private isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const { log } = this;
    return lastTerm > log.lastTerm || (lastTerm === log.lastTerm && lastIndex >= log.lastIndex);
  }

  private onPreVote(from: string, message: MessageOf<'pre-vote'>): void {
    const granted =
      message.term > this.term &&
      !this.hasLeader() &&
      this.isUpToDate(message.lastIndex, message.lastTerm);
    const term = granted ? message.term : this.term;
    this.send(from, { kind: 'pre-vote-answer', term, granted });
  }

  private onVote(from: string, message: MessageOf<'vote'>): void {
    const granted =
      (this.votedFor === '' || this.votedFor === from) &&
      this.isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      this.role = 'follower';
      this.votedFor = from;
      this.resetElection();
    }
    this.send(from, { kind: 'vote-answer', term: this.term, granted });
  }

  private onVoteAnswer(from: string, granted: boolean): void {
    if (granted) this.votes.add(from);
    this.countVotes();
  }

  // Messages.

  /** @param from host id of the sender */
  step(from: string, message: RaftMessage): void {
    if (message.kind === 'pre-vote') this.onPreVote(from, message);
    else if (message.kind === 'pre-vote-answer' && message.granted) {
      if (this.role === 'pre-candidate' && message.term === this.term + 1) {
        this.onVoteAnswer(from, true);
      }
    } else if (message.term < this.term) this.onStale(from, message);
    else if (message.kind !== 'vote' || message.transfer || !this.hasLeader()) {
      if (message.term > this.term) this.becomeFollower(message.term, null);
      this.onCurrent(from, message);
    }
  }

  /** Whoever leads an older term must hear of the newer one. */
  private onStale(from: string, message: RaftMessage): void {
    const { term } = this;
    if (message.kind === 'heartbeat') {
      this.send(from, { kind: 'heartbeat-answer', term, round: 0 });
    } else if (message.kind === 'append' || message.kind === 'snapshot') {
      this.send(from, {
        kind: 'append-answer',
        term,
        ok: false,
        prevIndex: 0,
        match: 0,
        commit: 0,
      });
    } else if (message.kind === 'vote') {
      this.send(from, { kind: 'vote-answer', term, granted: false });
    }
  }

  private onCurrent(from: string, message: RaftMessage): void {
    switch (message.kind) {
      case 'vote':
        this.onVote(from, message);
        return;
      case 'vote-answer':
        if (this.role === 'candidate') this.onVoteAnswer(from, message.granted);
        return;
      case 'append':
        if (this.follow(from)) this.onAppend(from, message);
        return;
      case 'heartbeat':
        if (this.follow(from)) this.onHeartbeat(from, message);
        return;
      case 'snapshot':
        if (this.follow(from)) this.onSnapshot(from, message);
        return;
      case 'take-over':
        if (this.role !== 'leader' && from === this.leader) this.campaign('candidate', true);
        return;
      case 'append-answer':
      case 'heartbeat-answer':
      case 'snapshot-answer':
        if (this.role === 'leader') this.onAnswer(from, message);
        return;
      case 'pre-vote':
      case 'pre-vote-answer':
    }
  }

  /** @returns false for one who cannot be the leader of this term */
  private follow(from: string): boolean {
    if (this.role === 'leader' || (this.leader !== null && this.leader !== from)) return false;
    if (this.role !== 'follower') this.becomeFollower(this.term, from);
    this.leader = from;
    this.leaderHeardAt = this.now;
    this.resetElection();
    return true;
  }

  // Following.

  private onHeartbeat(from: string, { commit, round }: MessageOf<'heartbeat'>): void {
    this.commitTo(Math.min(commit, this.log.lastIndex));
    this.send(from, { kind: 'heartbeat-answer', term: this.term, round });
  }

  private onAppend(from: string, message: MessageOf<'append'>): void {
    const { log, term, commit } = this;
    const { prevIndex } = message;
    const last = prevIndex + message.entries.length;
    if (last <= commit) {
      // All of it is committed, so all up to the commit is the leader's.
      this.send(from, { kind: 'append-answer', term, ok: true, prevIndex, match: commit, commit });
      return;
    }
    if (prevIndex > commit && !this.matches(prevIndex, message.prevTerm)) {
      const match = this.conflictHint(prevIndex);
      this.send(from, { kind: 'append-answer', term, ok: false, prevIndex, match, commit });
      return;
    }
    for (const entry of message.entries) {
      if (entry.index <= commit || log.termAt(entry.index) === entry.term) continue;
      this.changeLog(entry);
    }
    this.commitTo(Math.min(message.commit, last));
    const answer = { prevIndex, match: last, commit: this.commit };
    this.send(from, { kind: 'append-answer', term, ok: true, ...answer });
  }

  /** The rule that makes logs the same up to an entry that is the same in both. */
  protected matches(prevIndex: number, prevTerm: number): boolean {
    return this.log.termAt(prevIndex) === prevTerm;
  }

  /** Before the first entry of the term that is wrong at `prevIndex`, but nothing committed. */
  private conflictHint(prevIndex: number): number {
    const { log, commit } = this;
    if (log.lastIndex < prevIndex) return log.lastIndex;
    const wrong = log.termAt(prevIndex);
    let hint = prevIndex - 1;
    while (hint > commit && log.termAt(hint) === wrong) hint--;
    return hint;
  }

  private changeLog(entry: RaftEntry): void {
    this.log.append(entry);
    this.unsavedFrom = Math.min(this.unsavedFrom, entry.index);
    this.saved = Math.min(this.saved, entry.index - 1);
  }

  private commitTo(index: number): void {
    this.commit = Math.max(this.commit, index);
  }

  private onSnapshot(from: string, message: MessageOf<'snapshot'>): void {
    const { term, log } = this;
    const { index, lastTerm, offset, totalBytes } = message;
    if (index <= this.commit || log.termAt(index) === lastTerm) {
      this.commitTo(index);
      const { commit } = this;
      this.incoming = null;
      this.send(from, {
        kind: 'append-answer',
        term,
        ok: true,
        prevIndex: index,
        match: index,
        commit,
      });
      return;
    }
    if (this.incoming?.index !== index || this.incoming.lastTerm !== lastTerm) {
      this.incoming = { index, lastTerm, parts: [], bytes: 0 };
    }
    const { incoming } = this;
    if (offset === incoming.bytes) {
      incoming.parts.push(message.data);
      incoming.bytes += message.data.length;
    }
    if (incoming.bytes < totalBytes) {
      this.send(from, { kind: 'snapshot-answer', term, index, offset: incoming.bytes });
      return;
    }
    this.install({
      index,
      term: lastTerm,
      voters: message.voters,
      data: Buffer.concat(incoming.parts),
    });
    this.send(from, {
      kind: 'append-answer',
      term,
      ok: true,
      prevIndex: index,
      match: index,
      commit: index,
    });
  }

  private install(snapshot: RaftSnapshot): void {
    this.incoming = null;
    this.log.reset(snapshot);
    this.commit = snapshot.index;
    this.snapshotToInstall = snapshot;
    this.saved = snapshot.index;
    this.unsavedFrom = snapshot.index + 1;
    // What is being persisted is of a log that is no more.
    if (this.saving !== null) this.saving = 0;
  }

  // Leading.

  private sendHeartbeats(): void {
    this.heartbeatAt = this.now + this.options.heartbeatMillis;
    const { term, round } = this;
    for (const voter of this.log.voters) {
      const peer = this.progress.get(voter);
      if (peer === undefined) continue;
      const commit = Math.min(this.commit, peer.match);
      this.send(voter, { kind: 'heartbeat', term, commit, round });
    }
  }

  private sendToAll(): void {
    const { log, term, commit, now, options } = this;
    const limits = {
      bytes: options.appendBytesMax,
      count: options.appendEntriesMax,
      retryMillis: options.heartbeatMillis * 2,
      retryMillisMax: options.retryMillisMax,
    };
    for (const [id, peer] of this.progress) {
      if (!peer.wants(log, commit, now)) continue;
      this.send(id, peer.take(log, { term, commit, nowMillis: now }, limits));
    }
  }

  private onAnswer(
    from: string,
    message: MessageOf<'append-answer' | 'heartbeat-answer' | 'snapshot-answer'>,
  ): void {
    const peer = this.progress.get(from);
    if (peer === undefined) return;
    peer.lastHeardMillis = this.now;
    if (message.kind === 'heartbeat-answer') {
      peer.round = Math.max(peer.round, message.round);
      this.finishReads();
    } else if (message.kind === 'snapshot-answer') {
      peer.snapshotReceived(message.index, message.offset);
    } else if (message.ok) {
      peer.accepted(message.match, message.commit, this.log.lastIndex);
      this.advanceCommit();
    } else {
      peer.rejected(message.prevIndex, message.match);
    }
    this.sendToAll();
    this.handOver();
  }

  private advanceCommit(): void {
    if (this.role !== 'leader') return;
    const { voters } = this.log;
    const matches = voters
      .map((id) => (id === this.hostId ? this.saved : (this.progress.get(id)?.match ?? 0)))
      .sort((a, b) => b - a);
    const index = matches[Math.floor(voters.length / 2)] ?? 0;
    if (index <= this.commit || !this.mayCommit(index)) return;
    this.commit = index;
    this.startReads();
    this.sendToAll();
    if (!voters.includes(this.hostId) && this.log.votersIndex <= index) this.resign();
  }

  /** An entry of an older term may be replaced although most have it (the dissertation's figure 3.7). */
  protected mayCommit(index: number): boolean {
    return this.log.termAt(index) === this.term;
  }

  /** The voters have removed this one. */
  private resign(): void {
    const heir = this.heir();
    if (heir !== null) this.send(heir, { kind: 'take-over', term: this.term });
    this.becomeFollower(this.term, null);
  }

  private push(kind: EntryKind, data: Uint8Array): { index: number; term: number } {
    const { term } = this;
    const index = this.log.lastIndex + 1;
    this.changeLog({ index, term, kind, data });
    return { index, term };
  }

  /** @param data kept @returns where it will be, if it comes to be committed: in that term only */
  propose(data: Uint8Array): Proposed {
    if (this.role !== 'leader' || this.transfer !== null) return { refused: 'NOT_LEADER' };
    if (data.length > ENTRY_BYTES_MAX) return { refused: 'TOO_LARGE' };
    if (this.unappliedBytes() > this.options.unappliedBytesMax) return { refused: 'BUSY' };
    const proposed = this.push('command', data);
    this.sendToAll();
    return proposed;
  }

  private unappliedBytes(): number {
    const waiting = this.log.slice(this.applied + 1, this.log.lastIndex);
    return waiting.reduce((sum, { data }) => sum + data.length, 0);
  }

  /**
   * Changes the voters: one more or one fewer.
   * @returns BUSY while another change, or the first entry of the leader's term, is not committed
   */
  proposeVoters(voters: readonly string[]): Proposed {
    if (this.role !== 'leader' || this.transfer !== null) return { refused: 'NOT_LEADER' };
    if (!this.mayChangeVoters()) return { refused: 'BUSY' };
    const before = this.log.voters;
    const after = new Set(voters);
    const added = [...after].filter((id) => !before.includes(id)).length;
    const removed = before.filter((id) => !after.has(id)).length;
    if (added + removed !== 1 || after.size === 0) return { refused: 'BUSY' };
    const proposed = this.push('voters', encodeVoters([...after]));
    this.updatePeers();
    this.sendToAll();
    return proposed;
  }

  protected mayChangeVoters(): boolean {
    return this.log.votersIndex <= this.commit && this.log.termAt(this.commit) === this.term;
  }

  // Reads.

  /** Asks for an index that has all that was committed before the call. The answer is in `RaftReady.reads`. */
  readIndex(context: number): void {
    if (this.role !== 'leader' || this.pendingReads.length >= READS_MAX) {
      this.doneReads.push({ context, index: null });
      return;
    }
    this.pendingReads.push({ context, index: null, round: 0 });
    this.startReads();
  }

  /** Reads wait until the leader knows what is committed, then for a round of heartbeats after it. */
  private startReads(): void {
    if (this.pendingReads.length === 0 || this.log.termAt(this.commit) !== this.term) return;
    const waiting = this.pendingReads.filter(({ index }) => index === null);
    if (waiting.length === 0) return;
    this.round++;
    for (const read of waiting) {
      read.index = this.commit;
      read.round = this.round;
    }
    this.sendHeartbeats();
    this.finishReads();
  }

  private finishReads(): void {
    const rest: PendingRead[] = [];
    for (const read of this.pendingReads) {
      const confirmed =
        read.index !== null &&
        this.isMajority(
          (id) => id === this.hostId || (this.progress.get(id)?.round ?? -1) >= read.round,
        );
      if (confirmed) this.doneReads.push({ context: read.context, index: read.index });
      else rest.push(read);
    }
    this.pendingReads = rest;
  }

  // Handing over.

  private heir(): string | null {
    let best: string | null = null;
    let bestMatch = -1;
    for (const voter of this.log.voters) {
      const peer = this.progress.get(voter);
      const alive = peer && this.now - peer.lastHeardMillis < this.options.electionMillis;
      if (!alive || peer.match <= bestMatch) continue;
      best = voter;
      bestMatch = peer.match;
    }
    return best;
  }

  /** As the leader: lets the voter take over that has most of the log. Others are refused meanwhile. */
  transferLeadership(): void {
    const heir = this.heir();
    if (this.role !== 'leader' || heir === null) return;
    this.transfer = { to: heir, until: this.now + this.options.electionMillis };
    this.handOver();
  }

  private handOver(): void {
    const { transfer } = this;
    if (transfer === null || this.role !== 'leader') return;
    if (this.progress.get(transfer.to)?.match !== this.log.lastIndex) return;
    this.send(transfer.to, { kind: 'take-over', term: this.term });
  }

  // What comes out.

  private hardState(): HardState {
    return { term: this.term, votedFor: this.votedFor, commit: this.commit };
  }

  /** @returns null: nothing to do, or the one before is not done (`advance`) */
  ready(): RaftReady | null {
    if (this.saving !== null) return null;
    const { log } = this;
    const entries = log.slice(this.unsavedFrom, log.lastIndex);
    const next = this.hardState();
    const old = this.hardStateSaved;
    const changed =
      next.term !== old.term || next.votedFor !== old.votedFor || next.commit !== old.commit;
    const snapshot = this.snapshotToInstall;
    if (snapshot !== null) this.applied = snapshot.index;
    const committed = log.slice(this.applied + 1, this.commit);
    const { messages, doneReads: reads } = this;
    if (
      snapshot === null &&
      entries.length + messages.length + committed.length + reads.length === 0 &&
      !changed
    ) {
      return null;
    }
    this.applied = this.commit;
    this.saving = log.lastIndex;
    this.unsavedFrom = log.lastIndex + 1;
    this.hardStateSaved = next;
    this.snapshotToInstall = null;
    this.messages = [];
    this.doneReads = [];
    return { snapshot, entries, hardState: changed ? next : null, messages, committed, reads };
  }

  /** What the last `ready` gave is persisted, sent and applied. */
  advance(): void {
    if (this.saving === null) return;
    // What was changed meanwhile is not on disk.
    this.saved = Math.max(this.saved, Math.min(this.saving, this.unsavedFrom - 1));
    this.saving = null;
    this.advanceCommit();
  }

  /**
   * Drops entries that a snapshot has. The caller has persisted it.
   * @param index applied
   * @param keep entries that are kept before it, for those who are a little behind
   */
  compact(index: number, data: Uint8Array, keep: number): RaftSnapshot | null {
    const term = this.log.termAt(index);
    if (term === null || index > this.applied || index <= this.log.snapshot.index) return null;
    const snapshot = { index, term, voters: this.log.votersAt(index), data };
    this.log.compact(snapshot, keep);
    return snapshot;
  }

  /** Entries after `index` that are on disk or on the way: what a new log file begins with. */
  entriesAfter(index: number): readonly RaftEntry[] {
    return this.log.slice(index + 1, this.unsavedFrom - 1);
  }
}
