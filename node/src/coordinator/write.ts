/**
 * One write to all replicas of a partition: this node's own share goes to its store, that of live peers over the links, that
 * of dead ones to the hints. Answered when the level is met; what comes later only decides about hints.
 * @hot
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import {
  CqlError,
  overloaded,
  serverError,
  type WriteType,
  writeFailure,
  writeTimeout,
} from '../common/errors.ts';
import { type AnswerSink, type LinkError, Verb } from '../internode/links.ts';
import type { WriteSink } from '../storage/local-store.ts';
import type { TableHandle } from '../storage/record-source.ts';
import {
  areTimeouts,
  type CoordinatorContext,
  failureReasons,
  Reason,
  type ReplicaFailure,
  reasonOf,
  staleEpochOf,
} from './context.ts';
import { Level } from './levels.ts';
import { addMutation, beginRequest, readMutations } from './messages.ts';
import type { LocalRecords } from './ports.ts';
import { type Replicated, Tally } from './replicated.ts';
import type { Topology } from './topology.ts';

/** One record for one key: `key[0, keyLength)`, `record[0, recordLength)`. */
export interface Entry {
  readonly handle: TableHandle;
  readonly key: Uint8Array;
  readonly keyLength: number;
  readonly record: Uint8Array;
  readonly recordLength: number;
}

export interface WriteRequest {
  readonly replicated: Replicated;
  /** Who is written to, of all of the entries: as `replicated.writes` gives them. */
  readonly replicas: readonly NodeInfo[];
  /** Copied before `startWrite` returns. */
  readonly entries: readonly Entry[];
  readonly level: number;
  readonly writeType: WriteType;
  readonly timeoutMillis: number;
  /** A replica that has it already and counts; it gets nothing. */
  readonly done?: NodeInfo;
}

/** Tells the operation about one peer. */
class PeerAnswer implements AnswerSink {
  private readonly write: Write;
  private readonly node: NodeInfo;

  constructor(write: Write, node: NodeInfo) {
    this.write = write;
    this.node = node;
  }

  answered(): void {
    this.write.acknowledged(this.node);
  }

  failed(error: LinkError): void {
    const epoch = staleEpochOf(error, this.write.epoch);
    if (epoch > 0) this.write.supersede(this.node, epoch);
    else this.write.failed(this.node, reasonOf(error), true);
  }
}

class Write implements WriteSink {
  private readonly context: CoordinatorContext;
  private readonly request: WriteRequest;
  private readonly sink: WriteSink;
  private readonly tally: Tally;
  private readonly body: Buffer;
  /** Replicas that have been asked and have not answered. */
  private readonly pending: NodeInfo[] = [];
  private readonly failures: ReplicaFailure[] = [];
  private self: NodeInfo | null = null;
  private localShards = 0;
  private localError: CqlError | null = null;
  private isDone = false;
  private hintsPending = 0;
  private hasStarted = false;
  /** It is begun again: what comes of this one does not matter. */
  private isSuperseded = false;
  private readonly startMillis: number;

  constructor(context: CoordinatorContext, request: WriteRequest, sink: WriteSink) {
    this.context = context;
    this.request = request;
    this.sink = sink;
    const { replicated, replicas, level } = request;
    this.tally = new Tally(replicated, level, replicated.writes.extrasOf(replicas));
    const { out } = context;
    this.startMillis = context.deps.clock.monotonicMillis();
    beginRequest(out, replicated.epoch);
    for (const { handle, key, keyLength, record, recordLength } of request.entries) {
      addMutation(out, handle.table, key, keyLength, record, recordLength);
    }
    this.body = out.copy();
  }

  get epoch(): number {
    return this.request.replicated.epoch;
  }

  start(): void {
    const { context, request } = this;
    const { links, self } = context.deps;
    for (const node of request.replicas) {
      if (node === request.done) this.tally.add(node);
      else if (context.isSelf(node)) this.applyHere(node);
      else if (context.isAlive(node)) this.pending.push(node);
      else this.hint(node);
    }
    // Over a slice: what a link tells at once takes nodes out of `pending`.
    let far: NodeInfo[] | null = null;
    for (const node of this.pending.slice()) {
      if (node === this.self) continue;
      if (node.datacenter === self.datacenter) {
        const sink = new PeerAnswer(this, node);
        links.call(node, Verb.Mutation, this.body, request.timeoutMillis, sink);
      } else {
        far ??= [];
        far.push(node);
      }
    }
    if (far !== null) this.sendFar(far);
    this.hasStarted = true;
    this.look();
  }

  /** Once to each other datacenter. */
  private sendFar(nodes: readonly NodeInfo[]): void {
    const { context, body, request } = this;
    const byDatacenter = new Map<string, NodeInfo[]>();
    for (const node of context.byProximity(nodes)) {
      const there = byDatacenter.get(node.datacenter);
      if (there === undefined) byDatacenter.set(node.datacenter, [node]);
      else there.push(node);
    }
    for (const there of byDatacenter.values()) {
      context.wide?.send(there, body, request.timeoutMillis, (node) => new PeerAnswer(this, node));
    }
  }

  private applyHere(node: NodeInfo): void {
    const { store } = this.context.deps;
    this.self = node;
    this.pending.push(node);
    const shards = mergeInto(store, this.request.entries);
    if (shards instanceof CqlError) {
      this.failed(node, Reason.UNKNOWN, false);
      return;
    }
    this.localShards = shards.length;
    for (const shard of shards) store.addSink(shard, this);
  }

  /** This node's own share. */
  written(error: CqlError | null): void {
    this.localError ??= error;
    if (--this.localShards > 0 || this.self === null) return;
    if (this.localError === null) this.acknowledged(this.self);
    else this.failed(this.self, Reason.UNKNOWN, false);
  }

  acknowledged(node: NodeInfo): void {
    if (this.isSuperseded) return;
    this.settle(node);
    this.tally.add(node);
    this.look();
  }

  failed(node: NodeInfo, reasonCode: number, withHint: boolean): void {
    if (this.isSuperseded) return;
    this.settle(node);
    this.failures.push({ node, reasonCode });
    if (withHint) this.hint(node);
    this.look();
  }

  /** A replica knows of other owners of the keys: begins again with those, when this node knows them too. */
  supersede(node: NodeInfo, epoch: number): void {
    if (this.isSuperseded) return;
    const { context, request, startMillis, body } = this;
    // If it has been answered, others have it; the new owners shall, too.
    const sink = this.isDone ? NOBODY : this.sink;
    this.isSuperseded = true;
    this.isDone = true;
    context.catchUp(epoch).then((isCaughtUp) => {
      const spent = context.deps.clock.monotonicMillis() - startMillis;
      const timeoutMillis = request.timeoutMillis - spent;
      if (isCaughtUp && timeoutMillis > 0) {
        const entries = entriesOf(context, body);
        const written = (error: CqlError | null) =>
          sink.written(error === null || mayBeDone(error) ? error : this.unknown(node));
        startAgain(context, { ...request, entries, timeoutMillis }, { written });
        return;
      }
      for (const one of this.pending) if (!context.isSelf(one)) this.hint(one);
      sink.written(this.unknown(node));
    });
  }

  /** Replicas may have it, whatever becomes of it when it is begun again. @param node that refused it */
  private unknown(node: NodeInfo): CqlError {
    this.failures.push({ node, reasonCode: Reason.TIMEOUT });
    return this.error();
  }

  private settle(node: NodeInfo): void {
    this.pending.splice(this.pending.indexOf(node), 1);
  }

  private hint(node: NodeInfo): void {
    const { hints } = this.context;
    if (this.request.level !== Level.ANY || this.isDone) {
      hints.store(node.hostId, this.body, null);
      return;
    }
    this.hintsPending++;
    hints.store(node.hostId, this.body, (stored) => {
      this.hintsPending--;
      if (stored) this.tally.add(node);
      this.look();
    });
  }

  /** Ends the write if it is decided. */
  private look(): void {
    if (this.isDone || !this.hasStarted) return;
    if (this.tally.isMet) this.end(null);
    else if (this.hintsPending === 0 && !this.tally.canBeMet(this.pending)) this.end(this.error());
  }

  private error(): CqlError {
    const { tally, failures, request } = this;
    const { metrics } = this.context;
    const counted = failures.filter(({ node }) => request.replicated.counts(request.level, node));
    if (areTimeouts(counted)) {
      metrics.writeTimeouts++;
      return writeTimeout(tally.told, request.writeType);
    }
    metrics.writeFailures++;
    return writeFailure(tally.told, failureReasons(counted), request.writeType);
  }

  private end(error: CqlError | null): void {
    this.isDone = true;
    this.sink.written(error);
  }
}

/** Starts a write; `sink` hears of it once, at once if it is refused. */
export function startWrite(
  context: CoordinatorContext,
  request: WriteRequest,
  sink: WriteSink,
): void {
  const { replicas, replicated } = request;
  if (replicated.epoch !== context.topology.epoch) {
    startAgain(context, request, sink);
    return;
  }
  const refused = refusalOf(context, request);
  if (refused !== null) {
    sink.written(refused);
    return;
  }
  if (replicas.length === 1 && request.done === undefined && context.isSelf(replicas[0]))
    applyHere(context, request.entries, sink);
  else new Write(context, request, sink).start();
}

/** @returns why nothing of it is begun; null: it can be */
function refusalOf(
  context: CoordinatorContext,
  { replicated, replicas, level }: Pick<WriteRequest, 'replicated' | 'replicas' | 'level'>,
): CqlError | null {
  const live = context.live(replicas);
  const refused = replicated.refusal(level, live, replicated.writes.extrasOf(replicas));
  if (refused !== null) {
    context.metrics.unavailables++;
    return refused;
  }
  if (live.length === replicas.length || !context.hints.isOverloaded) return null;
  return overloaded('Too many hints are being stored for replicas that are down');
}

/** Other errors of writes say that nothing was done. */
function mayBeDone({ detail }: CqlError): boolean {
  return detail?.kind === 'write-timeout' || detail?.kind === 'write-failure';
}

const NOBODY: WriteSink = { written: () => {} };

/** The entries of a Mutation, without those of tables that are gone. */
function entriesOf({ tables }: CoordinatorContext, body: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  readMutations(body, (table, key, record) => {
    const handle = tables.find(table);
    if (handle === null) return;
    entries.push({ handle, key, keyLength: key.length, record, recordLength: record.length });
  });
  return entries;
}

/** Entries that go to the same replicas. */
export interface EntryGroup {
  readonly replicated: Replicated;
  readonly replicas: readonly NodeInfo[];
  readonly entries: Entry[];
}

/** Entries by who is written to. @throws CqlError Invalid: a keyspace has been dropped */
export function groupByReplicas(topology: Topology, entries: readonly Entry[]): EntryGroup[] {
  const groups: EntryGroup[] = [];
  for (const entry of entries) {
    const replicated = topology.replicatedOf(entry.handle.table);
    const replicas = replicated.writes.ofKey(entry.key);
    const group = groups.find(
      (known) => known.replicas === replicas && known.replicated === replicated,
    );
    if (group === undefined) groups.push({ replicated, replicas, entries: [entry] });
    else group.entries.push(entry);
  }
  return groups;
}

/** As the ring is now: entries that had the same replicas may have different ones. */
function startAgain(context: CoordinatorContext, request: WriteRequest, sink: WriteSink): void {
  let groups: EntryGroup[];
  try {
    groups = groupByReplicas(context.topology, request.entries);
  } catch (error) {
    sink.written(error instanceof CqlError ? error : serverError(String(error)));
    return;
  }
  const { done: before, ...rest } = request;
  // All of them, or none.
  for (const group of groups.length > 1 ? groups : []) {
    const refused = refusalOf(context, { ...rest, ...group });
    if (refused === null) continue;
    sink.written(refused);
    return;
  }
  const all = joined(groups.length, sink);
  if (groups.length === 0) sink.written(null);
  for (const group of groups) {
    const done = group.replicas.find(({ hostId }) => hostId === before?.hostId);
    startWrite(context, { ...rest, ...group, ...(done === undefined ? {} : { done }) }, all);
  }
}

/** Tells `sink` when it was told `count` times, of the first error. */
function joined(count: number, sink: WriteSink): WriteSink {
  let left = count;
  let failure: CqlError | null = null;
  if (count === 1) return sink;
  return {
    written: (error) => {
      failure ??= error;
      if (--left === 0) sink.written(failure);
    },
  };
}

/** @returns the shards that have some of it, or why nothing is promised of it */
function mergeInto(store: LocalRecords, entries: readonly Entry[]): readonly number[] | CqlError {
  const shards: number[] = [];
  try {
    for (const { handle, key, keyLength, record, recordLength } of entries) {
      const shard = store.merge(handle, key, keyLength, record, recordLength);
      if (!shards.includes(shard)) shards.push(shard);
    }
  } catch (error) {
    if (error instanceof CqlError) return error;
    throw error;
  }
  return shards;
}

/** This node is the only replica: its store answers by itself. */
function applyHere(
  { deps: { store } }: CoordinatorContext,
  entries: readonly Entry[],
  sink: WriteSink,
): void {
  const shards = mergeInto(store, entries);
  if (shards instanceof CqlError) {
    sink.written(shards);
    return;
  }
  const all = joined(shards.length, sink);
  for (const shard of shards) store.addSink(shard, all);
}
