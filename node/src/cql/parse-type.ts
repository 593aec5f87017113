/** Rules for types. */

import type { NativeTypeWord, TypeAst } from './ast.ts';
import type { Cursor } from './cursor.ts';
import { commaSeparated } from './cursor.ts';
import { AFTER_TYPE } from './follow.ts';
import { nativeTypes } from './keywords.ts';
import { parseUserTypeName } from './parse-name.ts';

const INT_MAX = 2 ** 31 - 1;

/** Any type: native, collection, tuple, vector, frozen, user type, or a class in single quotes. */
export function parseTypeRule(c: Cursor): TypeAst {
  const { token } = c;
  if (token.type === 'STRING_LITERAL') {
    return { kind: 'custom', className: c.next().value };
  }
  const next = c.peek(1).type;
  if (next === "'<'" || token.type === 'K_SET') {
    const parameterised = parseParameterised(c);
    if (parameterised !== undefined) return parameterised;
  }
  if (token.uses !== 0 && !AFTER_TYPE.has(next)) c.noViable(1);
  if (next !== "'.'" && nativeTypes.has(token.type)) return parseNativeType(c);
  return { kind: 'udt', name: parseUserTypeName(c) };
}

/** A native type; errors otherwise. */
export function parseNativeType(c: Cursor): TypeAst {
  const name = nativeTypes.get(c.token.type) as NativeTypeWord | undefined;
  if (name === undefined) c.noViable();
  c.next();
  return { kind: 'native', name };
}

function parseParameterised(c: Cursor): TypeAst | undefined {
  switch (c.token.type) {
    case 'K_LIST':
      return { kind: 'list', element: parseSingleParameter(c) };
    case 'K_SET':
      return { kind: 'set', element: parseSingleParameter(c) };
    case 'K_FROZEN':
      return { kind: 'frozen', type: parseSingleParameter(c) };
    case 'K_MAP':
      return parseMapType(c);
    case 'K_TUPLE':
      return parseTupleType(c);
    case 'K_VECTOR':
      return parseVectorType(c);
    default:
      return undefined;
  }
}

function parseSingleParameter(c: Cursor): TypeAst {
  c.next();
  c.expect("'<'");
  const type = c.nested(parseTypeRule);
  c.expect("'>'");
  return type;
}

function parseMapType(c: Cursor): TypeAst {
  c.next();
  c.expect("'<'");
  const key = c.nested(parseTypeRule);
  c.expect("','");
  const value = c.nested(parseTypeRule);
  c.expect("'>'");
  return { kind: 'map', key, value };
}

function parseTupleType(c: Cursor): TypeAst {
  c.next();
  c.expect("'<'");
  const fields = c.nested((inner) => commaSeparated(inner, parseTypeRule));
  c.expect("'>'");
  return { kind: 'tuple', fields };
}

function parseVectorType(c: Cursor): TypeAst {
  c.next();
  c.expect("'<'");
  const element = c.nested(parseTypeRule);
  c.expect("','");
  const dimension = Number(c.token.value);
  if (c.at('INTEGER') && Math.abs(dimension) > INT_MAX) {
    c.fail(`vector dimension ${c.token.value} is out of range`);
  }
  c.expect('INTEGER');
  c.expect("'>'");
  return { kind: 'vector', element, dimension };
}
