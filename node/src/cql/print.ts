/** Terms and types back to CQL text, in one canonical spelling. */

import type { Literal, QualifiedName, Relation, RelationTarget, Term, TypeAst } from './ast.ts';
import { FUNCTION_NAME, quoteIdentifier, TYPE_NAME } from './keywords.ts';

/** `[keyspace.]name`, quoted where needed; `use` as in `quoteIdentifier`. */
export function printName({ keyspace, name }: QualifiedName, use?: number): string {
  const local = quoteIdentifier(name, use);
  return keyspace === undefined ? local : `${quoteIdentifier(keyspace)}.${local}`;
}

/** A string constant in single quotes. */
export function printString(content: string): string {
  return `'${content.replaceAll("'", "''")}'`;
}

/** A type as CQL; `parseType` reads it back to the same tree. */
export function printType(type: TypeAst): string {
  switch (type.kind) {
    case 'native':
      return type.name;
    case 'list':
    case 'set':
      return `${type.kind}<${printType(type.element)}>`;
    case 'map':
      return `map<${printType(type.key)}, ${printType(type.value)}>`;
    case 'tuple':
      return `tuple<${type.fields.map(printType).join(', ')}>`;
    case 'vector':
      return `vector<${printType(type.element)}, ${type.dimension}>`;
    case 'frozen':
      return `frozen<${printType(type.type)}>`;
    case 'udt':
      return printName(type.name, TYPE_NAME);
    case 'custom':
      return printString(type.className);
  }
}

function printLiteral({ sort, text }: Literal): string {
  return sort === 'string' ? printString(text) : text;
}

function printTerms(terms: readonly Term[]): string {
  return terms.map(printTerm).join(', ');
}

/** A term as CQL; markers become `?`. */
export function printTerm(term: Term): string {
  switch (term.kind) {
    case 'literal':
      return printLiteral(term);
    case 'null':
      return 'NULL';
    case 'marker':
      return '?';
    case 'list':
      return `[${printTerms(term.elements)}]`;
    case 'set':
      return `{${printTerms(term.elements)}}`;
    case 'tuple':
      return `(${printTerms(term.elements)})`;
    case 'map':
      return `{${term.entries.map(({ key, value }) => `${printTerm(key)}: ${printTerm(value)}`).join(', ')}}`;
    case 'udt':
      return `{${term.fields.map(({ name, value }) => `${quoteIdentifier(name)}: ${printTerm(value)}`).join(', ')}}`;
    case 'function':
      return `${printName(term.name, FUNCTION_NAME)}(${printTerms(term.args)})`;
    case 'cast':
      return `CAST(${printTerm(term.value)} AS ${printType(term.type)})`;
    case 'typeHint':
      return `(${printType(term.type)})${printTerm(term.value)}`;
    case 'arithmetic':
      return `${printTerm(term.left)} ${term.operator} ${printTerm(term.right)}`;
    case 'negation':
      return `- ${printTerm(term.value)}`;
  }
}

function printTarget(target: RelationTarget): string {
  switch (target.kind) {
    case 'column':
      return quoteIdentifier(target.column);
    case 'columns':
      return `(${target.columns.map((name) => quoteIdentifier(name)).join(', ')})`;
    case 'token':
      return `token(${target.columns.map((name) => quoteIdentifier(name)).join(', ')})`;
    case 'element':
      return `${quoteIdentifier(target.column)}[${printTerm(target.key)}]`;
    case 'field':
      return `${quoteIdentifier(target.column)}.${quoteIdentifier(target.field)}`;
  }
}

/** A relation as messages show it. */
export function printRelation(relation: Exclude<Relation, { kind: 'indexExpression' }>): string {
  const target = printTarget(relation.target);
  switch (relation.kind) {
    case 'isNotNull':
      return `${target} IS NOT NULL`;
    case 'comparison':
      return `${target} ${relation.operator} ${printTerm(relation.value)}`;
    case 'in': {
      const { values } = relation;
      return `${target} IN ${'kind' in values ? '?' : `(${printTerms(values)})`}`;
    }
  }
}
