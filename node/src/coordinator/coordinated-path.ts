/** The data path of one request over the replicas of the ring. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { type CqlError, invalidRequest, type WriteType } from '../common/errors.ts';
import type { DataPath } from '../query/data-path.ts';
import type { Mutation } from '../query/modify.ts';
import type { RecordSource } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import { CoordinatedSource } from './coordinated-source.ts';
import { Level } from './levels.ts';
import type { Replicated } from './replicated.ts';
import type { Topology } from './topology.ts';
import { type Entry, startWrite } from './write.ts';

/** The levels of a request, by the protocol's numbers. */
export interface Levels {
  readonly consistency: number;
  readonly serialConsistency: number;
}

/** Mutations that go to the same replicas. */
interface Group {
  readonly replicated: Replicated;
  readonly replicas: readonly NodeInfo[];
  readonly entries: Entry[];
}

/** Mutations by their replicas. */
export function groupByReplicas(topology: Topology, mutations: readonly Mutation[]): Group[] {
  const groups: Group[] = [];
  for (const { handle, key, record } of mutations) {
    const replicated = topology.replicatedOf(handle.table);
    const replicas = replicated.placement.ofKey(key);
    const entry = { handle, key, keyLength: key.length, record, recordLength: record.length };
    const group = groups.find(
      (known) => known.replicas === replicas && known.replicated === replicated,
    );
    if (group === undefined) groups.push({ replicated, replicas, entries: [entry] });
    else group.entries.push(entry);
  }
  return groups;
}

/** Writes mutations to their replicas, each group at `level`. @throws CqlError of the first group that fails */
export async function writeGroups(
  context: CoordinatorContext,
  topology: Topology,
  mutations: readonly Mutation[],
  level: number,
  writeType: WriteType,
): Promise<void> {
  const groups = groupByReplicas(topology, mutations);
  for (const { replicated, replicas } of groups) {
    // Nothing is written of what cannot be written as a whole.
    const refused = replicated.refusal(level, context.live(replicas));
    if (refused !== null) {
      context.metrics.unavailables++;
      throw refused;
    }
  }
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

export class CoordinatedPath implements DataPath {
  private readonly context: CoordinatorContext;
  private readonly topology: Topology;
  private readonly levels: Levels;

  constructor(context: CoordinatorContext, topology: Topology, levels: Levels) {
    this.context = context;
    this.topology = topology;
    this.levels = levels;
  }

  get source(): RecordSource {
    const { consistency } = this.levels;
    if (consistency === Level.ANY) {
      throw invalidRequest(
        'Write operation require a read but consistency ANY is not supported on reads',
      );
    }
    return new CoordinatedSource(this.context, this.topology, consistency);
  }

  write(mutations: readonly Mutation[], type: WriteType): Promise<void> {
    return writeGroups(this.context, this.topology, mutations, this.levels.consistency, type);
  }

  async writeLogged(): Promise<void> {
    throw notYet('Logged batches over several partitions');
  }

  async count(): Promise<void> {
    throw notYet('Counters');
  }

  async conditional<T>(): Promise<T> {
    throw notYet('Conditional statements');
  }
}

function notYet(what: string): CqlError {
  return invalidRequest(`${what} are not supported in a cluster of more than one node`);
}
