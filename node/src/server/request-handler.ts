/**
 * Answers clients' requests: binds values to planned statements, runs them, encodes results. One per worker.
 * @hot `execute`, `writeFast`, `readPoint`
 */

import type { Writer } from '../common/bytes.ts';
import { Writer as BytesWriter } from '../common/bytes.ts';
import { CqlError, invalidRequest, serverError, unprepared } from '../common/errors.ts';
import { type BoundModification, type Executor, rows } from '../query/execute.ts';
import type { EvaluationContext } from '../query/functions/function.ts';
import { type ModificationPlan, makeFastMutation, type WriteOptions } from '../query/modify.ts';
import type { TableRow } from '../query/row.ts';
import { type RowsResult, runSelect, type SelectPlan } from '../query/select.ts';
import type { SelectionContext } from '../query/selection.ts';
import {
  type BatchPlan,
  checkBatch,
  type PlannedStatement,
  planStatement,
} from '../query/statement.ts';
import type { Binding, Value } from '../query/term-values.ts';
import { isVirtual } from '../query/virtual/definitions.ts';
import type { VirtualTables } from '../query/virtual/rows.ts';
import { describe } from '../schema/describe.ts';
import type { Schema, TableDef } from '../schema/schema.ts';
import { keyLayout, writePartitionKey } from '../storage/keys.ts';
import type { LocalStore } from '../storage/local-store.ts';
import type { TableHandle } from '../storage/record-source.ts';
import {
  type BatchRequest,
  BatchType,
  type BoundValues,
  type ClientConnection,
  type ExecuteRequest,
  encodeMetadata,
  Opcode,
  type PrepareRequest,
  type QueryRequest,
  type Request,
  type RequestHandler,
  type SchemaChange,
  valueAt,
  valueCount,
  writePrepared,
  writeRowsHeader,
  writeSchemaChangeResult,
  writeSetKeyspace,
  writeVoid,
} from '../transport/index.ts';
import { checkConditional, checkCounter, checkRead, checkWrite } from './consistency.ts';
import {
  PointAnswer,
  type PointHost,
  SharedBinding,
  SharedWriteOptions,
  WriteAnswer,
} from './fast-path.ts';
import { RecentCache, Runnable, statementId } from './prepared.ts';
import type { Trace, Tracer } from './tracing.ts';

const PREPARED_MAX = 10_000;
const PLANNED_TEXTS_MAX = 1_000;
const PLANNED_TEXT_LENGTH_MAX = 8_192;

export interface SchemaDoor {
  /** Runs DDL and TRUNCATE. @throws CqlError */
  apply(
    text: string,
    keyspace: string | null,
  ): Promise<{ readonly event: SchemaChange | null; readonly warnings: readonly string[] }>;
}

/** Prepared statements of other workers. */
export interface PreparedDirectory {
  add(id: string, text: string, keyspace: string | null): void;
  find(id: string): Promise<{ readonly text: string; readonly keyspace: string | null } | null>;
}

export interface ServerClock {
  /** Microseconds since 1970. */
  micros(): number;
}

export interface RequestHandlerDeps {
  readonly store: LocalStore;
  readonly executor: Executor;
  readonly virtualTables: VirtualTables;
  readonly schemaDoor: SchemaDoor;
  readonly directory: PreparedDirectory;
  readonly clock: ServerClock;
  readonly tracer: Tracer;
  readonly context: Omit<EvaluationContext, 'nowMillis'>;
  readonly listPlace: WriteOptions['listPlace'];
  readonly datacenter: string;
  readonly clusterName: string;
  logError(message: string, error: unknown): void;
}

/** QUERY, EXECUTE and the parts of BATCH. */
type DataRequest = QueryRequest | ExecuteRequest;

type Outcome =
  | { readonly kind: 'void'; readonly warnings?: readonly string[] }
  | { readonly kind: 'rows'; readonly result: RowsResult; readonly isOwn: boolean }
  | { readonly kind: 'keyspace'; readonly keyspace: string }
  | { readonly kind: 'schema'; readonly event: SchemaChange; readonly warnings: readonly string[] };

const VOID: Outcome = { kind: 'void' };

const NO_KEY = new Uint8Array(0);

export class RequestHandlerImpl implements RequestHandler, PointHost {
  private readonly deps: RequestHandlerDeps;
  private schema: Schema;
  private readonly prepared = new RecentCache<Runnable>(PREPARED_MAX);
  private readonly texts = new RecentCache<Runnable>(PLANNED_TEXTS_MAX);
  private readonly binding: SharedBinding;
  private readonly writeOptions: SharedWriteOptions;
  private readonly key = new BytesWriter(256);
  private readonly rowContext: SelectionContext;

  constructor(schema: Schema, deps: RequestHandlerDeps) {
    this.schema = schema;
    this.deps = deps;
    this.binding = new SharedBinding(deps.context);
    this.writeOptions = new SharedWriteOptions(deps.listPlace);
    this.rowContext = { row: null as never, binding: this.binding, aggregates: [], leaves: null };
  }

  /** From now on requests are planned with this schema. */
  setSchema(schema: Schema): void {
    this.schema = schema;
  }

  handle(request: Request, connection: ClientConnection): void {
    switch (request.kind) {
      case 'execute':
        this.execute(request, connection);
        break;
      case 'query':
        this.run(
          this.byText(request.query, request.keyspace ?? connection.keyspace),
          request,
          connection,
        );
        break;
      case 'prepare':
        this.prepare(request, connection);
        break;
      case 'batch':
        this.settle(this.batch(request, connection), request, connection, null);
        break;
    }
  }

  private execute(request: ExecuteRequest, connection: ClientConnection): void {
    const { source, idStart, idLength } = request;
    const id = source.toString('latin1', idStart, idStart + idLength);
    const runnable = this.prepared.get(id);
    if (runnable !== undefined && runnable.schema === this.schema) {
      this.run(runnable, request, connection);
      return;
    }
    this.find(id, request.statementId).then(
      (found) => {
        try {
          this.run(found, request, connection);
        } catch (error) {
          connection.fail(request, this.asCqlError(error));
        }
      },
      (error: unknown) => connection.fail(request, this.asCqlError(error)),
    );
  }

  /** A prepared statement that has to be planned (again), or that another worker prepared. */
  private async find(id: string, idBytes: Uint8Array): Promise<Runnable> {
    const stale = this.prepared.get(id)?.statement;
    const source =
      stale ?? (await this.deps.directory.find(Buffer.from(id, 'latin1').toString('hex')));
    if (source === null) throw unprepared(idBytes);
    const runnable = this.plan(source.text, source.keyspace);
    this.prepared.set(id, runnable);
    return runnable;
  }

  private plan(text: string, keyspace: string | null): Runnable {
    const statement = planStatement(
      text,
      this.schema,
      keyspace,
      Math.floor(this.deps.clock.micros() / 1000),
    );
    return new Runnable(statement, this.schema, this.handleOf(statement));
  }

  private handleOf(statement: PlannedStatement): TableHandle | null {
    const { plan } = statement;
    if (plan.kind !== 'select' && plan.kind !== 'modification') return null;
    return isVirtual(plan.table) ? null : this.deps.store.handle(plan.table);
  }

  private byText(text: string, keyspace: string | null): Runnable {
    const key = `${keyspace ?? ''}\u0000${text}`;
    const known = this.texts.use(key);
    if (known !== undefined && known.schema === this.schema) return known;
    const runnable = this.plan(text, keyspace);
    const { kind } = runnable.statement.plan;
    const again = kind === 'select' || kind === 'modification' || kind === 'batch';
    if (again && text.length <= PLANNED_TEXT_LENGTH_MAX) this.texts.set(key, runnable);
    return runnable;
  }

  private prepare(request: PrepareRequest, connection: ClientConnection): void {
    const keyspace = request.keyspace ?? connection.keyspace;
    const text = request.query;
    const id = statementId(text, keyspace);
    const key = id.toString('latin1');
    let runnable = this.prepared.use(key);
    if (runnable === undefined || runnable.schema !== this.schema) {
      runnable = this.plan(text, keyspace);
      this.prepared.set(key, runnable);
      this.deps.directory.add(id.toString('hex'), text, keyspace);
    }
    const { version } = connection;
    const { statement } = runnable;
    const out = connection.begin(request, Opcode.Result);
    writePrepared(
      out,
      {
        statementId: id,
        resultMetadataId: runnable.resultId,
        variables: runnable.markers(version),
        partitionKeyIndexes: statement.partitionKeyMarkers,
        result: statement.resultColumns.length > 0 ? runnable.result(version) : null,
      },
      version,
    );
    connection.end();
  }

  private bind(values: BoundValues, runnable: Runnable): Value[] {
    const { markers } = runnable.statement;
    const count = valueCount(values);
    if (values.names !== null) return this.bindNamed(values, values.names, runnable);
    if (count !== markers.length) {
      throw invalidRequest(
        count === 0
          ? 'Invalid amount of bind variables'
          : `there were ${markers.length} markers(?) in CQL but ${count} bound variables`,
      );
    }
    const bound: Value[] = new Array(count);
    for (let i = 0; i < count; i++) bound[i] = valueAt(values, i);
    return bound;
  }

  private bindNamed(values: BoundValues, names: readonly string[], runnable: Runnable): Value[] {
    const bound: Value[] = new Array(runnable.statement.markers.length).fill(undefined);
    const given = new Set<number>();
    for (const [i, name] of names.entries()) {
      for (const index of runnable.indexesOf(name)) {
        bound[index] = valueAt(values, i);
        given.add(index);
      }
    }
    if (given.size < bound.length) {
      throw invalidRequest('Invalid amount of bind variables');
    }
    return bound;
  }

  private run(runnable: Runnable, request: DataRequest, connection: ClientConnection): void {
    const { plan } = runnable.statement;
    const { handle } = runnable;
    const values = this.bind(request, runnable);
    if (handle !== null && !request.tracing) {
      const micros = this.deps.clock.micros();
      if (plan.kind === 'modification' && plan.isFast) {
        this.writeFast(plan, handle, values, micros, request, connection);
        return;
      }
      if (plan.kind === 'select' && plan.isPoint && request.pagingState === null) {
        this.readPoint(plan, handle, runnable, values, micros, request, connection);
        return;
      }
    }
    const trace = request.tracing
      ? this.deps.tracer.start(request, connection, runnable.statement.text)
      : null;
    this.settle(
      this.runPlan(runnable, values, request, connection, trace),
      request,
      connection,
      runnable,
      trace,
    );
  }

  private nowSeconds(request: DataRequest | BatchRequest, micros: number): number {
    return request.nowInSeconds >= 0 ? request.nowInSeconds : Math.floor(micros / 1e6);
  }

  private writeFast(
    plan: ModificationPlan,
    handle: TableHandle,
    values: readonly Value[],
    micros: number,
    request: DataRequest,
    connection: ClientConnection,
  ): void {
    const refused = this.refuseWrite(plan, request);
    if (refused !== null) {
      connection.fail(request, refused);
      return;
    }
    const { binding, writeOptions } = this;
    binding.values = values;
    binding.context.nowMillis = Math.floor(micros / 1000);
    this.setStamp(writeOptions, request, micros);
    const bound = plan.rebind === null ? binding : plan.rebind(binding);
    const fast = makeFastMutation(plan, handle, bound, writeOptions);
    const { store } = this.deps;
    const shard = store.merge(handle, fast.key, fast.keyLength, fast.record, fast.recordLength);
    store.addSink(shard, new WriteAnswer(request, connection));
  }

  private setStamp(
    options: SharedWriteOptions,
    request: DataRequest | BatchRequest,
    micros: number,
  ): void {
    options.nowSeconds = this.nowSeconds(request, micros);
    if (request.hasTimestamp) {
      options.stampHigh = request.timestampHigh;
      options.stampLow = request.timestampLow;
    } else {
      options.stampHigh = Math.floor(micros / 0x100000000);
      options.stampLow = micros | 0;
    }
  }

  private readPoint(
    plan: SelectPlan,
    handle: TableHandle,
    runnable: Runnable,
    values: readonly Value[],
    micros: number,
    request: DataRequest,
    connection: ClientConnection,
  ): void {
    const refused = checkRead(
      request.consistency,
      this.keyspaceOf(plan.table),
      this.deps.datacenter,
    );
    if (refused !== null) {
      connection.fail(request, refused);
      return;
    }
    const { binding, key } = this;
    const { store } = this.deps;
    binding.values = values;
    binding.context.nowMillis = Math.floor(micros / 1000);
    const { partition, clustering } = plan.read.restrictions;
    if (partition.kind !== 'keys') throw serverError('a point read without a key');
    key.reset();
    writePartitionKey(handle.keys, partition.keys(binding)[0], key);
    const partitionLength = key.length;
    const shard = store.shardOf(key.buffer);
    const hasClustering = handle.keys.clustering.length > 0;
    if (hasClustering) {
      store.get(handle, shard, key.buffer, partitionLength);
      key.raw(clustering.points(binding)[0]);
    }
    store.get(handle, shard, key.buffer, key.length);
    const showsKey = hasClustering || plan.read.wanted.some((column) => column.kind !== 'regular');
    const answer = new PointAnswer(
      this,
      request,
      connection,
      runnable,
      this.nowSeconds(request, micros),
      values,
      showsKey ? key.copy() : null,
      showsKey ? partitionLength : 0,
    );
    store.addReader(shard, answer, hasClustering ? 2 : 1);
  }

  private keyspaceOf(table: TableDef) {
    const keyspace = this.schema.keyspaces.get(table.keyspace);
    if (keyspace === undefined) throw invalidRequest(`keyspace ${table.keyspace} does not exist`);
    return keyspace;
  }

  private refuseWrite(
    plan: ModificationPlan,
    request: DataRequest | BatchRequest,
  ): CqlError | null {
    const keyspace = this.keyspaceOf(plan.table);
    const { datacenter } = this.deps;
    const { consistency } = request;
    if (plan.conditions !== null) {
      return checkConditional(consistency, request.serialConsistency, keyspace, datacenter);
    }
    if (plan.isCounter) return checkCounter(consistency, keyspace, datacenter);
    return checkWrite(consistency, keyspace, datacenter);
  }

  /** Starts a rows answer up to, and without, the row count. */
  beginRows(
    request: DataRequest,
    connection: ClientConnection,
    runnable: Runnable,
    pagingState: Uint8Array | null,
    header?: { readonly warnings?: readonly string[]; readonly tracingId?: Uint8Array },
  ): Writer {
    const { version } = connection;
    const out =
      header === undefined
        ? connection.begin(request, Opcode.Result)
        : connection.begin(request, Opcode.Result, header);
    let newMetadataId: Uint8Array | null = null;
    if (request.kind === 'execute' && request.metadataIdLength > 0) {
      const { resultId } = runnable;
      if (Buffer.compare(request.resultMetadataId ?? NO_KEY, resultId) !== 0)
        newMetadataId = resultId;
    }
    const skipMetadata = request.kind === 'execute' && request.skipMetadata;
    writeRowsHeader(out, runnable.result(version), { pagingState, skipMetadata, newMetadataId });
    return out;
  }

  writeRow(out: Writer, plan: SelectPlan, row: TableRow, values: readonly Value[]): void {
    const { plain, expressions } = plan.selection;
    if (plain !== null) {
      for (let i = 0; i < plain.length; i++) row.write(plain[i], out);
      return;
    }
    this.binding.values = values;
    this.rowContext.row = row;
    for (const expression of expressions) out.bytes(expression.evaluate(this.rowContext));
  }

  /** Everything that is not on a fast path. */
  private async runPlan(
    runnable: Runnable,
    values: readonly Value[],
    request: DataRequest,
    connection: ClientConnection,
    trace: Trace | null,
  ): Promise<Outcome> {
    const { statement } = runnable;
    const { plan } = statement;
    const micros = this.deps.clock.micros();
    const binding = this.ownBinding(values, micros);
    switch (plan.kind) {
      case 'select':
        return this.select(plan, runnable, binding, request, micros, trace);
      case 'modification': {
        const refused = this.refuseWrite(plan, request);
        if (refused !== null) throw refused;
        trace?.add(`Determining replicas for mutation`);
        const result = await this.deps.executor.modify(
          this.boundTo(plan, binding),
          this.ownOptions(request, micros),
        );
        trace?.add('Appended to the write-ahead log and applied to the memtable');
        return result === null ? VOID : { kind: 'rows', result, isOwn: true };
      }
      case 'batch':
        return this.runBatch(plan, binding, request, micros);
      case 'use':
        connection.keyspace = plan.keyspace;
        return { kind: 'keyspace', keyspace: plan.keyspace };
      case 'describe': {
        const { clusterName } = this.deps;
        const session = request.keyspace ?? connection.keyspace;
        const { columns, rows: shown } = describe(plan.statement, this.schema, session, {
          clusterName,
        });
        return { kind: 'rows', result: rows(columns, shown), isOwn: true };
      }
      case 'schema': {
        const session = request.keyspace ?? connection.keyspace;
        const { event, warnings } = await this.deps.schemaDoor.apply(statement.text, session);
        return event === null ? { kind: 'void', warnings } : { kind: 'schema', event, warnings };
      }
    }
  }

  private ownBinding(values: readonly Value[], micros: number): Binding {
    return { values, context: { ...this.deps.context, nowMillis: Math.floor(micros / 1000) } };
  }

  private ownOptions(request: DataRequest | BatchRequest, micros: number): SharedWriteOptions {
    const options = new SharedWriteOptions(this.deps.listPlace);
    this.setStamp(options, request, micros);
    return options;
  }

  private boundTo(plan: ModificationPlan, binding: Binding): BoundModification {
    return {
      plan,
      handle: this.deps.store.handle(plan.table),
      binding: plan.rebind === null ? binding : plan.rebind(binding),
    };
  }

  private async select(
    plan: SelectPlan,
    runnable: Runnable,
    binding: Binding,
    request: DataRequest,
    micros: number,
    trace: Trace | null,
  ): Promise<Outcome> {
    const refused = checkRead(
      request.consistency,
      this.keyspaceOf(plan.table),
      this.deps.datacenter,
    );
    if (refused !== null) throw refused;
    const options = {
      pageSize: request.pageSize,
      pagingState: request.pagingState,
      nowSeconds: this.nowSeconds(request, micros),
    };
    trace?.add(`Executing read on ${plan.table.keyspace}.${plan.table.name}`);
    const handle = runnable.handle ?? {
      table: plan.table,
      keys: keyLayout(plan.table),
      families: [],
    };
    const source =
      runnable.handle === null ? this.deps.virtualTables.records(handle) : this.deps.store;
    const result = await runSelect(plan, source, handle, binding, options);
    trace?.add(`Read ${result.rowCount} live rows`);
    return { kind: 'rows', result, isOwn: false };
  }

  private async runBatch(
    plan: BatchPlan,
    binding: Binding,
    request: DataRequest | BatchRequest,
    micros: number,
  ): Promise<Outcome> {
    const options = this.ownOptions(request, micros);
    const timestamp = plan.timestamp?.evaluate(binding);
    if (timestamp === null) throw invalidRequest('Invalid null value of timestamp');
    if (timestamp !== undefined) {
      const bytes = Buffer.from(timestamp);
      options.stampHigh = bytes.readInt32BE(0);
      options.stampLow = bytes.readInt32BE(4);
    }
    const modifications = plan.modifications.map((modification) =>
      this.boundTo(modification, binding),
    );
    return this.runModifications(plan.batchKind, modifications, request, options);
  }

  private async runModifications(
    kind: BatchPlan['batchKind'],
    modifications: readonly BoundModification[],
    request: DataRequest | BatchRequest,
    options: WriteOptions,
  ): Promise<Outcome> {
    if (modifications.length === 0) return VOID;
    for (const { plan } of modifications) {
      const refused = this.refuseWrite(plan, request);
      if (refused !== null) throw refused;
    }
    const result = await this.deps.executor.batch(kind, modifications, options);
    return result === null ? VOID : { kind: 'rows', result, isOwn: true };
  }

  /** A BATCH message. */
  private async batch(request: BatchRequest, connection: ClientConnection): Promise<Outcome> {
    const micros = this.deps.clock.micros();
    const keyspace = request.keyspace ?? connection.keyspace;
    const modifications: BoundModification[] = [];
    for (const part of request.statements) {
      let runnable: Runnable;
      if (part.kind === 'query') runnable = this.byText(part.query, keyspace);
      else {
        const id = part.statementId.toString('latin1');
        const known = this.prepared.get(id);
        runnable =
          known !== undefined && known.schema === this.schema
            ? known
            : await this.find(id, part.statementId);
      }
      const { plan } = runnable.statement;
      if (plan.kind !== 'modification') {
        throw invalidRequest(
          'Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.',
        );
      }
      const binding = this.ownBinding(this.bind(part, runnable), micros);
      modifications.push(this.boundTo(plan, binding));
    }
    const kind =
      request.type === BatchType.Counter
        ? 'counter'
        : request.type === BatchType.Unlogged
          ? 'unlogged'
          : 'logged';
    checkBatch(
      kind,
      modifications.map(({ plan }) => plan),
    );
    return this.runModifications(kind, modifications, request, this.ownOptions(request, micros));
  }

  /** Answers with what comes of `work`. */
  private settle(
    work: Promise<Outcome>,
    request: DataRequest | BatchRequest,
    connection: ClientConnection,
    runnable: Runnable | null,
    trace: Trace | null = null,
  ): void {
    work
      .then((outcome) => this.answer(outcome, request, connection, runnable, trace))
      .catch((error: unknown) => {
        const failure = this.asCqlError(error);
        connection.fail(request, failure, trace === null ? {} : { tracingId: trace.id });
      })
      .finally(() => trace?.finish());
  }

  private answer(
    outcome: Outcome,
    request: DataRequest | BatchRequest,
    connection: ClientConnection,
    runnable: Runnable | null,
    trace: Trace | null,
  ): void {
    const tracing = trace === null ? {} : { tracingId: trace.id };
    switch (outcome.kind) {
      case 'void':
        writeVoid(
          connection.begin(request, Opcode.Result, { ...tracing, ...warned(outcome.warnings) }),
        );
        break;
      case 'keyspace':
        writeSetKeyspace(connection.begin(request, Opcode.Result, tracing), outcome.keyspace);
        break;
      case 'schema':
        writeSchemaChangeResult(
          connection.begin(request, Opcode.Result, { ...tracing, ...warned(outcome.warnings) }),
          outcome.event,
          connection.version,
        );
        break;
      case 'rows': {
        const { result, isOwn } = outcome;
        const header = { ...tracing, ...warned(result.warnings) };
        let out: Writer;
        if (isOwn || runnable === null || request.kind === 'batch') {
          out = connection.begin(request, Opcode.Result, header);
          const table = runnable?.statement.table ?? result.table ?? null;
          const specs = result.columns.map(({ name, type }) => ({
            keyspace: table?.keyspace ?? '',
            table: table?.name ?? '',
            name,
            type,
          }));
          writeRowsHeader(out, encodeMetadata(specs, connection.version));
        } else {
          out = this.beginRows(request, connection, runnable, result.pagingState, header);
        }
        out.i32(result.rowCount);
        out.raw(result.content);
        break;
      }
    }
    connection.end();
  }

  /** Anything thrown, as the client sees it; what is no CqlError is a bug and is logged. */
  asCqlError(error: unknown): CqlError {
    if (error instanceof CqlError) return error;
    this.deps.logError('a request failed unexpectedly', error);
    return serverError(error instanceof Error ? `${error.name}: ${error.message}` : String(error), {
      cause: error,
    });
  }
}

function warned(warnings: readonly string[] | undefined): {
  readonly warnings?: readonly string[];
} {
  return warnings === undefined || warnings.length === 0 ? {} : { warnings };
}
