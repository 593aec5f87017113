/**
 * What one node does of one operation: gets the ranges that are to be its own. Until it has them, what is written into
 * them is kept aside; a range that has arrived gets what was kept aside, and takes writes like any other.
 */
import type { ClusterState, NodeInfo, TopologyOperation } from '../cluster/cluster-state.ts';
import { isGoneBy, type Movement, movementsOf, sourcesOf } from '../cluster/movements.ts';
import { familyName, type Schema, type TableDef } from '../schema/schema.ts';
import { asideName } from '../storage/families.ts';
import { normalized, type Part, partsOf } from './file-plan.ts';
import { FileKind } from './messages.ts';
import { type BucketRange, StreamError, sleep } from './ports.ts';
import { copySlice } from './slices.ts';
import { type PullDeps, type PullTable, pull } from './stream-target.ts';

/** Buckets of a table that are kept aside. */
export interface AsideRanges {
  readonly table: TableDef;
  readonly ranges: readonly BucketRange[];
}

/** How far it is. Bytes and files are of what has been planned so far. */
export interface GainProgress {
  readonly operation: string;
  bytesTotal: number;
  bytesDone: number;
  filesTotal: number;
  filesDone: number;
  rangesTotal: number;
  rangesDone: number;
  /** Of files that came as they were at the source. */
  wholeBytes: number;
  /** Milliseconds, of the clock of the deps. */
  startedMillis: number;
  /** What it waits for; null: nothing. */
  problem: string | null;
}

export function newProgress(operation: string, startedMillis: number): GainProgress {
  return {
    operation,
    bytesTotal: 0,
    bytesDone: 0,
    filesTotal: 0,
    filesDone: 0,
    rangesTotal: 0,
    rangesDone: 0,
    wholeBytes: 0,
    startedMillis,
    problem: null,
  };
}

export interface GainDeps extends PullDeps {
  readonly self: Pick<NodeInfo, 'hostId' | 'datacenter'>;
  state(): Pick<ClusterState, 'nodes'>;
  /** User keyspaces. */
  schema(): Schema;
  /** Of a table for messages: id and generation, 20 bytes. */
  refOf(table: TableDef): Buffer;
  isAlive(hostId: string): boolean;
  byProximity(nodes: readonly NodeInfo[]): readonly NodeInfo[];
  /** The ranges set aside have changed; resolves when every worker knows. */
  asideChanged(): Promise<void>;
  readonly log: {
    info(message: string, fields: Readonly<Record<string, unknown>>): void;
    warn(message: string, fields: Readonly<Record<string, unknown>>): void;
    error(message: string, fields: Readonly<Record<string, unknown>>): void;
  };
}

const PULLS_MAX = 3;
const RETRY_MILLIS = 1_000;
/** A source that failed is not asked for so long, if another will do. */
const SHUN_MILLIS = 30_000;
const STATE_VERSION = 1;

/** For files on their way: what an earlier process has left there is of no use. */
export function arrivingIn(directory: string): string {
  return `${directory}/arriving`;
}

/** What an operation's gain has got so far, for the next process. @param id of the operation */
export function gainStateFile(id: string): string {
  return `${id}.json`;
}

/** One movement of one table. */
interface Wanted {
  readonly table: TableDef;
  readonly movement: Movement;
}

/** Ranges that are taken from all of some sources. */
interface Group {
  readonly sources: readonly NodeInfo[];
  readonly wanted: Wanted[];
}

/** Buckets that have arrived, by family. */
type Arrived = Map<string, readonly BucketRange[]>;

function addTo(arrived: Arrived, family: string, { first, last }: BucketRange): void {
  arrived.set(family, normalized([...(arrived.get(family) ?? []), { first, last }]));
}

export class Gain {
  readonly operation: TopologyOperation;
  readonly progress: GainProgress;
  private readonly deps: GainDeps;
  private readonly abort = new AbortController();
  /** Take writes like any other. */
  private readonly arrived: Arrived = new Map();
  /** Have what was kept aside, too. */
  private readonly settled: Arrived = new Map();
  /** Have arrived and not settled. */
  private flips: { readonly table: TableDef; readonly range: BucketRange }[] = [];
  private flipping: Promise<void> | null = null;
  private tables: readonly TableDef[] = [];
  private readonly shunned = new Map<string, number>();
  /** Host ids of nodes that gave what was damaged: they are asked only if the others will not do. */
  private readonly damaged = new Set<string>();

  constructor(deps: GainDeps, operation: TopologyOperation) {
    this.deps = deps;
    this.operation = operation;
    this.progress = newProgress(operation.id, deps.clock.nowMillis());
  }

  private get statePath(): string {
    return `${this.deps.directory}/${gainStateFile(this.operation.id)}`;
  }

  /** Before any write of the new placement is taken: families for what is kept aside, what an earlier process has done. */
  async prepare(): Promise<void> {
    const { files, directory, stores, schema } = this.deps;
    await files.make(arrivingIn(directory));
    const text = await files.read(this.statePath);
    if (text !== null) this.restore(text);
    this.tables = [...schema().keyspaces.values()]
      .filter(({ replication }) => this.movementsIn(replication).length > 0)
      .flatMap((keyspace) => [...keyspace.tables.values()]);
    for (let shard = 0; shard < stores.count; shard++) {
      const store = stores.store(shard);
      const known = store.families();
      const missing = this.tables.filter((table) => !known.has(asideName(familyName(table))));
      await store.createFamilies(
        new Map(missing.map((table) => [asideName(familyName(table)), stores.options(table)])),
      );
    }
  }

  private restore(text: string): void {
    const state = JSON.parse(text) as {
      readonly version: number;
      readonly arrived: readonly (readonly [string, readonly BucketRange[]])[];
    };
    // Of another version: what has arrived comes again, and is merged.
    if (state.version !== STATE_VERSION) return;
    for (const [family, ranges] of state.arrived) {
      this.arrived.set(family, ranges);
      this.settled.set(family, ranges);
    }
  }

  private async save(): Promise<void> {
    const state = { version: STATE_VERSION, arrived: [...this.settled] };
    await this.deps.files.write(this.statePath, JSON.stringify(state));
  }

  private movementsIn(replication: Readonly<Record<string, string>>): readonly Movement[] {
    const all = movementsOf(this.deps.state(), this.operation, replication);
    return all.get(this.deps.self.hostId) ?? [];
  }

  /** What is kept aside now. */
  aside(): readonly AsideRanges[] {
    const byTable = new Map<TableDef, BucketRange[]>();
    for (const { table, movement } of this.missing()) {
      const ranges = byTable.get(table);
      if (ranges === undefined) byTable.set(table, [movement]);
      else ranges.push(movement);
    }
    return [...byTable].map(([table, ranges]) => ({ table, ranges: normalized(ranges) }));
  }

  private missing(): Wanted[] {
    const { keyspaces } = this.deps.schema();
    const movements = new Map<string, readonly Movement[]>();
    const missing: Wanted[] = [];
    for (const table of this.tables) {
      const keyspace = keyspaces.get(table.keyspace);
      // Dropped meanwhile, or truncated: another generation of it is written to as usual.
      if (keyspace?.tables.get(table.name)?.generation !== table.generation) continue;
      let all = movements.get(table.keyspace);
      if (all === undefined) {
        all = this.movementsIn(keyspace.replication);
        movements.set(table.keyspace, all);
      }
      const done = this.arrived.get(familyName(table)) ?? [];
      for (const movement of all) {
        for (const { first, last } of without(movement, done)) {
          missing.push({ table, movement: { ...movement, first, last } });
        }
      }
    }
    return missing;
  }

  stop(): void {
    this.abort.abort();
  }

  /**
   * Gets everything, however often it has to try.
   * @throws StreamError CANCELLED
   */
  async run(): Promise<void> {
    const { clock, log } = this.deps;
    let told = Number.NEGATIVE_INFINITY;
    this.progress.rangesTotal = this.missing().length;
    for (;;) {
      this.requireGoing();
      const { groups, waiting } = this.plan();
      if (groups.length === 0 && waiting === null && this.flips.length === 0) break;
      this.progress.problem = waiting;
      if (waiting !== null && clock.nowMillis() - told > SHUN_MILLIS) {
        told = clock.nowMillis();
        log.warn('a range cannot be streamed yet', { operation: this.operation.id, waiting });
      }
      const next = groups.values();
      const take = async () => {
        for (const group of next) await this.take(group);
      };
      await Promise.all(Array.from({ length: PULLS_MAX }, take));
      await this.flipping;
      if (this.progress.problem !== null) await sleep(clock, RETRY_MILLIS);
    }
  }

  private requireGoing(): void {
    if (this.abort.signal.aborted) {
      throw new StreamError('CANCELLED', 'the operation was cancelled');
    }
  }

  /** What to take from whom now. */
  private plan(): { readonly groups: readonly Group[]; readonly waiting: string | null } {
    const { deps } = this;
    const now = deps.clock.nowMillis();
    const isUp = ({ hostId }: NodeInfo) => deps.isAlive(hostId);
    const isSound = (node: NodeInfo) => isUp(node) && !this.damaged.has(node.hostId);
    const isShunned = ({ hostId }: NodeInfo) => (this.shunned.get(hostId) ?? 0) > now;
    const groups = new Map<string, Group>();
    let waiting: string | null = null;
    for (const one of this.missing()) {
      const { table, movement } = one;
      const choice = {
        datacenter: deps.self.datacenter,
        replication: deps.schema().keyspaces.get(table.keyspace)?.replication ?? {},
        isGone: (node: NodeInfo) => isGoneBy(this.operation, node),
        byProximity: deps.byProximity,
      };
      const isBest = (node: NodeInfo) => isSound(node) && !isShunned(node);
      const isLast = (node: NodeInfo) => isUp(node) && !isShunned(node);
      const sources =
        sourcesOf(movement, { ...choice, isUsable: isBest }) ??
        sourcesOf(movement, { ...choice, isUsable: isSound }) ??
        sourcesOf(movement, { ...choice, isUsable: isLast });
      if (sources === null) {
        waiting = `${table.keyspace}.${table.name}: not enough of the nodes that have it can be asked`;
      } else if (sources.length === 0) {
        // Nobody has it, or nobody has it any more.
        this.flip(table, movement);
      } else {
        const name = sources.map(({ hostId }) => hostId).join();
        const known = groups.get(name);
        if (known === undefined) groups.set(name, { sources, wanted: [one] });
        else known.wanted.push(one);
      }
    }
    return { groups: [...groups.values()], waiting };
  }

  /** One source after another: a range has arrived when the last of them has given it. */
  private async take({ sources, wanted }: Group): Promise<void> {
    const byTable = new Map<TableDef, BucketRange[]>();
    for (const { table, movement } of wanted) {
      const ranges = byTable.get(table);
      if (ranges === undefined) byTable.set(table, [movement]);
      else ranges.push(movement);
    }
    const tables = [...byTable].map(
      ([table, ranges]): PullTable => ({
        table,
        ref: this.deps.refOf(table),
        ranges: normalized(ranges),
      }),
    );
    for (const [i, source] of sources.entries()) {
      if (this.abort.signal.aborted) return;
      try {
        await this.pull(source, tables, i === sources.length - 1);
      } catch (error) {
        this.failed(source, error);
        return;
      }
    }
  }

  private async pull(
    source: NodeInfo,
    tables: readonly PullTable[],
    isLast: boolean,
  ): Promise<void> {
    const { progress, operation } = this;
    await pull(
      { ...this.deps, directory: arrivingIn(this.deps.directory) },
      { operation: operation.id, epoch: operation.startEpoch, source, tables },
      {
        planned: (files, bytes) => {
          progress.filesTotal += files;
          progress.bytesTotal += bytes;
        },
        fetched: ({ bytes, kind }) => {
          progress.filesDone++;
          progress.bytesDone += bytes;
          if (kind === FileKind.WHOLE) progress.wholeBytes += bytes;
        },
        rowsTaken: (bytes) => {
          progress.bytesDone += bytes;
        },
        ingested: (table, { range }: Part) => {
          if (isLast) this.flip(table, range);
          return Promise.resolve();
        },
      },
      this.abort.signal,
    );
  }

  private failed(source: NodeInfo, error: unknown): void {
    const { deps, progress } = this;
    if (this.abort.signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    progress.problem = reason;
    const fields = { operation: this.operation.id, source: source.address, reason };
    const isOurs = error instanceof StreamError && error.code === 'NO_SPACE';
    if (!isOurs) this.shunned.set(source.hostId, deps.clock.nowMillis() + SHUN_MILLIS);
    if (error instanceof StreamError && error.code === 'CORRUPT') {
      this.damaged.add(source.hostId);
      deps.log.error('a damaged file was offered by a peer and not taken', fields);
      return;
    }
    deps.log.warn('streaming from a peer failed; it is tried again', fields);
  }

  /** The range takes writes from now on, and gets those that were kept aside. */
  private flip(table: TableDef, range: BucketRange): void {
    addTo(this.arrived, familyName(table), range);
    this.flips.push({ table, range });
    this.flipping ??= this.settle().finally(() => {
      this.flipping = null;
    });
  }

  /** Until there is nothing left to settle. What was kept aside stays there until it is in the table. */
  private async settle(): Promise<void> {
    const { deps, progress } = this;
    while (this.flips.length > 0 && !this.abort.signal.aborted) {
      // A copy: of what arrives from here on the workers have not heard yet.
      const flips = this.flips.slice();
      try {
        await deps.asideChanged();
        for (const { table, range } of flips) await this.takeBack(table, range);
        for (const { table, range } of flips) addTo(this.settled, familyName(table), range);
        await this.save();
        this.flips = this.flips.slice(flips.length);
        progress.rangesDone = progress.rangesTotal - this.missing().length;
      } catch (error) {
        progress.problem = error instanceof Error ? error.message : String(error);
        deps.log.warn('what was kept aside cannot be taken back yet', {
          operation: this.operation.id,
          reason: progress.problem,
        });
        await sleep(deps.clock, RETRY_MILLIS);
      }
    }
  }

  private async takeBack(table: TableDef, range: BucketRange): Promise<void> {
    const { directory, stores } = this.deps;
    for (const { range: own, shard } of partsOf([range], stores.count)) {
      const store = stores.store(shard);
      const families = store.families();
      const family = families.get(asideName(familyName(table)));
      const target = families.get(familyName(table));
      // Dropped or truncated meanwhile.
      if (family === undefined || target === undefined) continue;
      const name = `aside-${this.operation.id}-${shard}-${own.first}.sst`;
      const path = `${arrivingIn(directory)}/${name}`;
      const bytes = await copySlice({ store, family, target, range: own, path });
      if (bytes > 0) await store.ingest(target, [path], { move: true });
    }
  }

  /** Names of the families for what is kept aside: those of other operations in progress are the same. */
  asideFamilies(): readonly string[] {
    return this.tables.map((table) => asideName(familyName(table)));
  }
}

/** A range without those that are done. */
function without(range: BucketRange, done: readonly BucketRange[]): BucketRange[] {
  const left: BucketRange[] = [];
  let { first } = range;
  for (const one of normalized(done)) {
    if (one.last < first || one.first > range.last) continue;
    if (one.first > first) left.push({ first, last: one.first - 1 });
    first = one.last + 1;
  }
  if (first <= range.last) left.push({ first, last: range.last });
  return left;
}
