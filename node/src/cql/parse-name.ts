/** Rules for names: columns, tables, types, functions, roles. */

import type { QualifiedName } from './ast.ts';
import type { Cursor } from './cursor.ts';
import { AFTER_DESCRIBED, AFTER_FUNCTION, AFTER_INDEX, AFTER_TABLE } from './follow.ts';
import { FUNCTION_NAME, NAME, reservedTypeNames, TYPE_NAME } from './keywords.ts';

/** A name that may not be empty. */
export function parseName(c: Cursor): string {
  if (!c.atName()) c.noViable();
  return c.next().value;
}

/** Whether `parseColumn` has something to read. */
export function atColumn(c: Cursor): boolean {
  return c.atName() || c.at('EMPTY_QUOTED_NAME');
}

/** A column in a statement about data: also `""`, the column without a name of old tables. */
export function parseColumn(c: Cursor): string {
  if (c.at('EMPTY_QUOTED_NAME')) return c.next().value;
  return parseName(c);
}

function parseNameOf(c: Cursor, thing: string): string {
  if (c.at('QMARK')) c.failPlain(`Bind variables cannot be used for ${thing} names`);
  return parseName(c);
}

export function parseKeyspaceName(c: Cursor): string {
  return parseNameOf(c, 'keyspace');
}

/** The name of an index that is to be created in the keyspace of its table. */
export function parseIndexName(c: Cursor): string {
  return parseNameOf(c, 'index');
}

function parseQualifiedName(c: Cursor, thing: 'table' | 'index'): QualifiedName {
  if (c.peek(1).type !== "'.'") return { name: parseNameOf(c, thing) };
  const keyspace = parseKeyspaceName(c);
  c.next();
  return { keyspace, name: parseNameOf(c, thing) };
}

export function parseTableName(c: Cursor): QualifiedName {
  requireFollow(c, AFTER_TABLE);
  return parseQualifiedName(c, 'table');
}

/** `[keyspace.]name` of an index. */
export function parseIndexReference(c: Cursor): QualifiedName {
  requireFollow(c, AFTER_INDEX);
  return parseQualifiedName(c, 'index');
}

/** A name in DESCRIBE, of a kind that is not said. */
export function parseAnyName(c: Cursor): QualifiedName {
  requireFollow(c, AFTER_DESCRIBED);
  return parseQualifiedName(c, 'table');
}

/** The name of a function, where only the end or types can follow. */
export function parseDroppedFunctionName(c: Cursor): QualifiedName {
  requireFollow(c, AFTER_FUNCTION);
  return parseFunctionName(c);
}

function requireFollow(c: Cursor, follow: ReadonlySet<string>): void {
  if (c.token.uses !== 0 && !follow.has(c.peek(1).type)) c.noViable(1);
}

/** `[keyspace.]name` of a user type. */
export function parseUserTypeName(c: Cursor): QualifiedName {
  const { token } = c;
  if (!c.atName()) c.noViable();
  if (c.peek(1).type === "'.'") {
    const keyspace = c.next().value;
    c.next();
    return { keyspace, name: parseTypeIdentifier(c) };
  }
  if ((token.uses & TYPE_NAME) === 0) {
    c.next();
    c.mismatched("'.'");
  }
  return { name: parseTypeIdentifier(c) };
}

function parseTypeIdentifier(c: Cursor): string {
  const { type, value, uses } = c.token;
  if ((uses & TYPE_NAME) === 0) c.noViable();
  if (type === 'IDENT' && reservedTypeNames.has(value)) {
    c.failPlain(`Invalid (reserved) user type name ${value}`);
  }
  return c.next().value;
}

/** `[keyspace.]name` of a function. */
export function parseFunctionName(c: Cursor): QualifiedName {
  if (c.peek(1).type === "'.'") {
    const keyspace = parseKeyspaceName(c);
    c.next();
    return { keyspace, name: parseLocalFunctionName(c) };
  }
  return { name: parseLocalFunctionName(c) };
}

/** A function's name without a keyspace. */
export function parseLocalFunctionName(c: Cursor): string {
  if ((c.token.uses & FUNCTION_NAME) === 0) c.noViable();
  return c.next().value;
}

/** Whether a function's name and its opening parenthesis come next. */
export function atFunctionCall(c: Cursor, distance = 0): boolean {
  const first = c.peek(distance);
  const second = c.peek(distance + 1).type;
  if (second === "'('") return (first.uses & FUNCTION_NAME) !== 0;
  return (
    second === "'.'" &&
    (first.uses & NAME) !== 0 &&
    (c.peek(distance + 2).uses & FUNCTION_NAME) !== 0 &&
    c.peek(distance + 3).type === "'('"
  );
}

/** A role: an identifier, or a string that keeps its case. */
export function parseRoleName(c: Cursor): string {
  if (c.at('STRING_LITERAL')) return c.next().value;
  return parseNameOf(c, 'role');
}
