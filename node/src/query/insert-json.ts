/** INSERT … JSON: one document instead of a list of values. */
import { invalidRequest } from '../common/errors.ts';
import type { InsertJsonStatement } from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { fromJson } from '../types/json.ts';
import { type JsonValue, parseJson } from '../types/json-parse.ts';
import { nativeType } from '../types/type-facts.ts';
import type { ModificationPlan } from './modify.ts';
import { planInsert } from './plan-modification.ts';
import type { TermScope, Value } from './term-values.ts';
import { compileTerm } from './terms.ts';

/** The members of a document by column name. */
type Document = ReadonlyMap<string, JsonValue>;

function parseDocument(text: string, table: TableDef): Document {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (error) {
    throw invalidRequest(
      `Could not decode JSON string as a map: ${error instanceof Error ? error.message : String(error)}. (String was: ${text})`,
    );
  }
  if (!(value instanceof Map)) {
    throw invalidRequest(`Could not decode JSON string as a map. (String was: ${text})`);
  }
  const members = new Map<string, JsonValue>();
  for (const [written, member] of value as ReadonlyMap<string, JsonValue>) {
    const quoted = written.length >= 2 && written.startsWith('"') && written.endsWith('"');
    const name = quoted ? written.slice(1, -1) : written.toLowerCase();
    if (!table.columns.some((column) => column.name === name)) {
      throw invalidRequest(`JSON values map contains unrecognized column: ${name}`);
    }
    members.set(name, member);
  }
  return members;
}

/** @throws CqlError Invalid */
export function planInsertJson(
  statement: InsertJsonStatement,
  table: TableDef,
  scope: TermScope,
): ModificationPlan {
  const source = compileTerm(statement.json, { name: '[json]', type: nativeType('text') }, scope);
  // The document's members are bound as if the statement had a marker for each column, after its own.
  const first = scope.markerCount;
  const own: TermScope = { ...scope, markers: [] };
  const { ifNotExists, using, at } = statement;
  const plan = planInsert(
    {
      kind: 'insert',
      table: statement.table,
      columns: table.columns.map((column) => column.name),
      values: table.columns.map((_, i) => ({ kind: 'marker', index: first + i })),
      ifNotExists,
      using,
      at,
    },
    table,
    own,
  );
  for (let i = 0; i < first; i++) scope.markers[i] ??= own.markers[i];
  return {
    ...plan,
    rebind: (binding) => {
      const text = source.evaluate(binding);
      if (text === null || text === undefined) {
        throw invalidRequest('Got null for INSERT JSON values');
      }
      const document = parseDocument(Buffer.from(text).toString('utf8'), table);
      const now = BigInt(binding.context.nowMillis);
      const members = table.columns.map((column) => {
        const member = document.get(column.name);
        if (member !== undefined) return decodeMember(column, member, now);
        return statement.missing === 'unset' ? undefined : null;
      });
      return { ...binding, values: [...binding.values.slice(0, first), ...members] };
    },
  };
}

function decodeMember(column: ColumnDef, member: JsonValue, nowMillis: bigint): Value {
  try {
    return fromJson(column.type, member, nowMillis);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalidRequest(`Error decoding JSON value for ${column.name}: ${reason}`);
  }
}
