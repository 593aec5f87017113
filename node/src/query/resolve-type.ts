/** Types as written, resolved against a schema. */
import { invalidRequest, syntaxError } from '../common/errors.ts';
import type { TypeAst } from '../cql/ast.ts';
import { printType } from '../cql/print.ts';
import type { Schema } from '../schema/schema.ts';
import type { CqlType } from '../types/cql-type.ts';
import { freeze, isMultiCell, nativeType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';

const VECTOR_DIMENSION_MAX = 8192;

/**
 * @param keyspace where user types are looked up: a type may only use those of its own keyspace
 * @throws CqlError Invalid: unknown type, or a composition that Cassandra does not allow
 */
export function resolveType(ast: TypeAst, schema: Schema, keyspace: string): CqlType {
  switch (ast.kind) {
    case 'native':
      return nativeType(ast.name);
    case 'custom':
      return { kind: 'custom', className: ast.className };
    case 'frozen':
      return freezeWritten(ast.type, schema, keyspace);
    case 'list':
      return { kind: 'list', element: nested(ast.element, schema, keyspace, ast), frozen: false };
    case 'set':
      return { kind: 'set', element: nested(ast.element, schema, keyspace, ast), frozen: false };
    case 'map':
      return {
        kind: 'map',
        key: nested(ast.key, schema, keyspace, ast),
        value: nested(ast.value, schema, keyspace, ast),
        frozen: false,
      };
    case 'tuple':
      return {
        kind: 'tuple',
        fields: ast.fields.map((field) => freeze(resolveThawed(field, schema, keyspace))),
      };
    case 'vector': {
      if (ast.dimension < 1) {
        throw invalidRequest(`vectors may only have positive dimensions; given ${ast.dimension}`);
      }
      if (ast.dimension > VECTOR_DIMENSION_MAX) {
        throw invalidRequest(
          `vectors may have at most ${VECTOR_DIMENSION_MAX} dimensions; given ${ast.dimension}`,
        );
      }
      const element = freeze(resolveType(ast.element, schema, keyspace));
      return { kind: 'vector', element, dimension: ast.dimension };
    }
    case 'udt':
      return userType(ast.name, schema, keyspace);
  }
}

function freezeWritten(ast: TypeAst, schema: Schema, keyspace: string): CqlType {
  if (ast.kind === 'native') {
    throw syntaxError(
      `frozen<> is only allowed on collections, tuples, and user-defined types (got ${ast.name})`,
    );
  }
  return freeze(resolveThawed(ast, schema, keyspace));
}

/** As `resolveType`, but what is inside a frozen type needs no frozen of its own. */
function resolveThawed(ast: TypeAst, schema: Schema, keyspace: string): CqlType {
  const inner = (type: TypeAst) => freeze(resolveThawed(type, schema, keyspace));
  switch (ast.kind) {
    case 'list':
    case 'set':
      return { kind: ast.kind, element: inner(ast.element), frozen: true };
    case 'map':
      return { kind: 'map', key: inner(ast.key), value: inner(ast.value), frozen: true };
    default:
      return resolveType(ast, schema, keyspace);
  }
}

function nested(ast: TypeAst, schema: Schema, keyspace: string, around: TypeAst): CqlType {
  const type = resolveType(ast, schema, keyspace);
  if (type.kind === 'native' && type.name === 'counter') {
    throw invalidRequest(`Counters are not allowed inside collections: ${around.kind}<counter>`);
  }
  if (type.kind === 'native' && type.name === 'duration' && around.kind === 'set') {
    throw invalidRequest('Durations are not allowed inside sets: set<duration>');
  }
  if (
    around.kind === 'map' &&
    ast === around.key &&
    type.kind === 'native' &&
    type.name === 'duration'
  ) {
    throw invalidRequest(
      `Durations are not allowed as map keys: map<duration, ${typeName(resolveType(around.value, schema, keyspace))}>`,
    );
  }
  if (isMultiCell(type)) {
    const what = type.kind === 'udt' ? 'UDTs' : 'collections';
    throw invalidRequest(
      `Non-frozen ${what} are not allowed inside collections: ${printType(around)}`,
    );
  }
  return type;
}

function userType(
  name: { readonly keyspace?: string; readonly name: string },
  schema: Schema,
  keyspace: string,
): CqlType {
  if (name.keyspace !== undefined && name.keyspace !== keyspace) {
    throw invalidRequest(
      `Statement on keyspace ${keyspace} cannot refer to a user type in keyspace ${name.keyspace}; user types can only be used in the keyspace they are defined in`,
    );
  }
  const type = schema.keyspaces.get(keyspace)?.types.get(name.name);
  if (type === undefined) throw invalidRequest(`Unknown type ${keyspace}.${name.name}`);
  return { ...type, frozen: false };
}
