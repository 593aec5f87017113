/** Random types and values from a seed, for tests, fuzzing and the simulation. Pure. */
import { Writer } from '../common/bytes.ts';
import { packValue, partType } from './collections.ts';
import { type CqlType, NATIVE_TYPE_NAMES, type NativeTypeName, type UserType } from './cql-type.ts';
import { Duration, encodeDuration } from './duration.ts';
import {
  containsNative,
  freeze,
  listType,
  mapType,
  nativeType,
  setType,
  tupleType,
  vectorElementLength,
  vectorType,
} from './type-facts.ts';

/** A source of random numbers: the next integer in [0, limit). */
export type Random = (limit: number) => number;

/** A generator (mulberry32) that gives the same numbers for the same seed. */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000) * limit);
  };
}

/** The native types of table columns, counters left out. */
export const COLUMN_TYPES: readonly NativeTypeName[] = NATIVE_TYPE_NAMES.filter(
  (name) => name !== 'counter' && name !== 'empty',
);

/** A frozen type, nested at most `depth` deep. */
export function randomType(random: Random, depth: number): CqlType {
  const inner = (): CqlType => randomType(random, depth - 1);
  const some = (): CqlType[] => Array.from({ length: 1 + random(3) }, inner);
  switch (depth > 0 ? random(12) : 11) {
    case 0:
      return listType(inner(), true);
    case 1:
      return setType(inner(), true);
    case 2:
      return mapType(inner(), inner(), true);
    case 3:
      return tupleType(some());
    case 4:
      return vectorType(inner(), 1 + random(3));
    case 5:
      return randomUserType(some());
    case 6:
      return Object.freeze({ kind: 'custom', className: 'org.example.OpaqueType' });
    default:
      return nativeType(COLUMN_TYPES[random(COLUMN_TYPES.length)]);
  }
}

function randomUserType(fieldTypes: CqlType[]): UserType {
  const fieldNames = fieldTypes.map((_, i) => (i === 1 ? 'Second' : `f${i}`));
  const type: UserType = {
    kind: 'udt',
    keyspace: 'ks',
    name: 'Type',
    fieldNames,
    fieldTypes,
    frozen: true,
  };
  return freeze(type) as UserType;
}

/** A type that can be a clustering column's: frozen and without durations. */
export function randomKeyType(random: Random, depth: number): CqlType {
  for (;;) {
    const type = randomType(random, depth);
    if (!containsNative(type, 'duration')) return type;
  }
}

/** Bytes in which the values that tend to break encodings are frequent. */
export function randomBytes(random: Random, count: number): Buffer {
  const edges = [0x00, 0x01, 0x7f, 0x80, 0xff];
  const bytes = Buffer.alloc(count);
  for (let i = 0; i < count; i++) bytes[i] = random(2) === 0 ? edges[random(5)] : random(256);
  return bytes;
}

/** A valid value of the type; sets and maps are in any order and may have duplicates. */
export function randomValue(random: Random, type: CqlType): Buffer {
  switch (type.kind) {
    case 'native':
      return randomNative(random, type.name);
    case 'custom':
      return randomBytes(random, random(5));
    case 'tuple':
      return randomFields(random, type, type.fields.length);
    case 'udt':
      return randomFields(random, type, type.fieldTypes.length);
    case 'vector': {
      const length = vectorElementLength(type.element);
      const part = (): Buffer => {
        for (;;) {
          const value = randomValue(random, type.element);
          if (length === 0 || value.length === length) return value;
        }
      };
      return packValue(type, Array.from({ length: type.dimension }, part));
    }
    default: {
      const count = random(4) * (type.kind === 'map' ? 2 : 1);
      const part = (_: unknown, i: number): Buffer => randomValue(random, partType(type, i));
      return packValue(type, Array.from({ length: count }, part));
    }
  }
}

function randomFields(random: Random, type: CqlType, count: number): Buffer {
  const part = (_: unknown, i: number): Buffer | null =>
    random(5) === 0 ? null : randomValue(random, partType(type, i));
  return packValue(type, Array.from({ length: random(4) === 0 ? random(count + 1) : count }, part));
}

const TEXTS = ['', 'a', 'ab', 'b', '\0', 'é', '€', '😀', '"', '\\', '\n', "it's", '\u001f', '￿'];

function randomNative(random: Random, name: NativeTypeName): Buffer {
  switch (name) {
    case 'text':
      return Buffer.from(TEXTS[random(TEXTS.length)] + TEXTS[random(TEXTS.length)]);
    case 'ascii':
      return randomBytes(random, random(5)).map((byte) => byte & 0x7f) as Buffer;
    case 'blob':
      return randomBytes(random, random(6));
    case 'boolean':
      return Buffer.from([random(3)]);
    case 'tinyint':
      return randomBytes(random, 1);
    case 'smallint':
      return randomBytes(random, 2);
    case 'date':
      return randomBytes(random, 4);
    case 'time':
      return Buffer.from(`0000${randomBytes(random, 5).toString('hex')}00`, 'hex').subarray(0, 8);
    case 'duration':
      return randomDuration(random);
    default:
      return random(20) === 0 ? Buffer.alloc(0) : randomNumber(random, name);
  }
}

function randomNumber(random: Random, name: NativeTypeName): Buffer {
  switch (name) {
    case 'int':
      return randomBytes(random, 4);
    case 'float':
    case 'double':
      return randomFloat(random, name);
    case 'inet':
      return randomBytes(random, random(2) === 0 ? 4 : 16);
    case 'uuid':
      return randomUuidBytes(random, [1, 4, 0, 7][random(4)]);
    case 'timeuuid':
      return randomUuidBytes(random, 1);
    case 'varint':
      return randomBytes(random, random(50) === 0 ? 126 + random(5) : 1 + random(11));
    case 'decimal': {
      const scale = Buffer.alloc(4);
      scale.writeInt32BE([0, 0, 1, 2, -1, -5, 20, 0x7fffffff, -0x7fffff00, random(9)][random(10)]);
      return Buffer.concat([scale, randomBytes(random, 1 + random(9))]);
    }
    default:
      return randomBytes(random, 8);
  }
}

function randomFloat(random: Random, name: 'float' | 'double'): Buffer {
  const plain = [0, -0, 1, -1.5, 0.1, 1e10, Number.NaN, Number.POSITIVE_INFINITY, 12345.678, 1e-9];
  if (random(2) === 0) return randomBytes(random, name === 'float' ? 4 : 8);
  const out = new Writer(16);
  if (name === 'float') out.f32(plain[random(plain.length)]);
  else out.f64(plain[random(plain.length)]);
  return out.copy();
}

function randomUuidBytes(random: Random, version: number): Buffer {
  const bytes = randomBytes(random, 16);
  bytes[6] = (bytes[6] & 0x0f) | (version << 4);
  return bytes;
}

function randomDuration(random: Random): Buffer {
  const sign = random(2) === 0 ? 1 : -1;
  const part = (): number => [0, 1, 11, 12, 100, 0x7fffffff][random(6)];
  const nanos = [0n, 1n, 999n, 3_600_000_000_000n, (1n << 63n) - 1n][random(5)];
  return encodeDuration(new Duration(sign * part(), sign * part(), BigInt(sign) * nanos));
}

/** A copy with some bytes changed, cut off or added. */
export function mutate(random: Random, bytes: Uint8Array): Buffer {
  let result = Buffer.from(bytes);
  for (let i = random(3); i >= 0; i--) {
    const place = random(result.length + 1);
    const kind = random(4);
    if (kind === 0) result = result.subarray(0, place);
    else if (kind === 1) {
      result = Buffer.concat([result.subarray(0, place), randomBytes(random, 1 + random(4))]);
    } else if (place < result.length) result[place] = random(256);
  }
  return result;
}
