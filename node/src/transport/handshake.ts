/**
 * The state table of a connection and the bodies of the messages before its first request.
 * Texts as Cassandra's ServerConnection and StartupMessage have them.
 */
import { Reader, type Writer } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import { COMPRESSION_NAMES, type CompressionName } from './compression.ts';
import { EVENT_TYPES, type EventType } from './events.ts';
import { CQL_VERSION, Opcode, PROTOCOL_VERSIONS, type ProtocolVersion } from './protocol.ts';

/** `new`: before STARTUP; `authenticating`: AUTHENTICATE was sent. */
export type Phase = 'new' | 'authenticating' | 'ready';
type ClientMessage =
  | 'STARTUP'
  | 'OPTIONS'
  | 'REGISTER'
  | 'QUERY'
  | 'PREPARE'
  | 'EXECUTE'
  | 'BATCH'
  | 'AUTH_RESPONSE';

const NEW = (message: string): string =>
  `Unexpected message ${message}, expecting STARTUP or OPTIONS`;
const AUTHENTICATING = (message: string): string =>
  `Unexpected message ${message}, expecting SASL_RESPONSE`;
const READY = (message: string): string =>
  `Unexpected message ${message}, the connection is already initialized`;

/** Null: allowed; else why not. */
const TABLE: Record<Phase, Record<ClientMessage, string | null>> = {
  new: {
    STARTUP: null,
    OPTIONS: null,
    REGISTER: NEW('REGISTER'),
    QUERY: NEW('QUERY'),
    PREPARE: NEW('PREPARE'),
    EXECUTE: NEW('EXECUTE'),
    BATCH: NEW('BATCH'),
    AUTH_RESPONSE: NEW('AUTH_RESPONSE'),
  },
  authenticating: {
    STARTUP: AUTHENTICATING('STARTUP'),
    OPTIONS: AUTHENTICATING('OPTIONS'),
    REGISTER: AUTHENTICATING('REGISTER'),
    QUERY: AUTHENTICATING('QUERY'),
    PREPARE: AUTHENTICATING('PREPARE'),
    EXECUTE: AUTHENTICATING('EXECUTE'),
    BATCH: AUTHENTICATING('BATCH'),
    AUTH_RESPONSE: null,
  },
  ready: {
    STARTUP: READY('STARTUP'),
    OPTIONS: null,
    REGISTER: null,
    QUERY: null,
    PREPARE: null,
    EXECUTE: null,
    BATCH: null,
    AUTH_RESPONSE: READY('AUTH_RESPONSE'),
  },
};

const MESSAGES: ReadonlyMap<number, ClientMessage> = new Map([
  [Opcode.Startup, 'STARTUP'],
  [Opcode.Options, 'OPTIONS'],
  [Opcode.Register, 'REGISTER'],
  [Opcode.Query, 'QUERY'],
  [Opcode.Prepare, 'PREPARE'],
  [Opcode.Execute, 'EXECUTE'],
  [Opcode.Batch, 'BATCH'],
  [Opcode.AuthResponse, 'AUTH_RESPONSE'],
]);

/** Whether clients send messages of this opcode. */
export function isClientOpcode(opcode: number): boolean {
  return MESSAGES.has(opcode);
}

/** Why a client message is out of place in `phase`, or null if it is not. */
export function refusal(phase: Phase, opcode: number): string | null {
  return TABLE[phase][MESSAGES.get(opcode)!];
}

/** What STARTUP says. */
export interface Startup {
  /** Keys in upper case. */
  readonly options: ReadonlyMap<string, string>;
  readonly compression: CompressionName | null;
  /** Whether the client wants Overloaded errors instead of a connection that is not read. */
  readonly throwOnOverload: boolean;
}

/** Decodes and checks the body of STARTUP. */
export function decodeStartup(
  version: ProtocolVersion,
  source: Buffer,
  start: number,
  end: number,
): Startup {
  const options = new Map<string, string>();
  for (const [key, value] of new Reader(source, start, end).stringMap()) {
    options.set(key.toUpperCase(), value);
  }
  checkCqlVersion(options.get('CQL_VERSION'));
  const compression = compressionOf(options.get('COMPRESSION'), version);
  return { options, compression, throwOnOverload: options.get('THROW_ON_OVERLOAD') === '1' };
}

function checkCqlVersion(text: string | undefined): void {
  if (text === undefined) throw protocolError('Missing value CQL_VERSION in STARTUP message');
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (match === null) throw protocolError(`Invalid version value: ${text}`);
  const major = Number(match[1]);
  if (major >= 3 || (major === 2 && Number(match[2]) >= 99)) return;
  throw protocolError(
    `CQL version ${text} is not supported by the binary protocol (supported version are >= 3.0.0)`,
  );
}

function compressionOf(text: string | undefined, version: ProtocolVersion): CompressionName | null {
  if (text === undefined) return null;
  const name = COMPRESSION_NAMES.find((known) => known === text.toLowerCase());
  if (name === undefined) {
    throw protocolError(`Unknown compression algorithm: ${text.toLowerCase()}`);
  }
  if (name === 'snappy' && version >= 5) {
    throw protocolError('Snappy compression is not supported in protocol V5');
  }
  return name;
}

/** Writes the body of SUPPORTED. */
export function writeSupported(out: Writer): void {
  out.u16(3);
  out.string('PROTOCOL_VERSIONS');
  out.stringList(PROTOCOL_VERSIONS);
  out.string('COMPRESSION');
  out.stringList(COMPRESSION_NAMES);
  out.string('CQL_VERSION');
  out.stringList([CQL_VERSION]);
}

/** Decodes the body of REGISTER. */
export function decodeRegister(source: Buffer, start: number, end: number): EventType[] {
  return new Reader(source, start, end).stringList().map((text) => {
    const type = EVENT_TYPES.find((known) => known === text.toUpperCase());
    if (type === undefined) throw protocolError(`Invalid value '${text}' for Type`);
    return type;
  });
}

/** Decodes the body of AUTH_RESPONSE: the token, a view. */
export function decodeAuthResponse(source: Buffer, start: number, end: number): Buffer | null {
  return new Reader(source, start, end).bytes();
}
