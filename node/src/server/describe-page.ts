/**
 * Pages of a DESCRIBE's answer: the rows are counted off, and all pages must be of one schema.
 *
 * The paging state: | 1 | format, 2 (1 is a SELECT's) | 16 | version of the schema | 4 | rows shown |
 * Source: org.apache.cassandra.cql3.statements.DescribeStatement.
 */
import { Reader, Writer } from '../common/bytes.ts';
import { invalidRequest, protocolError } from '../common/errors.ts';
import { rows } from '../query/execute.ts';
import type { RowsResult } from '../query/select.ts';
import type { DescribeResult } from '../schema/describe.ts';

const FORMAT = 2;
const STATE_BYTES = 21;
/** Where clients are told that the columns come from. */
const TABLE = { keyspace: 'system', name: 'describe' };

function versionBytes(version: string): Buffer {
  return Buffer.from(version.replaceAll('-', ''), 'hex');
}

function encodeState(version: string, shown: number): Buffer {
  const out = new Writer(STATE_BYTES);
  out.u8(FORMAT);
  out.raw(versionBytes(version));
  out.i32(shown);
  return out.copy();
}

/** Rows shown on the pages before. */
function shownBefore(state: Uint8Array | null, version: string): number {
  if (state === null) return 0;
  if (state.length !== STATE_BYTES || state[0] !== FORMAT) {
    throw invalidRequest('Incompatible paging state');
  }
  const reader = new Reader(state, 1);
  if (Buffer.compare(reader.raw(16), versionBytes(version)) !== 0) {
    throw invalidRequest(
      'The schema has changed since the previous page of the DESCRIBE statement result. Please retry the DESCRIBE statement.',
    );
  }
  return Math.max(reader.i32(), 0);
}

/**
 * The page that a request asks for.
 * @param whole the answer without paging
 * @param version of the schema that `whole` describes, a UUID
 * @throws CqlError ProtocolError: a page of no rows; Invalid: the state is of another kind or another schema
 */
export function describePage(
  whole: DescribeResult,
  version: string,
  request: { readonly pageSize: number; readonly pagingState: Uint8Array | null },
): RowsResult {
  const { pageSize, pagingState } = request;
  if (pageSize === 0) throw protocolError('The page size cannot be 0');
  const start = shownBefore(pagingState, version);
  const end = pageSize < 0 ? whole.rows.length : start + pageSize;
  return {
    ...rows(whole.columns, whole.rows.slice(start, end)),
    table: TABLE,
    pagingState: end < whole.rows.length ? encodeState(version, end) : null,
  };
}
