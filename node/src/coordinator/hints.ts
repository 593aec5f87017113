/**
 * Writes for replicas that were away, kept in this node's own `system.hints` and sent again, oldest first, when they are
 * there. Bounded in bytes and age; each worker has hints of its own, those of a worker that is no more go to another. A node
 * that leaves delivers what it has, and what is for nodes that are down it gives to others (hand-over.ts).
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { compareBytes, Writer } from '../common/bytes.ts';
import { type Responder, request, Verb } from '../internode/links.ts';
import {
  decodeClustering,
  decodePartitionKey,
  partitionLength,
  writeClustering,
  writePartitionKey,
} from '../storage/keys.ts';
import { decodeRecord } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { formatUuid, parseUuid, timeUuidMillis } from '../types/uuid.ts';
import type { CoordinatorContext, HintKeeper } from './context.ts';
import { deliver } from './deliver.ts';
import { handOver, readKeptHint } from './hand-over.ts';
import { localPage } from './local-page.ts';
import { addMutation, beginRequest, DONE, readMutations } from './messages.ts';
import type { Replica } from './replica.ts';
import type { Replicated } from './replicated.ts';
import { columnId, deletionRecord, entriesOf, rowRecord, systemTable } from './system-rows.ts';

const SCAN_ENTRIES = 512;
/** A node that leaves and can give its hints to nobody gives them up when nothing has gone for so long. */
const GIVE_UP_MILLIS = 10 * 60_000;
const NOTHING = Buffer.alloc(0);

/** What is kept for one node by one worker. */
interface Kept {
  readonly hostId: string;
  readonly partition: Buffer;
  bytes: number;
  count: number;
  /** When the oldest was stored, wall clock. */
  oldestMillis: number;
  /** Nothing is left before this key. */
  cursor: Buffer;
  isReplaying: boolean;
  /** Are being stored. */
  writing: number;
}

/** One hint as it is stored. */
interface Hint {
  readonly key: Buffer;
  /** A time UUID: when it was stored. */
  readonly id: Uint8Array;
  readonly storedMillis: number;
  readonly timestamp: bigint;
  readonly message: Buffer;
}

/** Of what a hint carries; null: nothing. */
interface Parts {
  readonly own: Buffer | null;
  readonly moving: Buffer | null;
  readonly others: Buffer | null;
}

/** Those who own a key before a change, or after it, and not both. */
function whoChanges(replicated: Replicated, key: Uint8Array): readonly NodeInfo[] {
  const kept = replicated.moveOf(key)?.kept ?? [];
  return replicated.writes.ofKey(key).filter((node) => !kept.includes(node));
}

export class Hints implements HintKeeper {
  private readonly context: CoordinatorContext;
  private readonly handle: TableHandle;
  private readonly column: number;
  /** By partition, hex. */
  private readonly kept = new Map<string, Kept>();
  private readonly own = new Map<string, Kept>();
  private bytes = 0;
  private inFlightBytes = 0;
  /** On their way to another node that is to keep them. */
  private leavingCount = 0;
  /** When a hint has last found its way, or the first one has not; null: neither. */
  private wentMillis: number | null = null;
  private isStopped = false;
  private cancel: (() => void) | null = null;
  /** Members of the cluster; null: not known yet. */
  private members: ReadonlyMap<string, NodeInfo> | null = null;

  constructor(context: CoordinatorContext) {
    this.context = context;
    const table = systemTable('hints');
    this.handle = context.deps.store.handle(table);
    this.column = columnId(table, 'message');
  }

  get isOverloaded(): boolean {
    return this.inFlightBytes > this.context.options.hints.inFlightBytesMax;
  }

  setMembers(members: ReadonlyMap<string, NodeInfo>): void {
    this.members = members;
  }

  /** Bytes kept for a node, and how many hints. */
  keptFor(hostId: string): { readonly bytes: number; readonly count: number } {
    let bytes = 0;
    let count = 0;
    for (const kept of this.kept.values()) {
      if (kept.hostId !== hostId) continue;
      bytes += kept.bytes;
      count += kept.count;
    }
    return { bytes, count };
  }

  /** What waits for nodes of any kind. */
  get left(): { readonly bytes: number; readonly count: number } {
    let count = this.leavingCount;
    for (const kept of this.kept.values()) count += kept.count;
    return { bytes: this.bytes, count };
  }

  private partitionOf(hostId: string): Buffer {
    const worker = Buffer.alloc(4);
    worker.writeInt32BE(this.context.options.worker);
    const out = new Writer(64);
    writePartitionKey(this.handle.keys, [parseUuid(hostId) ?? NOTHING, worker], out);
    return out.copy();
  }

  private ownFor(hostId: string): Kept {
    let kept = this.own.get(hostId);
    if (kept === undefined) {
      kept = this.keptIn(this.partitionOf(hostId), hostId);
      this.own.set(hostId, kept);
    }
    return kept;
  }

  private keptIn(partition: Buffer, hostId: string): Kept {
    const name = partition.toString('hex');
    let kept = this.kept.get(name);
    if (kept === undefined) {
      kept = {
        hostId,
        partition,
        bytes: 0,
        count: 0,
        oldestMillis: 0,
        cursor: Buffer.concat([partition, Buffer.of(0)]),
        isReplaying: false,
        writing: 0,
      };
      this.kept.set(name, kept);
    }
    return kept;
  }

  private add(kept: Kept, bytes: number, storedMillis: number): void {
    const isFirst = kept.count === 0;
    kept.oldestMillis = isFirst ? storedMillis : Math.min(kept.oldestMillis, storedMillis);
    kept.count++;
    kept.bytes += bytes;
    this.bytes += bytes;
    this.context.metrics.hintBytes = this.bytes;
  }

  private remove(kept: Kept, bytes: number): void {
    kept.count--;
    kept.bytes -= bytes;
    this.bytes -= bytes;
    this.context.metrics.hintBytes = this.bytes;
  }

  store(hostId: string, body: Buffer, done: ((stored: boolean) => void) | null): void {
    const { deps, options, metrics, topology } = this.context;
    const kept = this.ownFor(hostId);
    const ageMillis = deps.clock.micros() / 1000 - kept.oldestMillis;
    const isTooLate = kept.count > 0 && ageMillis > options.hints.windowMillis;
    if (isTooLate) {
      metrics.hintsRefused++;
      done?.(false);
      return;
    }
    const id = deps.timeUuid();
    if (!topology.isLeaving) {
      this.put(kept, id, body, done);
      return;
    }
    // It has no time to keep it. If nobody else can it does, for now.
    this.leavingCount++;
    this.inFlightBytes += body.length;
    void handOver(this.context, { hostId, id, message: body }).then((isKept) => {
      this.leavingCount--;
      this.inFlightBytes -= body.length;
      if (isKept) done?.(true);
      else this.put(kept, id, body, done);
    });
  }

  /** Keeps hints of nodes that leave. */
  listen(replica: Replica): void {
    const { links } = this.context.deps;
    links.handle(
      Verb.HintKeep,
      replica.guarded((body, responder) => this.keep(body, responder)),
    );
  }

  private keep(body: Uint8Array, responder: Responder): void {
    const { hostId, id, message } = readKeptHint(body);
    if (this.context.topology.isLeaving) {
      responder.fail('FAILED', 'this node leaves, too');
      return;
    }
    this.put(this.ownFor(hostId), id, message, (isStored) => {
      if (isStored) responder.answer(DONE);
      else responder.fail('OVERLOADED', 'there is no room for more hints');
    });
  }

  /** @param id when it was stored first */
  private put(
    kept: Kept,
    id: Uint8Array,
    body: Buffer,
    done: ((stored: boolean) => void) | null,
  ): void {
    const { deps, options, metrics } = this.context;
    if (this.isStopped || this.bytes + body.length > options.hints.bytesMax) {
      metrics.hintsRefused++;
      done?.(false);
      return;
    }
    const out = new Writer(64);
    out.raw(kept.partition);
    writeClustering(this.handle.keys, [id], out);
    const record = rowRecord(this.column, BigInt(Math.floor(deps.clock.micros())), body);
    this.inFlightBytes += body.length;
    this.add(kept, body.length, Number(timeUuidMillis(id)));
    kept.writing++;
    const { store } = deps;
    const shard = store.merge(this.handle, out.buffer, out.length, record, record.length);
    store.addSink(shard, {
      written: (error) => {
        this.inFlightBytes -= body.length;
        kept.writing--;
        if (error === null) {
          metrics.hintsStored++;
          // Time went back over a restart of this node, or it was stored elsewhere before: older than what was replayed.
          if (compareBytes(out.view(), kept.cursor) < 0) kept.cursor = out.copy();
        } else {
          metrics.hintsRefused++;
          this.remove(kept, body.length);
        }
        done?.(error === null);
      },
    });
  }

  /** Finds what was kept before the start, then sends it whenever its nodes are there. */
  async start(): Promise<void> {
    const { deps, options } = this.context;
    let lower: Buffer | null = null;
    for (;;) {
      const page = await localPage(deps.store, this.handle, {
        lower,
        upper: null,
        reverse: false,
        bytesMax: options.pageBytes,
        entriesMax: SCAN_ENTRIES,
      });
      for (const [key, record] of entriesOf(page.entries)) {
        lower = Buffer.concat([key, Buffer.of(0)]);
        this.found(key, record);
      }
      if (page.isLast) break;
    }
    this.schedule();
  }

  private found(key: Buffer, record: Buffer): void {
    const { worker, workers } = this.context.options;
    const length = partitionLength(this.handle.keys, key);
    const [host, owner] = decodePartitionKey(this.handle.keys, key, 0, length);
    if (host.length !== 16 || Buffer.from(owner).readInt32BE(0) % workers !== worker) return;
    const hint = this.hintOf(key, record);
    if (hint === null) return;
    const kept = this.keptIn(Buffer.from(key.subarray(0, length)), formatUuid(host));
    this.add(kept, hint.message.length, hint.storedMillis);
  }

  private hintOf(key: Buffer, record: Buffer): Hint | null {
    const cell = decodeRecord(record).cells.find(({ column }) => column === this.column);
    if (cell === undefined || cell.value === null) return null;
    const [id] = decodeClustering(this.handle.keys, key, partitionLength(this.handle.keys, key));
    return {
      key,
      id,
      storedMillis: Number(timeUuidMillis(id)),
      timestamp: cell.timestamp,
      message: Buffer.from(cell.value),
    };
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
    this.cancel = null;
  }

  private schedule(): void {
    if (this.isStopped) return;
    this.cancel = this.context.deps.timers.after(this.context.options.hints.intervalMillis, () => {
      this.replayAll();
      this.schedule();
    });
  }

  private replayAll(): void {
    if (this.members === null) return;
    for (const kept of this.kept.values()) {
      if (kept.count === 0 || kept.isReplaying) continue;
      const node = this.members.get(kept.hostId);
      const isGone = node === undefined || node.state === 'left';
      if (!isGone && !this.context.isAlive(node) && !this.context.topology.isLeaving) continue;
      kept.isReplaying = true;
      this.replay(kept, isGone ? null : node)
        .catch((error: unknown) => this.context.deps.logError('hints cannot be replayed', error))
        .finally(() => {
          kept.isReplaying = false;
        });
    }
  }

  /** @param node null: it has left; what it was to have goes to who owns it now */
  private async replay(kept: Kept, node: NodeInfo | null): Promise<void> {
    const { deps, options } = this.context;
    const { batchBytes, bytesPerSecond } = options.hints;
    while (!this.isStopped && kept.count > 0) {
      const { cursor, count, writing } = kept;
      const page = await localPage(deps.store, this.handle, {
        lower: cursor,
        upper: Buffer.concat([kept.partition, Buffer.of(0xff)]),
        reverse: false,
        bytesMax: batchBytes,
        entriesMax: SCAN_ENTRIES,
      });
      const hints: Hint[] = [];
      let lastKey: Buffer | null = null;
      for (const [key, record] of entriesOf(page.entries)) {
        lastKey = key;
        const hint = this.hintOf(key, record);
        if (hint !== null) hints.push(hint);
      }
      if (lastKey === null) {
        // What came twice was counted twice.
        if (writing === 0 && kept.count === count) this.clear(kept);
        return;
      }
      const sent = await Promise.all(hints.map((hint) => this.send(hint, node)));
      const firstLost = sent.indexOf(false);
      const gone = hints.filter((_, i) => sent[i]);
      await this.forget(kept, gone);
      if (gone.length > 0) this.wentMillis = deps.clock.monotonicMillis();
      if (firstLost >= 0) {
        await this.giveUpIfLate(kept, hints);
        return;
      }
      // Else something was stored before it in the meantime.
      const isPassed = kept.cursor === cursor;
      if (isPassed) kept.cursor = Buffer.concat([lastKey, Buffer.of(0)]);
      if (page.isLast && isPassed) return;
      const bytes = hints.reduce((sum, { message }) => sum + message.length, 0);
      await this.pause((bytes / bytesPerSecond) * 1000);
    }
  }

  /** A node that leaves does not stay for hints that nobody takes. */
  private async giveUpIfLate(kept: Kept, hints: readonly Hint[]): Promise<void> {
    const { deps, metrics, topology } = this.context;
    const since = this.wentMillis ?? deps.clock.monotonicMillis();
    this.wentMillis = since;
    if (!topology.isLeaving || deps.clock.monotonicMillis() - since < GIVE_UP_MILLIS) return;
    const reason = `no node has room for ${kept.count} hints for ${kept.hostId}: repair what it owns when it is back`;
    deps.logError('this node leaves, and hints are lost', new RangeError(reason));
    metrics.hintsDropped += hints.length;
    await this.forget(kept, hints);
  }

  private clear(kept: Kept): void {
    this.bytes -= kept.bytes;
    kept.bytes = 0;
    kept.count = 0;
    this.context.metrics.hintBytes = this.bytes;
  }

  private pause(millis: number): Promise<void> {
    return new Promise((resolve) => {
      this.context.deps.timers.after(millis, resolve);
    });
  }

  /** @returns false if it has to be sent again later */
  private async send(hint: Hint, node: NodeInfo | null): Promise<boolean> {
    const { context } = this;
    const { metrics } = context;
    const { own, moving, others } = this.usefulParts(hint, node);
    if (own === null && others === null) {
      metrics.hintsDropped++;
      return true;
    }
    if (others !== null && !(await deliver(context, context.topology, others))) return false;
    if (own !== null && node !== null && !(await this.sendTo(node, hint, own))) return false;
    const isOther = ({ hostId }: NodeInfo) => hostId !== node?.hostId;
    const counterparts = (replicated: Replicated, key: Uint8Array) =>
      whoChanges(replicated, key).filter(isOther);
    if (moving !== null && !(await deliver(context, context.topology, moving, counterparts))) {
      return false;
    }
    metrics.hintsReplayed++;
    return true;
  }

  /** To the node that it is for; if this one leaves, else to another that keeps it. */
  private async sendTo(node: NodeInfo, { id }: Hint, message: Buffer): Promise<boolean> {
    const { context } = this;
    const { deps, options, topology } = context;
    if (context.isAlive(node)) {
      const isTaken = await request(
        deps.links,
        node,
        Verb.Hint,
        message,
        options.writeTimeoutMillis,
      ).then(
        () => true,
        () => false,
      );
      if (isTaken) return true;
    }
    return topology.isLeaving && (await handOver(context, { hostId: node.hostId, id, message }));
  }

  /**
   * Without what is of no use any more: of tables that are gone, or so old that a deletion may have been forgotten. What
   * the node does not own any more, in `others`, is for those that do. What moves to it or from it, in `moving` again, is for the
   * other side, too: the range may be on its way already, and without this.
   */
  private usefulParts({ message, storedMillis }: Hint, node: NodeInfo | null): Parts {
    const { tables, deps, topology } = this.context;
    const ageSeconds = deps.clock.micros() / 1e6 - storedMillis / 1e3;
    const own = new Writer(message.length + 16);
    const moving = new Writer(64);
    const others = new Writer(64);
    for (const out of [own, moving, others]) beginRequest(out, topology.epoch);
    const start = own.length;
    readMutations(message, (ref, key, record) => {
      const handle = tables.find(ref);
      if (handle === null || ageSeconds > handle.table.options.gc_grace_seconds) return;
      const replicated = topology.replicatedOf(handle.table);
      const isNode = ({ hostId }: NodeInfo) => hostId === node?.hostId;
      const isOwner = replicated.writes.ofKey(key).some(isNode);
      const keeps = replicated.moveOf(key)?.kept.some(isNode) ?? true;
      const outs = isOwner ? (keeps ? [own] : [own, moving]) : [others];
      for (const out of outs) {
        addMutation(out, handle.table, key, key.length, record, record.length);
      }
    });
    const part = (out: Writer) => (out.length === start ? null : out.copy());
    return { own: part(own), moving: part(moving), others: part(others) };
  }

  /** Resolves when they are gone for good. */
  private forget(kept: Kept, hints: readonly Hint[]): Promise<void> {
    const { store } = this.context.deps;
    const shards = new Set<number>();
    for (const { key, timestamp, message } of hints) {
      const record = deletionRecord(timestamp);
      shards.add(store.merge(this.handle, key, key.length, record, record.length));
      this.remove(kept, message.length);
    }
    // A deletion that is lost costs one more replay, which changes nothing.
    return new Promise((resolve) => {
      let left = shards.size;
      if (left === 0) resolve();
      for (const shard of shards) {
        store.addSink(shard, {
          written: () => {
            if (--left === 0) resolve();
          },
        });
      }
    });
  }
}
