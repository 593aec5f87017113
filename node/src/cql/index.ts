/** The CQL language: text to syntax tree and back. Pure: no schema, no input or output. */

export type * from './ast.ts';
export { NESTING_DEPTH_MAX, STATEMENT_LENGTH_MAX } from './cursor.ts';
export { CqlSyntaxError, positionAt } from './errors.ts';
export { isReserved, type Keyword, keywords, quoteIdentifier } from './keywords.ts';
export { parseStatement, parseType } from './parser.ts';
export { printName, printString, printTerm, printType } from './print.ts';
