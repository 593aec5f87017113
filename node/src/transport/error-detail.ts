/** Reads what follows code and message in the body of ERROR. Source: native protocol v5, 9. */
import type { Reader } from '../common/bytes.ts';
import {
  type Acknowledgements,
  ErrorCode,
  type ErrorDetail,
  type FailureReason,
  type WriteType,
} from '../common/errors.ts';
import type { ProtocolVersion } from './protocol.ts';

/** Decodes the details of an error of `code`; null if it has none. */
export function decodeErrorDetail(
  reader: Reader,
  code: ErrorCode,
  version: ProtocolVersion,
): ErrorDetail {
  switch (code) {
    case ErrorCode.Unavailable: {
      const consistency = reader.u16();
      const required = reader.i32();
      return { kind: 'unavailable', consistency, required, alive: reader.i32() };
    }
    case ErrorCode.WriteTimeout:
      return writeTimeoutDetail(reader, version);
    case ErrorCode.ReadTimeout: {
      const acks = acknowledgements(reader);
      return { kind: 'read-timeout', ...acks, dataPresent: reader.u8() !== 0 };
    }
    case ErrorCode.ReadFailure: {
      const acks = acknowledgements(reader);
      const failures = failureReasons(reader, version);
      return { kind: 'read-failure', ...acks, failures, dataPresent: reader.u8() !== 0 };
    }
    case ErrorCode.WriteFailure: {
      const acks = acknowledgements(reader);
      const failures = failureReasons(reader, version);
      return { kind: 'write-failure', ...acks, failures, writeType: writeType(reader) };
    }
    case ErrorCode.CasWriteUnknown:
      return { kind: 'cas-write-unknown', ...acknowledgements(reader) };
    default:
      return nameDetail(reader, code);
  }
}

function nameDetail(reader: Reader, code: ErrorCode): ErrorDetail {
  switch (code) {
    case ErrorCode.FunctionFailure: {
      const keyspace = reader.string();
      const functionName = reader.string();
      const argumentTypes = reader.stringList();
      return { kind: 'function-failure', keyspace, functionName, argumentTypes };
    }
    case ErrorCode.AlreadyExists: {
      const keyspace = reader.string();
      return { kind: 'already-exists', keyspace, table: reader.string() };
    }
    case ErrorCode.Unprepared:
      return { kind: 'unprepared', statementId: reader.shortBytes() };
    default:
      return null;
  }
}

function writeTimeoutDetail(reader: Reader, version: ProtocolVersion): ErrorDetail {
  const acks = acknowledgements(reader);
  const type = writeType(reader);
  const contentions = version >= 5 && type === 'CAS' ? reader.u16() : 0;
  return { kind: 'write-timeout', ...acks, writeType: type, contentions };
}

function acknowledgements(reader: Reader): Acknowledgements {
  const consistency = reader.u16();
  const received = reader.i32();
  return { consistency, received, required: reader.i32() };
}

function writeType(reader: Reader): WriteType {
  return reader.string() as WriteType;
}

/** Before v5 there is only their number; the reasons then are empty. */
function failureReasons(reader: Reader, version: ProtocolVersion): FailureReason[] {
  const count = reader.i32();
  const failures: FailureReason[] = [];
  for (let i = 0; i < count && version >= 5; i++) {
    const endpoint = reader.raw(reader.u8());
    failures.push({ endpoint, reasonCode: reader.u16() });
  }
  return failures;
}
