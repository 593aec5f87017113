/** Numbers and names of the CQL native protocol, versions 3 to 5. Source: native protocol spec, 2-4. */

export type ProtocolVersion = 3 | 4 | 5;

/** What SUPPORTED and the refusal of other versions list. */
export const PROTOCOL_VERSIONS: readonly string[] = ['3/v3', '4/v4', '5/v5'];
export const CQL_VERSION = '3.4.7';

/** Bytes of a frame (envelope) header: version, flags, stream (2), opcode, body length (4). */
export const FRAME_HEADER_BYTES = 9;
/** Set in the version byte of everything a server sends. */
export const RESPONSE_BIT = 0x80;

export const Opcode = {
  Error: 0x00,
  Startup: 0x01,
  Ready: 0x02,
  Authenticate: 0x03,
  Options: 0x05,
  Supported: 0x06,
  Query: 0x07,
  Result: 0x08,
  Prepare: 0x09,
  Execute: 0x0a,
  Register: 0x0b,
  Event: 0x0c,
  Batch: 0x0d,
  AuthChallenge: 0x0e,
  AuthResponse: 0x0f,
  AuthSuccess: 0x10,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** Cassandra's names of the opcodes, by number; null where there is none. Used in error messages. */
export const OPCODE_NAMES: readonly (string | null)[] = [
  'ERROR',
  'STARTUP',
  'READY',
  'AUTHENTICATE',
  null,
  'OPTIONS',
  'SUPPORTED',
  'QUERY',
  'RESULT',
  'PREPARE',
  'EXECUTE',
  'REGISTER',
  'EVENT',
  'BATCH',
  'AUTH_CHALLENGE',
  'AUTH_RESPONSE',
  'AUTH_SUCCESS',
];

/** Flags of a frame header. */
export const FrameFlag = {
  Compressed: 0x01,
  Tracing: 0x02,
  CustomPayload: 0x04,
  Warning: 0x08,
  UseBeta: 0x10,
} as const;

/** Flags of QUERY, EXECUTE and BATCH. The last two only in v5. */
export const QueryFlag = {
  Values: 0x01,
  SkipMetadata: 0x02,
  PageSize: 0x04,
  PagingState: 0x08,
  SerialConsistency: 0x10,
  Timestamp: 0x20,
  NamesForValues: 0x40,
  Keyspace: 0x80,
  NowInSeconds: 0x100,
} as const;

/** Flag of PREPARE (v5). */
export const PREPARE_KEYSPACE_FLAG = 0x01;

/** Kinds of RESULT. */
export const ResultKind = {
  Void: 1,
  Rows: 2,
  SetKeyspace: 3,
  Prepared: 4,
  SchemaChange: 5,
} as const;

/** Flags of the metadata of rows. The last only in v5. */
export const MetadataFlag = {
  GlobalTablesSpec: 0x01,
  HasMorePages: 0x02,
  NoMetadata: 0x04,
  MetadataChanged: 0x08,
} as const;

/** The serial consistency of a request that names none: SERIAL. */
export const SERIAL_CONSISTENCY = 8;

/** Kinds of BATCH. */
export const BatchType = { Logged: 0, Unlogged: 1, Counter: 2 } as const;
export type BatchType = (typeof BatchType)[keyof typeof BatchType];

/** Length of a value that is null. */
export const NULL_VALUE = -1;
/** Length of a value that is not set (v4 and later). */
export const UNSET_VALUE = -2;
