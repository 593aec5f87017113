/** Rules for terms: the values of VALUES, SET, WHERE, IF, LIMIT and USING. */

import type {
  ArithmeticOperator,
  Cast,
  FunctionCall,
  IntegerTerm,
  Literal,
  LiteralSort,
  MapEntry,
  MapLiteral,
  Marker,
  Negation,
  Term,
  TypeHint,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { commaSeparated } from './cursor.ts';
import { AFTER_TERM } from './follow.ts';
import { FUNCTION_NAME, NAME } from './keywords.ts';
import { atFunctionCall, parseFunctionName, parseName } from './parse-name.ts';
import { parseNativeType, parseTypeRule } from './parse-type.ts';

const LITERAL_SORTS: ReadonlyMap<string, LiteralSort> = new Map([
  ['STRING_LITERAL', 'string'],
  ['INTEGER', 'integer'],
  ['FLOAT', 'float'],
  ['BOOLEAN', 'boolean'],
  ['UUID', 'uuid'],
  ['HEXNUMBER', 'hex'],
  ['DURATION', 'duration'],
  ['K_POSITIVE_NAN', 'float'],
  ['K_NEGATIVE_NAN', 'float'],
  ['K_POSITIVE_INFINITY', 'float'],
  ['K_NEGATIVE_INFINITY', 'float'],
]);
const SPECIAL_FLOATS: Readonly<Record<string, string>> = {
  K_POSITIVE_NAN: 'NaN',
  K_NEGATIVE_NAN: 'NaN',
  K_POSITIVE_INFINITY: 'Infinity',
  K_NEGATIVE_INFINITY: '-Infinity',
};
const ADDITIVE: ReadonlyMap<string, ArithmeticOperator> = new Map([
  ["'+'", '+'],
  ["'-'", '-'],
]);
const MULTIPLICATIVE: ReadonlyMap<string, ArithmeticOperator> = new Map([
  ["'*'", '*'],
  ["'/'", '/'],
  ["'%'", '%'],
]);

const BEGINS_VALUE: ReadonlySet<string> = new Set(["'('", "'['", "'{'", "':'", 'QMARK', 'K_NULL']);

/** Whether a token of the type is a constant. */
export function isConstant(type: string): boolean {
  return LITERAL_SORTS.has(type);
}

/** The current token as a constant, or undefined if it is none. */
export function acceptLiteral(c: Cursor): Literal | undefined {
  const { token } = c;
  const sort = LITERAL_SORTS.get(token.type);
  if (sort === undefined) return undefined;
  c.next();
  const text = SPECIAL_FLOATS[token.type] ?? token.value;
  const folded = sort === 'boolean' ? text.toLowerCase() : text;
  return { kind: 'literal', sort, text: folded, at: token.start };
}

/** `?` or `:name`, or undefined if there is none. */
export function acceptMarker(c: Cursor): Marker | undefined {
  if (c.accept('QMARK')) return c.addMarker();
  if (!c.accept("':'")) return undefined;
  return c.addMarker(parseName(c));
}

/** A literal integer or a marker. */
export function parseIntegerTerm(c: Cursor): IntegerTerm {
  if (c.at('INTEGER')) return acceptLiteral(c)!;
  return acceptMarker(c) ?? c.noViable();
}

/**
 * Left-grouping operators of two levels over operands.
 *
 * @param stopsAt says whether the operator that comes next is not part of this expression
 */
export function parseArithmetic<E>(
  c: Cursor,
  operand: (cursor: Cursor) => E,
  build: (operator: ArithmeticOperator, left: E, right: E, at: number) => E,
  stopsAt: (cursor: Cursor) => boolean = () => false,
): E {
  const level = (operators: ReadonlyMap<string, ArithmeticOperator>, inner: () => E): E => {
    let left = inner();
    for (;;) {
      const operator = operators.get(c.token.type);
      if (operator === undefined || stopsAt(c)) return left;
      const at = c.next().start;
      left = build(operator, left, inner(), at);
    }
  };
  return level(ADDITIVE, () => level(MULTIPLICATIVE, () => operand(c)));
}

/** `+ column` ends the term: in `c = [1] + c` it is not part of the value. */
function atPlusColumn(c: Cursor): boolean {
  if (!c.at("'+'")) return false;
  const { type, uses } = c.peek(1);
  if (type === 'EMPTY_QUOTED_NAME') return true;
  return (uses & NAME) !== 0 && !atFunctionCall(c, 1) && !atCast(c, 1);
}

function atCast(c: Cursor, distance: number): boolean {
  return c.peek(distance).type === 'K_CAST' && c.peek(distance + 1).type === "'('";
}

/** A term with arithmetic. */
export function parseTerm(c: Cursor): Term {
  return c.nested(parseAddition);
}

function parseAddition(c: Cursor): Term {
  const term = parseArithmetic<Term>(
    c,
    parseNegatable,
    (operator, left, right, at) => ({ kind: 'arithmetic', operator, left, right, at }),
    atPlusColumn,
  );
  if (!AFTER_TERM.has(c.token.type)) c.noViable();
  return term;
}

function parseNegatable(c: Cursor): Term {
  const at = c.token.start;
  if (!c.accept("'-'")) return parseSimpleTerm(c);
  return { kind: 'negation', value: parseSimpleTerm(c), at } satisfies Negation<Term>;
}

function parseSimpleTerm(c: Cursor): Term {
  const constant = acceptLiteral(c) ?? acceptMarker(c);
  if (constant !== undefined) return constant;
  switch (c.token.type) {
    case 'K_NULL':
      c.next();
      return { kind: 'null' };
    case "'['":
      return { kind: 'list', elements: parseElements(c, "']'", parseTerm) };
    case "'{'":
      return parseBraces(c);
    case "'('":
      return atTypeHint(c) ? parseTypeHint(c) : parseTuple(c);
    default:
      return atCast(c, 0) ? parseCast(c) : parseFunctionCall(c);
  }
}

/** Elements between brackets, braces or parentheses, possibly none. */
export function parseElements<E>(c: Cursor, close: string, rule: (cursor: Cursor) => E): E[] {
  c.next();
  const elements = atValue(c) ? commaSeparated(c, rule) : [];
  c.expect(close);
  return elements;
}

/** Whether a term or a selected expression can begin here. */
export function atValue(c: Cursor): boolean {
  return c.at("'-'") || (c.token.uses & (NAME | FUNCTION_NAME)) !== 0 || atConstantOrBracket(c);
}

/** The rest of a set or of a map after its first element. */
export function parseSetOrMap<E>(
  c: Cursor,
  first: E,
  rule: (cursor: Cursor) => E,
): { kind: 'set'; elements: E[] } | MapLiteral<E> {
  if (c.accept("':'")) {
    const entries: MapEntry<E>[] = [{ key: first, value: rule(c) }];
    while (c.accept("','")) entries.push(parseEntry(c, rule));
    c.expect("'}'");
    return { kind: 'map', entries };
  }
  if (!c.at("','") && !c.at("'}'")) c.noViable();
  const elements = [first];
  while (c.accept("','")) elements.push(rule(c));
  c.expect("'}'");
  return { kind: 'set', elements };
}

function parseEntry<E>(c: Cursor, rule: (cursor: Cursor) => E): MapEntry<E> {
  const key = rule(c);
  c.expect("':'");
  return { key, value: rule(c) };
}

function parseBraces(c: Cursor): Term {
  c.next();
  if (c.accept("'}'")) return { kind: 'set', elements: [] };
  if (c.atName() && c.peek(1).type === "':'") return parseUdt(c);
  return parseSetOrMap(c, parseTerm(c), parseTerm);
}

function parseUdt(c: Cursor): Term {
  const fields = commaSeparated(c, () => {
    const name = parseName(c);
    c.expect("':'");
    return { name, value: parseTerm(c) };
  });
  c.expect("'}'");
  return { kind: 'udt', fields };
}

/** `(a, b)` as a tuple; also `(a)`. */
export function parseTuple(c: Cursor): Term {
  c.expect("'('");
  const elements = commaSeparated(c, parseTerm);
  c.expect("')'");
  return { kind: 'tuple', elements };
}

/** Whether `(type)` and the beginning of a value come next. */
export function atTypeHint(c: Cursor): boolean {
  const second = c.peek(1);
  if ((second.uses & NAME) === 0 && second.type !== 'K_SET' && second.type !== 'STRING_LITERAL') {
    return false;
  }
  const third = c.peek(2).type;
  if (third !== "')'" && third !== "'<'" && third !== "'.'") return false;
  return c.lookAhead(() => {
    c.next();
    parseTypeRule(c);
    c.expect("')'");
    return atSimpleValue(c);
  });
}

function atSimpleValue(c: Cursor): boolean {
  const { type, uses } = c.token;
  // `(a) AS x` is an alias, and PER PARTITION LIMIT may follow `GROUP BY (a)`.
  if (type === 'K_AS') return (c.peek(1).uses & NAME) === 0;
  if (type === 'K_PER') return c.peek(1).type !== 'K_PARTITION';
  if (type === "':'") return atNamedMarker(c);
  return (uses & (NAME | FUNCTION_NAME)) !== 0 || atConstantOrBracket(c);
}

/** `:name`, and not the colon of a map before a function call as in `{('a'): f(1)}`. */
function atNamedMarker(c: Cursor): boolean {
  const after = c.peek(2).type;
  return (c.peek(1).uses & NAME) !== 0 && after !== "'('" && after !== "'.'";
}

function atConstantOrBracket(c: Cursor): boolean {
  const { type } = c.token;
  return isConstant(type) || BEGINS_VALUE.has(type);
}

function parseTypeHint(c: Cursor): TypeHint<Term> {
  const at = c.next().start;
  const type = parseTypeRule(c);
  c.expect("')'");
  return { kind: 'typeHint', type, value: c.nested(parseSimpleTerm), at };
}

function parseCast(c: Cursor): Cast<Term> {
  const at = c.next().start;
  c.next();
  const value = c.nested(parseSimpleTerm);
  c.expect('K_AS');
  const type = parseNativeType(c);
  c.expect("')'");
  return { kind: 'cast', value, type, at };
}

function parseFunctionCall(c: Cursor): FunctionCall<Term> {
  const { token } = c;
  if ((token.uses & (NAME | FUNCTION_NAME)) === 0) c.noViable();
  const next = c.peek(1).type;
  const isCall = next === "'('" && (token.uses & FUNCTION_NAME) !== 0;
  if (!isCall && next !== "'.'") c.noViable(1);
  const name = parseFunctionName(c);
  if (!c.at("'('")) c.mismatched("'('");
  return { kind: 'function', name, args: parseElements(c, "')'", parseTerm), at: token.start };
}
