/**
 * What every Raft node does: elections, and following a leader. What only leaders do is in raft.ts.
 */
import { type RaftStart, RaftStore } from './raft-store.ts';
import type { RaftMessage, RaftOptions, RaftRole } from './raft-types.ts';

export type MessageOf<K extends RaftMessage['kind']> = Extract<RaftMessage, { readonly kind: K }>;

type LeaderMessage = MessageOf<'append-answer' | 'heartbeat-answer' | 'snapshot-answer'>;

interface IncomingSnapshot {
  /** Another leader's bytes may be others, although they say the same. */
  readonly from: string;
  readonly term: number;
  readonly totalBytes: number;
  readonly index: number;
  readonly lastTerm: number;
  readonly parts: Uint8Array[];
  bytes: number;
}

/** Of one `ready`: more than a cluster has nodes. */
const MESSAGES_MAX = 20_000;

export abstract class RaftMember extends RaftStore {
  protected readonly options: RaftOptions;
  protected role: RaftRole = 'follower';
  protected leader: string | null = null;
  protected now = 0;
  private started = false;
  private electionAt = 0;
  private leaderHeardAt = Number.NEGATIVE_INFINITY;
  private votes = new Set<string>();
  private incoming: IncomingSnapshot | null = null;

  constructor(start: RaftStart, options: RaftOptions) {
    super(start);
    this.options = options;
  }

  /** This node has been elected. */
  protected abstract becomeLeader(): void;
  /** Another term, or no majority. */
  protected abstract stoppedLeading(): void;
  protected abstract tickLeader(): void;
  /** As the leader: what another node answers. */
  protected abstract onAnswer(from: string, message: LeaderMessage): void;

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

  private isOnlyVoter(): boolean {
    const { voters } = this.log;
    return voters.length === 1 && voters[0] === this.hostId;
  }

  protected isMajority(has: (hostId: string) => boolean): boolean {
    const { voters } = this.log;
    return voters.filter(has).length * 2 > voters.length;
  }

  private resetElection(): void {
    this.electionAt = this.now + this.options.electionMillis * (1 + this.options.random());
  }

  protected send(to: string, message: RaftMessage): void {
    // A disk that takes long is no reason to need more and more memory; all of them may be lost.
    if (this.messages.length < MESSAGES_MAX) this.messages.push({ to, message });
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

  protected becomeFollower(term: number, leader: string | null): void {
    if (term > this.term) {
      this.term = term;
      this.votedFor = '';
    }
    if (this.role === 'leader') this.stoppedLeading();
    this.role = 'follower';
    this.leader = leader;
    this.resetElection();
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

  /** What has come of a snapshot so far. */
  private incomingOf(from: string, message: MessageOf<'snapshot'>): IncomingSnapshot {
    const { term, index, lastTerm, totalBytes } = message;
    const known = this.incoming;
    if (
      known?.from === from &&
      known.term === term &&
      known.index === index &&
      known.lastTerm === lastTerm &&
      known.totalBytes === totalBytes
    ) {
      return known;
    }
    this.incoming = { from, term, index, lastTerm, totalBytes, parts: [], bytes: 0 };
    return this.incoming;
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
    const incoming = this.incomingOf(from, message);
    if (offset === incoming.bytes) {
      incoming.parts.push(message.data);
      incoming.bytes += message.data.length;
    }
    if (incoming.bytes < totalBytes) {
      this.send(from, { kind: 'snapshot-answer', term, index, offset: incoming.bytes });
      return;
    }
    this.incoming = null;
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
}
