/** The entries of one node's log after its last snapshot, in memory, and the voters that it names. */
import { decodeVoters } from './raft-codec.ts';
import type { RaftEntry, RaftSnapshot } from './raft-types.ts';

interface Configuration {
  readonly index: number;
  readonly voters: readonly string[];
}

export class RaftLog {
  private base: RaftSnapshot;
  /** Index and term of the entry before the first that is kept. */
  private start: { readonly index: number; readonly term: number };
  private entries: RaftEntry[] = [];
  /** Ascending; the first is that of what was compacted. A configuration counts as soon as it is in the log. */
  private configurations: Configuration[];
  private keptBytes = 0;

  constructor(snapshot: RaftSnapshot, entries: readonly RaftEntry[]) {
    this.base = snapshot;
    this.start = snapshot;
    this.configurations = [snapshot];
    for (const entry of entries) if (entry.index > snapshot.index) this.push(entry);
  }

  get snapshot(): RaftSnapshot {
    return this.base;
  }

  get lastIndex(): number {
    return this.start.index + this.entries.length;
  }

  get lastTerm(): number {
    return this.entries.at(-1)?.term ?? this.start.term;
  }

  /** First index that can be sent as an entry. */
  get firstIndex(): number {
    return this.start.index + 1;
  }

  /** Of the data of all entries kept. */
  get bytes(): number {
    return this.keptBytes;
  }

  /** In force: of the newest configuration in the log, committed or not. */
  get voters(): readonly string[] {
    return this.configurations[this.configurations.length - 1].voters;
  }

  /** Where the voters in force were written. */
  get votersIndex(): number {
    return this.configurations[this.configurations.length - 1].index;
  }

  votersAt(index: number): readonly string[] {
    return (this.configurations.findLast((one) => one.index <= index) ?? this.base).voters;
  }

  /** Null for what is compacted or not there. */
  termAt(index: number): number | null {
    if (index === this.start.index) return this.start.term;
    return this.entries[index - this.start.index - 1]?.term ?? null;
  }

  /** Entries in [from, to], none that are compacted. */
  slice(from: number, to: number): readonly RaftEntry[] {
    const first = this.start.index + 1;
    return this.entries.slice(Math.max(0, from - first), Math.max(0, to - first + 1));
  }

  /** Entries from `from` on, as many as fit, but one at least. */
  chunk(from: number, limits: { readonly bytes: number; readonly count: number }): RaftEntry[] {
    const chunk: RaftEntry[] = [];
    let bytes = 0;
    for (let i = from - this.start.index - 1; i < this.entries.length; i++) {
      const entry = this.entries[i];
      bytes += entry.data.length;
      if (chunk.length > 0 && (bytes > limits.bytes || chunk.length >= limits.count)) break;
      chunk.push(entry);
    }
    return chunk;
  }

  /** Appends, in place of everything from the entry's index on. */
  append(entry: RaftEntry): void {
    this.truncate(entry.index);
    this.push(entry);
  }

  private push(entry: RaftEntry): void {
    this.entries.push(entry);
    this.keptBytes += entry.data.length;
    if (entry.kind !== 'voters') return;
    const voters = decodeVoters(entry.data);
    if (voters !== null) this.configurations.push({ index: entry.index, voters });
  }

  private truncate(from: number): void {
    while (this.lastIndex >= from) {
      const entry = this.entries.pop();
      if (entry === undefined) return;
      this.keptBytes -= entry.data.length;
    }
    while (this.configurations.length > 1 && this.votersIndex >= from) this.configurations.pop();
  }

  /** Takes a newer snapshot of the same log, and drops entries that are in it, all but the last `keep`. */
  compact(snapshot: RaftSnapshot, keep: number): void {
    this.base = snapshot;
    const index = Math.max(this.start.index, snapshot.index - keep);
    const term = this.termAt(index) ?? snapshot.term;
    const dropped = this.entries.splice(0, index - this.start.index);
    for (const entry of dropped) this.keptBytes -= entry.data.length;
    const voters = this.votersAt(index);
    this.start = { index, term };
    this.configurations = [
      { index, voters },
      ...this.configurations.filter((one) => one.index > index),
    ];
  }

  /** Becomes the log of a snapshot, with nothing after it. */
  reset(snapshot: RaftSnapshot): void {
    this.base = snapshot;
    this.start = snapshot;
    this.entries = [];
    this.keptBytes = 0;
    this.configurations = [snapshot];
  }
}
