/**
 * This node as a replica: applies what coordinators send it, and reads for them. What it is given is bounded by bytes; what
 * is beyond is refused at once, so that the coordinator can turn to another replica.
 * @hot `mutation`, `read`
 */
import { Writer } from '../common/bytes.ts';
import { CqlError } from '../common/errors.ts';
import { type Links, type RequestHandler, type Responder, Verb } from '../internode/links.ts';
import type { TableDef } from '../schema/schema.ts';
import type { WriteSink } from '../storage/local-store.ts';
import type { PointReader } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import { localPage } from './local-page.ts';
import {
  DONE,
  digestAnswer,
  type KeysRequest,
  readKeysRequest,
  readMutations,
  readPageRequest,
  recordsAnswer,
  writePage,
} from './messages.ts';

/** Answers a mutation when all of its shards have it. */
class MutationAnswer implements WriteSink {
  private readonly replica: Replica;
  private readonly responder: Responder;
  private readonly bytes: number;
  waiting = 0;
  private failure: CqlError | null = null;

  constructor(replica: Replica, responder: Responder, bytes: number) {
    this.replica = replica;
    this.responder = responder;
    this.bytes = bytes;
  }

  written(error: CqlError | null): void {
    this.failure ??= error;
    if (--this.waiting > 0) return;
    this.replica.release(this.bytes);
    if (this.failure === null) this.responder.answer(DONE);
    else fail(this.responder, this.failure);
  }
}

const OVERLOADED = 0x1001;

/** Tells the coordinator of a failure of this node's own store. */
function fail(responder: Responder, error: CqlError): void {
  responder.fail(error.code === OVERLOADED ? 'OVERLOADED' : 'FAILED', error.message);
}

/** Whatever it is: malformed, or nothing can be written now. */
function failWith(responder: Responder, error: unknown): void {
  if (error instanceof CqlError) fail(responder, error);
  else responder.fail('FAILED', error instanceof Error ? error.message : String(error));
}

/** Answers a read with records, or with their digest. */
class ReadAnswer implements PointReader {
  private readonly replica: Replica;
  private readonly table: TableDef;
  private readonly responder: Responder;
  private readonly bytes: number;
  private readonly wantsDigest: boolean;

  constructor(
    replica: Replica,
    table: TableDef,
    responder: Responder,
    bytes: number,
    wantsDigest: boolean,
  ) {
    this.replica = replica;
    this.table = table;
    this.responder = responder;
    this.bytes = bytes;
    this.wantsDigest = wantsDigest;
  }

  records(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    first: number,
    count: number,
  ): void {
    this.replica.release(this.bytes);
    recordsAnswer(ANSWER, this.table, buffer, starts, ends, first, count);
    if (this.wantsDigest) {
      digestAnswer(DIGEST, ANSWER.view());
      this.responder.answer(DIGEST.view());
    } else {
      this.responder.answer(ANSWER.view());
    }
  }

  failed(error: CqlError): void {
    this.replica.release(this.bytes);
    fail(this.responder, error);
  }
}

const ANSWER = new Writer(4096);
const DIGEST = new Writer(256);

export class Replica {
  private readonly context: CoordinatorContext;
  private bytesInFlight = 0;
  private pagesInFlight = 0;

  constructor(context: CoordinatorContext) {
    this.context = context;
  }

  register(links: Links): void {
    links.handle(
      Verb.Mutation,
      this.guarded((body, responder) => this.mutation(body, responder)),
    );
    links.handle(
      Verb.Hint,
      this.guarded((body, responder) => this.mutation(body, responder)),
    );
    links.handle(
      Verb.ReadRecords,
      this.guarded((body, responder) => this.read(body, responder, false)),
    );
    links.handle(
      Verb.ReadDigest,
      this.guarded((body, responder) => this.read(body, responder, true)),
    );
    links.handle(
      Verb.ScanPage,
      this.guarded((body, responder) => this.page(body, responder)),
    );
  }

  /** Sheds above the bounds, and turns what a malformed body throws into a failed request. */
  guarded(handle: (body: Uint8Array, responder: Responder) => void): RequestHandler {
    return (_from, body, responder) => {
      if (this.bytesInFlight + body.length > this.context.options.replicaBytesMax) {
        this.context.metrics.replicaShed++;
        responder.fail('OVERLOADED', 'too many bytes of requests of peers are in flight');
        return;
      }
      try {
        handle(body, responder);
      } catch (error) {
        failWith(responder, error);
      }
    };
  }

  hold(bytes: number): void {
    this.bytesInFlight += bytes;
  }

  release(bytes: number): void {
    this.bytesInFlight -= bytes;
  }

  /** Applies a Mutation and answers. @throws CqlError ProtocolError: malformed */
  mutation(body: Uint8Array, responder: Responder): void {
    const { tables, metrics, topology } = this.context;
    const missing: Buffer[] = [];
    // The whole body is looked at before anything of it is applied.
    const epoch = readMutations(body, (table) => {
      if (tables.find(table) === null) missing.push(Buffer.from(table));
    });
    metrics.replicaMutations++;
    if (missing.length === 0 && epoch <= topology.epoch) this.apply(epoch, body, responder);
    else
      this.afterNews(epoch, missing, body, responder, (copy) => this.apply(epoch, copy, responder));
  }

  /** Whether others own one of the keys now. */
  private hasMoved(epoch: number, body: Uint8Array): boolean {
    const { tables, topology } = this.context;
    let moved = false;
    readMutations(body, (ref, key) => {
      const handle = tables.find(ref);
      moved ||= handle !== null && topology.hasMoved(epoch, handle.table, key, 'write');
    });
    return moved;
  }

  private apply(epoch: number, body: Uint8Array, responder: Responder): void {
    const { tables, deps, topology } = this.context;
    const { store } = deps;
    if (epoch < topology.epoch && this.hasMoved(epoch, body)) {
      this.refuse(responder);
      return;
    }
    const answer = new MutationAnswer(this, responder, body.length);
    const shards: number[] = [];
    readMutations(body, (table, key, record) => {
      const handle = tables.find(table);
      if (handle === null) return;
      const shard = store.merge(handle, key, key.length, record, record.length);
      if (!shards.includes(shard)) shards.push(shard);
    });
    if (shards.length === 0) {
      responder.answer(DONE);
      return;
    }
    this.hold(body.length);
    answer.waiting = shards.length;
    for (const shard of shards) store.addSink(shard, answer);
  }

  /** The coordinator goes by owners of before: it has to catch up, and to begin again. */
  refuse(responder: Responder): void {
    responder.fail('STALE', String(this.context.topology.epoch));
  }

  private read(body: Uint8Array, responder: Responder, wantsDigest: boolean): void {
    const request = readKeysRequest(body);
    const { metrics, tables, topology } = this.context;
    metrics.replicaReads++;
    if (tables.find(request.table) !== null && request.epoch <= topology.epoch) {
      this.readKeys(request, body.length, responder, wantsDigest);
      return;
    }
    const { epoch, table } = request;
    this.afterNews(epoch, [Buffer.from(table)], body, responder, (copy) =>
      this.readKeys(readKeysRequest(copy), copy.length, responder, wantsDigest),
    );
  }

  private readKeys(
    { epoch, table, keys }: KeysRequest,
    bytes: number,
    responder: Responder,
    wantsDigest: boolean,
  ): void {
    const handle = this.context.tables.find(table);
    if (handle === null) {
      responder.fail('FAILED', 'a table that is not known here');
      return;
    }
    if (this.context.topology.hasMoved(epoch, handle.table, keys[0], 'all')) {
      this.refuse(responder);
      return;
    }
    const { store } = this.context.deps;
    const shard = store.shardOf(keys[0]);
    if (keys.some((key) => store.shardOf(key) !== shard)) {
      responder.fail('FAILED', 'keys of several partitions in one read');
      return;
    }
    this.hold(bytes);
    for (const key of keys) store.get(handle, shard, key, key.length);
    store.addReader(
      shard,
      new ReadAnswer(this, handle.table, responder, bytes, wantsDigest),
      keys.length,
    );
  }

  private page(body: Uint8Array, responder: Responder): void {
    const request = readPageRequest(body);
    const { options, metrics, tables, deps, topology } = this.context;
    const { epoch, lower, upper } = request;
    if (this.pagesInFlight >= options.replicaScansMax) {
      metrics.replicaShed++;
      responder.fail('OVERLOADED', 'too many scans of peers are running');
      return;
    }
    const run = () => {
      const handle = tables.find(request.table);
      if (handle === null) {
        responder.fail('FAILED', 'a table that is not known here');
        return;
      }
      if (topology.hasRunMoved(epoch, handle.table, lower, upper)) {
        this.refuse(responder);
        return;
      }
      metrics.replicaPages++;
      this.pagesInFlight++;
      const bounded = {
        ...request,
        bytesMax: Math.min(request.bytesMax, options.pageBytes),
        entriesMax: Math.min(request.entriesMax, options.pageEntries),
      };
      localPage(deps.store, handle, bounded)
        .then((page) => {
          writePage(ANSWER, page);
          responder.answer(ANSWER.view());
        })
        .catch((error: unknown) => {
          responder.fail('FAILED', error instanceof Error ? error.message : String(error));
        })
        .finally(() => this.pagesInFlight--);
    };
    if (tables.find(request.table) !== null && epoch <= topology.epoch) run();
    else this.afterNews(epoch, [request.table], body, responder, run);
  }

  /** Goes on when tables and epoch are there; this node may be a little behind the coordinator. */
  afterNews(
    epoch: number,
    missing: readonly Buffer[],
    body: Uint8Array,
    responder: Responder,
    go: (body: Buffer) => void,
  ): void {
    const copy = Buffer.from(body);
    this.hold(copy.length);
    const { tables, topology, news, options, deps } = this.context;
    if (epoch > topology.epoch) deps.followTopology?.(epoch);
    const isThere = () => epoch <= topology.epoch && tables.areThere(missing);
    news
      .wait(isThere, options.schemaWaitMillis)
      .then((there) => {
        if (there) go(copy);
        else if (epoch > topology.epoch) this.refuse(responder);
        else responder.fail('FAILED', 'a table that is not known here');
      })
      .catch((error: unknown) => failWith(responder, error))
      .finally(() => this.release(copy.length));
  }
}
