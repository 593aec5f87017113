/** Rules for `WITH name = value AND …`. */

import type {
  ClusteringOrder,
  MapEntry,
  Property,
  PropertyEntry,
  PropertyValue,
  Term,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { andSeparated, commaSeparated, parenthesised } from './cursor.ts';
import { NAME } from './keywords.ts';
import type { Token } from './lexer.ts';
import { parseName } from './parse-name.ts';
import { acceptLiteral, atValue, isConstant, parseTerm } from './parse-term.ts';
import { printTerm } from './print.ts';

/** Collects properties, refusing one that is given twice. */
export class PropertyList {
  readonly properties: Property[] = [];
  private readonly names = new Set<string>();

  /** `name = value`: a constant, an unreserved keyword, or a map. */
  parse(c: Cursor): void {
    const at = c.token.start;
    if (c.atName() && c.peek(1).type !== "'='") c.noViable(1);
    if (c.atName() && !beginsPropertyValue(c.peek(2))) c.noViable(2);
    const name = parseName(c);
    c.next();
    const value = parsePropertyValue(c);
    if (this.names.has(name)) c.failPlain(`Multiple definitions for property '${name}'`);
    this.names.add(name);
    this.properties.push({ name, value, at });
  }
}

/** Properties with AND between. */
export function parseProperties(c: Cursor): Property[] {
  const list = new PropertyList();
  andSeparated(c, () => list.parse(c));
  return list.properties;
}

/** Whether a value can begin with the token: a brace, a constant or an unreserved keyword. */
function beginsPropertyValue({ type, uses }: Token): boolean {
  if (type === 'IDENT' || type === 'QUOTED_NAME') return false;
  return type === "'{'" || isConstant(type) || (uses & NAME) !== 0;
}

function parsePropertyValue(c: Cursor): PropertyValue {
  if (c.at("'{'")) return { kind: 'map', entries: parsePropertyMap(c) };
  const literal = acceptLiteral(c);
  if (literal !== undefined) {
    return { kind: 'scalar', sort: literal.sort, text: literal.text };
  }
  const { start, end } = c.next();
  return { kind: 'scalar', sort: 'keyword', text: c.text.slice(start, end) };
}

/** A map of constants to constants, given as their raw texts. */
export function parsePropertyMap(c: Cursor): PropertyEntry[] {
  c.expect("'{'");
  const entries = atValue(c) ? commaSeparated(c, parseMapEntry) : [];
  c.expect("'}'");
  const keys = new Set<string>();
  return entries.map((entry) => {
    const { key, value } = toConstants(c, entry);
    if (keys.has(key)) c.failPlain(`Multiple definition for property ${key}`);
    keys.add(key);
    return { key, value };
  });
}

function parseMapEntry(c: Cursor): MapEntry<Term> {
  const key = parseTerm(c);
  c.expect("':'");
  return { key, value: parseTerm(c) };
}

function toConstants(c: Cursor, { key, value }: MapEntry<Term>): PropertyEntry {
  if (key.kind !== 'literal') {
    c.failPlain(`Invalid property name: ${printTerm(key)}${markerNote(key)}`);
  }
  if (value.kind !== 'literal') {
    const where = `${printTerm(value)} for property: ${printTerm(key)}`;
    c.failPlain(`Invalid property value: ${where}${markerNote(value)}`);
  }
  return { key: key.text, value: value.text };
}

function markerNote(term: Term): string {
  return term.kind === 'marker' ? ' (bind variables are not supported in DDL queries)' : '';
}

/** `CLUSTERING ORDER BY (a ASC, b DESC)`, CLUSTERING being the current token. */
export function parseClusteringOrder(c: Cursor): ClusteringOrder[] {
  c.next();
  c.expect('K_ORDER');
  c.expect('K_BY');
  return parenthesised(c, () => {
    const at = c.token.start;
    const column = parseName(c);
    if (c.accept('K_ASC')) return { column, direction: 'asc', at };
    if (!c.accept('K_DESC')) c.noViable();
    return { column, direction: 'desc', at };
  });
}
