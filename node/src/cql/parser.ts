/**
 * CQL as of Cassandra 5: text to a frozen syntax tree, by hand-written recursive descent.
 *
 * The grammar is Cassandra 5.0's; it also reads CREATE TABLE … LIKE of later versions, and a comment at
 * the end of the text without a line break. Nothing is looked up or checked but the form; errors use the
 * words of Cassandra's, which drivers and people know.
 */

import type { Statement, StatementBody, TypeAst } from './ast.ts';
import { Cursor } from './cursor.ts';
import { CqlSyntaxError } from './errors.ts';
import { parseDescribe } from './parse-describe.ts';
import {
  parseBatch,
  parseDelete,
  parseInsert,
  parseTruncate,
  parseUpdate,
} from './parse-modification.ts';
import { parseKeyspaceName } from './parse-name.ts';
import {
  alterRoleRules,
  createRoleRules,
  dropRoleRules,
  parseAddIdentity,
  parseGrant,
  parseList,
  parseRevoke,
} from './parse-role.ts';
import { alterRules, createRules, type DefinitionRule, dropRules } from './parse-schema.ts';
import { parseSelect } from './parse-select.ts';
import { parseTypeRule } from './parse-type.ts';

/** How deep the finished tree may be, long chains of operators included: walks over it may recurse. */
const TREE_DEPTH_MAX = 1000;

type StatementRule = (c: Cursor) => StatementBody;

const statementRules: ReadonlyMap<string, StatementRule> = new Map<string, StatementRule>([
  ['K_SELECT', parseSelect],
  ['K_INSERT', parseInsert],
  ['K_UPDATE', parseUpdate],
  ['K_DELETE', parseDelete],
  ['K_BEGIN', parseBatch],
  ['K_TRUNCATE', parseTruncate],
  ['K_USE', parseUse],
  ['K_CREATE', definitionRule({ ...createRules, ...createRoleRules })],
  ['K_ALTER', definitionRule({ ...alterRules, ...alterRoleRules })],
  ['K_DROP', definitionRule({ ...dropRules, ...dropRoleRules })],
  ['K_GRANT', parseGrant],
  ['K_REVOKE', parseRevoke],
  ['K_LIST', parseList],
  ['K_ADD', parseAddIdentity],
  ['K_DESCRIBE', parseDescribe],
  ['K_DESC', parseDescribe],
]);

function parseUse(c: Cursor): StatementBody {
  const at = c.next().start;
  return { kind: 'use', keyspace: parseKeyspaceName(c), at };
}

function definitionRule(rules: Readonly<Record<string, DefinitionRule>>): StatementRule {
  const byType = new Map(Object.entries(rules));
  return (c: Cursor) => {
    const rule = byType.get(c.peek(1).type);
    if (rule === undefined) c.noViable(1);
    const at = c.next().start;
    c.next();
    return rule(c, at);
  };
}

/** Freezes a tree, and refuses one too deep to be walked by recursion. */
function freeze(node: object, depth: number): void {
  if (depth > TREE_DEPTH_MAX) {
    throw new CqlSyntaxError(`line 1:0 expression deeper than ${TREE_DEPTH_MAX} levels`, 1, 0);
  }
  Object.freeze(node);
  for (const value of Object.values(node)) {
    if (typeof value === 'object') freeze(value, depth + 1);
  }
}

/**
 * Parses one statement. Semicolons may follow it, nothing else.
 *
 * @returns a deeply frozen tree
 * @throws CqlSyntaxError if the text is not a statement, is longer than STATEMENT_LENGTH_MAX, or nests
 *   deeper than NESTING_DEPTH_MAX
 */
export function parseStatement(text: string): Statement {
  const c: Cursor = new Cursor(text);
  const rule = statementRules.get(c.token.type);
  if (rule === undefined) c.noViable();
  const body = rule(c);
  while (c.accept("';'"));
  c.expect('EOF');
  const statement: Statement = { ...body, bindMarkers: c.bindMarkers };
  freeze(statement, 0);
  return statement;
}

/**
 * Parses a type, as in a column definition.
 *
 * @returns a deeply frozen tree
 * @throws CqlSyntaxError
 */
export function parseType(text: string): TypeAst {
  const c: Cursor = new Cursor(text);
  const type = parseTypeRule(c);
  c.expect('EOF');
  freeze(type, 0);
  return type;
}
