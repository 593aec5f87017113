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
import { type MessageOf, RaftMember } from './raft-member.ts';
import { PeerProgress } from './raft-progress.ts';
import { PendingReads } from './raft-reads.ts';
import { ENTRY_BYTES_MAX, type EntryKind, type Proposed } from './raft-types.ts';

export class RaftNode extends RaftMember {
  private learners: ReadonlySet<string> = new Set();
  private progress = new Map<string, PeerProgress>();
  private heartbeatAt = 0;
  private quorumCheckAt = 0;
  private readonly reads = new PendingReads();
  private transfer: { readonly to: string; readonly until: number } | null = null;

  /** As the leader: entries that a node has; null: not known. */
  matchOf(hostId: string): number | null {
    return this.progress.get(hostId)?.match ?? null;
  }

  /** Who follows without a vote; voters among them do not matter. */
  setLearners(hostIds: Iterable<string>): void {
    this.learners = new Set(hostIds);
    if (this.role === 'leader') this.updatePeers();
  }

  protected override tickLeader(): void {
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

  protected override becomeLeader(): void {
    this.role = 'leader';
    this.leader = this.hostId;
    this.progress = new Map();
    this.quorumCheckAt = this.now + this.options.electionMillis;
    this.updatePeers();
    this.push('empty', new Uint8Array(0));
    this.sendHeartbeats();
    this.sendToAll();
  }

  protected override stoppedLeading(): void {
    for (const context of this.reads.clear()) this.doneReads.push({ context, index: null });
    this.transfer = null;
    this.progress.clear();
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

  private sendHeartbeats(): void {
    this.heartbeatAt = this.now + this.options.heartbeatMillis;
    const { term } = this;
    const { round } = this.reads;
    for (const voter of this.log.voters) {
      const peer = this.progress.get(voter);
      if (peer === undefined) continue;
      const commit = Math.min(this.commit, peer.match);
      this.send(voter, { kind: 'heartbeat', term, commit, round });
    }
  }

  private sendToAll(): void {
    for (const [id, peer] of this.progress) this.sendTo(id, peer);
  }

  private sendTo(id: string, peer: PeerProgress): void {
    const { log, term, commit, now, options } = this;
    const wants = log.voters.includes(id)
      ? peer.wants(log, commit, now)
      : peer.wantsCommitted(commit, now, options.heartbeatMillis);
    if (!wants) return;
    const limits = {
      bytes: options.appendBytesMax,
      count: options.appendEntriesMax,
      retryMillis: options.heartbeatMillis * 2,
      retryMillisMax: options.retryMillisMax,
    };
    this.send(id, peer.take(log, { term, commit, nowMillis: now }, limits));
  }

  protected override onAnswer(
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
      peer.rejected(message.prevIndex, message.match, !this.log.voters.includes(from));
    }
    this.sendTo(from, peer);
    this.handOver();
  }

  protected override persisted(): void {
    this.advanceCommit();
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
    if (this.role !== 'leader' || !this.reads.add(context)) {
      this.doneReads.push({ context, index: null });
      return;
    }
    this.startReads();
  }

  /** Reads wait until the leader knows what is committed, then for a round of heartbeats after it. */
  private startReads(): void {
    if (this.log.termAt(this.commit) !== this.term || !this.reads.start(this.commit)) return;
    this.sendHeartbeats();
    this.finishReads();
  }

  private finishReads(): void {
    const done = this.reads.finish((round) =>
      this.isMajority((id) => id === this.hostId || (this.progress.get(id)?.round ?? -1) >= round),
    );
    this.doneReads.push(...done);
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
}
