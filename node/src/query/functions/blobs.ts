/** Values as their bytes and back. Source: org.apache.cassandra.cql3.functions.BytesConversionFcts. */
import { CqlError, invalidRequest } from '../../common/errors.ts';
import { validate } from '../../types/codec.ts';
import { NATIVE_TYPE_NAMES, type NativeTypeName } from '../../types/cql-type.ts';
import { nativeType } from '../../types/type-facts.ts';
import { ofBytes } from './define.ts';
import type { ScalarFunction } from './function.ts';

const TYPES = NATIVE_TYPE_NAMES.filter((name) => name !== 'blob' && name !== 'empty');

/** The type's name in the names of its functions, and the type. */
const WORDS: readonly (readonly [string, NativeTypeName])[] = [
  ...TYPES.map((name): readonly [string, NativeTypeName] => [name, name]),
  ['varchar', 'text'],
];

function toBlob(name: string, type: NativeTypeName): ScalarFunction {
  return ofBytes(name, nativeType(type), nativeType('blob'), (bytes) => bytes);
}

function fromBlob(name: string, type: NativeTypeName): ScalarFunction {
  const to = nativeType(type);
  return ofBytes(name, nativeType('blob'), to, (bytes) => {
    try {
      validate(to, bytes);
      return bytes;
    } catch (error) {
      if (!(error instanceof CqlError)) throw error;
      throw invalidRequest(
        `In call to function system.${name}, value 0x${Buffer.from(bytes).toString('hex')} is not a valid binary representation for type ${type}`,
      );
    }
  });
}

export const BLOB_FUNCTIONS: readonly ScalarFunction[] = WORDS.flatMap(([word, type]) => [
  toBlob(`${word}_as_blob`, type),
  toBlob(`${word}asblob`, type),
  fromBlob(`blob_as_${word}`, type),
  fromBlob(`blobas${word}`, type),
]);
