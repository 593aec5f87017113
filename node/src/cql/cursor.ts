/** The parser's place in the tokens, its bind markers, its depth, and the errors it throws. */

import type { BindMarker, Marker } from './ast.ts';
import { CqlSyntaxError, displayToken, positionAt, snippet } from './errors.ts';
import { NAME } from './keywords.ts';
import { lex, type Token } from './lexer.ts';

/** How deep expressions, types and parenthesised relations may nest. */
export const NESTING_DEPTH_MAX = 128;
/** Longest text that is parsed at all, in UTF-16 units. */
export const STATEMENT_LENGTH_MAX = 16 * 1024 * 1024;

/** Thrown, and caught, inside `attempt`: to describe an error costs a walk over the whole text. */
const ATTEMPT_FAILED = Symbol('attempt failed');

/** Walks over the tokens of one text. The rules of the grammar are functions that take a cursor. */
export class Cursor {
  readonly text: string;
  readonly bindMarkers: BindMarker[] = [];
  token: Token;
  private readonly tokens: readonly Token[];
  private index = 0;
  private depth = 0;
  private attempts = 0;

  constructor(text: string) {
    if (text.length > STATEMENT_LENGTH_MAX) {
      const message = `statement of ${text.length} characters is longer than ${STATEMENT_LENGTH_MAX}`;
      throw new CqlSyntaxError(message, 1, 0);
    }
    this.text = text;
    this.tokens = lex(text);
    this.token = this.tokens[0]!;
    this.throwLexicalError(0);
  }

  /** The token `distance` after the current one; beyond the end, the last. */
  peek(distance: number): Token {
    return this.tokens[Math.min(this.index + distance, this.tokens.length - 1)]!;
  }

  /** Steps over the current token and returns it. */
  next(): Token {
    const { token } = this;
    if (this.index < this.tokens.length - 1) {
      this.token = this.tokens[++this.index]!;
      if (this.token.type === 'ERROR') this.throwLexicalError(this.index);
    }
    return token;
  }

  at(type: string): boolean {
    return this.token.type === type;
  }

  /** Steps over the current token if it is of the type. */
  accept(type: string): boolean {
    if (this.token.type !== type) return false;
    this.next();
    return true;
  }

  expect(type: string): Token {
    if (this.token.type !== type) this.mismatched(type);
    return this.next();
  }

  /** Whether the current token may name a column, table or the like. */
  atName(): boolean {
    return (this.token.uses & NAME) !== 0;
  }

  /** A marker's place in the order of the text. `name` is absent for `?`. */
  addMarker(name?: string): Marker {
    this.bindMarkers.push(name === undefined ? {} : { name });
    return { kind: 'marker', index: this.bindMarkers.length - 1 };
  }

  /** Runs a rule one level deeper. */
  nested<T>(rule: (cursor: Cursor) => T): T {
    if (++this.depth > NESTING_DEPTH_MAX) {
      this.fail(`expression nested deeper than ${NESTING_DEPTH_MAX} levels`);
    }
    const result = rule(this);
    this.depth--;
    return result;
  }

  /** Runs a rule; if it throws a syntax error, returns undefined with nothing consumed. */
  attempt<T>(rule: (cursor: Cursor) => T): T | undefined {
    const { index, depth, token } = this;
    const markerCount = this.bindMarkers.length;
    this.attempts++;
    try {
      return rule(this);
    } catch (error) {
      if (error !== ATTEMPT_FAILED) throw error;
      this.index = index;
      this.depth = depth;
      this.token = token;
      this.bindMarkers.length = markerCount;
      return undefined;
    } finally {
      this.attempts--;
    }
  }

  /** Whether a test that may consume tokens, but no markers, succeeds; nothing stays consumed. */
  lookAhead(test: () => boolean): boolean {
    const { index, token } = this;
    const result = this.attempt(test) === true;
    this.index = index;
    this.token = token;
    return result;
  }

  /** The current token is not the only one possible here. */
  mismatched(expected: string): never {
    this.failAt(`mismatched input ${this.found(0)} expecting ${expected}`, 0);
  }

  /**
   * No rule begins this way. `lookahead` is the distance to the token that ruled the last one out; the
   * message names that token, its brackets mark the current one, where the choice had to be made.
   */
  noViable(lookahead = 0): never {
    this.failAt(`no viable alternative at input ${this.found(lookahead)}`, lookahead);
  }

  /** A rule broken at the current token, in words of our own. */
  fail(message: string): never {
    const { line, column } = positionAt(this.text, this.token.start);
    this.throwAt(`line ${line}:${column} ${message}`, this.token.start);
  }

  /** A rule that Cassandra reports without a position. */
  failPlain(message: string): never {
    this.throwAt(message, this.token.start);
  }

  private found(lookahead: number): string {
    const { type, value, start, end } = this.peek(lookahead);
    if (type === 'EOF' || type === 'STRING_LITERAL' || type === 'QUOTED_NAME') {
      return displayToken(value);
    }
    return displayToken(this.text.slice(start, end));
  }

  private failAt(message: string, lookahead: number): never {
    if (this.attempts > 0) throw ATTEMPT_FAILED;
    const last = Math.min(this.index + lookahead, this.tokens.length - 1);
    this.throwLexicalError(last);
    const token = this.tokens[last]!;
    if (token.type === 'EOF') this.throwAt(`line 0:-1 ${message}`, token.start);
    const { line, column } = positionAt(this.text, token.start);
    const around = snippet(this.text, this.tokens.slice(0, last + 1), this.index);
    this.throwAt(`line ${line}:${column} ${message}${around}`, token.start);
  }

  private throwLexicalError(index: number): void {
    const token = this.tokens[index]!;
    if (token.type !== 'ERROR') return;
    const { line, column } = positionAt(this.text, token.start);
    this.throwAt(`line ${line}:${column} ${token.value}`, token.start);
  }

  private throwAt(message: string, offset: number): never {
    if (this.attempts > 0) throw ATTEMPT_FAILED;
    const { line, column } = positionAt(this.text, offset);
    throw new CqlSyntaxError(message, line, column);
  }
}

/** One or more of something, with commas between. */
export function commaSeparated<T>(c: Cursor, rule: (cursor: Cursor) => T): T[] {
  const items = [rule(c)];
  while (c.accept("','")) items.push(rule(c));
  return items;
}

/** One or more of something, with AND between. */
export function andSeparated<T>(c: Cursor, rule: (cursor: Cursor) => T): T[] {
  const items = [rule(c)];
  while (c.accept('K_AND')) items.push(rule(c));
  return items;
}

/** One or more of something in parentheses, with commas between. */
export function parenthesised<T>(c: Cursor, rule: (cursor: Cursor) => T): T[] {
  c.expect("'('");
  const items = commaSeparated(c, rule);
  c.expect("')'");
  return items;
}
