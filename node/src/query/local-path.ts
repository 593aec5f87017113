/** The data path of a node that is alone: its own shards, and one line of work for each partition. */
import { casWriteUnknown, type WriteType, writeTimeout } from '../common/errors.ts';
import type { RecordSource } from '../storage/record-source.ts';
import { applyMutations } from './apply-mutations.ts';
import { countHere } from './counters.ts';
import type { ConditionalTarget, CounterChange, DataPath, Decision } from './data-path.ts';
import type { ExecutorDeps } from './execute.ts';
import type { Mutation } from './modify.ts';

const CAS_TIMEOUT_MS = 1_000;
const COUNTER_TIMEOUT_MS = 5_000;
const SERIAL = 8;
const ONE_OF_ONE = { consistency: SERIAL, received: 0, required: 1 };

export class LocalPath implements DataPath {
  readonly source: RecordSource;
  private readonly deps: ExecutorDeps;

  constructor(deps: ExecutorDeps) {
    this.deps = deps;
    this.source = deps.store;
  }

  write(mutations: readonly Mutation[], _type?: WriteType): Promise<void> {
    return applyMutations(this.deps.store, mutations);
  }

  writeLogged(mutations: readonly Mutation[]): Promise<void> {
    const { store, batchLog } = this.deps;
    const shards = new Set(mutations.map(({ key }) => store.shardOf(key)));
    return shards.size > 1 ? batchLog.apply(mutations) : applyMutations(store, mutations);
  }

  private async lock(partition: Uint8Array, timeoutMs: number): Promise<() => void> {
    const release = await this.deps.locks.acquire([partition], timeoutMs);
    if (release === null) throw writeTimeout(ONE_OF_ONE, 'CAS', 0);
    return release;
  }

  async count(changes: readonly CounterChange[]): Promise<void> {
    if (changes.length === 0) return;
    const release = await this.lock(changes[0].partition, COUNTER_TIMEOUT_MS);
    try {
      await countHere(this.deps, changes);
    } finally {
      release();
    }
  }

  async conditional<T>(
    { partition }: ConditionalTarget,
    decide: (source: RecordSource) => Promise<Decision<T>>,
  ): Promise<T> {
    const release = await this.lock(partition, CAS_TIMEOUT_MS);
    try {
      const decision = await decide(this.source);
      if (!decision.applies) return decision.result;
      const mutations = await decision.mutations(this.deps.serialMicros());
      try {
        await applyMutations(this.deps.store, mutations);
      } catch {
        throw casWriteUnknown(ONE_OF_ONE);
      }
      return decision.result;
    } finally {
      release();
    }
  }
}
