/** Functions of collections. Source: org.apache.cassandra.cql3.functions.CollectionFcts. */

import { encode } from '../../types/codec.ts';
import { collectionCount, packCollection, splitCollection } from '../../types/collections.ts';
import type { CqlType, ListType, MapType, SetType } from '../../types/cql-type.ts';
import { freeze, nativeType } from '../../types/type-facts.ts';
import { extreme, totalOf } from './aggregates.ts';
import { ofBytes } from './define.ts';
import {
  ANY_COLLECTION,
  ANY_MAP,
  type FunctionFactory,
  NUMERIC_SET_OR_LIST,
  SET_OR_LIST,
} from './factory.ts';
import type { AggregateFunction, ScalarFunction } from './function.ts';
import type { NumericName } from './numbers.ts';

function mapParts(name: 'map_keys' | 'map_values', map: MapType): ScalarFunction {
  const isKeys = name === 'map_keys';
  const returns: CqlType = isKeys
    ? { kind: 'set', element: freeze(map.key), frozen: false }
    : { kind: 'list', element: freeze(map.value), frozen: false };
  return ofBytes(name, map, returns, (bytes) => {
    const parts = splitCollection('map', bytes).filter((_, i) => (i % 2 === 0) === isKeys);
    return packCollection(parts.length, parts);
  });
}

function count(type: ListType | SetType | MapType): ScalarFunction {
  const int = nativeType('int');
  return ofBytes('collection_count', type, int, (bytes) =>
    encode(int, collectionCount(type.kind, bytes)),
  );
}

/** An aggregate over the elements of one collection. */
function overElements(
  name: string,
  type: ListType | SetType,
  aggregate: AggregateFunction,
): ScalarFunction {
  return ofBytes(name, type, aggregate.returns, (bytes) => {
    const accumulator = aggregate.start();
    for (const element of splitCollection(type.kind, bytes)) accumulator.add([element]);
    return accumulator.result();
  });
}

function elementName(type: ListType | SetType): NumericName {
  return (type.element as { readonly name: NumericName }).name;
}

export const COLLECTION_FACTORIES: readonly FunctionFactory[] = [
  {
    name: 'map_keys',
    parameters: [ANY_MAP],
    make: ([type]) => mapParts('map_keys', type as MapType),
  },
  {
    name: 'map_values',
    parameters: [ANY_MAP],
    make: ([type]) => mapParts('map_values', type as MapType),
  },
  {
    name: 'collection_count',
    parameters: [ANY_COLLECTION],
    make: ([type]) => count(type as ListType | SetType | MapType),
  },
  ...(['min', 'max'] as const).map(
    (name): FunctionFactory => ({
      name: `collection_${name}`,
      parameters: [SET_OR_LIST],
      make: ([type]) => {
        const of = type as ListType | SetType;
        return overElements(`collection_${name}`, of, extreme(name, of.element));
      },
    }),
  ),
  ...(['sum', 'avg'] as const).map(
    (name): FunctionFactory => ({
      name: `collection_${name}`,
      parameters: [NUMERIC_SET_OR_LIST],
      make: ([type]) => {
        const of = type as ListType | SetType;
        return overElements(`collection_${name}`, of, totalOf(name, elementName(of)));
      },
    }),
  ),
];
