/** What a shard's RocksDB tells about itself. */
import type { KvStore } from '../storage/kv.ts';

export interface ShardFacts {
  readonly sstBytes: number;
  /** Also of memtables that are being flushed. */
  readonly memtableBytes: number;
  readonly queuedWriteBytes: number;
  readonly pendingCompactionBytes: number;
  readonly runningCompactions: number;
  readonly runningFlushes: number;
  readonly writesStopped: boolean;
  /** 0: writes are not slowed down. */
  readonly delayedWriteBytesPerSecond: number;
  readonly backgroundErrors: number;
}

export function shardFacts(store: KvStore): ShardFacts {
  const families = store.families();
  const sum = (name: string) => {
    let total = 0;
    for (const family of families.values()) total += Number(store.property(family, name) ?? 0);
    return total;
  };
  // Some properties are of the whole instance: any family tells them.
  const [first = 0] = families.values();
  const whole = (name: string) => Number(store.property(first, name) ?? 0);
  return {
    sstBytes: sum('rocksdb.total-sst-files-size'),
    memtableBytes: sum('rocksdb.size-all-mem-tables'),
    queuedWriteBytes: store.queuedBytes(),
    pendingCompactionBytes: sum('rocksdb.estimate-pending-compaction-bytes'),
    runningCompactions: whole('rocksdb.num-running-compactions'),
    runningFlushes: whole('rocksdb.num-running-flushes'),
    writesStopped: whole('rocksdb.is-write-stopped') !== 0,
    delayedWriteBytesPerSecond: whole('rocksdb.actual-delayed-write-rate'),
    backgroundErrors: sum('rocksdb.background-errors'),
  };
}
