/**
 * What a client can be told: the native protocol's errors as one class. The transport room encodes
 * them (`code`, `message`, `detail`); every other room throws or returns them. Source: native
 * protocol v5, section 9.
 */
import { CONSISTENCY_NAMES } from './consistency.ts';

/** Error codes of the native protocol. */
export const ErrorCode = {
  ServerError: 0x0000,
  ProtocolError: 0x000a,
  AuthError: 0x0100,
  Unavailable: 0x1000,
  Overloaded: 0x1001,
  IsBootstrapping: 0x1002,
  TruncateError: 0x1003,
  WriteTimeout: 0x1100,
  ReadTimeout: 0x1200,
  ReadFailure: 0x1300,
  FunctionFailure: 0x1400,
  WriteFailure: 0x1500,
  CdcWriteFailure: 0x1600,
  CasWriteUnknown: 0x1700,
  SyntaxError: 0x2000,
  Unauthorized: 0x2100,
  Invalid: 0x2200,
  ConfigError: 0x2300,
  AlreadyExists: 0x2400,
  Unprepared: 0x2500,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** What kind of write timed out or failed, as the protocol spells it. */
export type WriteType =
  | 'SIMPLE'
  | 'BATCH'
  | 'UNLOGGED_BATCH'
  | 'COUNTER'
  | 'BATCH_LOG'
  | 'CAS'
  | 'VIEW'
  | 'CDC';

/** A replica that failed: its address (4 or 16 bytes) and the protocol's failure reason code. */
export interface FailureReason {
  readonly endpoint: Uint8Array;
  readonly reasonCode: number;
}

/** Nodes that answered and nodes that had to, at `consistency` (the protocol's number). */
export interface Acknowledgements {
  readonly consistency: number;
  readonly received: number;
  readonly required: number;
}
export interface UnavailableDetail {
  readonly kind: 'unavailable';
  readonly consistency: number;
  readonly required: number;
  readonly alive: number;
}
export interface WriteTimeoutDetail extends Acknowledgements {
  readonly kind: 'write-timeout';
  readonly writeType: WriteType;
  /** Only with writeType CAS, and sent only in v5: rounds lost to other proposers. */
  readonly contentions: number;
}
export interface ReadTimeoutDetail extends Acknowledgements {
  readonly kind: 'read-timeout';
  readonly dataPresent: boolean;
}
export interface ReadFailureDetail extends Acknowledgements {
  readonly kind: 'read-failure';
  readonly failures: readonly FailureReason[];
  readonly dataPresent: boolean;
}
export interface WriteFailureDetail extends Acknowledgements {
  readonly kind: 'write-failure';
  readonly failures: readonly FailureReason[];
  readonly writeType: WriteType;
}
export interface FunctionFailureDetail {
  readonly kind: 'function-failure';
  readonly keyspace: string;
  readonly functionName: string;
  readonly argumentTypes: readonly string[];
}
export interface CasWriteUnknownDetail extends Acknowledgements {
  readonly kind: 'cas-write-unknown';
}
export interface AlreadyExistsDetail {
  readonly kind: 'already-exists';
  readonly keyspace: string;
  /** Empty if it is the keyspace that exists. */
  readonly table: string;
}
export interface UnpreparedDetail {
  readonly kind: 'unprepared';
  readonly statementId: Uint8Array;
}
/** The fields that follow an error's message; null where the protocol has none. */
export type ErrorDetail =
  | UnavailableDetail
  | WriteTimeoutDetail
  | ReadTimeoutDetail
  | ReadFailureDetail
  | WriteFailureDetail
  | FunctionFailureDetail
  | CasWriteUnknownDetail
  | AlreadyExistsDetail
  | UnpreparedDetail
  | null;

/** A failure that is the client's to see. Any other exception is a bug and goes out as ServerError. */
export class CqlError extends Error {
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(
    code: ErrorCode,
    message: string,
    detail: ErrorDetail = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CqlError';
    this.code = code;
    this.detail = detail;
  }
}

/** Something went wrong that the protocol has no better word for. */
export function serverError(message: string, options?: ErrorOptions): CqlError {
  return new CqlError(ErrorCode.ServerError, message, null, options);
}

/** The client broke the protocol (malformed frame, wrong opcode for the state …). */
export function protocolError(message: string): CqlError {
  return new CqlError(ErrorCode.ProtocolError, message);
}

/** Bad credentials. */
export function authError(message: string): CqlError {
  return new CqlError(ErrorCode.AuthError, message);
}

/** Too few live replicas for `consistency`. @param datacenter the one in which they are; not given: no certain one */
export function unavailable(
  consistency: number,
  required: number,
  alive: number,
  datacenter?: string,
): CqlError {
  const detail: ErrorDetail = { kind: 'unavailable', consistency, required, alive };
  const level = CONSISTENCY_NAMES[consistency] ?? String(consistency);
  const where = datacenter === undefined ? '' : ` in DC ${datacenter}`;
  const message = `Cannot achieve consistency level ${level}${where}`;
  return new CqlError(ErrorCode.Unavailable, message, detail);
}

/** Refused because of load; the client should try another coordinator. */
export function overloaded(message: string): CqlError {
  return new CqlError(ErrorCode.Overloaded, message);
}

/** This node cannot serve yet. */
export function isBootstrapping(message = 'Cannot read from a bootstrapping node'): CqlError {
  return new CqlError(ErrorCode.IsBootstrapping, message);
}

/** TRUNCATE failed on some replica. */
export function truncateError(message: string): CqlError {
  return new CqlError(ErrorCode.TruncateError, message);
}

/** Too few replicas acknowledged a write in time; it may still be applied. */
export function writeTimeout(
  acks: Acknowledgements,
  writeType: WriteType,
  contentions = 0,
): CqlError {
  const message = `Operation timed out - received only ${acks.received} responses.`;
  const detail: ErrorDetail = { kind: 'write-timeout', ...acks, writeType, contentions };
  return new CqlError(ErrorCode.WriteTimeout, message, detail);
}

/** Too few replicas answered a read in time. */
export function readTimeout(acks: Acknowledgements, dataPresent: boolean): CqlError {
  const message = `Operation timed out - received only ${acks.received} responses.`;
  const detail: ErrorDetail = { kind: 'read-timeout', ...acks, dataPresent };
  return new CqlError(ErrorCode.ReadTimeout, message, detail);
}

/** Replicas answered a read with errors. */
export function readFailure(
  acks: Acknowledgements,
  failures: readonly FailureReason[],
  dataPresent: boolean,
): CqlError {
  const message = failureMessage(acks, failures);
  const detail: ErrorDetail = { kind: 'read-failure', ...acks, failures, dataPresent };
  return new CqlError(ErrorCode.ReadFailure, message, detail);
}

/** Replicas answered a write with errors. */
export function writeFailure(
  acks: Acknowledgements,
  failures: readonly FailureReason[],
  writeType: WriteType,
): CqlError {
  const message = failureMessage(acks, failures);
  const detail: ErrorDetail = { kind: 'write-failure', ...acks, failures, writeType };
  return new CqlError(ErrorCode.WriteFailure, message, detail);
}

/** A function threw while it was executed. */
export function functionFailure(
  keyspace: string,
  functionName: string,
  argumentTypes: readonly string[],
  reason: string,
): CqlError {
  const message = `execution of '${keyspace}.${functionName}[${argumentTypes.join(', ')}]' failed: ${reason}`;
  const detail: ErrorDetail = { kind: 'function-failure', keyspace, functionName, argumentTypes };
  return new CqlError(ErrorCode.FunctionFailure, message, detail);
}

/** The change data capture space is full. */
export function cdcWriteFailure(message: string): CqlError {
  return new CqlError(ErrorCode.CdcWriteFailure, message);
}

/** A conditional write may or may not have been applied. */
export function casWriteUnknown(acks: Acknowledgements): CqlError {
  const message = `CAS operation result is unknown - proposal accepted by ${acks.received} but not a quorum.`;
  return new CqlError(ErrorCode.CasWriteUnknown, message, { kind: 'cas-write-unknown', ...acks });
}

/** The statement does not parse. */
export function syntaxError(message: string): CqlError {
  return new CqlError(ErrorCode.SyntaxError, message);
}

/** The user may not do this. */
export function unauthorized(message: string): CqlError {
  return new CqlError(ErrorCode.Unauthorized, message);
}

/** The statement parses but makes no sense, or a value does not fit its type. */
export function invalidRequest(message: string): CqlError {
  return new CqlError(ErrorCode.Invalid, message);
}

/** A schema option is wrong. */
export function configError(message: string): CqlError {
  return new CqlError(ErrorCode.ConfigError, message);
}

/** The keyspace (`table` empty) or table exists already. */
export function alreadyExists(keyspace: string, table: string, message?: string): CqlError {
  const text =
    table === ''
      ? `Cannot add existing keyspace "${keyspace}"`
      : `Cannot add already existing table "${table}" to keyspace "${keyspace}"`;
  const detail: ErrorDetail = { kind: 'already-exists', keyspace, table };
  return new CqlError(ErrorCode.AlreadyExists, message ?? text, detail);
}

/** The prepared statement is not known here; the client prepares it again. `statementId` is copied. */
export function unprepared(statementId: Uint8Array): CqlError {
  const id = Buffer.from(statementId);
  const message = `Prepared query with ID ${id.toString('hex')} not found (either the query was not prepared on this host (maybe the host has been restarted?) or you have prepared too many queries and it has been evicted from the internal cache)`;
  return new CqlError(ErrorCode.Unprepared, message, { kind: 'unprepared', statementId: id });
}

function failureMessage(acks: Acknowledgements, failures: readonly FailureReason[]): string {
  return `Operation failed - received ${acks.received} responses and ${failures.length} failures`;
}
