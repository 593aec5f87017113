/** Compiles the expressions of SELECT and GROUP BY clauses. */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { murmur3Token } from '../common/murmur3.ts';
import type { Selectable, Term, TypeAst } from '../cql/ast.ts';
import { printTerm, printType } from '../cql/print.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { serializePartitionKey } from '../storage/keys.ts';
import type { CqlType } from '../types/cql-type.ts';
import { freeze, nativeType, sameType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import type { AggregateFunction, ArgumentProbe, ScalarFunction } from './functions/function.ts';
import { resolveCast, resolveFunction, resolveOperator } from './functions/registry.ts';
import { findColumn } from './relations.ts';
import { resolveType } from './resolve-type.ts';
import type {
  AggregateCall,
  Expression,
  ExpressionCompiler,
  SelectableRow,
  SelectionContext,
} from './selection.ts';
import { compileCollection, compileMap, compileTuple, namesOf } from './selection-literals.ts';
import { compileMetadata } from './selection-metadata.ts';
import { compileElement, compileField } from './selection-parts.ts';
import type { TermScope } from './term-values.ts';
import { assignability, compileTerm, functionText, probe, typedProbe } from './terms.ts';

/** The function that is about the table's partition key. */
const TOKEN = 'token';

/** Compiles one SELECT or GROUP BY clause, and collects what its expressions need. */
export class SelectionCompiler implements ExpressionCompiler {
  readonly wanted = new Set<ColumnDef>();
  readonly aggregates: AggregateCall[] = [];
  readonly leaves: Expression[] = [];
  readonly table: TableDef;
  readonly scope: TermScope;
  guesses = false;
  private inAggregate = false;

  constructor(table: TableDef, scope: TermScope) {
    this.table = table;
    this.scope = scope;
  }

  /** @throws CqlError Invalid */
  compile(node: Selectable, receiver: CqlType | null): Expression {
    switch (node.kind) {
      case 'column':
        return this.column(node.name);
      case 'countRows':
        return this.aggregate(
          resolveFunction({ name: 'count' }, [], null) as AggregateFunction,
          [],
          'count',
        );
      case 'cellMetadata':
        return compileMetadata(this, node.metadata, node.of);
      case 'element':
      case 'slice':
        return compileElement(this, node);
      case 'field':
        return compileField(this, node.of, node.field);
      case 'function':
        return this.call(node, receiver);
      case 'cast':
        return this.cast(node);
      case 'typeHint':
        return this.typeHint(node);
      case 'arithmetic': {
        const fn = resolveOperator(
          node.operator,
          this.probe(node.left),
          this.probe(node.right),
          receiver,
        );
        const left = this.compile(node.left, fn.args[0]);
        const right = this.compile(node.right, fn.args[1]);
        return this.scalar(fn, [left, right], `${left.name} ${node.operator} ${right.name}`);
      }
      case 'negation': {
        const fn = resolveOperator('negate', this.probe(node.value), null, receiver);
        const value = this.compile(node.value, fn.args[0]);
        return this.scalar(fn, [value], `-${value.name}`);
      }
      case 'literal':
      case 'null':
      case 'marker':
        return this.term(node, receiver);
      case 'list':
      case 'set':
        return compileCollection(this, node.kind, node.elements, receiver);
      case 'map':
        return compileMap(this, node.entries, receiver);
      case 'tuple':
        return compileTuple(this, node.elements, receiver);
    }
  }

  private cast(node: Extract<Selectable, { kind: 'cast' }>): Expression {
    const known = this.probe(node.value);
    const value = this.compile(node.value, known.type ?? known.preferred);
    const to = resolveType(node.type, this.scope.schema, this.scope.keyspace);
    if (sameType(freeze(value.type), to)) return value;
    const name = `cast(${value.name} as ${typeName(to)})`;
    return this.scalar(resolveCast(typedProbe(value.type, value.name), to, null), [value], name);
  }

  private typeHint(node: Extract<Selectable, { kind: 'typeHint' }>): Expression {
    const type = freeze(resolveType(node.type, this.scope.schema, this.scope.keyspace));
    const hint = this.hintText(node.type);
    const known = this.probe(node.value);
    // What is wrong with a user type's value is told below.
    if (node.value.kind !== 'map' && known.fit(type) === 'no') {
      const shown = `(${hint})${known.text}`;
      throw invalidRequest(`Cannot assign value ${shown} to ${shown} of type ${typeName(type)}`);
    }
    const value = this.compile(node.value, type);
    return { ...value, type, name: `(${hint})${value.name}` };
  }

  /** A type as names of columns show it: user types with their keyspace. */
  private hintText(type: TypeAst): string {
    if (type.kind === 'frozen') return `frozen<${this.hintText(type.type)}>`;
    if (type.kind !== 'udt') return printType(type);
    return printType({ ...type, name: { keyspace: this.scope.keyspace, ...type.name } });
  }

  private term(node: Term, receiver: CqlType | null): Expression {
    const known = probe(node, this.scope);
    const type = receiver ?? known.type ?? (this.guesses ? known.preferred : null);
    if (type === null) {
      throw invalidRequest(
        `Cannot infer type for term ${known.text} in selection clause (try using a cast to force a type)`,
      );
    }
    const term = compileTerm(node, { name: '[selection]', type }, this.scope);
    return {
      type,
      name: known.text,
      evaluate: (context) => term.evaluate(context.binding) ?? null,
    };
  }

  want(column: ColumnDef): void {
    this.wanted.add(column);
  }

  leaf(
    type: CqlType,
    name: string,
    evaluate: (row: SelectableRow, context: SelectionContext) => Uint8Array | null,
  ): Expression {
    if (this.inAggregate) {
      return { type, name, evaluate: (context) => evaluate(context.row, context) };
    }
    const slot = this.leaves.length;
    const leaf: Expression = {
      type,
      name,
      evaluate: (context) =>
        context.leaves === null ? evaluate(context.row, context) : context.leaves[slot],
    };
    this.leaves.push(leaf);
    return leaf;
  }

  private column(name: string): Expression {
    const column = findColumn(this.table, name);
    this.want(column);
    const index = this.table.columns.indexOf(column);
    return this.leaf(column.type, column.name, (row) => row.value(index));
  }

  private call(
    node: Extract<Selectable, { kind: 'function' }>,
    receiver: CqlType | null,
  ): Expression {
    if (node.name.name === TOKEN) return this.token(node.args);
    // As in Cassandra, count(1) is count(*).
    const isCountOfLiteral =
      node.name.name === 'count' && node.args.length === 1 && node.args[0].kind === 'literal';
    if (isCountOfLiteral) return this.compile({ kind: 'countRows', at: node.at }, receiver);
    const fn = resolveFunction(
      node.name,
      node.args.map((arg) => this.probe(arg)),
      receiver,
    );
    if (fn === null) throw invalidRequest(`Unknown function '${functionText(node.name)}'`);
    if (fn.kind === 'aggregate') {
      if (this.inAggregate) {
        throw invalidRequest(
          'aggregate functions cannot be used as arguments of aggregate functions',
        );
      }
      this.inAggregate = true;
      const args = node.args.map((arg, i) => this.compile(arg, fn.args[i] ?? null));
      this.inAggregate = false;
      return this.aggregate(fn, args, `system.${fn.name}(${namesOf(args)})`);
    }
    const args = node.args.map((arg, i) => this.compile(arg, fn.args[i]));
    return this.scalar(fn, args, `system.${fn.name}(${namesOf(args)})`);
  }

  private token(args: readonly Selectable[]): Expression {
    const key = this.table.columns.filter((column) => column.kind === 'partition_key');
    if (args.length !== key.length) {
      throw invalidRequest(
        `Invalid number of arguments in call to function system.token: ${key.length} required but ${args.length} provided`,
      );
    }
    const parts = args.map((arg, i) => this.compile(arg, key[i].type));
    return {
      type: nativeType('bigint'),
      name: `system.token(${namesOf(parts)})`,
      evaluate: (context) => {
        const values: Uint8Array[] = [];
        for (const part of parts) {
          const value = part.evaluate(context);
          if (value === null) return null;
          values.push(value);
        }
        const out = new Writer(64);
        serializePartitionKey(values, out);
        const token = Buffer.allocUnsafe(8);
        token.writeBigInt64BE(murmur3Token(out.view()));
        return token;
      },
    };
  }

  private scalar(fn: ScalarFunction, args: readonly Expression[], name: string): Expression {
    for (const [i, arg] of args.entries()) {
      if (assignability(arg.type, fn.args[i]) === 'no') {
        throw invalidRequest(
          `Type error: ${arg.name} cannot be passed as argument ${i} of function ${fn.name} of type ${typeName(fn.args[i])}`,
        );
      }
    }
    return {
      type: fn.returns,
      name,
      evaluate: (context) =>
        fn.call(
          args.map((arg) => arg.evaluate(context)),
          context.binding.context,
        ),
    };
  }

  private aggregate(fn: AggregateFunction, args: readonly Expression[], name: string): Expression {
    const slot = this.aggregates.length;
    this.aggregates.push({ fn, args });
    return { type: fn.returns, name, evaluate: (context) => context.aggregates[slot] };
  }

  probe(node: Selectable): ArgumentProbe {
    switch (node.kind) {
      case 'literal':
      case 'null':
      case 'marker':
        return probe(node, this.scope);
      default: {
        // Compiled once more for good later: what this trial collects is thrown away.
        const trial = new SelectionCompiler(this.table, { ...this.scope, markers: [] });
        trial.inAggregate = this.inAggregate;
        const trialOf = (receiver: CqlType | null) => trial.compile(node, receiver);
        if (node.kind === 'tuple' && node.elements.length === 1) {
          const inner = this.probe(node.elements[0]);
          return { ...inner, text: `(${inner.text})` };
        }
        if (
          node.kind === 'list' ||
          node.kind === 'set' ||
          node.kind === 'map' ||
          node.kind === 'tuple'
        ) {
          trial.guesses = true;
          return {
            type: null,
            preferred: attempt(() => trialOf(null).type),
            text: this.describe(node),
            fit: (type) => (attempt(() => trialOf(type)) === null ? 'no' : 'weak'),
          };
        }
        const expression = trialOf(null);
        return typedProbe(expression.type, expression.name);
      }
    }
  }

  describe(node: Selectable): string {
    const list = (nodes: readonly Selectable[]) =>
      nodes.map((one) => this.describe(one)).join(', ');
    switch (node.kind) {
      case 'column':
        return node.name;
      case 'field':
        return `${this.describe(node.of)}.${node.field}`;
      case 'element':
        return `${this.describe(node.of)}[${printTerm(node.key)}]`;
      case 'slice': {
        const text = (term: Term | undefined) => (term === undefined ? '' : printTerm(term));
        return `${this.describe(node.of)}[${text(node.from)}..${text(node.to)}]`;
      }
      case 'literal':
      case 'null':
      case 'marker':
        return printTerm(node);
      case 'list':
        return `[${list(node.elements)}]`;
      case 'set':
        return `{${list(node.elements)}}`;
      case 'tuple':
        return `(${list(node.elements)})`;
      case 'map':
        return `{${node.entries.map(({ key, value }) => `${this.describe(key)}: ${this.describe(value)}`).join(', ')}}`;
      default:
        return attempt(() => this.compile(node, null).name) ?? node.kind;
    }
  }
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
