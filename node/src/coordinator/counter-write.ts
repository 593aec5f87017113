/**
 * Counting over the ring. One replica, the leader, adds to its own part of the counter under the partition's lock and sends
 * the result, which can arrive twice without harm, to the others. Source: Cassandra's StorageProxy.mutateCounter.
 *
 *   Counter  head | u8 level | varint count | each: table 20 | varint length, partition | u8 1: varint length, point; 0
 *            | varint count, each: varint column, i64 delta
 *   answer   u8 1 | u8 0: done; 1: i32 error code | i32 received or alive | i32 required
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Reader, Writer } from '../common/bytes.ts';
import {
  CqlError,
  ErrorCode,
  overloaded,
  protocolError,
  serverError,
  unavailable,
  writeFailure,
  writeTimeout,
} from '../common/errors.ts';
import { LinkError, type Responder, request, Verb } from '../internode/links.ts';
import { countHere } from '../query/counters.ts';
import type { CounterChange } from '../query/data-path.ts';
import type { Mutation } from '../query/modify.ts';
import { parseUuid } from '../types/uuid.ts';
import { type CoordinatorContext, failureReasons, Reason, staleEpochOf } from './context.ts';
import {
  beginRequest,
  epochOf,
  MESSAGE_VERSION,
  readHead,
  TABLE_REF_BYTES,
  tableRef,
} from './messages.ts';
import type { Replica } from './replica.ts';
import type { Replicated } from './replicated.ts';
import type { Topology } from './topology.ts';
import { startWrite } from './write.ts';

const CHANGES_MAX = 0xffff;
const LEVEL_MAX = 10;
/** Of one request; the ring changes rarely. */
const RESTARTS_MAX = 8;

/** Of one counter. */
interface Owners {
  readonly replicated: Replicated;
  readonly readers: readonly NodeInfo[];
  readonly replicas: readonly NodeInfo[];
}

export class CounterWrites {
  private readonly context: CoordinatorContext;
  private readonly topology: Topology;
  private readonly replica: Replica;
  private readonly hostId: Buffer;

  constructor(context: CoordinatorContext, topology: Topology, replica: Replica) {
    this.context = context;
    this.topology = topology;
    this.replica = replica;
    this.hostId = parseUuid(context.deps.self.hostId) ?? Buffer.alloc(16);
    context.deps.links.handle(
      Verb.Counter,
      replica.guarded((body, responder) => this.lead(body, responder)),
    );
  }

  /** @param changes of one partition and table @throws CqlError */
  async count(changes: readonly CounterChange[], level: number): Promise<void> {
    if (changes.length === 0) return;
    const { context } = this;
    for (let restarts = 0; ; restarts++) {
      try {
        await this.countOnce(changes, level);
        return;
      } catch (error) {
        // Nobody has counted.
        if (!(error instanceof LinkError)) throw error;
        const isCaughtUp = restarts < RESTARTS_MAX && (await context.catchUp(error.epoch));
        if (isCaughtUp) continue;
        context.metrics.writeTimeouts++;
        const { replicated, replicas } = this.ownersOf(changes);
        const required = replicated.blockFor(level, replicated.writes.extrasOf(replicas));
        throw writeTimeout({ consistency: level, received: 0, required }, 'COUNTER');
      }
    }
  }

  /** As the ring is now. @throws CqlError Invalid: the keyspace has been dropped */
  private ownersOf([{ handle, partition }]: readonly CounterChange[]): Owners {
    const replicated = this.topology.replicatedOf(handle.table);
    const readers = replicated.placement.ofKey(partition);
    return { replicated, readers, replicas: replicated.writes.ofKey(partition) };
  }

  /** @throws CqlError; LinkError STALE: nothing was done, others own the counter now */
  private async countOnce(changes: readonly CounterChange[], level: number): Promise<void> {
    const { context } = this;
    const { replicated, replicas, readers } = this.ownersOf(changes);
    this.refuse(replicated, replicas, level);
    // Who counts reads its own part first: it has to have all of it.
    const candidates = this.leaders(context.live(readers));
    for (const leader of candidates) {
      if (context.isSelf(leader)) {
        await this.countAsLeader(changes, level);
        return;
      }
      if (await this.ask(leader, changes, level, replicated, replicas)) return;
    }
    throw overloaded('All replicas that could count are overloaded');
  }

  /** @throws CqlError Unavailable */
  private refuse(replicated: Replicated, replicas: readonly NodeInfo[], level: number): void {
    const { context } = this;
    const extras = replicated.writes.extrasOf(replicas);
    const refused = replicated.refusal(level, context.live(replicas), extras);
    if (refused === null) return;
    context.metrics.unavailables++;
    throw refused;
  }

  /** Who may lead, best first: this node, then those of its datacenter in any order. */
  private leaders(live: readonly NodeInfo[]): readonly NodeInfo[] {
    const { self, random } = this.context.deps;
    const own = live.find((node) => this.context.isSelf(node));
    if (own !== undefined) return [own];
    const near = live.filter((node) => node.datacenter === self.datacenter);
    const from = near.length > 0 ? near : live;
    const start = Math.floor(random() * from.length);
    return [...from.slice(start), ...from.slice(0, start)];
  }

  /** @returns false if the leader has done nothing and another may be asked @throws CqlError */
  private async ask(
    leader: NodeInfo,
    changes: readonly CounterChange[],
    level: number,
    replicated: Replicated,
    replicas: readonly NodeInfo[],
  ): Promise<boolean> {
    const { deps, options, metrics } = this.context;
    const { epoch } = replicated;
    const required = replicated.blockFor(level, replicated.writes.extrasOf(replicas));
    const acks = { consistency: level, received: 0, required };
    let answer: Buffer;
    try {
      const body = encodeChanges(changes, level, epoch);
      const { counterTimeoutMillis } = options;
      answer = Buffer.from(
        await request(deps.links, leader, Verb.Counter, body, counterTimeoutMillis),
      );
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      if (error.code === 'OVERLOADED') return false;
      if (staleEpochOf(error, epoch) > 0) throw error;
      if (error.code === 'FAILED') {
        metrics.writeFailures++;
        const failures = failureReasons([{ node: leader, reasonCode: Reason.UNKNOWN }]);
        throw writeFailure(acks, failures, 'COUNTER');
      }
      // It may have counted: nobody may be asked to do it again.
      metrics.writeTimeouts++;
      throw writeTimeout(acks, 'COUNTER');
    }
    const failure = decodeAnswer(answer, level);
    if (failure !== null) throw failure;
    return true;
  }

  /** @throws CqlError; LinkError STALE: nothing was done, this node does not own the counter */
  private async countAsLeader(changes: readonly CounterChange[], level: number): Promise<void> {
    const { context, hostId } = this;
    const { deps, options, topology } = context;
    const { counterTimeoutMillis: timeoutMillis } = options;
    const release = await deps.locks.acquire([changes[0].partition], timeoutMillis);
    // The line may have been long.
    const { replicated, replicas, readers } = this.ownersOf(changes);
    const required = replicated.blockFor(level, replicated.writes.extrasOf(replicas));
    if (release === null) {
      throw writeTimeout({ consistency: level, received: 0, required }, 'COUNTER');
    }
    let mutations: readonly Mutation[];
    try {
      if (!readers.some((node) => context.isSelf(node))) {
        const { epoch } = topology;
        throw new LinkError('STALE', 'this node is no replica of the counter', { epoch });
      }
      // Before anything is counted: the leader may see others than the coordinator.
      this.refuse(replicated, replicas, level);
      mutations = await countHere(
        { store: deps.store, serialMicros: () => deps.serialMicros(), hostId },
        changes,
      );
    } finally {
      // What the others are sent may arrive in any order.
      release();
    }
    const entries = mutations.map(({ handle, key, record }) => ({
      handle,
      key,
      keyLength: key.length,
      record,
      recordLength: record.length,
    }));
    const own = replicas.find((node) => context.isSelf(node));
    const done = own === undefined ? {} : { done: own };
    const error = await new Promise<CqlError | null>((resolve) => {
      startWrite(
        context,
        { replicated, replicas, entries, level, writeType: 'COUNTER', timeoutMillis, ...done },
        { written: resolve },
      );
    });
    if (error === null) return;
    // Replicas may have gone since the request was looked at. This one has counted: nobody may be told that nothing was done.
    const isRefused = error.code === ErrorCode.Unavailable || error.code === ErrorCode.Overloaded;
    if (!isRefused) throw error;
    context.metrics.writeTimeouts++;
    const received = Math.min(1, required - 1);
    throw writeTimeout({ consistency: level, received, required }, 'COUNTER');
  }

  private lead(body: Uint8Array, responder: Responder): void {
    const epoch = epochOf(body);
    const go = (copy: Buffer) => {
      const { changes, level } = this.decodeChanges(copy);
      this.leadNow(changes, level, epoch, responder);
    };
    if (epoch <= this.topology.epoch) go(Buffer.from(body));
    else this.replica.afterNews(epoch, [], body, responder, go);
  }

  private leadNow(
    changes: readonly CounterChange[],
    level: number,
    epoch: number,
    responder: Responder,
  ): void {
    this.countAsLeader(changes, level).then(
      () => responder.answer(encodeAnswer(null)),
      (error: unknown) => {
        if (error instanceof CqlError) responder.answer(encodeAnswer(error));
        else if (staleEpochOf(error, epoch) > 0) this.replica.refuse(responder);
        else responder.fail('FAILED', error instanceof Error ? error.message : String(error));
      },
    );
  }

  /** @throws CqlError ProtocolError: malformed, or of a table that is not known here */
  private decodeChanges(body: Buffer): { changes: CounterChange[]; level: number } {
    const reader = new Reader(body);
    readHead(reader);
    const level = reader.u8();
    const count = reader.varint();
    if (level > LEVEL_MAX || count === 0 || count > CHANGES_MAX) throw protocolError('malformed');
    const changes: CounterChange[] = [];
    for (let i = 0; i < count; i++) {
      const handle = this.context.tables.find(reader.raw(TABLE_REF_BYTES));
      if (handle === null) throw protocolError('a table that is not known here');
      const partition = reader.raw(reader.varint());
      if (partition.length < 8) throw protocolError('a key without a token');
      const point = reader.u8() === 1 ? reader.raw(reader.varint()) : null;
      const deltas: { column: number; delta: bigint }[] = [];
      for (let left = reader.varint(); left > 0; left--) {
        const column = reader.varint();
        if (!handle.table.columns.some(({ id }) => id === column)) {
          throw protocolError('a column that is not known here');
        }
        deltas.push({ column, delta: reader.i64() });
      }
      changes.push({ handle, partition, point, deltas });
    }
    return { changes, level };
  }
}

function encodeChanges(changes: readonly CounterChange[], level: number, epoch: number): Buffer {
  const out = new Writer(256);
  beginRequest(out, epoch);
  out.u8(level);
  out.varint(changes.length);
  for (const { handle, partition, point, deltas } of changes) {
    out.raw(tableRef(handle.table));
    out.varint(partition.length);
    out.raw(partition);
    out.u8(point === null ? 0 : 1);
    if (point !== null) {
      out.varint(point.length);
      out.raw(point);
    }
    out.varint(deltas.length);
    for (const { column, delta } of deltas) {
      out.varint(column);
      out.bigint64(delta);
    }
  }
  return out.copy();
}

function encodeAnswer(error: CqlError | null): Buffer {
  const out = new Writer(32);
  out.u8(MESSAGE_VERSION);
  out.u8(error === null ? 0 : 1);
  if (error !== null) {
    const { detail } = error;
    const isUnavailable = detail?.kind === 'unavailable';
    const acks = detail !== null && 'received' in detail ? detail : null;
    out.i32(error.code);
    out.i32(isUnavailable ? detail.alive : (acks?.received ?? 0));
    out.i32(isUnavailable ? detail.required : (acks?.required ?? 0));
  }
  return out.copy();
}

/** What the leader could not do; null: it has. */
function decodeAnswer(body: Buffer, consistency: number): CqlError | null {
  const reader = new Reader(body);
  if (reader.u8() !== MESSAGE_VERSION) throw protocolError('message version is not known');
  if (reader.u8() === 0) return null;
  const code = reader.i32();
  const received = reader.i32();
  const required = reader.i32();
  switch (code) {
    case ErrorCode.Unavailable:
      return unavailable(consistency, required, received);
    case ErrorCode.WriteTimeout:
      return writeTimeout({ consistency, received, required }, 'COUNTER');
    case ErrorCode.WriteFailure:
      return writeFailure({ consistency, received, required }, [], 'COUNTER');
    case ErrorCode.Overloaded:
      return overloaded('The replica that counts is overloaded');
    default:
      return serverError('The replica that counts has failed');
  }
}
