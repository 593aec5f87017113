/** What is different between two schemas: for the column families of the tables, and for drivers that want to be told. */
import { familyName, type KeyspaceDef, type Schema, type TableDef } from './schema.ts';

export interface SchemaDifferenceEvent {
  readonly change: 'CREATED' | 'UPDATED' | 'DROPPED';
  readonly target: 'KEYSPACE' | 'TABLE' | 'TYPE';
  readonly keyspace: string;
  /** Of the table or type. */
  readonly name?: string;
}

export interface SchemaDifference {
  /** Tables whose column families are missing before, TRUNCATEd ones among them. */
  readonly created: readonly TableDef[];
  /** The same column families, another definition. */
  readonly altered: readonly TableDef[];
  /** Tables, as they were, whose column families are not needed after. */
  readonly dropped: readonly TableDef[];
  readonly events: readonly SchemaDifferenceEvent[];
}

function families(schema: Schema): Map<string, TableDef> {
  const all = new Map<string, TableDef>();
  for (const keyspace of schema.keyspaces.values()) {
    for (const table of keyspace.tables.values()) all.set(familyName(table), table);
  }
  return all;
}

/** By value: schemas that came over a link share nothing with those before. */
function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

type Named<T> = ReadonlyMap<string, T>;

function* changes<T>(
  before: Named<T>,
  after: Named<T>,
  differs: (a: T, b: T) => boolean,
): Generator<readonly [SchemaDifferenceEvent['change'], string]> {
  for (const [name, value] of after) {
    const old = before.get(name);
    if (old === undefined) yield ['CREATED', name];
    else if (differs(old, value)) yield ['UPDATED', name];
  }
  for (const name of before.keys()) if (!after.has(name)) yield ['DROPPED', name];
}

/** A TRUNCATE, which drivers are not told of, changes the generation alone. */
function tableDiffers(a: TableDef, b: TableDef): boolean {
  return a !== b && !isSame({ ...a, generation: 0 }, { ...b, generation: 0 });
}

function keyspaceDiffers(a: KeyspaceDef, b: KeyspaceDef): boolean {
  return a.durableWrites !== b.durableWrites || !isSame(a.replication, b.replication);
}

const NOTHING: KeyspaceDef = {
  name: '',
  replication: {},
  durableWrites: true,
  tables: new Map(),
  types: new Map(),
};

function eventsOf(before: Schema, after: Schema): SchemaDifferenceEvent[] {
  const events: SchemaDifferenceEvent[] = [];
  for (const [change, name] of changes(before.keyspaces, after.keyspaces, keyspaceDiffers)) {
    events.push({ change, target: 'KEYSPACE', keyspace: name });
  }
  for (const [name, keyspace] of after.keyspaces) {
    const old = before.keyspaces.get(name) ?? { ...NOTHING, name };
    if (old === keyspace) continue;
    for (const [change, type] of changes(old.types, keyspace.types, (a, b) => !isSame(a, b))) {
      events.push({ change, target: 'TYPE', keyspace: name, name: type });
    }
    for (const [change, table] of changes(old.tables, keyspace.tables, tableDiffers)) {
      events.push({ change, target: 'TABLE', keyspace: name, name: table });
    }
  }
  return events;
}

export function diffSchemas(before: Schema, after: Schema): SchemaDifference {
  const old = families(before);
  const next = families(after);
  const created: TableDef[] = [];
  const altered: TableDef[] = [];
  for (const [name, table] of next) {
    const known = old.get(name);
    if (known === undefined) created.push(table);
    else if (!isSame(known, table)) altered.push(table);
  }
  const dropped = [...old].filter(([name]) => !next.has(name)).map(([, table]) => table);
  return { created, altered, dropped, events: eventsOf(before, after) };
}
