/**
 * Paxos on a replica: promises, accepts and commits for one partition after another, each durable before it is answered.
 * The state is one row of `system.paxos_state`, changed under the partition's lock, which all workers of the node share.
 */
import { Writer } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import { LinkError, type Responder, Verb } from '../internode/links.ts';
import { applyMutations } from '../query/apply-mutations.ts';
import type { Mutation } from '../query/modify.ts';
import { readRecords } from '../query/read-records.ts';
import { writePartitionKey } from '../storage/keys.ts';
import { decodeRecord } from '../storage/record.ts';
import type { PointReader, TableHandle } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import { DONE, readMutations, recordsAnswer } from './messages.ts';
import {
  type Ballot,
  decodePrepare,
  decodeProposal,
  decodeState,
  encodeAccepted,
  encodePromised,
  encodeState,
  isAfter,
  NO_STATE,
  type PaxosState,
  type PaxosTarget,
  type Prepare,
  type Promised,
  type Proposal,
} from './paxos-state.ts';
import type { Replica } from './replica.ts';
import { columnId, rowRecord, systemTable } from './system-rows.ts';

const LOCK_MILLIS = 1_000;
/**
 * Least time for which a partition's state is kept after its last change. Source: Cassandra, SystemKeyspace.paxosTtlSec.
 */
const KEPT_SECONDS_MIN = 3 * 3600;
const NOTHING = Buffer.alloc(0);
const WHOLE_ROW = new Uint8Array(0);

/** A state as it is stored. */
interface Stored {
  readonly key: Buffer;
  readonly state: PaxosState;
  readonly timestamp: bigint;
  /** For which a change is kept. */
  readonly keptSeconds: number;
}

export class PaxosReplica {
  private readonly context: CoordinatorContext;
  private readonly handle: TableHandle;
  private readonly column: number;

  constructor(context: CoordinatorContext, replica: Replica) {
    this.context = context;
    const table = systemTable('paxos_state');
    this.handle = context.deps.store.handle(table);
    this.column = columnId(table, 'state');
    const { links } = context.deps;
    const serve = (verb: Verb, work: (body: Buffer) => Promise<Uint8Array>) => {
      const handle = (body: Uint8Array, responder: Responder) => {
        const copy = Buffer.from(body);
        replica.hold(copy.length);
        work(copy)
          .then(
            (answer) => responder.answer(answer),
            (error: unknown) => {
              const isStale = error instanceof LinkError && error.code === 'STALE';
              if (isStale) replica.refuse(responder);
              else responder.fail('FAILED', String(error));
            },
          )
          .finally(() => replica.release(copy.length));
      };
      links.handle(verb, replica.guarded(handle));
    };
    serve(Verb.PaxosPrepare, async (body) =>
      encodePromised(await this.prepare(decodePrepare(body))),
    );
    serve(Verb.PaxosPropose, async (body) => {
      const { target, proposal } = decodeProposal(body);
      return encodeAccepted(await this.propose(target, proposal));
    });
    serve(Verb.PaxosCommit, async (body) => {
      const { target, proposal } = decodeProposal(body);
      await this.commit(target, proposal);
      return DONE;
    });
  }

  /** @throws CqlError */
  async prepare({ target, ballot, keys }: Prepare): Promise<Promised> {
    const handle = await this.tableOf(target);
    return this.locked(target, handle, async (stored) => {
      const { promised, accepted, committed } = stored.state;
      if (!isAfter(ballot, promised)) return { isPromised: false, ballot: promised };
      this.refuseStale(target, handle);
      await this.save(stored, { promised: ballot, accepted, committed });
      const records = keys.length === 0 ? NOTHING : await this.read(handle, keys);
      return { isPromised: true, accepted, committed, records };
    });
  }

  /** @returns null: accepted; else what was promised to another @throws CqlError */
  async propose(target: PaxosTarget, proposal: Proposal): Promise<Ballot | null> {
    const handle = await this.tableOf(target);
    return this.locked(target, handle, async (stored) => {
      const { promised, committed } = stored.state;
      if (isAfter(promised, proposal.ballot)) return promised;
      this.refuseStale(target, handle);
      await this.save(stored, { promised: proposal.ballot, accepted: proposal, committed });
      return null;
    });
  }

  /** @throws CqlError */
  async commit(target: PaxosTarget, proposal: Proposal): Promise<void> {
    const handle = await this.tableOf(target);
    await this.locked(target, handle, async (stored) => {
      const { promised, accepted, committed } = stored.state;
      this.refuseStale(target, handle);
      // The rows first: a commit that is remembered has been applied.
      await applyMutations(this.context.deps.store, this.mutationsOf(proposal.message));
      if (committed !== null && !isAfter(proposal.ballot, committed.ballot)) return;
      const isSettled = accepted !== null && !isAfter(accepted.ballot, proposal.ballot);
      await this.save(stored, {
        promised: isAfter(proposal.ballot, promised) ? proposal.ballot : promised,
        accepted: isSettled ? null : accepted,
        committed: proposal,
      });
    });
  }

  /**
   * Right before something is written: from when on this node knows that others take part, it does nothing for those
   * that do not. @throws LinkError STALE
   */
  private refuseStale({ epoch, partition }: PaxosTarget, { table }: TableHandle): void {
    const { topology } = this.context;
    if (!topology.hasMoved(epoch, table, partition, 'all')) return;
    throw new LinkError('STALE', 'others take part', { epoch: topology.epoch });
  }

  /** When this node knows the table, and as late an epoch as the proposer. @throws CqlError; LinkError STALE */
  private async tableOf({ table, epoch }: PaxosTarget): Promise<TableHandle> {
    const { tables, topology, news, options, deps } = this.context;
    const handle = tables.find(table);
    if (handle !== null && epoch <= topology.epoch) return handle;
    if (epoch > topology.epoch) deps.followTopology?.(epoch);
    const isThere = () => epoch <= topology.epoch && tables.areThere([table]);
    await news.wait(isThere, options.schemaWaitMillis);
    if (epoch > topology.epoch) {
      throw new LinkError('STALE', 'this node is behind', { epoch: topology.epoch });
    }
    const found = tables.find(table);
    if (found === null) throw protocolError('a table that is not known here');
    return found;
  }

  private mutationsOf(message: Buffer): Mutation[] {
    const mutations: Mutation[] = [];
    readMutations(message, (ref, key, record) => {
      const handle = this.context.tables.find(ref);
      if (handle !== null) mutations.push({ handle, key, record });
    });
    return mutations;
  }

  private async locked<T>(
    target: PaxosTarget,
    { table }: TableHandle,
    work: (stored: Stored) => Promise<T>,
  ): Promise<T> {
    const key = this.keyOf(target);
    const keptSeconds = Math.max(KEPT_SECONDS_MIN, table.options.gc_grace_seconds);
    const release = await this.context.deps.locks.acquire([key], LOCK_MILLIS);
    if (release === null) throw protocolError('the partition is busy');
    try {
      return await work({ ...(await this.load(key)), keptSeconds });
    } finally {
      release();
    }
  }

  private keyOf({ table, partition }: PaxosTarget): Buffer {
    const out = new Writer(128);
    writePartitionKey(this.handle.keys, [table, partition], out);
    return out.copy();
  }

  private async load(key: Buffer): Promise<Omit<Stored, 'keptSeconds'>> {
    const { store } = this.context.deps;
    const [record] = await readRecords(store, this.handle, key, [WHOLE_ROW]);
    if (!record) return { key, state: NO_STATE, timestamp: 0n };
    const cell = decodeRecord(record).cells.find(({ column }) => column === this.column);
    if (cell === undefined || cell.value === null) return { key, state: NO_STATE, timestamp: 0n };
    return { key, state: decodeState(cell.value), timestamp: cell.timestamp };
  }

  private save({ key, timestamp, keptSeconds }: Stored, state: PaxosState): Promise<void> {
    const now = BigInt(Math.floor(this.context.deps.clock.micros()));
    // Later than the one before, whatever the clock says.
    const written = now > timestamp ? now : timestamp + 1n;
    const record = rowRecord(this.column, written, encodeState(state), keptSeconds);
    return applyMutations(this.context.deps.store, [{ handle: this.handle, key, record }]);
  }

  private read(handle: TableHandle, keys: readonly Buffer[]): Promise<Buffer> {
    const { store } = this.context.deps;
    return new Promise((resolve, reject) => {
      const reader: PointReader = {
        records: (buffer, starts, ends, first, count) => {
          const out = new Writer(256);
          recordsAnswer(out, handle.table, buffer, starts, ends, first, count);
          resolve(out.copy());
        },
        failed: reject,
      };
      const shard = store.shardOf(keys[0]);
      for (const key of keys) store.get(handle, shard, key, key.length);
      store.addReader(shard, reader, keys.length);
    });
  }
}
