/** Rules for SELECT: the selection, grouping, ordering and limits. */

import type {
  CellMetadata,
  ColumnRef,
  Ordering,
  Selectable,
  Selector,
  SelectStatement,
  Term,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { commaSeparated } from './cursor.ts';
import { AFTER_SELECTED } from './follow.ts';
import { FUNCTION_NAME, NAME } from './keywords.ts';
import {
  atFunctionCall,
  parseColumn,
  parseFunctionName,
  parseName,
  parseTableName,
} from './parse-name.ts';
import {
  acceptLiteral,
  acceptMarker,
  atTypeHint,
  parseArithmetic,
  parseElements,
  parseIntegerTerm,
  parseSetOrMap,
  parseTerm,
} from './parse-term.ts';
import { parseNativeType, parseTypeRule } from './parse-type.ts';
import { parseWhere } from './parse-where.ts';

type SelectionClause = Pick<SelectStatement, 'json' | 'distinct' | 'selectors'>;

/** SELECT, the current token. */
export function parseSelect(c: Cursor): SelectStatement {
  const at = c.expect('K_SELECT').start;
  const selection = parseSelection(c);
  c.expect('K_FROM');
  const table = parseTableName(c);
  const where = c.accept('K_WHERE') ? parseWhere(c) : [];
  const groupBy = acceptPair(c, 'K_GROUP', 'K_BY') ? commaSeparated(c, parseSelectable) : [];
  const orderBy = acceptPair(c, 'K_ORDER', 'K_BY') ? commaSeparated(c, parseOrdering) : [];
  const perPartitionLimit = acceptPerPartition(c) ? parseIntegerTerm(c) : undefined;
  const limit = c.accept('K_LIMIT') ? parseIntegerTerm(c) : undefined;
  const allowFiltering = acceptPair(c, 'K_ALLOW', 'K_FILTERING');
  return {
    kind: 'select',
    ...selection,
    table,
    where,
    groupBy,
    orderBy,
    ...(perPartitionLimit && { perPartitionLimit }),
    ...(limit && { limit }),
    allowFiltering,
    at,
  };
}

function acceptPair(c: Cursor, first: string, second: string): boolean {
  if (!c.accept(first)) return false;
  c.expect(second);
  return true;
}

function acceptPerPartition(c: Cursor): boolean {
  if (!acceptPair(c, 'K_PER', 'K_PARTITION')) return false;
  c.expect('K_LIMIT');
  return true;
}

type SelectionRule = (cursor: Cursor) => SelectionClause;

/** JSON and DISTINCT are also names of columns: they are modifiers where a selection follows. */
function parseSelection(c: Cursor): SelectionClause {
  return parseModified(c, 'K_JSON', (inner) => ({ ...parseDistinct(inner), json: true }));
}

function parseDistinct(c: Cursor): SelectionClause {
  return parseModified(c, 'K_DISTINCT', (inner) => ({ ...parsePlain(inner), distinct: true }));
}

function parsePlain(c: Cursor): SelectionClause {
  return { json: false, distinct: false, selectors: parseSelectors(c) };
}

function parseModified(c: Cursor, modifier: string, modified: SelectionRule): SelectionClause {
  const plain = modifier === 'K_JSON' ? parseDistinct : parsePlain;
  const following = c.peek(1).type;
  if (!c.at(modifier) || following === 'K_FROM' || following === "','") return plain(c);
  const asModifier: SelectionRule = (inner) => {
    inner.next();
    return modified(inner);
  };
  const parsed = c.attempt(upToFrom(asModifier)) ?? c.attempt(upToFrom(plain));
  if (parsed !== undefined) return parsed;
  // Neither reading is right: report the error of the likelier one.
  return following === "'.'" || following === 'EOF' ? plain(c) : asModifier(c);
}

function upToFrom(rule: SelectionRule): SelectionRule {
  return (c) => {
    const selection = rule(c);
    if (!c.at('K_FROM')) c.mismatched('K_FROM');
    return selection;
  };
}

/** `*`, or selectors with commas between. */
export function parseSelectors(c: Cursor): '*' | Selector[] {
  if (c.accept("'*'")) return '*';
  return commaSeparated(c, parseSelector);
}

function parseSelector(c: Cursor): Selector {
  const at = c.token.start;
  const expression = parseSelectable(c);
  if (!c.accept('K_AS')) return { expression, at };
  return { expression, alias: parseName(c), at };
}

function parseOrdering(c: Cursor): Ordering {
  const at = c.token.start;
  const column = parseColumn(c);
  let annOf: Term | undefined;
  if (c.accept('K_ANN')) {
    c.expect('K_OF');
    annOf = parseTerm(c);
  }
  const direction = c.accept('K_DESC') ? 'desc' : 'asc';
  if (direction === 'asc') c.accept('K_ASC');
  return { column, ...(annOf && { annOf }), direction, at };
}

/** An expression over columns, with arithmetic. */
export function parseSelectable(c: Cursor): Selectable {
  return c.nested(parseAddition);
}

function parseAddition(c: Cursor): Selectable {
  return parseArithmetic<Selectable>(c, parseGroup, (operator, left, right, at) => ({
    kind: 'arithmetic',
    operator,
    left,
    right,
    at,
  }));
}

function parseGroup(c: Cursor): Selectable {
  const at = c.token.start;
  if (!c.accept("'-'")) return parseModifiers(c, parsePrimary(c));
  return { kind: 'negation', value: c.nested(parseGroup), at };
}

/** The `.field`, `[key]` and `[from..to]` after an expression. */
function parseModifiers(c: Cursor, receiver: Selectable): Selectable {
  let of = receiver;
  for (;;) {
    const at = c.token.start;
    if (c.accept("'.'")) {
      of = { kind: 'field', of, field: parseName(c), at };
    } else if (c.accept("'['")) {
      of = parseSubSelection(c, of, at);
    } else {
      return of;
    }
  }
}

function parseSubSelection(c: Cursor, of: Selectable, at: number): Selectable {
  if (c.accept('RANGE')) {
    const to = parseTerm(c);
    c.expect("']'");
    return { kind: 'slice', of, to, at };
  }
  const key = parseTerm(c);
  if (!c.accept('RANGE')) {
    c.expect("']'");
    return { kind: 'element', of, key, at };
  }
  const to = c.at("']'") ? undefined : parseTerm(c);
  c.expect("']'");
  return { kind: 'slice', of, from: key, ...(to && { to }), at };
}

function parsePrimary(c: Cursor): Selectable {
  const constant = acceptLiteral(c) ?? acceptMarker(c);
  if (constant !== undefined) return constant;
  switch (c.token.type) {
    case 'K_NULL':
      c.next();
      return { kind: 'null' };
    case "'['":
      return { kind: 'list', elements: parseElements(c, "']'", parseSelectable) };
    case "'{'":
      c.next();
      if (c.accept("'}'")) return { kind: 'set', elements: [] };
      return parseSetOrMap(c, parseSelectable(c), parseSelectable);
    case "'('":
      return atTypeHint(c) ? parseTypeHint(c) : parseParenthesised(c);
    default:
      return parseColumnOrFunction(c);
  }
}

function parseParenthesised(c: Cursor): Selectable {
  c.next();
  const elements = commaSeparated(c, parseSelectable);
  c.expect("')'");
  return { kind: 'tuple', elements };
}

function parseTypeHint(c: Cursor): Selectable {
  const at = c.next().start;
  const type = parseTypeRule(c);
  c.expect("')'");
  return { kind: 'typeHint', type, value: c.nested(parsePrimary), at };
}

function parseColumnOrFunction(c: Cursor): Selectable {
  const { type, uses, start: at } = c.token;
  if ((uses & (NAME | FUNCTION_NAME)) === 0) c.noViable();
  if (c.peek(1).type === "'('") {
    switch (type) {
      case 'K_WRITETIME':
      case 'K_MAXWRITETIME':
      case 'K_TTL':
        return parseCellMetadata(c);
      case 'K_CAST':
        return parseCast(c);
      case 'K_COUNT':
        if (c.peek(2).type === "'*'") return parseCountRows(c);
    }
  }
  if (!atFunctionCall(c)) {
    requireColumn(c);
    return parseColumnRef(c);
  }
  const name = parseFunctionName(c);
  return { kind: 'function', name, args: parseElements(c, "')'", parseSelectable), at };
}

/** Decides, as Cassandra does, whether a name that is no function's can be a column's. */
function requireColumn(c: Cursor): void {
  const next = c.peek(1).type;
  if (!AFTER_SELECTED.has(next)) c.noViable(1);
  if (next !== "'.'") return;
  if ((c.peek(2).uses & (NAME | FUNCTION_NAME)) === 0) c.noViable(2);
  if (!AFTER_SELECTED.has(c.peek(3).type)) c.noViable(3);
}

function parseColumnRef(c: Cursor): ColumnRef {
  const at = c.token.start;
  if (!c.atName()) c.noViable();
  return { kind: 'column', name: c.next().value, at };
}

function parseCountRows(c: Cursor): Selectable {
  const at = c.next().start;
  c.next();
  c.next();
  c.expect("')'");
  return { kind: 'countRows', at };
}

function parseCellMetadata(c: Cursor): CellMetadata {
  const { value, start: at } = c.next();
  c.next();
  const of = parseModifiers(c, parseColumnRef(c));
  c.expect("')'");
  return { kind: 'cellMetadata', metadata: value as CellMetadata['metadata'], of, at };
}

function parseCast(c: Cursor): Selectable {
  const at = c.next().start;
  c.next();
  const value = parseSelectable(c);
  c.expect('K_AS');
  const type = parseNativeType(c);
  c.expect("')'");
  return { kind: 'cast', value, type, at };
}
