/** What the metadata log's Raft is made of: entries, snapshots, messages. Source: Ongaro's dissertation, chapters 3, 4, 6, 9. */

/** The largest entry that is taken. */
export const ENTRY_BYTES_MAX = 8 << 20;
/** The largest snapshot that is taken from a leader. */
export const SNAPSHOT_BYTES_MAX = 128 << 20;
/** Voters of one configuration: five, and one more while one replaces another. */
export const VOTERS_MAX = 7;

export type EntryKind = 'command' | 'voters' | 'empty';

export interface RaftEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  /** Of `voters`: `encodeVoters`. Of `empty`: nothing. */
  readonly data: Uint8Array;
}

/** What must be on disk before any message of the same turn goes out. */
export interface HardState {
  readonly term: number;
  /** Host id; empty: nobody. */
  readonly votedFor: string;
  /** Not needed to be safe: what a node that finds no majority starts with. */
  readonly commit: number;
}

export interface RaftSnapshot {
  /** Of the last entry in it. */
  readonly index: number;
  readonly term: number;
  readonly voters: readonly string[];
  readonly data: Uint8Array;
}

export type RaftMessage =
  /** `term`: the one that the sender would have. */
  | {
      readonly kind: 'pre-vote';
      readonly term: number;
      readonly lastIndex: number;
      readonly lastTerm: number;
    }
  | { readonly kind: 'pre-vote-answer'; readonly term: number; readonly granted: boolean }
  | {
      readonly kind: 'vote';
      readonly term: number;
      readonly lastIndex: number;
      readonly lastTerm: number;
      /** The leader wants it: others need not wait until it is gone. */
      readonly transfer: boolean;
    }
  | { readonly kind: 'vote-answer'; readonly term: number; readonly granted: boolean }
  | {
      readonly kind: 'append';
      readonly term: number;
      readonly prevIndex: number;
      readonly prevTerm: number;
      readonly commit: number;
      readonly entries: readonly RaftEntry[];
    }
  | {
      readonly kind: 'append-answer';
      readonly term: number;
      readonly ok: boolean;
      /** Of the append that is answered. */
      readonly prevIndex: number;
      /** ok: all up to here is the leader's. Otherwise: try after this one. */
      readonly match: number;
      readonly commit: number;
    }
  | {
      readonly kind: 'heartbeat';
      readonly term: number;
      readonly commit: number;
      readonly round: number;
    }
  | { readonly kind: 'heartbeat-answer'; readonly term: number; readonly round: number }
  | {
      readonly kind: 'snapshot';
      readonly term: number;
      readonly index: number;
      readonly lastTerm: number;
      readonly voters: readonly string[];
      readonly totalBytes: number;
      readonly offset: number;
      readonly data: Uint8Array;
    }
  /** `offset`: bytes that are there. */
  | {
      readonly kind: 'snapshot-answer';
      readonly term: number;
      readonly index: number;
      readonly offset: number;
    }
  /** From the leader: take over now. */
  | { readonly kind: 'take-over'; readonly term: number };

export interface AddressedMessage {
  readonly to: string;
  readonly message: RaftMessage;
}

/** What to do next, in the order of the fields; then `RaftNode.advance`. */
export interface RaftReady {
  /** Persist, in place of the whole log, and become what it says. */
  readonly snapshot: RaftSnapshot | null;
  /** Persist, in place of everything from the first one's index on. */
  readonly entries: readonly RaftEntry[];
  /** Persist. Null: as it was. */
  readonly hardState: HardState | null;
  /** Send; any may be lost. */
  readonly messages: readonly AddressedMessage[];
  /** Apply. */
  readonly committed: readonly RaftEntry[];
  /** Answers to `RaftNode.readIndex`; index null: not the leader any more. */
  readonly reads: readonly { readonly context: number; readonly index: number | null }[];
}

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

export type RaftRole = 'follower' | 'pre-candidate' | 'candidate' | 'leader';
export type ProposeRefusal = 'NOT_LEADER' | 'TOO_LARGE' | 'BUSY';
export type Proposed =
  | { readonly index: number; readonly term: number }
  | { readonly refused: ProposeRefusal };
