/**
 * Takes clients' requests: finds the statement, binds its values, and answers at once what the storage room can answer by one
 * call; the rest goes to `run-plan`. One per worker.
 * @hot `execute`, `writeFast`, `readPoint`
 */
import { Writer as BytesWriter, type Writer } from '../common/bytes.ts';
import { CqlError, serverError } from '../common/errors.ts';
import { isSerial } from '../coordinator/levels.ts';
import { type ModificationPlan, makeFastMutation } from '../query/modify.ts';
import type { TableRow } from '../query/row.ts';
import type { SelectPlan } from '../query/select.ts';
import type { SelectionContext } from '../query/selection.ts';
import type { Value } from '../query/term-values.ts';
import type { Schema } from '../schema/schema.ts';
import { writePartitionKey } from '../storage/keys.ts';
import type { TableHandle } from '../storage/record-source.ts';
import {
  type BatchRequest,
  type ClientConnection,
  type ExecuteRequest,
  Opcode,
  type PrepareRequest,
  type Request,
  type RequestHandler,
  writePrepared,
} from '../transport/index.ts';
import { bindValues } from './bind.ts';
import { DataPaths, type DataPathsDeps } from './data-paths.ts';
import {
  type DataRequest,
  nowSecondsOf,
  RequestWriteOptions,
  SharedBinding,
} from './evaluation.ts';
import { PointAnswer, type PointHost, WriteAnswer } from './fast-path.ts';
import { LATENCY_KINDS, type Latencies } from './latency.ts';
import { type Outcome, warned, writeOutcome } from './outcome.ts';
import type { Runnable } from './prepared.ts';
import { PlanRunner, type PlanRunnerDeps } from './run-plan.ts';
import { type PreparedDirectory, Statements } from './statements.ts';
import type { Trace, Tracer } from './tracing.ts';
import { UseWarnings } from './use-warning.ts';

export interface RequestHandlerDeps extends PlanRunnerDeps, DataPathsDeps {
  readonly directory: PreparedDirectory;
  readonly tracer: Tracer;
  /** Where the times of requests are counted. */
  readonly latencies: Latencies;
  logError(message: string, error: unknown): void;
}

const BATCH = LATENCY_KINDS.indexOf('batch');
const PREPARE = LATENCY_KINDS.indexOf('prepare');

export class RequestHandlerImpl implements RequestHandler, PointHost {
  readonly latencies: Latencies;
  private readonly deps: RequestHandlerDeps;
  private readonly statements: Statements;
  private readonly paths: DataPaths;
  private readonly runner: PlanRunner;
  private readonly useWarnings = new UseWarnings();
  private readonly binding: SharedBinding;
  private readonly writeOptions: RequestWriteOptions;
  private readonly key = new BytesWriter(256);
  private readonly rowContext: SelectionContext;

  constructor(schema: Schema, deps: RequestHandlerDeps) {
    this.deps = deps;
    this.latencies = deps.latencies;
    this.statements = new Statements(schema, deps);
    this.paths = new DataPaths(schema, deps);
    this.runner = new PlanRunner(this.statements, this.paths, deps);
    this.binding = new SharedBinding(deps.context);
    this.writeOptions = new RequestWriteOptions(deps.listPlace);
    this.rowContext = { row: null as never, binding: this.binding, aggregates: [], leaves: null };
  }

  /** Resolves when no modification goes on that began while this node was alone in the ring. */
  leftAlone(): Promise<void> {
    return this.paths.leftAlone();
  }

  /** From now on requests are planned with this schema. */
  setSchema(schema: Schema): void {
    this.paths.setSchema(schema);
    this.statements.schema = schema;
  }

  handle(request: Request, connection: ClientConnection): void {
    switch (request.kind) {
      case 'execute':
        this.execute(request, connection);
        break;
      case 'query': {
        const keyspace = request.keyspace ?? connection.keyspace;
        this.run(this.statements.byText(request.query, keyspace), request, connection);
        break;
      }
      case 'prepare':
        this.prepare(request, connection);
        break;
      case 'batch':
        this.settle(this.runner.batch(request, connection), request, connection, null, null);
        break;
    }
  }

  private execute(request: ExecuteRequest, connection: ClientConnection): void {
    const { source, idStart, idLength } = request;
    const id = source.toString('latin1', idStart, idStart + idLength);
    const runnable = this.statements.ready(id);
    if (runnable !== undefined) {
      this.run(runnable, request, connection);
      return;
    }
    this.statements.find(id, request.statementId).then(
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

  private prepare(request: PrepareRequest, connection: ClientConnection): void {
    const keyspace = request.keyspace ?? connection.keyspace;
    const prepared = this.statements.prepare(request.query, keyspace);
    const { id, runnable } = prepared;
    const { version } = connection;
    const { statement } = runnable;
    const warnings = this.useWarnings.forPrepared(prepared, request, connection);
    const out = connection.begin(request, Opcode.Result, warned(warnings));
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
    this.latencies.add(PREPARE, request.receivedMillis);
  }

  private run(runnable: Runnable, request: DataRequest, connection: ClientConnection): void {
    const { plan } = runnable.statement;
    const { handle } = runnable;
    const values = bindValues(request, runnable);
    if (handle !== null && !request.tracing) {
      if (plan.kind === 'modification' && plan.isFast) {
        this.writeFast(plan, handle, runnable, values, request, connection);
        return;
      }
      if (plan.kind === 'select' && plan.isPoint && request.pagingState === null) {
        if (!isSerial(request.consistency) || this.paths.isAlone) {
          this.readPoint(plan, handle, runnable, values, request, connection);
          return;
        }
      }
    }
    const trace = request.tracing
      ? this.deps.tracer.start(request, connection, runnable.statement.text)
      : null;
    const work = this.runner.run(runnable, values, request, connection, trace);
    this.settle(work, request, connection, runnable, trace);
  }

  private writeFast(
    plan: ModificationPlan,
    handle: TableHandle,
    runnable: Runnable,
    values: readonly Value[],
    request: DataRequest,
    connection: ClientConnection,
  ): void {
    const { paths } = this;
    const replicated = runnable.replicatedIn(paths, plan.table);
    const refused = paths.checkModification(plan, request, replicated);
    if (refused !== null) {
      connection.fail(request, refused);
      return;
    }
    const { store, clock } = this.deps;
    const micros = clock.micros();
    const { binding, writeOptions } = this;
    binding.take(values, micros);
    writeOptions.take(request, micros);
    const bound = plan.rebind === null ? binding : plan.rebind(binding);
    const fast = makeFastMutation(plan, handle, bound, writeOptions);
    const answer = new WriteAnswer(request, connection, this.latencies);
    const { key, keyLength, record, recordLength } = fast;
    if (paths.coordinator !== null && !paths.isHere(replicated)) {
      const write = { handle, key, keyLength, record, recordLength };
      paths.coordinator.write(replicated, write, request.consistency, answer);
    } else {
      store.addSink(store.merge(handle, key, keyLength, record, recordLength), answer);
    }
  }

  private readPoint(
    plan: SelectPlan,
    handle: TableHandle,
    runnable: Runnable,
    values: readonly Value[],
    request: DataRequest,
    connection: ClientConnection,
  ): void {
    const { paths } = this;
    const replicated = runnable.replicatedIn(paths, plan.table);
    const refused = paths.checkRead(request.consistency, replicated);
    if (refused !== null) {
      connection.fail(request, refused);
      return;
    }
    const source = paths.source(replicated, request.consistency);
    const micros = this.deps.clock.micros();
    const { binding, key } = this;
    binding.take(values, micros);
    const { partition, clustering } = plan.read.restrictions;
    if (partition.kind !== 'keys') throw serverError('a point read without a key');
    key.reset();
    writePartitionKey(handle.keys, partition.keys(binding)[0], key);
    const partitionLength = key.length;
    const shard = source.shardOf(key.buffer);
    const hasClustering = handle.keys.clustering.length > 0;
    if (hasClustering) {
      source.get(handle, shard, key.buffer, partitionLength);
      key.raw(clustering.points(binding)[0]);
    }
    source.get(handle, shard, key.buffer, key.length);
    const showsKey = hasClustering || plan.read.wanted.some((column) => column.kind !== 'regular');
    const answer = new PointAnswer(
      this,
      request,
      connection,
      runnable,
      nowSecondsOf(request, micros),
      values,
      showsKey ? key.copy() : null,
      showsKey ? partitionLength : 0,
    );
    source.addReader(shard, answer, hasClustering ? 2 : 1);
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

  /** Answers with what comes of `work`. @param runnable null: a BATCH message */
  private settle(
    work: Promise<Outcome>,
    request: DataRequest | BatchRequest,
    connection: ClientConnection,
    runnable: Runnable | null,
    trace: Trace | null,
  ): void {
    const preface = trace === null ? {} : { tracingId: trace.id };
    work
      .then((outcome) => writeOutcome(outcome, request, connection, runnable, preface))
      .catch((error: unknown) => connection.fail(request, this.asCqlError(error), preface))
      .finally(() => {
        this.latencies.add(runnable?.latencyKind ?? BATCH, request.receivedMillis);
        trace?.finish();
      });
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
