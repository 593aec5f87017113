/** Types as the native protocol's `[option]` in result metadata. Source: native protocol, 4.2.5.2. */
import type { Writer } from '../common/bytes.ts';
import type { CqlType, NativeTypeName } from './cql-type.ts';
import { javaTypeName } from './java-names.ts';

const CUSTOM = 0x0000;
const LIST = 0x0020;
const MAP = 0x0021;
const SET = 0x0022;
const UDT = 0x0030;
const TUPLE = 0x0031;

/** Protocol code, and the first protocol version that has it (older ones see a custom type). */
const NATIVE_CODES: Readonly<Record<NativeTypeName, readonly [code: number, version: number]>> = {
  ascii: [0x0001, 3],
  bigint: [0x0002, 3],
  blob: [0x0003, 3],
  boolean: [0x0004, 3],
  counter: [0x0005, 3],
  decimal: [0x0006, 3],
  double: [0x0007, 3],
  float: [0x0008, 3],
  int: [0x0009, 3],
  timestamp: [0x000b, 3],
  uuid: [0x000c, 3],
  text: [0x000d, 3],
  varint: [0x000e, 3],
  timeuuid: [0x000f, 3],
  inet: [0x0010, 3],
  date: [0x0011, 4],
  time: [0x0012, 4],
  smallint: [0x0013, 4],
  tinyint: [0x0014, 4],
  duration: [0x0015, 5],
  empty: [CUSTOM, 0xff],
};

/** Writes the type's `[option]` for the given protocol version (3, 4 or 5). */
export function writeTypeOption(out: Writer, type: CqlType, protocolVersion: number): void {
  switch (type.kind) {
    case 'native': {
      const [code, since] = NATIVE_CODES[type.name];
      if (protocolVersion < since) writeCustom(out, type);
      else out.u16(code);
      break;
    }
    case 'list':
    case 'set':
      out.u16(type.kind === 'list' ? LIST : SET);
      writeTypeOption(out, type.element, protocolVersion);
      break;
    case 'map':
      out.u16(MAP);
      writeTypeOption(out, type.key, protocolVersion);
      writeTypeOption(out, type.value, protocolVersion);
      break;
    case 'tuple':
      out.u16(TUPLE);
      out.u16(type.fields.length);
      for (const field of type.fields) writeTypeOption(out, field, protocolVersion);
      break;
    case 'udt':
      out.u16(UDT);
      out.string(type.keyspace);
      out.string(type.name);
      out.u16(type.fieldNames.length);
      for (let i = 0; i < type.fieldNames.length; i++) {
        out.string(type.fieldNames[i]);
        writeTypeOption(out, type.fieldTypes[i], protocolVersion);
      }
      break;
    case 'vector':
    case 'custom':
      writeCustom(out, type);
  }
}

function writeCustom(out: Writer, type: CqlType): void {
  out.u16(CUSTOM);
  out.string(javaTypeName(type));
}
