/** What this room needs from the world. */
import type { HardState, RaftEntry, RaftSnapshot } from './raft-types.ts';

/** Monotonic time and timers. */
export interface ClusterClock {
  /** Monotonic, milliseconds. */
  nowMillis(): number;
  /** Calls `run` every `millis`; the answer stops it. */
  every(millis: number, run: () => void): () => void;
  /** Calls `run` once after `millis`; the answer stops it. */
  after(millis: number, run: () => void): () => void;
}

/** Constant message, fields as object. */
export interface ClusterLogger {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What a node's metadata log is on disk. */
export interface MetadataFiles {
  readonly snapshot: RaftSnapshot;
  /** After the snapshot, without gaps. */
  readonly entries: readonly RaftEntry[];
  readonly hardState: HardState;
}

/** Where a node's metadata log is kept. Calls come one after another; each resolves when it is durable. */
export interface MetadataDisk {
  /** @returns null: there is none yet @throws a typed error that names the file if it is damaged */
  load(): Promise<MetadataFiles | null>;
  /** Appends entries, in place of all from the first one's index on. @param hardState null: as it was */
  append(entries: readonly RaftEntry[], hardState: HardState | null): Promise<void>;
  /** Becomes this, in place of all that was there: the one or the other after a crash, never a mixture. */
  replace(files: MetadataFiles): Promise<void>;
}
