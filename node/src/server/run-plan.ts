/** Runs everything that is not on a fast path. */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { isSerial, quorumOf } from '../coordinator/levels.ts';
import type { Replicated } from '../coordinator/replicated.ts';
import type { BatchKind, Executor } from '../query/execute.ts';
import type { EvaluationContext } from '../query/functions/function.ts';
import type { BoundModification, ModificationPlan, WriteOptions } from '../query/modify.ts';
import { runSelect, type SelectPlan } from '../query/select.ts';
import { type BatchPlan, checkBatch } from '../query/statement.ts';
import type { Binding, Value } from '../query/term-values.ts';
import type { VirtualTables } from '../query/virtual/rows.ts';
import { describe } from '../schema/describe.ts';
import { keyLayout, writePartitionKey } from '../storage/keys.ts';
import type { LocalStore } from '../storage/local-store.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';
import type {
  BatchRequest,
  BatchStatement,
  ClientConnection,
  SchemaChange,
} from '../transport/index.ts';
import { bindValues } from './bind.ts';
import type { DataPaths } from './data-paths.ts';
import { describePage } from './describe-page.ts';
import { type DataRequest, nowSecondsOf, RequestWriteOptions } from './evaluation.ts';
import { type Outcome, VOID } from './outcome.ts';
import { Runnable } from './prepared.ts';
import type { Statements } from './statements.ts';
import type { Trace } from './tracing.ts';

export interface SchemaDoor {
  /** Runs DDL and TRUNCATE. @throws CqlError */
  apply(
    text: string,
    keyspace: string | null,
  ): Promise<{ readonly event: SchemaChange | null; readonly warnings: readonly string[] }>;
}

export interface PlanRunnerDeps {
  readonly store: LocalStore;
  readonly executor: Executor;
  readonly virtualTables: VirtualTables;
  readonly schemaDoor: SchemaDoor;
  readonly clock: { micros(): number };
  readonly context: Omit<EvaluationContext, 'nowMillis'>;
  readonly listPlace: WriteOptions['listPlace'];
  readonly clusterName: string;
}

/** A SELECT and what one run of it is given. */
interface SelectRun {
  readonly plan: SelectPlan;
  readonly runnable: Runnable;
  readonly binding: Binding;
  readonly request: DataRequest;
  readonly micros: number;
  readonly trace: Trace | null;
}

/** By the number that a BATCH message has for it. */
const BATCH_KINDS: readonly BatchKind[] = ['logged', 'unlogged', 'counter'];

export class PlanRunner {
  private readonly deps: PlanRunnerDeps;
  private readonly statements: Statements;
  private readonly paths: DataPaths;

  constructor(statements: Statements, paths: DataPaths, deps: PlanRunnerDeps) {
    this.statements = statements;
    this.paths = paths;
    this.deps = deps;
  }

  /** @throws CqlError */
  async run(
    runnable: Runnable,
    values: readonly Value[],
    request: DataRequest,
    connection: ClientConnection,
    trace: Trace | null,
  ): Promise<Outcome> {
    const { text, plan } = runnable.statement;
    const micros = this.deps.clock.micros();
    const binding = this.bindingOf(values, micros);
    const session = request.keyspace ?? connection.keyspace;
    switch (plan.kind) {
      case 'select':
        return this.select({ plan, runnable, binding, request, micros, trace });
      case 'modification':
        return this.modify(plan, binding, request, micros, trace);
      case 'batch':
        return this.runBatch(plan, binding, request, micros);
      case 'use':
        connection.keyspace = plan.keyspace;
        return { kind: 'keyspace', keyspace: plan.keyspace };
      case 'describe': {
        const { schema } = this.statements;
        const { clusterName } = this.deps;
        const whole = describe(plan.statement, schema, session, { clusterName });
        return { kind: 'rows', result: describePage(whole, schema.version, request), isOwn: true };
      }
      case 'schema': {
        const { event, warnings } = await this.deps.schemaDoor.apply(text, session);
        return event === null ? { kind: 'void', warnings } : { kind: 'schema', event, warnings };
      }
    }
  }

  private bindingOf(values: readonly Value[], micros: number): Binding {
    return { values, context: { ...this.deps.context, nowMillis: Math.floor(micros / 1000) } };
  }

  private optionsOf(request: DataRequest | BatchRequest, micros: number): RequestWriteOptions {
    const options = new RequestWriteOptions(this.deps.listPlace);
    options.take(request, micros);
    return options;
  }

  private boundTo(plan: ModificationPlan, binding: Binding): BoundModification {
    return {
      plan,
      handle: this.deps.store.handle(plan.table),
      binding: plan.rebind === null ? binding : plan.rebind(binding),
    };
  }

  private checkLevels(plan: ModificationPlan, request: DataRequest | BatchRequest): void {
    const replicated = this.paths.replicatedOf(plan.table);
    const refused = this.paths.checkModification(plan, request, replicated);
    if (refused !== null) throw refused;
  }

  private async modify(
    plan: ModificationPlan,
    binding: Binding,
    request: DataRequest,
    micros: number,
    trace: Trace | null,
  ): Promise<Outcome> {
    this.checkLevels(plan, request);
    trace?.add('Determining replicas for mutation');
    const bound = this.boundTo(plan, binding);
    const options = this.optionsOf(request, micros);
    const result = await this.paths.modify(request, (path) =>
      this.deps.executor.modify(bound, options, path),
    );
    trace?.add('Appended to the write-ahead log and applied to the memtable');
    return result === null ? VOID : { kind: 'rows', result, isOwn: true };
  }

  private async select(run: SelectRun): Promise<Outcome> {
    const { plan, runnable, binding, request, micros, trace } = run;
    const { paths } = this;
    const { consistency } = request;
    const replicated = paths.replicatedOf(plan.table);
    const refused = paths.checkRead(consistency, replicated);
    if (refused !== null) throw refused;
    const options = {
      pageSize: request.pageSize,
      pagingState: request.pagingState,
      nowSeconds: nowSecondsOf(request, micros),
    };
    trace?.add(`Executing read on ${plan.table.keyspace}.${plan.table.name}`);
    const handle = runnable.handle ?? {
      table: plan.table,
      keys: keyLayout(plan.table),
      families: [],
    };
    const source =
      runnable.handle === null
        ? this.deps.virtualTables.records(handle)
        : isSerial(consistency)
          ? await this.serialSource(plan, handle, binding, replicated, consistency)
          : paths.source(replicated, consistency);
    const result = await runSelect(plan, source, handle, binding, options);
    trace?.add(`Read ${result.rowCount} live rows`);
    return { kind: 'rows', result, isOwn: false };
  }

  /** What a read at a serial level reads from. @throws CqlError */
  private async serialSource(
    plan: SelectPlan,
    handle: TableHandle,
    binding: Binding,
    replicated: Replicated,
    level: number,
  ): Promise<RecordSource> {
    const { paths } = this;
    if (paths.isHere(replicated)) return paths.source(replicated, level);
    const { partition } = plan.read.restrictions;
    const keys = partition.kind === 'keys' ? partition.keys(binding) : [];
    if (keys.length !== 1) {
      throw invalidRequest(
        'SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time',
      );
    }
    const key = new Writer(64);
    writePartitionKey(handle.keys, keys[0], key);
    await paths.settle(handle, replicated, key.view(), level);
    return paths.source(replicated, quorumOf(level));
  }

  private async runBatch(
    plan: BatchPlan,
    binding: Binding,
    request: DataRequest,
    micros: number,
  ): Promise<Outcome> {
    const options = this.optionsOf(request, micros);
    const timestamp = plan.timestamp?.evaluate(binding);
    if (timestamp === null) throw invalidRequest('Invalid null value of timestamp');
    if (timestamp !== undefined) {
      const bytes = Buffer.from(timestamp);
      options.stampHigh = bytes.readInt32BE(0);
      options.stampLow = bytes.readInt32BE(4);
    }
    const modifications = plan.modifications.map((one) => this.boundTo(one, binding));
    return this.runModifications(plan.batchKind, modifications, request, options);
  }

  private async runModifications(
    kind: BatchKind,
    modifications: readonly BoundModification[],
    request: DataRequest | BatchRequest,
    options: WriteOptions,
  ): Promise<Outcome> {
    if (modifications.length === 0) return VOID;
    for (const { plan } of modifications) this.checkLevels(plan, request);
    const result = await this.paths.modify(request, (path) =>
      this.deps.executor.batch(kind, modifications, options, path),
    );
    return result === null ? VOID : { kind: 'rows', result, isOwn: true };
  }

  /** A BATCH message. @throws CqlError */
  async batch(request: BatchRequest, connection: ClientConnection): Promise<Outcome> {
    const micros = this.deps.clock.micros();
    const keyspace = request.keyspace ?? connection.keyspace;
    const modifications: BoundModification[] = [];
    for (const part of request.statements) {
      const found = this.partOf(part, keyspace);
      const runnable = found instanceof Runnable ? found : await found;
      const { plan } = runnable.statement;
      if (plan.kind !== 'modification') {
        throw invalidRequest(
          'Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.',
        );
      }
      const binding = this.bindingOf(bindValues(part, runnable), micros);
      modifications.push(this.boundTo(plan, binding));
    }
    const kind = BATCH_KINDS[request.type];
    checkBatch(
      kind,
      modifications.map(({ plan }) => plan),
    );
    return this.runModifications(kind, modifications, request, this.optionsOf(request, micros));
  }

  private partOf(part: BatchStatement, keyspace: string | null): Runnable | Promise<Runnable> {
    if (part.kind === 'query') return this.statements.byText(part.query, keyspace);
    const id = part.statementId.toString('latin1');
    return this.statements.ready(id) ?? this.statements.find(id, part.statementId);
  }
}
