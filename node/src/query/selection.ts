/**
 * SELECT clauses: expressions over a row, or over the rows of a group.
 */

import { compareBytes, Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { murmur3Token } from '../common/murmur3.ts';
import type { MapEntry, Selectable, Selector, Term, TypeAst } from '../cql/ast.ts';
import { printTerm, printType } from '../cql/print.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { serializePartitionKey } from '../storage/keys.ts';
import { compareValues } from '../types/codec.ts';
import { packCollection, packTuple, packVector, splitTuple } from '../types/collections.ts';
import type { CqlType, MapType, UserType } from '../types/cql-type.ts';
import { encodeOrdered } from '../types/ordered.ts';
import { freeze, isMultiCell, nativeType, sameType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import type {
  Accumulator,
  AggregateFunction,
  ArgumentProbe,
  ScalarFunction,
} from './functions/function.ts';
import { resolveCast, resolveFunction, resolveOperator } from './functions/registry.ts';
import { findColumn } from './relations.ts';
import { resolveType } from './resolve-type.ts';
import type { CellStamp, RowValues } from './row.ts';
import { byField, elementOf, encodeStamp, packNullable, sliceOf } from './selection-values.ts';
import {
  assignability,
  type Binding,
  compileTerm,
  functionText,
  probe,
  type TermScope,
  typedProbe,
} from './terms.ts';

/** A row to evaluate on; `TableRow`, or what is remembered of a group's first row. */
export interface SelectableRow extends RowValues {
  stamps(index: number): CellStamp[];
}

/** What an expression is evaluated with. */
export interface SelectionContext {
  row: SelectableRow;
  readonly binding: Binding;
  /** Of a group: results of its aggregates by slot. */
  aggregates: readonly (Uint8Array | null)[];
  /** Of a group: values of the leaves by slot, taken from its first row; null: take them from `row`. */
  leaves: readonly (Uint8Array | null)[] | null;
}

export interface Expression {
  readonly type: CqlType;
  /** As the result's column is called without an alias. */
  readonly name: string;
  evaluate(context: SelectionContext): Uint8Array | null;
}

interface AggregateCall {
  readonly fn: AggregateFunction;
  readonly args: readonly Expression[];
}

export interface ResultColumn {
  readonly name: string;
  readonly type: CqlType;
}

export interface Selection {
  readonly columns: readonly ResultColumn[];
  readonly expressions: readonly Expression[];
  /** Every expression is a column: their indexes; else null. */
  readonly plain: readonly number[] | null;
  readonly wanted: ReadonlySet<ColumnDef>;
  readonly aggregates: readonly AggregateCall[];
  readonly leaves: readonly Expression[];
}

/** Names of functions with a meaning of their own here. */
const TOKEN = 'token';

export class SelectionCompiler {
  readonly wanted = new Set<ColumnDef>();
  readonly aggregates: AggregateCall[] = [];
  readonly leaves: Expression[] = [];
  private readonly table: TableDef;
  private readonly scope: TermScope;
  private inAggregate = false;
  /** Takes literals for what they look like: to choose a function, not to answer with. */
  private guesses = false;

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
        return this.cellMetadata(node.metadata, node.of);
      case 'element':
      case 'slice':
        return this.element(node);
      case 'field':
        return this.field(node.of, node.field);
      case 'function':
        return this.call(node, receiver);
      case 'cast': {
        const known = this.probe(node.value);
        const value = this.compile(node.value, known.type ?? known.preferred);
        const to = resolveType(node.type, this.scope.schema, this.scope.keyspace);
        if (sameType(freeze(value.type), to)) return value;
        const name = `cast(${value.name} as ${typeName(to)})`;
        return this.scalar(
          resolveCast(typedProbe(value.type, value.name), to, null),
          [value],
          name,
        );
      }
      case 'typeHint': {
        const type = freeze(resolveType(node.type, this.scope.schema, this.scope.keyspace));
        const hint = this.hintText(node.type);
        const known = this.probe(node.value);
        // What is wrong with a user type's value is told below.
        if (node.value.kind !== 'map' && known.fit(type) === 'no') {
          const shown = `(${hint})${known.text}`;
          throw invalidRequest(
            `Cannot assign value ${shown} to ${shown} of type ${typeName(type)}`,
          );
        }
        const value = this.compile(node.value, type);
        return { ...value, type, name: `(${hint})${value.name}` };
      }
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
        return this.collection(node.kind, node.elements, receiver);
      case 'map':
        return this.map(node.entries, receiver);
      case 'tuple':
        return this.tuple(node.elements, receiver);
    }
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

  /** A value that comes from the row itself: of a group, from its first row. */
  private leaf(
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
    this.wanted.add(column);
    const index = this.table.columns.indexOf(column);
    return this.leaf(column.type, column.name, (row) => row.value(index));
  }

  private cellMetadata(what: 'writetime' | 'maxwritetime' | 'ttl', of: Selectable): Expression {
    const target = of.kind === 'element' || of.kind === 'slice' || of.kind === 'field' ? of.of : of;
    if (target.kind !== 'column')
      throw invalidRequest(`Cannot use selection function ${what} on a function`);
    const column = findColumn(this.table, target.name);
    if (column.kind === 'partition_key' || column.kind === 'clustering') {
      throw invalidRequest(
        `Cannot use selection function ${what} on PRIMARY KEY part ${column.name}`,
      );
    }
    this.wanted.add(column);
    const index = this.table.columns.indexOf(column);
    const name = `${what}(${this.describe(of)})`;
    const isWhole = of.kind === 'column' || of.kind === 'slice';
    const isMany = isMultiCell(column.type) && isWhole && what !== 'maxwritetime';
    const single = nativeType(what === 'ttl' ? 'int' : 'bigint');
    const chosen = of === target || !isMultiCell(column.type) ? null : this.pathTest(of, column);
    const encode = (stamp: CellStamp) => encodeStamp(stamp, what);
    const type: CqlType = isMany ? { kind: 'list', element: single, frozen: false } : single;
    if (isCounter(column)) return { type, name, evaluate: () => null };
    return this.leaf(type, name, (row, context) => {
      let stamps = row.stamps(index);
      if (chosen !== null) {
        const test = chosen(context);
        stamps = stamps.filter((stamp) => stamp.path !== null && test(stamp.path));
      }
      if (stamps.length === 0) return null;
      if (isMany && column.type.kind === 'udt') {
        return packNullable(byField(column.type, stamps).map((stamp) => stamp && encode(stamp)));
      }
      if (isMany) return packNullable(stamps.map(encode));
      if (what !== 'maxwritetime') return encode(stamps[0]);
      return encode(stamps.reduce((a, b) => (b.timestamp > a.timestamp ? b : a)));
    });
  }

  /** Chooses the cells of writetime(m[k]), writetime(m[a..b]) and writetime(u.f). */
  private pathTest(
    of: Selectable,
    column: ColumnDef,
  ): (context: SelectionContext) => (path: Uint8Array) => boolean {
    const { type } = column;
    // Compiled for its checks and its messages.
    this.compile(of, null);
    if (of.kind === 'field' && type.kind === 'udt') {
      const index = type.fieldNames.indexOf(of.field);
      return () => (path) => ((path[0] << 8) | path[1]) === index;
    }
    const key = type.kind === 'map' ? type.key : type.kind === 'set' ? type.element : type;
    const bound = (term: Term | undefined) => {
      if (term === undefined) return () => null;
      const compiled = compileTerm(term, { name: `key(${column.name})`, type: key }, this.scope);
      return ({ binding }: SelectionContext) => {
        const value = compiled.evaluate(binding);
        if (value === null || value === undefined) return null;
        const out = new Writer(24);
        encodeOrdered(key, false, value, out);
        return out.copy();
      };
    };
    const isSlice = of.kind === 'slice';
    const from = bound(of.kind === 'element' ? of.key : isSlice ? of.from : undefined);
    const to = isSlice ? bound(of.to) : from;
    return (context) => {
      const low = from(context);
      const high = to(context);
      return (path) =>
        (low === null || compareBytes(path, low) >= 0) &&
        (high === null || compareBytes(path, high) <= 0);
    };
  }

  private element(node: Extract<Selectable, { kind: 'element' | 'slice' }>): Expression {
    const of = this.compile(node.of, null);
    const { type } = of;
    if (type.kind !== 'map' && type.kind !== 'set') {
      const what = node.kind === 'element' ? 'Element' : 'Slice';
      throw invalidRequest(
        type.kind === 'list'
          ? `${what} selection is only allowed on sets and maps, but ${of.name} is a list`
          : `Invalid ${what.toLowerCase()} selection: ${of.name} is of type ${typeName(type)} is not a collection`,
      );
    }
    const keyType = type.kind === 'map' ? type.key : type.element;
    const receiver = { name: `key(${of.name})`, type: keyType };
    if (node.kind === 'element') {
      const key = compileTerm(node.key, receiver, this.scope);
      const name = `${of.name}[${probe(node.key, this.scope).text}]`;
      return {
        type: type.kind === 'map' ? type.value : keyType,
        name,
        evaluate: (context) => {
          const whole = of.evaluate(context);
          const wanted = key.evaluate(context.binding);
          if (whole === null || wanted === null || wanted === undefined) return null;
          return elementOf(type.kind, keyType, whole, wanted);
        },
      };
    }
    const from = node.from === undefined ? null : compileTerm(node.from, receiver, this.scope);
    const to = node.to === undefined ? null : compileTerm(node.to, receiver, this.scope);
    const text = (term: Term | undefined) =>
      term === undefined ? '' : probe(term, this.scope).text;
    return {
      type,
      name: `${of.name}[${text(node.from)}..${text(node.to)}]`,
      evaluate: (context) => {
        const whole = of.evaluate(context);
        if (whole === null) return null;
        const low = from?.evaluate(context.binding) ?? null;
        const high = to?.evaluate(context.binding) ?? null;
        return sliceOf(type.kind, keyType, whole, low, high);
      },
    };
  }

  private field(of: Selectable, field: string): Expression {
    const value = this.compile(of, null);
    const { type } = value;
    if (type.kind !== 'udt') {
      throw invalidRequest(
        `Invalid field selection: ${value.name} of type ${typeName(type)} is not a user type`,
      );
    }
    const index = type.fieldNames.indexOf(field);
    if (index < 0) {
      throw invalidRequest(`${value.name} of type ${typeName(type)} has no field ${field}`);
    }
    return {
      type: type.fieldTypes[index],
      name: `${value.name}.${field}`,
      evaluate: (context) => {
        const whole = value.evaluate(context);
        return whole === null ? null : (splitTuple(type.fieldNames.length, whole)[index] ?? null);
      },
    };
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
      return this.aggregate(fn, args, `system.${fn.name}(${names(args)})`);
    }
    const args = node.args.map((arg, i) => this.compile(arg, fn.args[i]));
    return this.scalar(fn, args, `system.${fn.name}(${names(args)})`);
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
      name: `system.token(${names(parts)})`,
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

  /** What is known of an argument before its function is chosen. */
  private probe(node: Selectable): ArgumentProbe {
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

  /** A node as messages show it. */
  private describe(node: Selectable): string {
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

  private cannotInfer(node: Selectable): Error {
    return invalidRequest(
      `Cannot infer type for term ${this.describe(node)} in selection clause (try using a cast to force a type)`,
    );
  }

  private collection(
    kind: 'list' | 'set',
    elements: readonly Selectable[],
    receiver: CqlType | null,
  ): Expression {
    if (receiver?.kind === 'vector') {
      const parts = elements.map((element) => this.compile(element, receiver.element));
      return {
        type: receiver,
        name: `[${names(parts)}]`,
        evaluate: (context) => packVector(receiver, evaluateAll(parts, context)),
      };
    }
    const element = receiver?.kind === kind ? receiver.element : this.commonType(elements);
    if (element === null) throw this.cannotInfer({ kind, elements });
    const parts = elements.map((part) => this.compile(part, element));
    const name = kind === 'list' ? `[${names(parts)}]` : `{${names(parts)}}`;
    return {
      type: { kind, element: freeze(element), frozen: true },
      name,
      evaluate: (context) => {
        const values = evaluateAll(parts, context);
        if (kind === 'list') return packCollection(values.length, values);
        values.sort((a, b) => compareValues(element, a, b));
        const distinct = values.filter(
          (value, i) => i === 0 || compareValues(element, values[i - 1], value) !== 0,
        );
        return packCollection(distinct.length, distinct);
      },
    };
  }

  /** The type of the first element that has one of its own. */
  private commonType(elements: readonly Selectable[]): CqlType | null {
    for (const element of elements) {
      const { type, preferred } = this.probe(element);
      const known = this.guesses ? (type ?? preferred) : type;
      if (known !== null) return known;
    }
    return null;
  }

  private map(
    entries: readonly { readonly key: Selectable; readonly value: Selectable }[],
    receiver: CqlType | null,
  ): Expression {
    if (receiver?.kind === 'udt') {
      const fields = entries.map((entry) => {
        if (entry.key.kind !== 'column') throw invalidRequest('Invalid user type literal');
        return { name: entry.key.name, value: entry.value };
      });
      return this.userValue(fields, receiver);
    }
    const type = receiver?.kind === 'map' ? receiver : this.guessedMap(entries);
    if (type === null) throw this.cannotInfer({ kind: 'map', entries });
    const keys = entries.map((entry) => this.compile(entry.key, type.key));
    const values = entries.map((entry) => this.compile(entry.value, type.value));
    return {
      type,
      name: `{${keys.map((key, i) => `${key.name}: ${values[i].name}`).join(', ')}}`,
      evaluate: (context) => {
        const items = evaluateAll(values, context);
        const pairs = evaluateAll(keys, context).map((key, i) => ({ key, value: items[i] }));
        const order = (a: Uint8Array, b: Uint8Array) => compareValues(type.key, a, b);
        pairs.sort((a, b) => order(a.key, b.key));
        // Of equal keys the last written wins; sort() is stable.
        const distinct = pairs.filter(
          ({ key }, i) => i + 1 === pairs.length || order(key, pairs[i + 1].key) !== 0,
        );
        return packCollection(
          distinct.length,
          distinct.flatMap(({ key, value }) => [key, value]),
        );
      },
    };
  }

  private guessedMap(entries: readonly MapEntry<Selectable>[]): MapType | null {
    if (!this.guesses || entries.length === 0) return null;
    const [{ key, value }] = entries;
    const keyType = freeze(this.compile(key, null).type);
    return {
      kind: 'map',
      key: keyType,
      value: freeze(this.compile(value, null).type),
      frozen: true,
    };
  }

  private tuple(elements: readonly Selectable[], receiver: CqlType | null): Expression {
    if (elements.length === 1 && receiver?.kind !== 'tuple') {
      const inner = this.compile(elements[0], receiver);
      return { ...inner, name: `(${inner.name})` };
    }
    const wanted = receiver?.kind === 'tuple' ? receiver.fields : null;
    if (wanted === null && elements.some((element) => this.commonType([element]) === null)) {
      throw this.cannotInfer({ kind: 'tuple', elements });
    }
    const parts = elements.map((element, i) => this.compile(element, wanted?.[i] ?? null));
    return {
      type: { kind: 'tuple', fields: wanted ?? parts.map((part) => freeze(part.type)) },
      name: `(${names(parts)})`,
      evaluate: (context) => packTuple(parts.map((part) => part.evaluate(context))),
    };
  }

  private userValue(
    fields: readonly { readonly name: string; readonly value: Selectable }[],
    receiver: UserType,
  ): Expression {
    for (const { name } of fields) {
      if (receiver.fieldNames.includes(name)) continue;
      throw invalidRequest(
        `Unknown field '${name}' in value of user defined type ${receiver.name}`,
      );
    }
    const given = fields.map(({ name, value }) => {
      const type = receiver.fieldTypes[receiver.fieldNames.indexOf(name)];
      return { name, expression: this.compile(value, type) };
    });
    const parts = receiver.fieldNames.map(
      (name) => given.find((field) => field.name === name)?.expression ?? null,
    );
    return {
      type: receiver,
      name: `{${given.map(({ name, expression }) => `${name}: ${expression.name}`).join(', ')}}`,
      evaluate: (context) => packTuple(parts.map((part) => part?.evaluate(context) ?? null)),
    };
  }
}

function isCounter({ type }: ColumnDef): boolean {
  return type.kind === 'native' && type.name === 'counter';
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

function names(expressions: readonly Expression[]): string {
  return expressions.map((expression) => expression.name).join(', ');
}

function evaluateAll(parts: readonly Expression[], context: SelectionContext): Uint8Array[] {
  return parts.map((part) => {
    const value = part.evaluate(context);
    if (value === null) throw invalidRequest('null is not supported inside collections');
    return value;
  });
}

/** Compiles a SELECT clause. @throws CqlError Invalid */
export function compileSelection(
  selectors: '*' | readonly Selector[],
  table: TableDef,
  scope: TermScope,
): Selection {
  const compiler = new SelectionCompiler(table, scope);
  const chosen: {
    readonly expression: Expression;
    readonly name: string;
    readonly column: number;
  }[] =
    selectors === '*'
      ? table.columns.map((column, index) => ({
          expression: compiler.compile({ kind: 'column', name: column.name, at: 0 }, null),
          name: column.name,
          column: index,
        }))
      : selectors.map((selector) => {
          const expression = compiler.compile(selector.expression, null);
          const { expression: node } = selector;
          const column =
            node.kind === 'column' ? table.columns.findIndex((c) => c.name === node.name) : -1;
          return { expression, name: selector.alias ?? expression.name, column };
        });
  const indexes = chosen.map((one) => one.column);
  return {
    columns: chosen.map(({ expression, name }) => ({ name, type: expression.type })),
    expressions: chosen.map((one) => one.expression),
    plain: indexes.includes(-1) ? null : indexes,
    wanted: compiler.wanted,
    aggregates: compiler.aggregates,
    leaves: compiler.leaves,
  };
}

/** Collects the rows of one group. */
export class Group {
  private readonly selection: Selection;
  private readonly accumulators: Accumulator[];
  private leaves: (Uint8Array | null)[] | null = null;

  constructor(selection: Selection) {
    this.selection = selection;
    this.accumulators = selection.aggregates.map((call) => call.fn.start());
  }

  add(context: SelectionContext): void {
    if (this.leaves === null) {
      this.leaves = this.selection.leaves.map((leaf) => {
        const value = leaf.evaluate(context);
        return value === null ? null : Uint8Array.from(value);
      });
    }
    for (let i = 0; i < this.accumulators.length; i++) {
      const { args } = this.selection.aggregates[i];
      this.accumulators[i].add(args.map((arg) => arg.evaluate(context)));
    }
  }

  /** The group's one row of results. */
  finish(context: SelectionContext): (Uint8Array | null)[] {
    const whole: SelectionContext = {
      ...context,
      aggregates: this.accumulators.map((accumulator) => accumulator.result()),
      leaves: this.leaves ?? this.selection.leaves.map(() => null),
    };
    return this.selection.expressions.map((expression) => expression.evaluate(whole));
  }
}
