/** What comes of a request, and how it is written as an answer. */
import type { Writer } from '../common/bytes.ts';
import type { RowsResult } from '../query/select.ts';
import {
  type BatchRequest,
  type ClientConnection,
  encodeMetadata,
  Opcode,
  type SchemaChange,
  writeRowsHeader,
  writeSchemaChangeResult,
  writeSetKeyspace,
  writeVoid,
} from '../transport/index.ts';
import type { DataRequest } from './evaluation.ts';
import type { Runnable } from './prepared.ts';

export type Outcome =
  | { readonly kind: 'void'; readonly warnings?: readonly string[] }
  /** `isOwn`: the columns are the result's own, not those that the statement was planned with. */
  | { readonly kind: 'rows'; readonly result: RowsResult; readonly isOwn: boolean }
  | { readonly kind: 'keyspace'; readonly keyspace: string }
  | { readonly kind: 'schema'; readonly event: SchemaChange; readonly warnings: readonly string[] };

export const VOID: Outcome = { kind: 'void' };

const NO_ID = new Uint8Array(0);

/** What is told before the answer itself. */
export interface Preface {
  readonly warnings?: readonly string[];
  readonly tracingId?: Uint8Array;
}

/** Nothing, if there is nothing to warn of. */
export function warned(warnings: readonly string[] | undefined): Preface {
  return warnings === undefined || warnings.length === 0 ? {} : { warnings };
}

/** Starts a rows answer with the columns of the statement, up to, and without, the row count. @hot */
export function beginRows(
  request: DataRequest,
  connection: ClientConnection,
  runnable: Runnable,
  pagingState: Uint8Array | null,
  preface?: Preface,
): Writer {
  const { version } = connection;
  const out =
    preface === undefined
      ? connection.begin(request, Opcode.Result)
      : connection.begin(request, Opcode.Result, preface);
  let newMetadataId: Uint8Array | null = null;
  if (request.kind === 'execute' && request.metadataIdLength > 0) {
    const { resultId } = runnable;
    if (Buffer.compare(request.resultMetadataId ?? NO_ID, resultId) !== 0) newMetadataId = resultId;
  }
  const skipMetadata = request.kind === 'execute' && request.skipMetadata;
  writeRowsHeader(out, runnable.result(version), { pagingState, skipMetadata, newMetadataId });
  return out;
}

/** Starts a rows answer with columns of its own. */
function beginOwnRows(
  request: DataRequest | BatchRequest,
  connection: ClientConnection,
  runnable: Runnable | null,
  result: RowsResult,
  preface: Preface,
): Writer {
  const out = connection.begin(request, Opcode.Result, preface);
  const table = runnable?.statement.table ?? result.table ?? null;
  const specs = result.columns.map(({ name, type }) => ({
    keyspace: table?.keyspace ?? '',
    table: table?.name ?? '',
    name,
    type,
  }));
  const { pagingState } = result;
  writeRowsHeader(out, encodeMetadata(specs, connection.version), { pagingState });
  return out;
}

/**
 * Answers a request.
 * @param runnable what it ran; null: a BATCH message
 * @param tracing the id of its trace, if it has one
 */
export function writeOutcome(
  outcome: Outcome,
  request: DataRequest | BatchRequest,
  connection: ClientConnection,
  runnable: Runnable | null,
  tracing: Preface,
): void {
  switch (outcome.kind) {
    case 'void': {
      const preface = { ...tracing, ...warned(outcome.warnings) };
      writeVoid(connection.begin(request, Opcode.Result, preface));
      break;
    }
    case 'keyspace':
      writeSetKeyspace(connection.begin(request, Opcode.Result, tracing), outcome.keyspace);
      break;
    case 'schema': {
      const preface = { ...tracing, ...warned(outcome.warnings) };
      const out = connection.begin(request, Opcode.Result, preface);
      writeSchemaChangeResult(out, outcome.event, connection.version);
      break;
    }
    case 'rows': {
      const { result, isOwn } = outcome;
      const preface = { ...tracing, ...warned(result.warnings) };
      const out =
        isOwn || runnable === null || request.kind === 'batch'
          ? beginOwnRows(request, connection, runnable, result, preface)
          : beginRows(request, connection, runnable, result.pagingState, preface);
      out.i32(result.rowCount);
      out.raw(result.content);
      break;
    }
  }
  connection.end();
}
