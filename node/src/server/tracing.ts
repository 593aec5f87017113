/** Traces of single requests, kept for a day in system_traces, where cqlsh and drivers look for them. */
import { CONSISTENCY_NAMES } from '../common/consistency.ts';
import type { DataPath } from '../query/data-path.ts';
import type { Executor } from '../query/execute.ts';
import type { EvaluationContext } from '../query/functions/function.ts';
import type { WriteOptions } from '../query/modify.ts';
import { planStatement } from '../query/statement.ts';
import type { Value } from '../query/term-values.ts';
import type { Schema } from '../schema/schema.ts';
import type { LocalStore } from '../storage/local-store.ts';
import type { ClientConnection, Request } from '../transport/index.ts';
import { type CqlValue, encode } from '../types/codec.ts';

const SESSION =
  'INSERT INTO system_traces.sessions (session_id, client, command, coordinator, coordinator_port, parameters, request, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL 86400';
const DURATION =
  'UPDATE system_traces.sessions USING TTL 86400 SET duration = ? WHERE session_id = ?';
const EVENT =
  'INSERT INTO system_traces.events (session_id, event_id, activity, source, source_elapsed, source_port, thread) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL 86400';

export interface TracerDeps {
  readonly executor: Executor;
  readonly store: LocalStore;
  /** Microseconds since 1970. */
  readonly clock: { micros(): number };
  readonly context: Omit<EvaluationContext, 'nowMillis'>;
  readonly listPlace: WriteOptions['listPlace'];
  readonly address: Uint8Array;
  readonly port: number;
  /** Name of this worker, shown with each event. */
  readonly thread: string;
  /** Where traces are written; null (or none given): on this node alone. */
  path?(): DataPath | null;
  /** The system keyspaces are in it. */
  readonly schema: Schema;
  logError(message: string, error: unknown): void;
}

/** One request's trace. */
export interface Trace {
  /** A timeuuid. */
  readonly id: Uint8Array;
  add(activity: string): void;
  /** Writes the trace. */
  finish(): void;
}

function addressBytes(text: string): Uint8Array {
  const parts = text
    .replace(/^::ffff:/, '')
    .split('.')
    .map(Number);
  return parts.length === 4 && parts.every((part) => part >= 0 && part <= 255)
    ? Uint8Array.from(parts)
    : new Uint8Array(16);
}

export class Tracer {
  private readonly deps: TracerDeps;

  constructor(deps: TracerDeps) {
    this.deps = deps;
  }

  start(request: Request, connection: ClientConnection, text: string): Trace {
    const { clock, context } = this.deps;
    const id = context.timeUuid();
    const started = clock.micros();
    const events: {
      readonly id: Uint8Array;
      readonly activity: string;
      readonly elapsed: number;
    }[] = [];
    const add = (activity: string) => {
      events.push({ id: context.timeUuid(), activity, elapsed: clock.micros() - started });
    };
    add(`Parsing ${text}`);
    const finish = () => {
      add('Request complete');
      const elapsed = clock.micros() - started;
      const consistency = 'consistency' in request ? request.consistency : 1;
      const parameters: CqlValue = [
        ['consistency_level', CONSISTENCY_NAMES[consistency] ?? String(consistency)],
        ['page_size', 'pageSize' in request ? String(request.pageSize) : '-1'],
        ['query', text],
      ];
      const client = addressBytes(connection.remote.address);
      const { address, port, thread } = this.deps;
      const start = BigInt(Math.floor(started / 1000));
      const write = async () => {
        for (const event of events) {
          await this.run(EVENT, [
            id,
            event.id,
            event.activity,
            address,
            event.elapsed,
            port,
            thread,
          ]);
        }
        const what = 'Execute CQL3 query';
        await this.run(SESSION, [id, client, 'QUERY', address, port, parameters, what, start]);
        // Last: clients wait for the duration to know that the trace is complete.
        await this.run(DURATION, [elapsed, id]);
      };
      write().catch((error: unknown) => this.deps.logError('a trace was not written', error));
    };
    return { id, add, finish };
  }

  private async run(text: string, values: readonly CqlValue[]): Promise<void> {
    const { schema, store, executor, clock, context, listPlace } = this.deps;
    const micros = clock.micros();
    const nowMillis = Math.floor(micros / 1000);
    const { plan, markers } = planStatement(text, schema, null, nowMillis);
    if (plan.kind !== 'modification') return;
    const bound = values.map((value, i): Value => encode(markers[i].type, value));
    const binding = { values: bound, context: { ...context, nowMillis } };
    const options = {
      stampHigh: Math.floor(micros / 0x100000000),
      stampLow: micros | 0,
      nowSeconds: Math.floor(micros / 1e6),
      listPlace,
    };
    const path = this.deps.path?.() ?? null;
    await executor.modify({ plan, handle: store.handle(plan.table), binding }, options, path);
  }
}
