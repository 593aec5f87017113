/** WRITETIME, MAXWRITETIME and TTL of columns, elements and fields. */
import { compareBytes, Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import type { Selectable, Term } from '../cql/ast.ts';
import type { ColumnDef } from '../schema/schema.ts';
import type { CqlType } from '../types/cql-type.ts';
import { encodeOrdered } from '../types/ordered.ts';
import { isMultiCell, nativeType } from '../types/type-facts.ts';
import { findColumn } from './relations.ts';
import type { CellStamp } from './row.ts';
import type { Expression, ExpressionCompiler, SelectionContext } from './selection.ts';
import { byField, encodeStamp, packNullable } from './selection-values.ts';
import { compileTerm } from './terms.ts';

function isCounter({ type }: ColumnDef): boolean {
  return type.kind === 'native' && type.name === 'counter';
}

/** Chooses the cells of writetime(m[k]), writetime(m[a..b]) and writetime(u.f). */
function pathTest(
  compiler: ExpressionCompiler,
  of: Selectable,
  column: ColumnDef,
): (context: SelectionContext) => (path: Uint8Array) => boolean {
  const { type } = column;
  // Compiled for its checks and its messages.
  compiler.compile(of, null);
  if (of.kind === 'field' && type.kind === 'udt') {
    const index = type.fieldNames.indexOf(of.field);
    return () => (path) => ((path[0] << 8) | path[1]) === index;
  }
  const key = type.kind === 'map' ? type.key : type.kind === 'set' ? type.element : type;
  const bound = (term: Term | undefined) => {
    if (term === undefined) return () => null;
    const compiled = compileTerm(term, { name: `key(${column.name})`, type: key }, compiler.scope);
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

/** Compiles what is asked of the cells of `of`. @throws CqlError Invalid */
export function compileMetadata(
  compiler: ExpressionCompiler,
  what: 'writetime' | 'maxwritetime' | 'ttl',
  of: Selectable,
): Expression {
  const target = of.kind === 'element' || of.kind === 'slice' || of.kind === 'field' ? of.of : of;
  if (target.kind !== 'column')
    throw invalidRequest(`Cannot use selection function ${what} on a function`);
  const column = findColumn(compiler.table, target.name);
  if (column.kind === 'partition_key' || column.kind === 'clustering') {
    throw invalidRequest(
      `Cannot use selection function ${what} on PRIMARY KEY part ${column.name}`,
    );
  }
  compiler.want(column);
  const index = compiler.table.columns.indexOf(column);
  const name = `${what}(${compiler.describe(of)})`;
  const isWhole = of.kind === 'column' || of.kind === 'slice';
  const isMany = isMultiCell(column.type) && isWhole && what !== 'maxwritetime';
  const single = nativeType(what === 'ttl' ? 'int' : 'bigint');
  const chosen = of === target || !isMultiCell(column.type) ? null : pathTest(compiler, of, column);
  const encode = (stamp: CellStamp) => encodeStamp(stamp, what);
  const type: CqlType = isMany ? { kind: 'list', element: single, frozen: false } : single;
  if (isCounter(column)) return { type, name, evaluate: () => null };
  return compiler.leaf(type, name, (row, context) => {
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
