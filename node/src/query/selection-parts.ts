/** Parts of values: elements and slices of collections, fields of user types. */
import { invalidRequest } from '../common/errors.ts';
import type { Selectable, Term } from '../cql/ast.ts';
import { splitTuple } from '../types/collections.ts';
import { typeName } from '../types/type-names.ts';
import type { Expression, ExpressionCompiler } from './selection.ts';
import { elementOf, sliceOf } from './selection-values.ts';
import { compileTerm, probe } from './terms.ts';

/** Compiles `m[k]` or `m[a..b]`. @throws CqlError Invalid */
export function compileElement(
  compiler: ExpressionCompiler,
  node: Extract<Selectable, { kind: 'element' | 'slice' }>,
): Expression {
  const of = compiler.compile(node.of, null);
  const { type } = of;
  if (type.kind !== 'map' && type.kind !== 'set') {
    const what = node.kind === 'element' ? 'Element' : 'Slice';
    throw invalidRequest(
      type.kind === 'list'
        ? `${what} selection is only allowed on sets and maps, but ${of.name} is a list`
        : `Invalid ${what.toLowerCase()} selection: ${of.name} is of type ${typeName(type)} is not a collection`,
    );
  }
  const keyType = type.kind === 'map' ? type.key : type.element;
  const receiver = { name: `key(${of.name})`, type: keyType };
  if (node.kind === 'element') {
    const key = compileTerm(node.key, receiver, compiler.scope);
    const name = `${of.name}[${probe(node.key, compiler.scope).text}]`;
    return {
      type: type.kind === 'map' ? type.value : keyType,
      name,
      evaluate: (context) => {
        const whole = of.evaluate(context);
        const wanted = key.evaluate(context.binding);
        if (whole === null || wanted === null || wanted === undefined) return null;
        return elementOf(type.kind, keyType, whole, wanted);
      },
    };
  }
  const from = node.from === undefined ? null : compileTerm(node.from, receiver, compiler.scope);
  const to = node.to === undefined ? null : compileTerm(node.to, receiver, compiler.scope);
  const text = (term: Term | undefined) =>
    term === undefined ? '' : probe(term, compiler.scope).text;
  return {
    type,
    name: `${of.name}[${text(node.from)}..${text(node.to)}]`,
    evaluate: (context) => {
      const whole = of.evaluate(context);
      if (whole === null) return null;
      const low = from?.evaluate(context.binding) ?? null;
      const high = to?.evaluate(context.binding) ?? null;
      return sliceOf(type.kind, keyType, whole, low, high);
    },
  };
}

/** Compiles `u.f`. @throws CqlError Invalid */
export function compileField(
  compiler: ExpressionCompiler,
  of: Selectable,
  field: string,
): Expression {
  const value = compiler.compile(of, null);
  const { type } = value;
  if (type.kind !== 'udt') {
    throw invalidRequest(
      `Invalid field selection: ${value.name} of type ${typeName(type)} is not a user type`,
    );
  }
  const index = type.fieldNames.indexOf(field);
  if (index < 0) {
    throw invalidRequest(`${value.name} of type ${typeName(type)} has no field ${field}`);
  }
  return {
    type: type.fieldTypes[index],
    name: `${value.name}.${field}`,
    evaluate: (context) => {
      const whole = value.evaluate(context);
      return whole === null ? null : (splitTuple(type.fieldNames.length, whole)[index] ?? null);
    },
  };
}
