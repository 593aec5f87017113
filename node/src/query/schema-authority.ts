/**
 * The one place of a node where its schema changes. A statement is planned on the current schema, many at one time, and
 * what comes out is agreed with the other nodes, again if somebody was faster with the same. What was agreed, wherever it was
 * planned, is followed: make column families, save, tell the workers, drop what is no longer used. What is saved is what this
 * node starts with. The planner is loaded with the first change: most starts do without it, and its 4 MiB.
 */
import { invalidRequest, overloaded } from '../common/errors.ts';
import { familyName, type Schema, type TableDef, withTable } from '../schema/schema.ts';
import { diffSchemas, type SchemaDifferenceEvent } from '../schema/schema-diff.ts';
import { asideName, familyOptions } from '../storage/families.ts';
import type { KvStore } from '../storage/kv.ts';
import type { SchemaOutcome } from './ddl.ts';

export type SchemaEvent = SchemaOutcome['event'];

export interface SchemaResult {
  /** Null: nothing changed (IF NOT EXISTS …), or a TRUNCATE. */
  readonly event: SchemaEvent;
  readonly warnings: readonly string[];
}

/** What the workers do not know yet. */
export interface SchemaStep {
  readonly schema: Schema;
  readonly events: readonly SchemaDifferenceEvent[];
}

/**
 * Tells the workers. Resolves when none of them uses an older schema any more, nor has writes for one on their way to the stores.
 * @param step null: they know it already
 */
export type TellSchema = (step: SchemaStep | null) => Promise<void>;

export interface SchemaAuthorityDeps {
  readonly stores: readonly KvStore[];
  /** Changes that are planned and agreed at one time. */
  readonly changesMax: number;
  /**
   * Makes what `next` changes of `base` a part of the schema of all nodes, and brings this node to it by `follow`.
   * @param base that it was planned on
   * @returns false if that is not so any more; this node has been brought to what is
   * @throws CqlError if it cannot be agreed now
   */
  agree(base: Schema, next: Schema): Promise<boolean>;
  /** Brings this node to all that was agreed before the call, if that can be known now. */
  refresh(): Promise<void>;
  /** Resolves when the nodes that are up have a schema of this epoch, or after a while. */
  settled(epoch: number): Promise<void>;
  /** Makes the schema the one that this node starts with. */
  save(schema: Schema): Promise<void>;
  newId(): string;
  nowMicros(): number;
  /** Nodes of each datacenter, for replication that is given without their names. */
  datacenters(): ReadonlyMap<string, number>;
}

/** Others may change the same as often while one change is planned. */
const PLANS_MAX = 100;
/** Changes that wait for their turn. */
const WAITING_MAX = 4_096;

interface Change {
  readonly next: Schema;
  readonly result: SchemaResult;
}

/** So many of one kind of work at a time, in the order in which they came. */
class Turns {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(count: number) {
    this.free = count;
  }

  /** @throws CqlError Overloaded */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await this.wait();
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free++;
      else next();
    }
  }

  private wait(): Promise<void> {
    if (this.waiting.length >= WAITING_MAX) throw overloaded('Too many schema changes wait');
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

export class SchemaAuthority {
  private readonly deps: SchemaAuthorityDeps;
  private schema: Schema;
  /** As the workers have it. */
  private told: Schema;
  /** Families of tables that are no more, which a worker may use yet. */
  private readonly dropped = new Set<string>();
  private readonly turns: Turns;
  private following: Promise<unknown> = Promise.resolve();

  constructor(schema: Schema, deps: SchemaAuthorityDeps) {
    this.schema = schema;
    this.told = schema;
    this.deps = deps;
    this.turns = new Turns(deps.changesMax);
  }

  /** The families of its tables are there, and this node starts with it. */
  get current(): Schema {
    return this.schema;
  }

  /** Runs a DDL statement or TRUNCATE. @throws CqlError */
  async apply(text: string, keyspace: string | null): Promise<SchemaResult> {
    const result = await this.turns.run(() => this.applyNow(text, keyspace));
    // The next change need not wait for that.
    await this.deps.settled(this.schema.epoch);
    return result;
  }

  private async applyNow(text: string, keyspace: string | null): Promise<SchemaResult> {
    for (let plans = 0; plans < PLANS_MAX; plans++) {
      const base = this.schema;
      const change = await this.tryPlan(text, keyspace, base);
      if (change === null) continue;
      const { next, result } = change;
      if (next === base || (await this.deps.agree(base, next))) return result;
    }
    throw overloaded('The schema is being changed by too many others: try again');
  }

  /** What another node has just made, or dropped, counts. @returns null: on a newer schema it may be another one */
  private async tryPlan(
    text: string,
    keyspace: string | null,
    base: Schema,
  ): Promise<Change | null> {
    try {
      return await this.plan(text, keyspace, base);
    } catch (error) {
      await this.deps.refresh();
      if (this.schema === base) throw error;
      return null;
    }
  }

  private async plan(text: string, keyspace: string | null, schema: Schema): Promise<Change> {
    const { parse, requireTable } = await import('./statement.ts');
    const { planSchemaChange } = await import('./ddl.ts');
    const statement = parse(text);
    if (statement.kind === 'truncate') {
      const table = requireTable(schema, statement.table, keyspace);
      const next = withTable(
        { ...schema, epoch: schema.epoch + 1 },
        { ...table, generation: table.generation + 1 },
      );
      return { next, result: { event: null, warnings: [] } };
    }
    if (
      statement.kind === 'select' ||
      statement.kind === 'insert' ||
      statement.kind === 'insertJson' ||
      statement.kind === 'update' ||
      statement.kind === 'delete' ||
      statement.kind === 'batch' ||
      statement.kind === 'use'
    ) {
      throw invalidRequest('not a schema statement');
    }
    const outcome = planSchemaChange(statement, schema, keyspace, {
      newId: this.deps.newId,
      nowMicros: this.deps.nowMicros(),
      datacenters: this.deps.datacenters(),
    });
    const { event, warnings } = outcome;
    return outcome.schema === schema
      ? { next: schema, result: { event: null, warnings } }
      : { next: outcome.schema, result: { event, warnings } };
  }

  /**
   * Brings this node to a schema that was agreed. One that is not newer changes nothing; `tell` is called anyhow. One at a
   * time, in the order of the calls; what failed is made up for by the next.
   */
  follow(schema: Schema, tell: TellSchema): Promise<void> {
    const done = this.following.then(() => this.followNow(schema, tell));
    this.following = done.catch(() => {});
    return done;
  }

  private async followNow(next: Schema, tell: TellSchema): Promise<void> {
    if (next.epoch > this.schema.epoch) await this.takeUp(next);
    const { schema, told, dropped } = this;
    await tell(schema === told ? null : { schema, events: diffSchemas(told, schema).events });
    this.told = schema;
    for (const family of dropped) {
      for (const store of this.deps.stores) {
        if (store.families().has(family)) await store.dropFamily(family);
      }
      dropped.delete(family);
    }
  }

  private async takeUp(next: Schema): Promise<void> {
    const { stores } = this.deps;
    const { created, altered, dropped } = diffSchemas(this.schema, next);
    await Promise.all(stores.map((store) => createFamilies(store, created)));
    await this.deps.save(next);
    this.schema = next;
    for (const table of dropped) this.dropped.add(familyName(table));
    for (const table of altered) {
      for (const store of stores) {
        const family = store.families().get(familyName(table));
        if (family !== undefined) store.setPolicy(family, familyOptions(table).policy);
      }
    }
  }
}

async function createFamilies(store: KvStore, tables: readonly TableDef[]): Promise<void> {
  const there = store.families();
  // A crash may have left some there.
  const missing = tables.filter((table) => !there.has(familyName(table)));
  if (missing.length === 0) return;
  await store.createFamilies(
    new Map(missing.map((table) => [familyName(table), familyOptions(table)])),
  );
}

/** At the start: drops families that a crash has left between saving the schema and dropping them. */
export async function dropUnknownFamilies(
  stores: readonly KvStore[],
  tables: readonly TableDef[],
  keepsAside: boolean,
): Promise<number> {
  const families = tables.map(familyName);
  const known = new Set(keepsAside ? [...families, ...families.map(asideName)] : families);
  let count = 0;
  for (const store of stores) {
    for (const name of store.families().keys()) {
      if (name === 'default' || known.has(name)) continue;
      await store.dropFamily(name);
      count++;
    }
  }
  return count;
}
