/**
 * Body of ERROR in each protocol version; errors a version does not know go out as the nearest it
 * does. Source: native protocol v5, 9; Cassandra's ErrorMessage.getBackwardsCompatibleException.
 */
import type { Writer } from '../common/bytes.ts';
import {
  type Acknowledgements,
  CqlError,
  ErrorCode,
  type ErrorDetail,
  type FailureReason,
} from '../common/errors.ts';
import type { ProtocolVersion } from './protocol.ts';

/** Writes code, message and details of `error`; returns the code that was sent. */
export function writeErrorBody(out: Writer, error: CqlError, version: ProtocolVersion): number {
  const sent = forVersion(error, version);
  out.i32(sent.code);
  out.string(sent.message);
  if (sent.detail !== null) writeDetail(out, sent.detail, version);
  return sent.code;
}

function forVersion(error: CqlError, version: ProtocolVersion): CqlError {
  const detail = error.detail;
  if (detail === null || version >= 5) return error;
  if (detail.kind === 'cas-write-unknown') {
    return replaced(error, ErrorCode.WriteTimeout, {
      ...detail,
      kind: 'write-timeout',
      writeType: 'CAS',
      contentions: 0,
    });
  }
  if (version >= 4) return error;
  switch (detail.kind) {
    case 'write-failure':
      return replaced(error, ErrorCode.WriteTimeout, {
        ...detail,
        kind: 'write-timeout',
        contentions: 0,
      });
    case 'read-failure':
      return replaced(error, ErrorCode.ReadTimeout, { ...detail, kind: 'read-timeout' });
    case 'function-failure':
      return replaced(error, ErrorCode.Invalid, null);
    default:
      return error;
  }
}

function replaced(error: CqlError, code: ErrorCode, detail: ErrorDetail): CqlError {
  return new CqlError(code, error.message, detail);
}

function writeDetail(
  out: Writer,
  detail: NonNullable<ErrorDetail>,
  version: ProtocolVersion,
): void {
  switch (detail.kind) {
    case 'unavailable':
      out.u16(detail.consistency);
      out.i32(detail.required);
      out.i32(detail.alive);
      break;
    case 'write-timeout':
      writeAcknowledgements(out, detail);
      out.string(detail.writeType);
      if (version >= 5 && detail.writeType === 'CAS') out.u16(detail.contentions);
      break;
    case 'read-timeout':
      writeAcknowledgements(out, detail);
      out.u8(detail.dataPresent ? 1 : 0);
      break;
    case 'read-failure':
      writeAcknowledgements(out, detail);
      writeFailures(out, detail.failures, version);
      out.u8(detail.dataPresent ? 1 : 0);
      break;
    case 'write-failure':
      writeAcknowledgements(out, detail);
      writeFailures(out, detail.failures, version);
      out.string(detail.writeType);
      break;
    case 'cas-write-unknown':
      writeAcknowledgements(out, detail);
      break;
    case 'function-failure':
      out.string(detail.keyspace);
      out.string(detail.functionName);
      out.stringList(detail.argumentTypes);
      break;
    case 'already-exists':
      out.string(detail.keyspace);
      out.string(detail.table);
      break;
    case 'unprepared':
      out.shortBytes(detail.statementId);
  }
}

function writeAcknowledgements(out: Writer, acks: Acknowledgements): void {
  out.u16(acks.consistency);
  out.i32(acks.received);
  out.i32(acks.required);
}

/** v5 names each failed replica and its reason, older versions only count them. */
function writeFailures(
  out: Writer,
  failures: readonly FailureReason[],
  version: ProtocolVersion,
): void {
  out.i32(failures.length);
  if (version < 5) return;
  for (const { endpoint, reasonCode } of failures) {
    out.u8(endpoint.length);
    out.raw(endpoint);
    out.u16(reasonCode);
  }
}
