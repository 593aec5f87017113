/**
 * A change of the schema as the metadata log holds it: what becomes of a few keyspaces, tables and types, and what had to
 * be true of them when it was planned. It is applied wherever in the log it comes if that is still true, so that changes
 * which have nothing to do with each other need not be planned again, however many are made at one time.
 *
 *     plan on schema n ──▶ { expected, edits } ──▶ log ──▶ expected true of schema m ≥ n? ─▶ schema m + 1
 *                                                                  └ no: refused, planned again on m
 */
import { createHash } from 'node:crypto';
import type { KeyspaceDef, Schema, TableDef } from '../schema/schema.ts';
import type { SchemaJson } from '../schema/schema-json.ts';
import type { UserType } from '../types/cql-type.ts';

export type KeyspaceJson = SchemaJson['keyspaces'][number];

/** `tables` and `types`: all of the keyspace. */
export type SchemaPart = 'keyspace' | 'tables' | 'types' | 'table';

/** Something that a change was planned on. */
export interface SchemaExpectation {
  readonly of: SchemaPart;
  readonly keyspace: string;
  /** Of the table; otherwise empty. */
  readonly name: string;
  /** `fingerprint` of its value; empty: it is not there. */
  readonly is: string;
}

/** What is put stands in the place of its namesake. What a keyspace holds stays if the keyspace is put. */
export type SchemaEdit =
  | {
      readonly kind: 'put-keyspace';
      readonly keyspace: string;
      readonly replication: Readonly<Record<string, string>>;
      readonly durableWrites: boolean;
    }
  | { readonly kind: 'drop-keyspace'; readonly keyspace: string }
  | { readonly kind: 'put-table'; readonly keyspace: string; readonly table: TableDef }
  | { readonly kind: 'drop-table'; readonly keyspace: string; readonly name: string }
  | { readonly kind: 'put-type'; readonly keyspace: string; readonly type: UserType }
  | { readonly kind: 'drop-type'; readonly keyspace: string; readonly name: string };

export interface SchemaChange {
  /** UUID text: the version of the schema after it. */
  readonly version: string;
  readonly expected: readonly SchemaExpectation[];
  readonly edits: readonly SchemaEdit[];
}

export type SchemaChangeOutcome =
  | { readonly schema: SchemaJson }
  /** What is not as it was when the change was planned. */
  | { readonly refused: string };

const FINGERPRINT_CHARACTERS = 32;

/** Of a value that came from JSON or goes there, the same on all nodes. Empty: undefined. */
function fingerprint(value: unknown): string {
  if (value === undefined) return '';
  return createHash('sha256')
    .update(JSON.stringify(value))
    .digest('hex')
    .slice(0, FINGERPRINT_CHARACTERS);
}

// Making one.

type Named<T> = ReadonlyMap<string, T>;

/** Names whose values differ, by value: schemas that came over a link share nothing with those before. */
function differing<T>(before: Named<T>, after: Named<T>): readonly string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => {
    const [a, b] = [before.get(name), after.get(name)];
    return a !== b && JSON.stringify(a) !== JSON.stringify(b);
  });
}

function propertiesOf({ replication, durableWrites }: Omit<KeyspaceJson, 'name'> | KeyspaceDef) {
  return { replication, durableWrites };
}

const NOTHING: Pick<KeyspaceDef, 'tables' | 'types'> = { tables: new Map(), types: new Map() };

/** Gathers what is different in one keyspace. */
class ChangeBuilder {
  readonly expected: SchemaExpectation[] = [];
  readonly edits: SchemaEdit[] = [];

  private expect(of: SchemaPart, keyspace: string, name: string, value: unknown): void {
    this.expected.push({ of, keyspace, name, is: fingerprint(value) });
  }

  keyspace(name: string, before: KeyspaceDef | undefined, after: KeyspaceDef | undefined): void {
    if (after === undefined) {
      // With all that is in it then.
      this.edits.push({ kind: 'drop-keyspace', keyspace: name });
      return;
    }
    const old = before && propertiesOf(before);
    const next = propertiesOf(after);
    if (JSON.stringify(old) !== JSON.stringify(next)) {
      this.expect('keyspace', name, '', old);
      this.edits.push({ kind: 'put-keyspace', keyspace: name, ...next });
    }
    const types = this.types(name, before ?? NOTHING, after);
    const tables = this.tables(name, before ?? NOTHING, after);
    if (before === undefined) return;
    // A table's columns may be of any type of the keyspace.
    if (types !== 'same' || tables) this.expect('types', name, '', [...before.types.values()]);
    // A type cannot be dropped, or just altered, where a table has it.
    if (types === 'changed') this.expect('tables', name, '', [...before.tables.values()]);
  }

  private types(
    keyspace: string,
    before: Pick<KeyspaceDef, 'types'>,
    after: KeyspaceDef,
  ): 'same' | 'more' | 'changed' {
    let [isMore, isChanged] = [false, false];
    for (const name of differing(before.types, after.types)) {
      const type = after.types.get(name);
      if (before.types.has(name)) isChanged = true;
      else isMore = true;
      this.edits.push(
        type === undefined
          ? { kind: 'drop-type', keyspace, name }
          : { kind: 'put-type', keyspace, type },
      );
    }
    if (isChanged) return 'changed';
    return isMore ? 'more' : 'same';
  }

  /** @returns whether one is made or altered */
  private tables(
    keyspace: string,
    before: Pick<KeyspaceDef, 'tables'>,
    after: KeyspaceDef,
  ): boolean {
    let isPut = false;
    for (const name of differing(before.tables, after.tables)) {
      const table = after.tables.get(name);
      isPut ||= table !== undefined;
      this.expect('table', keyspace, name, before.tables.get(name));
      this.edits.push(
        table === undefined
          ? { kind: 'drop-table', keyspace, name }
          : { kind: 'put-table', keyspace, table },
      );
    }
    return isPut;
  }
}

/**
 * What has to become of a schema to be another one.
 * @param base that `next` was planned on, as all nodes agreed on it
 */
export function schemaChangeOf(base: Schema, next: Schema): SchemaChange {
  const builder = new ChangeBuilder();
  for (const name of new Set([...base.keyspaces.keys(), ...next.keyspaces.keys()])) {
    const [before, after] = [base.keyspaces.get(name), next.keyspaces.get(name)];
    if (before !== after) builder.keyspace(name, before, after);
  }
  const { expected, edits } = builder;
  return { version: next.version, expected, edits };
}

// Applying one.

function partOf(schema: SchemaJson, { of, keyspace, name }: SchemaExpectation): unknown {
  const found = schema.keyspaces.find((one) => one.name === keyspace);
  if (found === undefined) return undefined;
  switch (of) {
    case 'keyspace':
      return propertiesOf(found);
    case 'tables':
      return found.tables;
    case 'types':
      return found.types;
    case 'table':
      return found.tables.find((one) => one.name === name);
  }
}

type HasName = { readonly name: string };

function put<T extends HasName>(all: readonly T[], one: T): readonly T[] {
  const at = all.findIndex(({ name }) => name === one.name);
  return at < 0 ? [...all, one] : all.with(at, one);
}

function without<T extends HasName>(all: readonly T[], name: string): readonly T[] {
  return all.filter((one) => one.name !== name);
}

/** @returns null: there is no such keyspace */
function edited(
  keyspaces: readonly KeyspaceJson[],
  edit: SchemaEdit,
): readonly KeyspaceJson[] | null {
  const found = keyspaces.find(({ name }) => name === edit.keyspace);
  if (edit.kind === 'put-keyspace') {
    const { keyspace: name, replication, durableWrites } = edit;
    const { types = [], tables = [] } = found ?? {};
    return put(keyspaces, { name, replication, durableWrites, types, tables });
  }
  if (found === undefined) return null;
  const { tables, types } = found;
  switch (edit.kind) {
    case 'drop-keyspace':
      return without(keyspaces, edit.keyspace);
    case 'put-table':
      return put(keyspaces, { ...found, tables: put(tables, edit.table) });
    case 'drop-table':
      return put(keyspaces, { ...found, tables: without(tables, edit.name) });
    case 'put-type':
      return put(keyspaces, { ...found, types: put(types, edit.type) });
    case 'drop-type':
      return put(keyspaces, { ...found, types: without(types, edit.name) });
  }
}

/** Applies a change to what all nodes agree on: the same on every node. */
export function applySchemaChange(schema: SchemaJson, change: SchemaChange): SchemaChangeOutcome {
  for (const expectation of change.expected) {
    if (fingerprint(partOf(schema, expectation)) !== expectation.is) {
      const { of, keyspace, name } = expectation;
      return { refused: `${of} ${[keyspace, name].filter(Boolean).join('.')}` };
    }
  }
  let { keyspaces } = schema;
  for (const edit of change.edits) {
    const next = edited(keyspaces, edit);
    if (next === null) return { refused: `keyspace ${edit.keyspace}` };
    keyspaces = next;
  }
  return { schema: { ...schema, epoch: schema.epoch + 1, version: change.version, keyspaces } };
}
