/** Types as clients read them from result metadata. Source: native protocol, 4.2.5.2. */
import type { Reader } from '../../node/src/common/bytes.ts';
import type { CqlType, NativeTypeName } from '../../node/src/types/cql-type.ts';
import { parseJavaTypeName } from '../../node/src/types/java-names.ts';

const NATIVE: ReadonlyMap<number, NativeTypeName> = new Map([
  [0x01, 'ascii'],
  [0x02, 'bigint'],
  [0x03, 'blob'],
  [0x04, 'boolean'],
  [0x05, 'counter'],
  [0x06, 'decimal'],
  [0x07, 'double'],
  [0x08, 'float'],
  [0x09, 'int'],
  [0x0b, 'timestamp'],
  [0x0c, 'uuid'],
  [0x0d, 'text'],
  [0x0e, 'varint'],
  [0x0f, 'timeuuid'],
  [0x10, 'inet'],
  [0x11, 'date'],
  [0x12, 'time'],
  [0x13, 'smallint'],
  [0x14, 'tinyint'],
  [0x15, 'duration'],
]);

/** Reads one `[option]`. The protocol does not tell frozen from not: nothing is frozen here. */
export function readTypeOption(reader: Reader): CqlType {
  const code = reader.u16();
  const native = NATIVE.get(code);
  if (native !== undefined) return { kind: 'native', name: native };
  switch (code) {
    case 0x0000:
      return parseJavaTypeName(reader.string());
    case 0x0020:
      return { kind: 'list', element: readTypeOption(reader), frozen: false };
    case 0x0022:
      return { kind: 'set', element: readTypeOption(reader), frozen: false };
    case 0x0021: {
      const key = readTypeOption(reader);
      return { kind: 'map', key, value: readTypeOption(reader), frozen: false };
    }
    case 0x0031: {
      const fields = Array.from({ length: reader.u16() }, () => readTypeOption(reader));
      return { kind: 'tuple', fields };
    }
    case 0x0030: {
      const keyspace = reader.string();
      const name = reader.string();
      const fields = Array.from({ length: reader.u16() }, () => ({
        name: reader.string(),
        type: readTypeOption(reader),
      }));
      return {
        kind: 'udt',
        keyspace,
        name,
        fieldNames: fields.map((field) => field.name),
        fieldTypes: fields.map((field) => field.type),
        frozen: false,
      };
    }
    default:
      throw new RangeError(`unknown type code ${code}`);
  }
}
