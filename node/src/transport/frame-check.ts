/**
 * Checks of a frame's header. What each wrong version is answered with was captured from Cassandra
 * 5.0.9; drivers step down by these bytes and texts.
 */
import {
  CqlError,
  ErrorCode,
  invalidRequest,
  overloaded,
  protocolError,
} from '../common/errors.ts';
import { isClientOpcode } from './handshake.ts';
import {
  FrameFlag,
  OPCODE_NAMES,
  PROTOCOL_VERSIONS,
  type ProtocolVersion,
  RESPONSE_BIT,
} from './protocol.ts';

const VERSION_MIN = 3;
const VERSION_MAX = 5;
const BETA_VERSION = 6;
/** Versions so old that their clients are just closed. */
const SILENT_VERSIONS: readonly number[] = [1, 2];

/** A version this server does not speak, and how to say so. */
export class VersionError extends CqlError {
  /** Version and flags of the frame to answer in; version 0: close without an answer. */
  readonly answerVersion: number;
  readonly answerFlags: number;

  constructor(message: string, answerVersion: number, answerFlags: number) {
    super(ErrorCode.ProtocolError, message);
    this.answerVersion = answerVersion;
    this.answerFlags = answerFlags;
  }
}

/** Checks the version byte alone. Version 6 passes: its answer depends on the flags. */
export function checkVersionByte(versionByte: number): void {
  const version = versionByte & ~RESPONSE_BIT;
  if (version >= VERSION_MIN && version <= BETA_VERSION) return;
  throw unsupported(version);
}

function unsupported(version: number): VersionError {
  const supported = PROTOCOL_VERSIONS.join(', ');
  const message = `Invalid or unsupported protocol version (${version}); supported versions are (${supported})`;
  return new VersionError(message, SILENT_VERSIONS.includes(version) ? 0 : VERSION_MAX, 0);
}

/** Checks the version of a whole header and returns it. */
export function checkVersion(versionByte: number, flags: number): ProtocolVersion {
  const version = versionByte & ~RESPONSE_BIT;
  if (version < VERSION_MIN || version > VERSION_MAX) checkWrongVersion(version, flags);
  return version as ProtocolVersion;
}

function checkWrongVersion(version: number, flags: number): never {
  if (version === BETA_VERSION && (flags & FrameFlag.UseBeta) === 0) {
    const message = 'Beta version of the protocol used (6/v6-beta), but USE_BETA flag is unset';
    throw new VersionError(message, BETA_VERSION, FrameFlag.UseBeta);
  }
  throw unsupported(version);
}

/** Checks that the opcode is known and a client's. */
export function checkOpcode(versionByte: number, opcode: number): void {
  const name = OPCODE_NAMES[opcode] ?? null;
  if (name === null) throw protocolError(`Unknown opcode ${opcode}`);
  const expected = isClientOpcode(opcode) ? 'REQUEST' : 'RESPONSE';
  const got = (versionByte & RESPONSE_BIT) === 0 ? 'REQUEST' : 'RESPONSE';
  if (expected === got && got === 'REQUEST') return;
  throw protocolError(
    `Wrong protocol direction (expected ${expected}, got ${got}) for opcode ${opcode} (${name})`,
  );
}

/** A frame above `bytesMax`, header included. */
export function tooBig(bytes: number, bytesMax: number): CqlError {
  return invalidRequest(
    `Request is too big: length ${bytes} exceeds maximum allowed length ${bytesMax}.`,
  );
}

/** A frame of another version than STARTUP's. */
export function versionChanged(got: number, before: number): CqlError {
  return protocolError(
    `Invalid message version. Got ${got}/v${got} but previous messages on this connection had version ${before}/v${before}`,
  );
}

/** Whether a frame was refused for its size alone: the connection lives on. */
export function isTooBig(error: unknown): error is CqlError {
  return error instanceof CqlError && error.code === ErrorCode.Invalid;
}

/** What a client gets that would rather have an error than wait. */
export function serverOverloaded(): CqlError {
  return overloaded('Server is in overloaded state. Cannot accept more requests at this point');
}
