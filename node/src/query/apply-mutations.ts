/** Mutations of one or several shards, applied under one promise. */
import type { CqlError } from '../common/errors.ts';
import type { LocalStore, WriteSink } from '../storage/local-store.ts';
import type { Mutation } from './modify.ts';

/** One promise for entries in several shards. */
class WriteGroup implements WriteSink {
  readonly promise: Promise<void>;
  private waiting = 0;
  private failure: CqlError | null = null;
  private resolve!: () => void;
  private reject!: (error: CqlError) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  expect(count: number): void {
    this.waiting += count;
  }

  written(error: CqlError | null): void {
    this.failure ??= error;
    this.waiting--;
    if (this.waiting > 0) return;
    if (this.failure === null) this.resolve();
    else this.reject(this.failure);
  }
}

/** Merges records and resolves when all are applied (and durable, in `group`). @throws CqlError */
export function applyMutations(
  store: Pick<LocalStore, 'merge' | 'addSink'>,
  mutations: readonly Mutation[],
): Promise<void> {
  if (mutations.length === 0) return Promise.resolve();
  const shards = new Set<number>();
  for (const { handle, key, record } of mutations) {
    shards.add(store.merge(handle, key, key.length, record, record.length));
  }
  const group = new WriteGroup();
  group.expect(shards.size);
  for (const shard of shards) store.addSink(shard, group);
  return group.promise;
}
