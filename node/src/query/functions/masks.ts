/** mask_…(): values made unrecognisable. Source: org.apache.cassandra.cql3.functions.masking. */
import { createHash } from 'node:crypto';
import { invalidRequest } from '../../common/errors.ts';
import { decode, encode } from '../../types/codec.ts';
import { packCollection, packTuple, packVector } from '../../types/collections.ts';
import type { CqlType, NativeTypeName } from '../../types/cql-type.ts';
import { Decimal, encodeDecimal } from '../../types/decimal.ts';
import { Duration, encodeDuration } from '../../types/duration.ts';
import { fixedLength, nativeType } from '../../types/type-facts.ts';
import {
  anyType,
  type FunctionFactory,
  fixed,
  optional,
  type Parameter,
  SAME_AS_FIRST,
} from './factory.ts';
import type { ScalarFunction } from './function.ts';

const INT = nativeType('int');
const TEXT = nativeType('text');
const BLOB = nativeType('blob');
const TEXT_MASK = '****';
const PADDING = '*';
const DEFAULT_HASH = 'SHA-256';

/** What stands for every value of a type. */
function maskedValue(type: CqlType): Uint8Array {
  switch (type.kind) {
    case 'native':
      return maskedNative(type.name);
    case 'list':
    case 'set':
    case 'map':
      return packCollection(0, []);
    case 'tuple':
      return packTuple(type.fields.map(maskedValue));
    case 'udt':
      return packTuple(type.fieldTypes.map(maskedValue));
    case 'vector':
      return packVector(
        type,
        Array.from({ length: type.dimension }, () => maskedValue(type.element)),
      );
    case 'custom':
      return new Uint8Array(0);
  }
}

function maskedNative(name: NativeTypeName): Uint8Array {
  switch (name) {
    case 'text':
    case 'ascii':
      return Buffer.from(TEXT_MASK);
    case 'decimal':
      return encodeDecimal(new Decimal(0n, 0));
    case 'duration':
      return encodeDuration(new Duration(0, 0, 0n));
    case 'varint':
      return Uint8Array.of(0);
    case 'inet':
      return new Uint8Array(4);
    case 'date':
      // 1970-01-01
      return Uint8Array.of(0x80, 0, 0, 0);
    case 'timeuuid':
      return Buffer.from('00000000000010000000000000000000', 'hex');
    default:
      return new Uint8Array(fixedLength(nativeType(name)));
  }
}

function scalar(
  name: string,
  args: readonly CqlType[],
  returns: CqlType,
  call: ScalarFunction['call'],
): ScalarFunction {
  return { kind: 'scalar', name, args, returns, isPure: true, call };
}

const STRING_LABEL = '[text|varchar|ascii]';
const ANY_STRING = fixed('text', 'ascii');
const STRING: Parameter = {
  ...ANY_STRING,
  label: STRING_LABEL,
  refuse: (type) =>
    ANY_STRING.refuse(type) === null ? null : `an argument of type ${STRING_LABEL}`,
};

function intOf(bytes: Uint8Array | null): number {
  return (decode(INT, bytes) as number | null) ?? 0;
}

function paddingOf(name: string, bytes: Uint8Array | null | undefined): string {
  if (bytes === null || bytes === undefined) return PADDING;
  const padding = Buffer.from(bytes).toString('utf8');
  if (padding.length === 1) return padding;
  throw invalidRequest(
    `The padding argument for function system.${name} should be single-character, but '${padding}' has ${padding.length} characters.`,
  );
}

/** @param isHidden says whether a character is to be hidden; `fromEnd` is above 0 before the last `end` ones */
function partial(
  name: 'mask_inner' | 'mask_outer',
  isHidden: (at: number, begin: number, fromEnd: number) => boolean,
): FunctionFactory {
  return {
    name,
    parameters: [STRING, fixed('int'), fixed('int'), optional(fixed('text'))],
    make: ([type, ...rest]) =>
      scalar(name, [type, ...rest], type, ([value, begin, end, pad]) => {
        const padding = paddingOf(name, pad);
        if (value === null) return null;
        const characters = Buffer.from(value).toString('utf8').split('');
        const [left, right] = [intOf(begin), intOf(end)];
        const last = characters.length - 1;
        const masked = characters.map((character, at) =>
          isHidden(at, left, last - at - right + 1) ? padding : character,
        );
        return Buffer.from(masked.join(''));
      }),
  };
}

function hash(algorithm: string, bytes: Uint8Array): Uint8Array {
  try {
    return createHash(algorithm.replace(/^SHA-/i, 'sha')).update(bytes).digest();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw invalidRequest(`Hash algorithm not found: ${algorithm}`);
  }
}

export const MASK_FACTORIES: readonly FunctionFactory[] = [
  {
    name: 'mask_null',
    parameters: [anyType(true)],
    make: ([type]) => scalar('mask_null', [type], type, () => null),
  },
  {
    name: 'mask_default',
    parameters: [anyType(true)],
    make: ([type]) => {
      const masked = maskedValue(type);
      return scalar('mask_default', [type], type, () => masked);
    },
  },
  {
    name: 'mask_replace',
    parameters: [anyType(true), SAME_AS_FIRST],
    make: ([type]) => scalar('mask_replace', [type, type], type, ([, replacement]) => replacement),
  },
  partial('mask_inner', (at, begin, fromEnd) => at >= begin && fromEnd > 0),
  partial('mask_outer', (at, begin, fromEnd) => at < begin || fromEnd <= 0),
  {
    name: 'mask_hash',
    parameters: [anyType(false), optional(fixed('text'))],
    make: ([type, ...rest]) =>
      scalar('mask_hash', [type, ...rest], BLOB, ([value, algorithm]) => {
        if (value === null) return null;
        const name = algorithm ? (decode(TEXT, algorithm) as string) : DEFAULT_HASH;
        return encode(BLOB, hash(name, value));
      }),
  },
];
