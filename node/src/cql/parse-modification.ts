/** Rules for INSERT, UPDATE, DELETE, BATCH and TRUNCATE. */

import type {
  Assignment,
  BatchStatement,
  DeleteStatement,
  Deletion,
  IfClause,
  InsertJsonStatement,
  InsertStatement,
  IntegerTerm,
  Literal,
  Marker,
  ModificationStatement,
  QualifiedName,
  Term,
  TruncateStatement,
  UpdateStatement,
  UsingClause,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { andSeparated, commaSeparated, parenthesised } from './cursor.ts';
import { atColumn, atFunctionCall, parseColumn, parseName, parseTableName } from './parse-name.ts';
import { acceptLiteral, acceptMarker, parseIntegerTerm, parseTerm } from './parse-term.ts';
import { parseIf, parseWhere } from './parse-where.ts';

/** INSERT, the current token. */
export function parseInsert(c: Cursor): InsertStatement | InsertJsonStatement {
  const at = c.expect('K_INSERT').start;
  c.expect('K_INTO');
  const table = parseTableName(c);
  if (c.accept('K_JSON')) return parseInsertJson(c, table, at);
  if (!c.at("'('")) c.noViable();
  const columns = parenthesised(c, parseColumn);
  c.expect('K_VALUES');
  const values = parenthesised(c, parseTerm);
  const ifNotExists = acceptIfNotExists(c);
  return { kind: 'insert', table, columns, values, ifNotExists, using: acceptUsing(c), at };
}

function parseInsertJson(c: Cursor, table: QualifiedName, at: number): InsertJsonStatement {
  const json = parseJsonValue(c);
  const missing = acceptDefault(c);
  const ifNotExists = acceptIfNotExists(c);
  return { kind: 'insertJson', table, json, missing, ifNotExists, using: acceptUsing(c), at };
}

function parseJsonValue(c: Cursor): Literal | Marker {
  if (c.at('STRING_LITERAL')) return acceptLiteral(c)!;
  return acceptMarker(c) ?? c.noViable();
}

function acceptDefault(c: Cursor): 'null' | 'unset' {
  if (!c.accept('K_DEFAULT')) return 'null';
  if (c.accept('K_UNSET')) return 'unset';
  if (!c.accept('K_NULL')) c.noViable();
  return 'null';
}

/** IF NOT EXISTS, if it is there. */
export function acceptIfNotExists(c: Cursor): boolean {
  if (!c.accept('K_IF')) return false;
  c.expect('K_NOT');
  c.expect('K_EXISTS');
  return true;
}

/** IF EXISTS, if it is there. */
export function acceptIfExists(c: Cursor): boolean {
  if (!c.accept('K_IF')) return false;
  c.expect('K_EXISTS');
  return true;
}

function acceptUsing(c: Cursor): UsingClause {
  const using: { timestamp?: IntegerTerm; ttl?: IntegerTerm } = {};
  if (!c.accept('K_USING')) return using;
  andSeparated(c, () => {
    if (c.accept('K_TIMESTAMP')) {
      using.timestamp = parseIntegerTerm(c);
    } else if (c.accept('K_TTL')) {
      using.ttl = parseIntegerTerm(c);
    } else {
      c.noViable();
    }
  });
  return using;
}

function acceptIf(c: Cursor): { if?: IfClause } {
  return c.accept('K_IF') ? { if: parseIf(c) } : {};
}

/** UPDATE, the current token. */
export function parseUpdate(c: Cursor): UpdateStatement {
  const at = c.expect('K_UPDATE').start;
  const table = parseTableName(c);
  const using = acceptUsing(c);
  c.expect('K_SET');
  const assignments = parseAssignments(c);
  c.expect('K_WHERE');
  const where = parseWhere(c);
  return { kind: 'update', table, using, assignments, where, ...acceptIf(c), at };
}

/** A column set as a whole may not appear a second time. */
function parseAssignments(c: Cursor): Assignment[] {
  const seen = new Map<string, 'whole' | 'part'>();
  return commaSeparated(c, () => {
    const assignment = parseAssignment(c);
    const { column } = assignment;
    const extent = assignment.kind === 'set' ? 'whole' : 'part';
    const before = seen.get(column);
    if (before === 'whole' || (before === 'part' && extent === 'whole')) {
      c.failPlain(`Multiple incompatible setting of column ${column}`);
    }
    seen.set(column, extent);
    return assignment;
  });
}

function parseAssignment(c: Cursor): Assignment {
  const at = c.token.start;
  const column = parseColumn(c);
  switch (c.token.type) {
    case "'='":
      c.next();
      return parseColumnAssignment(c, column, at);
    case "'+='":
      c.next();
      return { kind: 'add', column, value: parseTerm(c), at };
    case "'-='":
      c.next();
      return { kind: 'subtract', column, value: parseTerm(c), at };
    case "'['":
      return parseElementAssignment(c, column, at);
    case "'.'":
      return parseFieldAssignment(c, column, at);
    default:
      return c.noViable();
  }
}

function parseElementAssignment(c: Cursor, column: string, at: number): Assignment {
  c.next();
  const key = parseTerm(c);
  c.expect("']'");
  c.expect("'='");
  return { kind: 'setElement', column, key, value: parseTerm(c), at };
}

function parseFieldAssignment(c: Cursor, column: string, at: number): Assignment {
  c.next();
  const field = parseName(c);
  c.expect("'='");
  return { kind: 'setField', column, field, value: parseTerm(c), at };
}

function parseColumnAssignment(c: Cursor, column: string, at: number): Assignment {
  if (atColumnOperand(c)) return parseSelfAssignment(c, column, at);
  const value = parseTerm(c);
  if (!c.accept("'+'")) return { kind: 'set', column, value, at };
  const other = parseColumn(c);
  if (other !== column) {
    c.failPlain('Only expressions of the form X = <value> + X are supported.');
  }
  return { kind: 'prepend', column, value, at };
}

/** Whether the value begins with a column: `c = c + 1`, `c = c -1`. */
function atColumnOperand(c: Cursor): boolean {
  const { type, value } = c.peek(1);
  if (!atColumn(c)) return false;
  if (atFunctionCall(c)) return false;
  return type === "'+'" || type === "'-'" || (type === 'INTEGER' && value.startsWith('-'));
}

function parseSelfAssignment(c: Cursor, column: string, at: number): Assignment {
  const other = parseColumn(c);
  if (c.at('INTEGER')) {
    // `c = c -1` has no operator: the minus belongs to the number.
    requireSameColumn(c, column, other, '- ');
    return { kind: 'add', column, value: acceptLiteral(c)!, at };
  }
  const operator = c.next().value;
  const value: Term = parseTerm(c);
  requireSameColumn(c, column, other, operator);
  return { kind: operator === '+' ? 'add' : 'subtract', column, value, at };
}

function requireSameColumn(c: Cursor, column: string, other: string, operator: string): void {
  if (column === other) return;
  c.failPlain(`Only expressions of the form X = X ${operator}<value> are supported.`);
}

/** DELETE, the current token. */
export function parseDelete(c: Cursor): DeleteStatement {
  const at = c.expect('K_DELETE').start;
  const deletions = atColumn(c) ? commaSeparated(c, parseDeletion) : [];
  c.expect('K_FROM');
  const table = parseTableName(c);
  const timestamp = acceptUsingTimestamp(c);
  c.expect('K_WHERE');
  const where = parseWhere(c);
  return {
    kind: 'delete',
    deletions,
    table,
    ...(timestamp && { timestamp }),
    where,
    ...acceptIf(c),
    at,
  };
}

function parseDeletion(c: Cursor): Deletion {
  const at = c.token.start;
  const column = parseColumn(c);
  if (c.accept("'['")) {
    const key = parseTerm(c);
    c.expect("']'");
    return { kind: 'element', column, key, at };
  }
  if (c.accept("'.'")) return { kind: 'field', column, field: parseName(c), at };
  return { kind: 'column', column, at };
}

function acceptUsingTimestamp(c: Cursor): IntegerTerm | undefined {
  if (!c.accept('K_USING')) return undefined;
  c.expect('K_TIMESTAMP');
  return parseIntegerTerm(c);
}

/** BEGIN, the current token. */
export function parseBatch(c: Cursor): BatchStatement {
  const at = c.expect('K_BEGIN').start;
  const type = parseBatchType(c);
  c.expect('K_BATCH');
  const using = acceptUsing(c);
  const statements: ModificationStatement[] = [];
  for (;;) {
    const statement = acceptModification(c);
    if (statement === undefined) break;
    statements.push(statement);
    c.accept("';'");
  }
  c.expect('K_APPLY');
  c.expect('K_BATCH');
  return { kind: 'batch', type, using, statements, at };
}

function parseBatchType(c: Cursor): BatchStatement['type'] {
  if (c.accept('K_UNLOGGED')) return 'unlogged';
  return c.accept('K_COUNTER') ? 'counter' : 'logged';
}

function acceptModification(c: Cursor): ModificationStatement | undefined {
  switch (c.token.type) {
    case 'K_INSERT':
      return parseInsert(c);
    case 'K_UPDATE':
      return parseUpdate(c);
    case 'K_DELETE':
      return parseDelete(c);
    default:
      return undefined;
  }
}

/** TRUNCATE, the current token. */
export function parseTruncate(c: Cursor): TruncateStatement {
  const at = c.expect('K_TRUNCATE').start;
  c.accept('K_COLUMNFAMILY');
  return { kind: 'truncate', table: parseTableName(c), at };
}
