/**
 * SELECT clauses: expressions over a row, or over the rows of a group.
 */
import type { Selectable, Selector } from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import type { CqlType } from '../types/cql-type.ts';
import type { Accumulator, AggregateFunction, ArgumentProbe } from './functions/function.ts';
import type { CellStamp, RowValues } from './row.ts';
import { SelectionCompiler } from './selection-compiler.ts';
import type { Binding, TermScope } from './term-values.ts';

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

/** An aggregate in the clause; its place among them is the slot of its result. */
export interface AggregateCall {
  readonly fn: AggregateFunction;
  readonly args: readonly Expression[];
}

/** What the compilers of single kinds of expressions see of the one that calls them. */
export interface ExpressionCompiler {
  readonly table: TableDef;
  readonly scope: TermScope;
  /** Takes literals for what they look like: to choose a function, not to answer with. */
  readonly guesses: boolean;
  /** @param receiver the type that is wanted; null: any @throws CqlError Invalid */
  compile(node: Selectable, receiver: CqlType | null): Expression;
  /** What is known of an argument before its function is chosen. */
  probe(node: Selectable): ArgumentProbe;
  /** A node as messages show it. */
  describe(node: Selectable): string;
  /** A value that comes from the row itself: of a group, from its first row. */
  leaf(
    type: CqlType,
    name: string,
    evaluate: (row: SelectableRow, context: SelectionContext) => Uint8Array | null,
  ): Expression;
  /** Says that the column has to be read. */
  want(column: ColumnDef): void;
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
