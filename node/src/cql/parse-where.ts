/** Rules for WHERE and IF: relations and conditions. */

import type {
  ComparisonOperator,
  Condition,
  IfClause,
  Marker,
  Relation,
  RelationTarget,
  Term,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { andSeparated, commaSeparated, parenthesised } from './cursor.ts';
import { atColumn, parseColumn, parseIndexReference, parseName } from './parse-name.ts';
import { acceptMarker, atValue, parseTerm, parseTuple } from './parse-term.ts';

const COMPARISONS: ReadonlyMap<string, ComparisonOperator> = new Map([
  ["'='", '='],
  ["'<'", '<'],
  ["'<='", '<='],
  ["'>'", '>'],
  ["'>='", '>='],
  ["'!='", '!='],
]);

/** Conjuncts of WHERE, after the word itself. */
export function parseWhere(c: Cursor): Relation[] {
  return andSeparated(c, parseRelationOrExpression);
}

function parseRelationOrExpression(c: Cursor): Relation {
  const { token } = c;
  const isExpression = c.at('IDENT') && token.value === 'expr' && c.peek(1).type === "'('";
  return isExpression ? parseIndexExpression(c) : parseRelation(c);
}

function parseIndexExpression(c: Cursor): Relation {
  const at = c.next().start;
  c.next();
  const index = parseIndexReference(c);
  c.expect("','");
  const value = parseTerm(c);
  c.expect("')'");
  return { kind: 'indexExpression', index, value, at };
}

function parseRelation(c: Cursor): Relation {
  if (c.at('K_TOKEN')) return parseTokenRelation(c);
  if (!c.at("'('")) return parseColumnRelation(c);
  return atColumnTuple(c) ? parseTupleRelation(c) : parseParenthesisedRelation(c);
}

/** Whether `(a,` or `(a)` comes next; else the parenthesis opens a relation. */
function atColumnTuple(c: Cursor): boolean {
  const after = c.peek(2).type;
  return after === "','" || after === "')'";
}

function parseParenthesisedRelation(c: Cursor): Relation {
  c.next();
  const relation = c.nested(parseRelation);
  c.expect("')'");
  return relation;
}

function parseColumnRelation(c: Cursor): Relation {
  const at = c.token.start;
  if (!atColumn(c)) c.noViable();
  if (!beginsRelation(c.peek(1).type)) c.noViable(1);
  if (c.peek(1).type === 'K_IN' && !beginsInValues(c.peek(2).type)) c.noViable(2);
  const column = parseColumn(c);
  if (c.accept("'['")) {
    const key = parseTerm(c);
    c.expect("']'");
    return parseComparison(c, { kind: 'element', column, key }, at);
  }
  const target: RelationTarget = { kind: 'column', column };
  switch (c.token.type) {
    case 'K_IS':
      return parseIsNotNull(c, target, at);
    case 'K_IN':
      return parseIn(c, target, at, parseSingleInList);
    case 'K_CONTAINS':
      return parseContains(c, target, at);
    case 'K_LIKE':
      c.next();
      return { kind: 'comparison', target, operator: 'LIKE', value: parseTerm(c), at };
    default:
      return parseComparison(c, target, at);
  }
}

function beginsInValues(type: string): boolean {
  return type === "'('" || type === 'QMARK' || type === "':'";
}

function beginsRelation(type: string): boolean {
  return COMPARISONS.has(type) || ['K_IN', 'K_CONTAINS', 'K_LIKE', 'K_IS', "'['"].includes(type);
}

function parseComparison(
  c: Cursor,
  target: RelationTarget,
  at: number,
  parseValue: (cursor: Cursor) => Term = parseTerm,
): Condition {
  const operator = COMPARISONS.get(c.token.type);
  if (operator === undefined) c.noViable();
  c.next();
  return { kind: 'comparison', target, operator, value: parseValue(c), at };
}

function parseContains(c: Cursor, target: RelationTarget, at: number): Condition {
  c.expect('K_CONTAINS');
  const ofKey = atContainsKey(c);
  if (ofKey) c.next();
  const operator: ComparisonOperator = ofKey ? 'CONTAINS KEY' : 'CONTAINS';
  return { kind: 'comparison', target, operator, value: parseTerm(c), at };
}

/** KEY is also the name of a function that a term may begin with. */
function atContainsKey(c: Cursor): boolean {
  return c.at('K_KEY') && c.peek(1).type !== "'.'";
}

function parseIsNotNull(c: Cursor, target: RelationTarget, at: number): Relation {
  c.next();
  c.expect('K_NOT');
  c.expect('K_NULL');
  return { kind: 'isNotNull', target, at };
}

function parseIn(
  c: Cursor,
  target: RelationTarget,
  at: number,
  parseList: (cursor: Cursor) => Term[],
): Condition {
  c.expect('K_IN');
  const values: Marker | Term[] = acceptMarker(c) ?? parseList(c);
  return { kind: 'in', target, values, at };
}

function parseSingleInList(c: Cursor): Term[] {
  return parseInList(c, parseTerm);
}

/** The list of `(a, b) IN (…)`: tuples or markers. */
function parseTupleInList(c: Cursor): Term[] {
  return parseInList(c, parseTupleValue);
}

function parseInList(c: Cursor, rule: (cursor: Cursor) => Term): Term[] {
  if (!c.at("'('")) c.noViable();
  c.next();
  const values = atValue(c) ? commaSeparated(c, rule) : [];
  c.expect("')'");
  return values;
}

/** `(1, 2)` or a marker for the whole tuple. */
function parseTupleValue(c: Cursor): Term {
  const marker = acceptMarker(c);
  if (marker !== undefined) return marker;
  if (!c.at("'('")) c.noViable();
  return c.nested(parseTuple);
}

function parseTokenRelation(c: Cursor): Relation {
  const at = c.next().start;
  const target: RelationTarget = { kind: 'token', columns: parenthesised(c, parseColumn) };
  return parseComparison(c, target, at);
}

function parseTupleRelation(c: Cursor): Relation {
  const at = c.token.start;
  const target: RelationTarget = { kind: 'columns', columns: parenthesised(c, parseColumn) };
  if (c.at('K_IN')) return parseIn(c, target, at, parseTupleInList);
  if (COMPARISONS.has(c.token.type) && !beginsInValues(c.peek(1).type)) c.noViable(1);
  return parseComparison(c, target, at, parseTupleValue);
}

/** What follows IF in UPDATE and DELETE. */
export function parseIf(c: Cursor): IfClause {
  const next = c.peek(1).type;
  const isBareExists = c.at('K_EXISTS') && !beginsRelation(next) && next !== "'.'";
  if (isBareExists) {
    c.next();
    return 'exists';
  }
  return andSeparated(c, parseCondition);
}

function parseCondition(c: Cursor): Condition {
  const at = c.token.start;
  if (!atColumn(c)) c.noViable();
  const column = parseColumn(c);
  const target = parseConditionTarget(c, column);
  if (c.at('K_IN')) return parseIn(c, target, at, parseSingleInList);
  if (target.kind === 'column' && c.at('K_CONTAINS')) return parseContains(c, target, at);
  return parseComparison(c, target, at);
}

function parseConditionTarget(c: Cursor, column: string): RelationTarget {
  if (c.accept("'['")) {
    const key = parseTerm(c);
    c.expect("']'");
    return { kind: 'element', column, key };
  }
  if (c.accept("'.'")) return { kind: 'field', column, field: parseName(c) };
  return { kind: 'column', column };
}
