/** Collections, tuples and user types written out in a SELECT clause. */
import { invalidRequest } from '../common/errors.ts';
import type { MapEntry, Selectable } from '../cql/ast.ts';
import { packCollection, packTuple, packVector } from '../types/collections.ts';
import type { CqlType, MapType, UserType } from '../types/cql-type.ts';
import { freeze } from '../types/type-facts.ts';
import type { Expression, ExpressionCompiler, SelectionContext } from './selection.ts';
import { packMap, packSet } from './term-values.ts';

/** Their names, as those of arguments or elements. */
export function namesOf(expressions: readonly Expression[]): string {
  return expressions.map((expression) => expression.name).join(', ');
}

function evaluateAll(parts: readonly Expression[], context: SelectionContext): Uint8Array[] {
  return parts.map((part) => {
    const value = part.evaluate(context);
    if (value === null) throw invalidRequest('null is not supported inside collections');
    return value;
  });
}

function cannotInfer(compiler: ExpressionCompiler, node: Selectable): Error {
  return invalidRequest(
    `Cannot infer type for term ${compiler.describe(node)} in selection clause (try using a cast to force a type)`,
  );
}

/** The type of the first element that has one of its own. */
function commonType(compiler: ExpressionCompiler, elements: readonly Selectable[]): CqlType | null {
  for (const element of elements) {
    const { type, preferred } = compiler.probe(element);
    const known = compiler.guesses ? (type ?? preferred) : type;
    if (known !== null) return known;
  }
  return null;
}

/** Compiles `[…]` or `{…}`. @throws CqlError Invalid */
export function compileCollection(
  compiler: ExpressionCompiler,
  kind: 'list' | 'set',
  elements: readonly Selectable[],
  receiver: CqlType | null,
): Expression {
  if (receiver?.kind === 'vector') {
    const parts = elements.map((element) => compiler.compile(element, receiver.element));
    return {
      type: receiver,
      name: `[${namesOf(parts)}]`,
      evaluate: (context) => packVector(receiver, evaluateAll(parts, context)),
    };
  }
  const element = receiver?.kind === kind ? receiver.element : commonType(compiler, elements);
  if (element === null) throw cannotInfer(compiler, { kind, elements });
  const parts = elements.map((part) => compiler.compile(part, element));
  const name = kind === 'list' ? `[${namesOf(parts)}]` : `{${namesOf(parts)}}`;
  return {
    type: { kind, element: freeze(element), frozen: true },
    name,
    evaluate: (context) => {
      const values = evaluateAll(parts, context);
      return kind === 'list' ? packCollection(values.length, values) : packSet(element, values);
    },
  };
}

function guessedMap(
  compiler: ExpressionCompiler,
  entries: readonly MapEntry<Selectable>[],
): MapType | null {
  if (!compiler.guesses || entries.length === 0) return null;
  const [{ key, value }] = entries;
  const keyType = freeze(compiler.compile(key, null).type);
  return {
    kind: 'map',
    key: keyType,
    value: freeze(compiler.compile(value, null).type),
    frozen: true,
  };
}

function compileUserValue(
  compiler: ExpressionCompiler,
  fields: readonly { readonly name: string; readonly value: Selectable }[],
  receiver: UserType,
): Expression {
  for (const { name } of fields) {
    if (receiver.fieldNames.includes(name)) continue;
    throw invalidRequest(`Unknown field '${name}' in value of user defined type ${receiver.name}`);
  }
  const given = fields.map(({ name, value }) => {
    const type = receiver.fieldTypes[receiver.fieldNames.indexOf(name)];
    return { name, expression: compiler.compile(value, type) };
  });
  const parts = receiver.fieldNames.map(
    (name) => given.find((field) => field.name === name)?.expression ?? null,
  );
  return {
    type: receiver,
    name: `{${given.map(({ name, expression }) => `${name}: ${expression.name}`).join(', ')}}`,
    evaluate: (context) => packTuple(parts.map((part) => part?.evaluate(context) ?? null)),
  };
}

/** Compiles `{k: v}`: a map, or a user type's value. @throws CqlError Invalid */
export function compileMap(
  compiler: ExpressionCompiler,
  entries: readonly MapEntry<Selectable>[],
  receiver: CqlType | null,
): Expression {
  if (receiver?.kind === 'udt') {
    const fields = entries.map((entry) => {
      if (entry.key.kind !== 'column') throw invalidRequest('Invalid user type literal');
      return { name: entry.key.name, value: entry.value };
    });
    return compileUserValue(compiler, fields, receiver);
  }
  const type = receiver?.kind === 'map' ? receiver : guessedMap(compiler, entries);
  if (type === null) throw cannotInfer(compiler, { kind: 'map', entries });
  const keys = entries.map((entry) => compiler.compile(entry.key, type.key));
  const values = entries.map((entry) => compiler.compile(entry.value, type.value));
  return {
    type,
    name: `{${keys.map((key, i) => `${key.name}: ${values[i].name}`).join(', ')}}`,
    evaluate: (context) => {
      const items = evaluateAll(values, context);
      const given = evaluateAll(keys, context);
      return packMap(
        type.key,
        given.map((key, i): [Uint8Array, Uint8Array] => [key, items[i]]),
      );
    },
  };
}

/** Compiles `(…)`. @throws CqlError Invalid */
export function compileTuple(
  compiler: ExpressionCompiler,
  elements: readonly Selectable[],
  receiver: CqlType | null,
): Expression {
  if (elements.length === 1 && receiver?.kind !== 'tuple') {
    const inner = compiler.compile(elements[0], receiver);
    return { ...inner, name: `(${inner.name})` };
  }
  const wanted = receiver?.kind === 'tuple' ? receiver.fields : null;
  if (wanted === null && elements.some((element) => commonType(compiler, [element]) === null)) {
    throw cannotInfer(compiler, { kind: 'tuple', elements });
  }
  const parts = elements.map((element, i) => compiler.compile(element, wanted?.[i] ?? null));
  return {
    type: { kind: 'tuple', fields: wanted ?? parts.map((part) => freeze(part.type)) },
    name: `(${namesOf(parts)})`,
    evaluate: (context) => packTuple(parts.map((part) => part.evaluate(context))),
  };
}
