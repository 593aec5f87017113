/** Similarities of vectors of floats, 0 to 1. Source: org.apache.cassandra.cql3.functions.VectorFcts. */
import { invalidRequest } from '../../common/errors.ts';
import { decode, encode } from '../../types/codec.ts';
import type { CqlType, VectorType } from '../../types/cql-type.ts';
import { nativeType } from '../../types/type-facts.ts';
import type { FunctionFactory, Parameter } from './factory.ts';
import type { ArgumentProbe } from './function.ts';

const FLOAT = nativeType('float');

function isFloatVector(type: CqlType | null): type is VectorType {
  return type?.kind === 'vector' && type.element.kind === 'native' && type.element.name === 'float';
}

function floatVector(dimension: number): VectorType {
  return { kind: 'vector', element: FLOAT, dimension };
}

/** A literal is a vector like the other argument, or of as many floats as it has numbers. */
function inferVector(
  arg: ArgumentProbe,
  previous: readonly (CqlType | null)[] | null,
): CqlType | null {
  if (arg.type !== null || previous === null) return arg.type;
  const other = previous.find(isFloatVector);
  if (other !== undefined && arg.fit(other) !== 'no') return other;
  if (arg.preferred?.kind !== 'list' || !arg.text.startsWith('[')) return arg.preferred;
  return floatVector(arg.text.split(',').length);
}

const VECTOR: Parameter = {
  label: 'vector<float, n>',
  isOptional: false,
  infer: (arg, _receiver, previous) => inferVector(arg, previous),
  refuse: (type) => (isFloatVector(type) ? null : 'a float vector argument'),
};

interface Sums {
  readonly dot: number;
  readonly squareDistance: number;
  readonly squareNorms: number;
}

/** In 32-bit arithmetic, as the original. */
function sumUp(a: readonly number[], b: readonly number[]): Sums {
  let dot = 0;
  let squareDistance = 0;
  let normA = 0;
  let normB = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.fround(a[i] - b[i]);
    dot = Math.fround(dot + Math.fround(a[i] * b[i]));
    squareDistance = Math.fround(squareDistance + Math.fround(difference * difference));
    normA = Math.fround(normA + Math.fround(a[i] * a[i]));
    normB = Math.fround(normB + Math.fround(b[i] * b[i]));
  }
  return { dot, squareDistance, squareNorms: normA * normB };
}

function similarity(
  name: string,
  needsDirection: boolean,
  compute: (sums: Sums) => number,
): FunctionFactory {
  return {
    name,
    parameters: [VECTOR, VECTOR],
    make: (types) => {
      const [left, right] = types as readonly VectorType[];
      if (left.dimension !== right.dimension) {
        throw invalidRequest('All arguments must have the same vector dimensions');
      }
      return {
        kind: 'scalar',
        name,
        args: [left, right],
        returns: FLOAT,
        isPure: true,
        call([a, b]) {
          const values = [decode(left, a), decode(right, b)] as (readonly number[] | null)[];
          const [first, second] = values;
          if (first === null || second === null) return null;
          const isZero = (vector: readonly number[]) => vector.every((one) => one === 0);
          if (needsDirection && (isZero(first) || isZero(second))) {
            throw invalidRequest(`Function system.${name} doesn't support all-zero vectors.`);
          }
          return encode(FLOAT, Math.fround(compute(sumUp(first, second))));
        },
      };
    },
  };
}

export const VECTOR_FACTORIES: readonly FunctionFactory[] = [
  similarity('similarity_cosine', true, ({ dot, squareNorms }) =>
    Math.fround((1 + Math.fround(dot / Math.sqrt(squareNorms))) / 2),
  ),
  similarity('similarity_euclidean', false, ({ squareDistance }) =>
    Math.fround(1 / Math.fround(1 + squareDistance)),
  ),
  similarity('similarity_dot_product', false, ({ dot }) => Math.fround(Math.fround(1 + dot) / 2)),
];
