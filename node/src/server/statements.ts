/** The statements that this worker has planned, and those that other workers know. */
import { unprepared } from '../common/errors.ts';
import { planStatement } from '../query/statement.ts';
import { isVirtual } from '../query/virtual/definitions.ts';
import type { Schema } from '../schema/schema.ts';
import type { LocalStore } from '../storage/local-store.ts';
import { RecentCache, Runnable, statementId } from './prepared.ts';

const PREPARED_MAX = 10_000;
const PLANNED_TEXTS_MAX = 1_000;
const PLANNED_TEXT_LENGTH_MAX = 8_192;

/** Prepared statements of other workers. */
export interface PreparedDirectory {
  add(id: string, text: string, keyspace: string | null): void;
  find(id: string): Promise<{ readonly text: string; readonly keyspace: string | null } | null>;
}

export interface StatementsDeps {
  readonly store: Pick<LocalStore, 'handle'>;
  readonly directory: PreparedDirectory;
  readonly clock: { micros(): number };
}

/** A statement just prepared. */
export interface PreparedStatement {
  readonly id: Buffer;
  readonly runnable: Runnable;
  /** It had to be planned: nobody has prepared it here before, or the schema has changed since. */
  readonly isNew: boolean;
}

export class Statements {
  /** What statements are planned with, from now on. */
  schema: Schema;
  private readonly deps: StatementsDeps;
  private readonly prepared = new RecentCache<Runnable>(PREPARED_MAX);
  private readonly texts = new RecentCache<Runnable>(PLANNED_TEXTS_MAX);

  constructor(schema: Schema, deps: StatementsDeps) {
    this.schema = schema;
    this.deps = deps;
  }

  /** The prepared statement with this id (latin1), if it can be run as it is. */
  ready(id: string): Runnable | undefined {
    const runnable = this.prepared.get(id);
    return runnable !== undefined && runnable.schema === this.schema ? runnable : undefined;
  }

  /** A prepared statement that has to be planned (again), or that another worker prepared. @throws CqlError */
  async find(id: string, idBytes: Uint8Array): Promise<Runnable> {
    const stale = this.prepared.get(id)?.statement;
    const source =
      stale ?? (await this.deps.directory.find(Buffer.from(id, 'latin1').toString('hex')));
    if (source === null) throw unprepared(idBytes);
    const runnable = this.plan(source.text, source.keyspace);
    this.prepared.set(id, runnable);
    return runnable;
  }

  /** @throws CqlError */
  prepare(text: string, keyspace: string | null): PreparedStatement {
    const id = statementId(text, keyspace);
    const key = id.toString('latin1');
    const known = this.prepared.use(key);
    if (known !== undefined && known.schema === this.schema) {
      return { id, runnable: known, isNew: false };
    }
    const runnable = this.plan(text, keyspace);
    this.prepared.set(key, runnable);
    this.deps.directory.add(id.toString('hex'), text, keyspace);
    return { id, runnable, isNew: true };
  }

  /** A statement that comes as text; what may come again is kept. @throws CqlError */
  byText(text: string, keyspace: string | null): Runnable {
    const key = `${keyspace ?? ''}\u0000${text}`;
    const known = this.texts.use(key);
    if (known !== undefined && known.schema === this.schema) return known;
    const runnable = this.plan(text, keyspace);
    const { kind } = runnable.statement.plan;
    const again = kind === 'select' || kind === 'modification' || kind === 'batch';
    if (again && text.length <= PLANNED_TEXT_LENGTH_MAX) this.texts.set(key, runnable);
    return runnable;
  }

  private plan(text: string, keyspace: string | null): Runnable {
    const nowMillis = Math.floor(this.deps.clock.micros() / 1000);
    const statement = planStatement(text, this.schema, keyspace, nowMillis);
    const { plan } = statement;
    if (plan.kind !== 'select' && plan.kind !== 'modification') {
      return new Runnable(statement, this.schema, null);
    }
    const handle = isVirtual(plan.table) ? null : this.deps.store.handle(plan.table);
    return new Runnable(statement, this.schema, handle);
  }
}
