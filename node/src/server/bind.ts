/** The values of a request, put to the markers of its statement. */
import { invalidRequest } from '../common/errors.ts';
import type { Value } from '../query/term-values.ts';
import { type BoundValues, valueAt, valueCount } from '../transport/index.ts';
import type { Runnable } from './prepared.ts';

/**
 * One value for each marker; views on the request's bytes.
 * @throws CqlError Invalid: too few, too many
 */
export function bindValues(values: BoundValues, runnable: Runnable): Value[] {
  const { markers } = runnable.statement;
  const count = valueCount(values);
  if (values.names !== null) return bindNamed(values, values.names, runnable);
  if (count !== markers.length) {
    throw invalidRequest(
      count === 0
        ? 'Invalid amount of bind variables'
        : `there were ${markers.length} markers(?) in CQL but ${count} bound variables`,
    );
  }
  const bound: Value[] = new Array(count);
  for (let i = 0; i < count; i++) bound[i] = valueAt(values, i);
  return bound;
}

function bindNamed(values: BoundValues, names: readonly string[], runnable: Runnable): Value[] {
  const bound: Value[] = new Array(runnable.statement.markers.length).fill(undefined);
  const given = new Set<number>();
  for (const [i, name] of names.entries()) {
    for (const index of runnable.indexesOf(name)) {
      bound[index] = valueAt(values, i);
      given.add(index);
    }
  }
  if (given.size < bound.length) throw invalidRequest('Invalid amount of bind variables');
  return bound;
}
