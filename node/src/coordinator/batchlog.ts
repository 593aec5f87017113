/**
 * Logged batches: before any of its mutations a batch is put, as a whole, on two other nodes. If the coordinator dies in
 * the middle they finish it. Source: Cassandra's StorageProxy.mutateAtomically, BatchlogManager.
 *
 *   BatchStore   u8 1 | 16 bytes: id | a Mutation
 *   BatchRemove  u8 1 | 16 bytes: id
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Reader, Writer } from '../common/bytes.ts';
import { protocolError, unavailable, writeTimeout } from '../common/errors.ts';
import { type Responder, request, Verb } from '../internode/links.ts';
import { applyMutations } from '../query/apply-mutations.ts';
import type { Mutation } from '../query/modify.ts';
import { writePartitionKey } from '../storage/keys.ts';
import { decodeRecord } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { timeUuidMillis } from '../types/uuid.ts';
import type { CoordinatorContext } from './context.ts';
import { deliver } from './deliver.ts';
import { Level } from './levels.ts';
import { localPage } from './local-page.ts';
import { DONE, encodeMutations, MESSAGE_VERSION, readMutations } from './messages.ts';
import type { Replica } from './replica.ts';
import { columnId, deletionRecord, entriesOf, rowRecord, systemTable } from './system-rows.ts';
import type { Topology } from './topology.ts';

const ID_BYTES = 16;
const COPIES = 2;
const SCAN_ENTRIES = 128;
/** Of what a coordinator may take for a batch: only then others finish it. */
const PATIENCE_TIMEOUTS = 2;
/** Between two looks of a node that leaves: it stays until none is left. */
const LEAVING_MILLIS = 1_000;
/** Batches of tables that are gone, and the like, are not tried for ever. */
const AGE_MILLIS_MAX = 24 * 60 * 60 * 1000;

export class Batchlog {
  private readonly context: CoordinatorContext;
  private readonly topology: Topology;
  private readonly handle: TableHandle;
  private readonly column: number;
  private cancel: (() => void) | null = null;
  private isStopped = false;
  /** Batches of others that are kept here, as of the last look; null: there was none since this node leaves. */
  left: number | null = 0;

  constructor(context: CoordinatorContext, topology: Topology, replica: Replica) {
    this.context = context;
    this.topology = topology;
    const table = systemTable('batchlog');
    this.handle = context.deps.store.handle(table);
    this.column = columnId(table, 'message');
    const { links } = context.deps;
    links.handle(
      Verb.BatchStore,
      replica.guarded((body, responder) => this.answer(responder, this.keep(body))),
    );
    links.handle(
      Verb.BatchRemove,
      replica.guarded((body, responder) => this.answer(responder, this.forget(idOf(body)))),
    );
  }

  private answer(responder: Responder, work: Promise<void>): void {
    work.then(
      () => responder.answer(DONE),
      (error: unknown) => responder.fail('FAILED', String(error)),
    );
  }

  private keyOf(id: Uint8Array): Buffer {
    const out = new Writer(64);
    writePartitionKey(this.handle.keys, [id], out);
    return out.copy();
  }

  /** Its time is that of the id, so that the deletion, whenever it comes, is not older. */
  private timestampOf(id: Uint8Array): bigint {
    return timeUuidMillis(id) * 1000n;
  }

  private keep(body: Uint8Array): Promise<void> {
    const id = idOf(body);
    const message = Buffer.from(body.subarray(1 + ID_BYTES));
    readMutations(message, () => {});
    const record = rowRecord(this.column, this.timestampOf(id), message);
    return this.put(this.keyOf(id), record);
  }

  private forget(id: Uint8Array): Promise<void> {
    return this.put(this.keyOf(id), deletionRecord(this.timestampOf(id)));
  }

  private put(key: Uint8Array, record: Uint8Array): Promise<void> {
    return applyMutations(this.context.deps.store, [{ handle: this.handle, key, record }]);
  }

  /**
   * Nodes that may keep a batch, best first: of this datacenter, alive, not this one; before all others some of other racks
   * than this and each other.
   */
  private candidates(): readonly NodeInfo[] {
    const { context, topology } = this;
    const { self, random } = context.deps;
    const others = topology
      .ringNodes(self.datacenter)
      .filter((node) => !context.isSelf(node) && context.isAlive(node));
    const racks = new Set([self.rack]);
    const chosen: NodeInfo[] = [];
    const shuffled = others
      .map((node) => ({ node, place: random() }))
      .sort((a, b) => a.place - b.place)
      .map(({ node }) => node);
    for (const node of shuffled) {
      if (racks.has(node.rack)) continue;
      racks.add(node.rack);
      chosen.push(node);
    }
    return [...chosen, ...shuffled.filter((node) => !chosen.includes(node))];
  }

  /** Puts a batch on the first of `candidates` that take it. @returns those that have it */
  private async store(candidates: readonly NodeInfo[], body: Buffer): Promise<readonly NodeInfo[]> {
    const { deps, options } = this.context;
    const keepers: NodeInfo[] = [];
    const put = async (node: NodeInfo) => {
      await request(deps.links, node, Verb.BatchStore, body, options.writeTimeoutMillis);
      keepers.push(node);
    };
    const deadline = deps.clock.monotonicMillis() + options.writeTimeoutMillis;
    for (let next = 0; next < candidates.length && keepers.length < COPIES; ) {
      if (next > 0 && deps.clock.monotonicMillis() >= deadline) break;
      const asked = candidates.slice(next, next + COPIES - keepers.length);
      next += asked.length;
      await Promise.allSettled(asked.map(put));
    }
    return keepers;
  }

  /**
   * Runs `write` with the batch kept elsewhere.
   * @throws CqlError Unavailable: nobody can keep it; WriteTimeout BATCH_LOG; what `write` throws
   */
  async around(mutations: readonly Mutation[], write: () => Promise<void>): Promise<void> {
    const { deps, options, metrics } = this.context;
    const candidates = this.candidates();
    if (candidates.length === 0) {
      metrics.unavailables++;
      throw unavailable(Level.ONE, 1, 0);
    }
    const id = deps.timeUuid();
    const body = storeBody(id, mutations);
    const keepers = await this.store(candidates, body);
    const required = Math.min(COPIES, candidates.length);
    if (keepers.length < required) {
      metrics.writeTimeouts++;
      const consistency = required === 1 ? Level.ONE : Level.TWO;
      throw writeTimeout({ consistency, received: keepers.length, required }, 'BATCH_LOG');
    }
    await write();
    const removal = Buffer.concat([DONE, id]);
    for (const node of keepers) {
      // One that is lost costs a replay, which changes nothing.
      request(deps.links, node, Verb.BatchRemove, removal, options.writeTimeoutMillis).catch(
        () => {},
      );
    }
  }

  start(): void {
    if (this.context.options.worker !== 0 || this.isStopped) return;
    const { deps, options } = this.context;
    const millis = this.topology.isLeaving ? LEAVING_MILLIS : options.batchReplayMillis;
    this.cancel = deps.timers.after(millis, () => {
      this.cancel = null;
      this.replayAll()
        .catch((error: unknown) => deps.logError('batches cannot be replayed', error))
        .finally(() => this.start());
    });
  }

  /** This node leaves: what is kept here is finished now, and as soon as it may be. */
  hurry(): void {
    if (this.context.options.worker !== 0) return;
    this.left = null;
    // Else it is looking, and goes on with that when it has ended.
    if (this.cancel === null) return;
    this.cancel();
    this.start();
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
  }

  private async replayAll(): Promise<void> {
    const { deps, options } = this.context;
    let lower: Buffer | null = null;
    let left = 0;
    while (!this.isStopped) {
      const page = await localPage(deps.store, this.handle, {
        lower,
        upper: null,
        reverse: false,
        bytesMax: options.pageBytes,
        entriesMax: SCAN_ENTRIES,
      });
      for (const [key, record] of entriesOf(page.entries)) {
        lower = Buffer.concat([key, Buffer.of(0)]);
        if (!(await this.replay(key, record))) left++;
      }
      if (page.isLast) break;
    }
    this.left = left;
  }

  /** @returns false: it stays here for now */
  private async replay(key: Buffer, record: Buffer): Promise<boolean> {
    const { deps, options, metrics } = this.context;
    const cell = decodeRecord(record).cells.find(({ column }) => column === this.column);
    if (cell === undefined || cell.value === null) return true;
    const ageMillis = deps.clock.micros() / 1000 - Number(cell.timestamp / 1000n);
    if (ageMillis < PATIENCE_TIMEOUTS * options.writeTimeoutMillis) return false;
    const message = Buffer.from(cell.value);
    const isDelivered = await deliver(this.context, this.topology, message);
    if (!isDelivered && ageMillis < AGE_MILLIS_MAX) return false;
    metrics.batchesReplayed++;
    await this.put(key, deletionRecord(cell.timestamp));
    return true;
  }
}

function idOf(body: Uint8Array): Buffer {
  const reader = new Reader(body);
  if (reader.u8() !== MESSAGE_VERSION) throw protocolError('message version is not known');
  return Buffer.from(reader.raw(ID_BYTES));
}

function storeBody(id: Uint8Array, mutations: readonly Mutation[]): Buffer {
  return Buffer.concat([DONE, id, encodeMutations(mutations)]);
}
