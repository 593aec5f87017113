/** Records as replicas have them, for one request at one consistency level, of tables whose keyspace is replicated. */
import type {
  PointReader,
  RecordScan,
  RecordSource,
  ScanOptions,
  TableHandle,
} from '../storage/record-source.ts';
import { contactsOf } from './contacts.ts';
import type { CoordinatorContext } from './context.ts';
import { isMonotonic } from './levels.ts';
import { startRead } from './point-read.ts';
import { RangeScan } from './range-scan.ts';
import type { Topology } from './topology.ts';

export class CoordinatedSource implements RecordSource {
  /** The ring is one run of keys; what is where is the source's business. */
  readonly shardCount = 1;
  private readonly context: CoordinatorContext;
  private readonly topology: Topology;
  private readonly level: number;
  private keys: Uint8Array[] = [];
  private handle: TableHandle | null = null;

  constructor(context: CoordinatorContext, topology: Topology, level: number) {
    this.context = context;
    this.topology = topology;
    this.level = level;
  }

  shardOf(): number {
    return 0;
  }

  get(handle: TableHandle, _shard: number, key: Uint8Array, keyLength: number): void {
    this.handle = handle;
    this.keys.push(Buffer.from(key.subarray(0, keyLength)));
  }

  /** All of its keys are of one partition. */
  addReader(_shard: number, reader: PointReader): void {
    const { context, level, keys, handle } = this;
    this.keys = [];
    if (handle === null) return;
    const replicated = this.topology.replicatedOf(handle.table);
    const { readTimeoutMillis: timeoutMillis } = context.options;
    const replicas = replicated.placement.ofKey(keys[0]);
    startRead(context, { replicated, replicas, handle, keys, level, timeoutMillis }, reader);
  }

  scan(handle: TableHandle, _shard: number, options: ScanOptions): RecordScan {
    const { context, level } = this;
    const replicated = this.topology.replicatedOf(handle.table);
    const { lower, upper } = options;
    if (lower !== null && upper !== null && isOnePartition(lower, upper)) {
      const live = context.live(replicated.placement.ofKey(lower));
      const { contacts } = contactsOf(context, replicated, level, live);
      const isEnough = replicated.refusal(level, live) === null;
      const isStill = !isMonotonic(level) || replicated.moveOf(lower) === null;
      if (isEnough && isStill && contacts.length === 1 && context.isSelf(contacts[0])) {
        const { store } = context.deps;
        return store.scan(handle, store.shardOf(lower), options);
      }
    }
    return new RangeScan(context, { replicated, handle, level, scan: options });
  }
}

const TOKEN_BYTES = 8;

/** Both bounds have the same token. */
function isOnePartition(lower: Uint8Array, upper: Uint8Array): boolean {
  if (lower.length < TOKEN_BYTES || upper.length < TOKEN_BYTES) return false;
  for (let i = 0; i < TOKEN_BYTES; i++) if (lower[i] !== upper[i]) return false;
  return true;
}
