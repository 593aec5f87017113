/**
 * What a Raft node keeps, and how it comes out: log, term, vote and commit, what of them is on disk, and what the next
 * `RaftReady` has. The rules by which they change are in raft.ts.
 */
import { RaftLog } from './raft-log.ts';
import type {
  AddressedMessage,
  HardState,
  RaftEntry,
  RaftReady,
  RaftSnapshot,
} from './raft-types.ts';

/** What a node had when it stopped; of a new node: index 0 and nothing. */
export interface RaftStart {
  readonly snapshot: RaftSnapshot;
  readonly entries: readonly RaftEntry[];
  readonly hardState: HardState;
}

export abstract class RaftStore {
  protected readonly log: RaftLog;
  protected term: number;
  protected votedFor: string;
  protected commit: number;
  protected messages: AddressedMessage[] = [];
  protected doneReads: { context: number; index: number | null }[] = [];
  /** All up to here is on disk. */
  protected saved: number;
  protected applied: number;
  private snapshotToInstall: RaftSnapshot | null = null;
  private hardStateSaved: HardState;
  /** First entry that is not in a `ready` yet. */
  private unsavedFrom: number;
  /** Last entry of the `ready` that is being persisted; null: none is. */
  private saving: number | null = null;

  constructor(start: RaftStart) {
    this.log = new RaftLog(start.snapshot, start.entries);
    this.term = Math.max(start.hardState.term, this.log.lastTerm);
    this.votedFor = this.term === start.hardState.term ? start.hardState.votedFor : '';
    this.applied = start.snapshot.index;
    this.commit = Math.max(this.applied, Math.min(start.hardState.commit, this.log.lastIndex));
    this.hardStateSaved = this.hardState();
    this.saved = this.log.lastIndex;
    this.unsavedFrom = this.saved + 1;
  }

  /** More is on disk than before. */
  protected abstract persisted(): void;

  /** Term and voters of an entry that is applied: what a snapshot of then would say. Null: compacted. */
  positionOf(index: number): { readonly term: number; readonly voters: readonly string[] } | null {
    const term = this.log.termAt(index);
    return term === null ? null : { term, voters: this.log.votersAt(index) };
  }

  protected changeLog(entry: RaftEntry): void {
    this.log.append(entry);
    this.unsavedFrom = Math.min(this.unsavedFrom, entry.index);
    this.saved = Math.min(this.saved, entry.index - 1);
  }

  protected commitTo(index: number): void {
    this.commit = Math.max(this.commit, index);
  }

  protected install(snapshot: RaftSnapshot): void {
    this.log.reset(snapshot);
    this.commit = snapshot.index;
    this.snapshotToInstall = snapshot;
    this.saved = snapshot.index;
    this.unsavedFrom = snapshot.index + 1;
    // What is being persisted is of a log that is no more.
    if (this.saving !== null) this.saving = 0;
  }

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
    this.persisted();
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
