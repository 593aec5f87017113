/** The data path of one request over the replicas of the ring. */
import { type CqlError, invalidRequest, type WriteType } from '../common/errors.ts';
import type { ConditionalTarget, CounterChange, DataPath, Decision } from '../query/data-path.ts';
import type { Mutation } from '../query/modify.ts';
import { partitionLength } from '../storage/keys.ts';
import type { RecordSource } from '../storage/record-source.ts';
import type { Batchlog } from './batchlog.ts';
import type { CoordinatorContext } from './context.ts';
import { CoordinatedSource } from './coordinated-source.ts';
import type { CounterWrites } from './counter-write.ts';
import { Level } from './levels.ts';
import type { Paxos } from './paxos.ts';
import type { Topology } from './topology.ts';
import { type Entry, type EntryGroup, groupByReplicas, startWrite } from './write.ts';

/** The levels of a request, by the protocol's numbers. */
export interface Levels {
  readonly consistency: number;
  readonly serialConsistency: number;
}

function entriesOf(mutations: readonly Mutation[]): Entry[] {
  return mutations.map(({ handle, key, record }) => ({
    handle,
    key,
    keyLength: key.length,
    record,
    recordLength: record.length,
  }));
}

/** Nothing is written of what cannot be written as a whole. @throws CqlError Unavailable */
function refuseGroups(
  context: CoordinatorContext,
  groups: readonly EntryGroup[],
  level: number,
): void {
  for (const { replicated, replicas } of groups) {
    const extras = replicated.writes.extrasOf(replicas);
    const refused = replicated.refusal(level, context.live(replicas), extras);
    if (refused === null) continue;
    context.metrics.unavailables++;
    throw refused;
  }
}

/** Writes mutations to their replicas, each group at `level`. @throws CqlError of the first group that fails */
export async function writeGroups(
  context: CoordinatorContext,
  topology: Topology,
  mutations: readonly Mutation[],
  level: number,
  writeType: WriteType,
): Promise<void> {
  const groups = groupByReplicas(topology, entriesOf(mutations));
  refuseGroups(context, groups, level);
  const { writeTimeoutMillis: timeoutMillis } = context.options;
  const results = await Promise.all(
    groups.map(
      (group) =>
        new Promise<CqlError | null>((resolve) => {
          startWrite(context, { ...group, level, writeType, timeoutMillis }, { written: resolve });
        }),
    ),
  );
  for (const error of results) if (error !== null) throw error;
}

/** What the paths of all requests share. */
export interface PathParts {
  readonly context: CoordinatorContext;
  readonly topology: Topology;
  readonly batchlog: Batchlog;
  readonly counters: CounterWrites;
  readonly paxos: Paxos;
}

/** Whether all of the mutations are of one partition, and so one mutation as clients count them. */
function isOnePartition(mutations: readonly Mutation[]): boolean {
  const partitions = new Set<string>();
  for (const { handle, key } of mutations) {
    const length = partitionLength(handle.keys, key);
    const name = Buffer.from(key.subarray(0, length)).toString('latin1');
    partitions.add(`${handle.table.keyspace} ${name}`);
    if (partitions.size > 1) return false;
  }
  return true;
}

export class CoordinatedPath implements DataPath {
  private readonly parts: PathParts;
  private readonly levels: Levels;

  constructor(parts: PathParts, levels: Levels) {
    this.parts = parts;
    this.levels = levels;
  }

  get source(): RecordSource {
    const { consistency } = this.levels;
    if (consistency === Level.ANY) {
      throw invalidRequest(
        'Write operation require a read but consistency ANY is not supported on reads',
      );
    }
    return new CoordinatedSource(this.parts.context, this.parts.topology, consistency);
  }

  write(mutations: readonly Mutation[], type: WriteType): Promise<void> {
    const told = type === 'UNLOGGED_BATCH' && isOnePartition(mutations) ? 'SIMPLE' : type;
    return this.writeAs(mutations, told);
  }

  private writeAs(mutations: readonly Mutation[], type: WriteType): Promise<void> {
    const { context, topology } = this.parts;
    return writeGroups(context, topology, mutations, this.levels.consistency, type);
  }

  async writeLogged(mutations: readonly Mutation[]): Promise<void> {
    if (isOnePartition(mutations)) {
      await this.writeAs(mutations, 'SIMPLE');
      return;
    }
    const { context, topology, batchlog } = this.parts;
    refuseGroups(context, groupByReplicas(topology, entriesOf(mutations)), this.levels.consistency);
    await batchlog.around(mutations, () => this.writeAs(mutations, 'BATCH'));
  }

  count(changes: readonly CounterChange[]): Promise<void> {
    return this.parts.counters.count(changes, this.levels.consistency);
  }

  conditional<T>(
    target: ConditionalTarget,
    decide: (source: RecordSource) => Promise<Decision<T>>,
  ): Promise<T> {
    return this.parts.paxos.run(target, this.levels, decide);
  }
}
