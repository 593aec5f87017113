/** CQL v4 frames written by hand, as few of them as a load generator needs. */

export const HEADER_BYTES = 9;
export const Opcode = {
  Error: 0,
  Startup: 1,
  Query: 7,
  Result: 8,
  Prepare: 9,
  Execute: 10,
} as const;

const VERSION = 4;
const FLAG_VALUES = 1;
const FLAG_SKIP_METADATA = 2;
const FLAG_PAGE_SIZE = 4;
const FLAG_PAGING_STATE = 8;

export function frame(opcode: number, stream: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = VERSION;
  header.writeInt16BE(stream, 2);
  header[4] = opcode;
  header.writeUInt32BE(body.length, 5);
  return Buffer.concat([header, body]);
}

export function shortString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]);
}

export function longString(text: string): Buffer {
  return longBytes(Buffer.from(text));
}

export function longBytes(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export const STARTUP_BODY = Buffer.concat([
  Buffer.of(0, 1),
  shortString('CQL_VERSION'),
  shortString('3.0.0'),
]);

export interface ExecuteFrame {
  readonly bytes: Buffer;
  /** Where the first value, 8 bytes, begins. */
  readonly keyAt: number;
  /** Where the second value begins; the frame's end if there is none. */
  readonly valueAt: number;
}

/**
 * EXECUTE with a key of 8 bytes and, if `valueBytes` is not null, a value, both to be filled in.
 * @param consistency by its number in the protocol
 */
export function executeFrame(
  id: Buffer,
  consistency: number,
  valueBytes: number | null,
): ExecuteFrame {
  const count = valueBytes === null ? 1 : 2;
  const head = Buffer.concat([
    Buffer.of(id.length >> 8, id.length & 255),
    id,
    Buffer.of(0, consistency, FLAG_VALUES, 0, count),
  ]);
  const values = [longBytes(Buffer.alloc(8))];
  if (valueBytes !== null) values.push(longBytes(Buffer.alloc(valueBytes)));
  const bytes = frame(Opcode.Execute, 0, head, ...values);
  const keyAt = HEADER_BYTES + head.length + 4;
  return { bytes, keyAt, valueAt: Math.min(bytes.length, keyAt + 12) };
}

/** EXECUTE without values of a page of rows, without metadata. @param state null: the first page */
export function pageFrame(id: Buffer, pageRows: number, state: Buffer | null): Buffer {
  const flags = FLAG_SKIP_METADATA | FLAG_PAGE_SIZE | (state === null ? 0 : FLAG_PAGING_STATE);
  const size = Buffer.alloc(4);
  size.writeInt32BE(pageRows);
  return frame(
    Opcode.Execute,
    0,
    Buffer.of(id.length >> 8, id.length & 255),
    id,
    Buffer.of(0, 1, flags),
    size,
    ...(state === null ? [] : [longBytes(state)]),
  );
}

/** @param body of a RESULT of kind Prepared */
export function preparedId(body: Buffer): Buffer {
  return Buffer.from(body.subarray(6, 6 + body.readUInt16BE(4)));
}

/** @param body of a RESULT of kind Rows without metadata */
export function pageFacts(body: Buffer): {
  readonly rows: number;
  readonly state: Buffer | null;
} {
  const flags = body.readInt32BE(4);
  let at = 12;
  let state: Buffer | null = null;
  if ((flags & 2) !== 0) {
    const length = body.readInt32BE(at);
    state = Buffer.from(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return { rows: body.readInt32BE(at), state };
}

/** @param body of an ERROR */
export function errorText(body: Buffer): string {
  const code = body.readUInt32BE(0).toString(16).padStart(4, '0');
  return `0x${code} ${body.subarray(6, 6 + body.readUInt16BE(4)).toString('utf8')}`;
}
