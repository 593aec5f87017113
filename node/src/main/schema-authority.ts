/**
 * The one place of a node where its schema changes, one change after another: plan, make column families, save, tell
 * the workers, drop what is no longer used. What is saved is what counts after a crash. The planner is loaded with the
 * first change: most starts do without it, and its 4 MiB.
 */
import { invalidRequest } from '../common/errors.ts';
import type { SchemaOutcome } from '../query/ddl.ts';
import { familyName, type Schema, type TableDef, withTable } from '../schema/schema.ts';
import type { KvStore } from '../storage/kv.ts';
import { familyOptions } from './shards.ts';

export type SchemaEvent = SchemaOutcome['event'];

export interface SchemaResult {
  /** Null: nothing changed (IF NOT EXISTS …), or a TRUNCATE. */
  readonly event: SchemaEvent;
  readonly warnings: readonly string[];
}

export interface SchemaAuthorityDeps {
  readonly stores: readonly KvStore[];
  /** Makes the schema the one that counts. */
  save(schema: Schema): Promise<void>;
  /** Resolves when no worker uses an older schema any more, nor has writes for one on their way to the stores. */
  publish(schema: Schema, event: SchemaEvent): Promise<void>;
  newId(): string;
  nowMicros(): number;
  /** Nodes of each datacenter, for replication that is given without their names. */
  readonly datacenters: ReadonlyMap<string, number>;
}

export class SchemaAuthority {
  private readonly deps: SchemaAuthorityDeps;
  private schema: Schema;
  private line: Promise<unknown> = Promise.resolve();

  constructor(schema: Schema, deps: SchemaAuthorityDeps) {
    this.schema = schema;
    this.deps = deps;
  }

  get current(): Schema {
    return this.schema;
  }

  /** Runs a DDL statement or TRUNCATE. @throws CqlError */
  apply(text: string, keyspace: string | null): Promise<SchemaResult> {
    const result = this.line.then(() => this.applyNow(text, keyspace));
    this.line = result.catch(() => {});
    return result;
  }

  private async applyNow(text: string, keyspace: string | null): Promise<SchemaResult> {
    const { parse, requireTable } = await import('../query/statement.ts');
    const { planSchemaChange } = await import('../query/ddl.ts');
    const statement = parse(text);
    if (statement.kind === 'truncate') {
      await this.truncate(requireTable(this.schema, statement.table, keyspace));
      return { event: null, warnings: [] };
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
    const outcome = planSchemaChange(statement, this.schema, keyspace, {
      newId: this.deps.newId,
      nowMicros: this.deps.nowMicros(),
      datacenters: this.deps.datacenters,
    });
    if (outcome.schema === this.schema) return { event: null, warnings: outcome.warnings };
    await this.commit(
      outcome.schema,
      outcome.created,
      outcome.altered,
      outcome.dropped,
      outcome.event,
    );
    return { event: outcome.event, warnings: outcome.warnings };
  }

  private async truncate(table: TableDef): Promise<void> {
    const next = { ...table, generation: table.generation + 1 };
    const schema = withTable({ ...this.schema, epoch: this.schema.epoch + 1 }, next);
    await this.commit(schema, [next], [], [table], null);
  }

  private async commit(
    schema: Schema,
    created: readonly TableDef[],
    altered: readonly TableDef[],
    dropped: readonly TableDef[],
    event: SchemaEvent,
  ): Promise<void> {
    const { stores } = this.deps;
    for (const table of created) {
      for (const store of stores) await store.createFamily(familyName(table), familyOptions(table));
    }
    await this.deps.save(schema);
    this.schema = schema;
    for (const table of altered) {
      for (const store of stores) {
        const family = store.families().get(familyName(table));
        if (family !== undefined) store.setPolicy(family, familyOptions(table).policy);
      }
    }
    await this.deps.publish(schema, event);
    for (const table of dropped) {
      for (const store of stores) await store.dropFamily(familyName(table));
    }
  }
}

/** At the start: drops families that a crash has left between saving the schema and dropping them. */
export async function dropUnknownFamilies(
  stores: readonly KvStore[],
  tables: readonly TableDef[],
): Promise<number> {
  const known = new Set(tables.map(familyName));
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
