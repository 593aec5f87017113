/**
 * This node as a replica: applies what coordinators send it, and reads for them. What it is given is bounded by bytes; what
 * is beyond is refused at once, so that the coordinator can turn to another replica.
 * @hot `mutation`, `read`
 */
import { Writer } from '../common/bytes.ts';
import type { CqlError } from '../common/errors.ts';
import { type Links, type RequestHandler, type Responder, Verb } from '../internode/links.ts';
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

/** Answers a read with records, or with their digest. */
class ReadAnswer implements PointReader {
  private readonly replica: Replica;
  private readonly responder: Responder;
  private readonly bytes: number;
  private readonly wantsDigest: boolean;

  constructor(replica: Replica, responder: Responder, bytes: number, wantsDigest: boolean) {
    this.replica = replica;
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
    recordsAnswer(ANSWER, buffer, starts, ends, first, count);
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
        responder.fail('FAILED', error instanceof Error ? error.message : String(error));
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
    const { tables, metrics } = this.context;
    const missing: Buffer[] = [];
    // The whole body is looked at before anything of it is applied.
    readMutations(body, (table) => {
      if (tables.find(table) === null) missing.push(Buffer.from(table));
    });
    metrics.replicaMutations++;
    if (missing.length === 0) this.apply(body, responder);
    else this.afterSchema(missing, body, responder, (copy) => this.apply(copy, responder));
  }

  private apply(body: Uint8Array, responder: Responder): void {
    const { tables, deps } = this.context;
    const { store } = deps;
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

  private read(body: Uint8Array, responder: Responder, wantsDigest: boolean): void {
    const request = readKeysRequest(body);
    this.context.metrics.replicaReads++;
    if (this.context.tables.find(request.table) !== null) {
      this.readKeys(request, body.length, responder, wantsDigest);
      return;
    }
    this.afterSchema([Buffer.from(request.table)], body, responder, (copy) =>
      this.readKeys(readKeysRequest(copy), copy.length, responder, wantsDigest),
    );
  }

  private readKeys(
    { table, keys }: KeysRequest,
    bytes: number,
    responder: Responder,
    wantsDigest: boolean,
  ): void {
    const handle = this.context.tables.find(table);
    if (handle === null) {
      responder.fail('FAILED', 'a table that is not known here');
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
    store.addReader(shard, new ReadAnswer(this, responder, bytes, wantsDigest), keys.length);
  }

  private page(body: Uint8Array, responder: Responder): void {
    const request = readPageRequest(body);
    const { options, metrics, tables, deps } = this.context;
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
    if (tables.find(request.table) !== null) run();
    else this.afterSchema([request.table], body, responder, run);
  }

  /** Goes on when the tables are there; the schema may be a little behind the coordinator's. */
  private afterSchema(
    tables: readonly Buffer[],
    body: Uint8Array,
    responder: Responder,
    go: (body: Buffer) => void,
  ): void {
    const copy = Buffer.from(body);
    this.hold(copy.length);
    this.context.tables
      .wait(tables, this.context.options.schemaWaitMillis)
      .then((there) => {
        if (there) go(copy);
        else responder.fail('FAILED', 'a table that is not known here');
      })
      .catch((error: unknown) => responder.fail('FAILED', String(error)))
      .finally(() => this.release(copy.length));
  }
}
