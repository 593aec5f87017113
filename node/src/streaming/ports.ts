/** What streaming is given, and the errors it fails with. */
import type { TableDef } from '../schema/schema.ts';
import type { FamilyId, FamilyOptions, KvStore } from '../storage/kv.ts';

/** Buckets of the token grid (cluster/grid.ts), both inclusive. */
export interface BucketRange {
  readonly first: number;
  readonly last: number;
}

/** This node's shards, in token order, as the streaming of either side uses them. */
export interface StreamStores {
  /** A power of two. */
  readonly count: number;
  store(shard: number): KvStore;
  /** @throws KvError BAD_ARGUMENT if the table has no family there */
  family(shard: number, table: TableDef): FamilyId;
  /** With which the table's families are made. */
  options(table: TableDef): FamilyOptions;
}

/** Directories and files of the node's data directory. */
export interface StreamFiles {
  /** Makes a directory and those above it. */
  make(directory: string): Promise<void>;
  /** Names in a directory; none if it is not there. */
  list(directory: string): Promise<readonly string[]>;
  /** Whatever is there; nothing if it is not. */
  remove(path: string): Promise<void>;
  /** Bytes; null: no such file. */
  size(path: string): Promise<number | null>;
  /** CRC-32C, 8 hex digits. */
  checksum(path: string): Promise<string>;
  /** The directory's entries are on disk. */
  sync(directory: string): Promise<void>;
  /** Null: no such file. */
  read(path: string): Promise<string | null>;
  /** The file has this text, or what it had before; on disk. */
  write(path: string, text: string): Promise<void>;
  /** Of the disk on which the directory is. */
  freeBytes(directory: string): Promise<number>;
}

export interface StreamClock {
  nowMillis(): number;
  after(millis: number, run: () => void): () => void;
}

export function sleep(clock: StreamClock, millis: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(millis, resolve);
  });
}

export type StreamErrorCode =
  | 'REFUSED' // the other side does not take part: another cluster, no such operation, no valid token
  | 'CORRUPT' // a file that arrived is not what was written
  | 'BROKEN' // the connection, or the other side, again and again
  | 'NO_SPACE'
  | 'CANCELLED'
  | 'MALFORMED';

/** Why a transfer ended early. What had arrived stays for another try, unless it was CORRUPT. */
export class StreamError extends Error {
  readonly code: StreamErrorCode;
  constructor(code: StreamErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StreamError';
    this.code = code;
  }
}
