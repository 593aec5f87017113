/** What a leader knows of one other node, and what it sends it next. */
import type { RaftLog } from './raft-log.ts';
import type { RaftMessage } from './raft-types.ts';

export interface SendLimits {
  readonly bytes: number;
  readonly count: number;
}

export interface SendTimes {
  /** Sent again after this, doubled each time up to the maximum. */
  readonly retryMillis: number;
  readonly retryMillisMax: number;
}

export class PeerProgress {
  /** All up to here is known to be the same as the leader's. */
  match = 0;
  next: number;
  /** What the peer knows to be committed. */
  commit = 0;
  /** The last round of heartbeats that it answered. */
  round = 0;
  lastHeardMillis: number;
  private waitingUntil: number | null = null;
  private retries = 0;
  private sentMillis = Number.NEGATIVE_INFINITY;
  private snapshotIndex = 0;
  private snapshotOffset = 0;

  constructor(next: number, nowMillis: number) {
    this.next = next;
    this.lastHeardMillis = nowMillis;
  }

  /**
   * The same for one who has no vote. Nothing waits for it, so it hears of what is committed only, and of much at once
   * where much happens: what the leader sends does not grow with changes times nodes.
   */
  wantsCommitted(commit: number, nowMillis: number, pauseMillis: number): boolean {
    if (this.match >= commit && this.commit >= commit) return false;
    if (this.waitingUntil !== null) return nowMillis >= this.waitingUntil;
    return nowMillis - this.sentMillis >= pauseMillis;
  }

  /** Whether there is something to send now: one message is on its way at a time. */
  wants(log: RaftLog, commit: number, nowMillis: number): boolean {
    if (this.match >= log.lastIndex && this.commit >= commit) return false;
    return this.waitingUntil === null || nowMillis >= this.waitingUntil;
  }

  /** The next message, and waits for its answer. */
  take(
    log: RaftLog,
    leader: { readonly term: number; readonly commit: number; readonly nowMillis: number },
    limits: SendLimits & SendTimes,
  ): RaftMessage {
    const backoff = limits.retryMillis * 2 ** Math.min(this.retries, 10);
    this.waitingUntil = leader.nowMillis + Math.min(limits.retryMillisMax, backoff);
    this.retries++;
    this.sentMillis = leader.nowMillis;
    const prevIndex = this.next - 1;
    const prevTerm = log.termAt(prevIndex);
    if (prevTerm === null) return this.takeSnapshot(log, leader.term, limits.bytes);
    const entries = log.chunk(this.next, limits);
    const { term, commit } = leader;
    return { kind: 'append', term, prevIndex, prevTerm, commit, entries };
  }

  private takeSnapshot(log: RaftLog, term: number, chunkBytes: number): RaftMessage {
    const { index, term: lastTerm, voters, data } = log.snapshot;
    if (this.snapshotIndex !== index) {
      this.snapshotIndex = index;
      this.snapshotOffset = 0;
    }
    const offset = Math.min(this.snapshotOffset, data.length);
    return {
      kind: 'snapshot',
      term,
      index,
      lastTerm,
      voters,
      totalBytes: data.length,
      offset,
      data: data.subarray(offset, offset + chunkBytes),
    };
  }

  private heard(): void {
    this.waitingUntil = null;
    this.retries = 0;
  }

  accepted(match: number, commit: number, lastIndex: number): void {
    this.heard();
    this.match = Math.max(this.match, Math.min(match, lastIndex));
    this.next = Math.max(this.next, this.match + 1);
    this.commit = Math.max(this.commit, commit);
  }

  /** @param mayForget it has no vote, so it may have lost its log and joined anew */
  rejected(prevIndex: number, hint: number, mayForget: boolean): void {
    // An answer to an older message.
    if (prevIndex !== this.next - 1 || (prevIndex <= this.match && !mayForget)) return;
    this.heard();
    if (prevIndex <= this.match) this.match = Math.min(hint, prevIndex - 1);
    this.next = Math.max(this.match + 1, Math.min(hint + 1, prevIndex));
  }

  snapshotReceived(index: number, offset: number): void {
    if (index !== this.snapshotIndex) return;
    this.heard();
    this.snapshotOffset = offset;
  }
}
