/**
 * Bodies of RESULT. Metadata is encoded once per prepared statement and protocol version
 * (`encodeMetadata`) and then only copied. Source: native protocol v5, 4.2.5.
 */
import { Writer } from '../common/bytes.ts';
import type { CqlType } from '../types/cql-type.ts';
import { writeTypeOption } from '../types/protocol-type.ts';
import { type SchemaChange, writeSchemaChange } from './events.ts';
import { MetadataFlag, type ProtocolVersion, ResultKind } from './protocol.ts';

/** A column of a result, or a bind marker. */
export interface ColumnSpec {
  readonly keyspace: string;
  readonly table: string;
  readonly name: string;
  readonly type: CqlType;
}

/** Column specifications as bytes of one protocol version. */
export interface EncodedMetadata {
  readonly version: ProtocolVersion;
  readonly columnCount: number;
  /** GlobalTablesSpec or 0. */
  readonly flags: number;
  /** Global table name if flagged, then each column. */
  readonly columns: Buffer;
}

/** Encodes column specifications. */
export function encodeMetadata(
  columns: readonly ColumnSpec[],
  version: ProtocolVersion,
): EncodedMetadata {
  const out = new Writer(64 + columns.length * 32);
  const oneTable = columns.length > 0 && columns.every((column) => sameTable(column, columns[0]));
  if (oneTable) {
    out.string(columns[0].keyspace);
    out.string(columns[0].table);
  }
  for (const column of columns) {
    if (!oneTable) {
      out.string(column.keyspace);
      out.string(column.table);
    }
    out.string(column.name);
    writeTypeOption(out, column.type, version);
  }
  const flags = oneTable ? MetadataFlag.GlobalTablesSpec : 0;
  return { version, columnCount: columns.length, flags, columns: out.copy() };
}

function sameTable(a: ColumnSpec, b: ColumnSpec): boolean {
  return a.keyspace === b.keyspace && a.table === b.table;
}

/** What differs from one rows answer to the next. */
export interface RowsOptions {
  /** Where the next page starts; null if there is none. */
  readonly pagingState?: Uint8Array | null;
  /** Leave the columns out, as the client asked. Not together with `newMetadataId`. */
  readonly skipMetadata?: boolean;
  /** v5: the client's metadata is stale, this is the id of the one that follows. */
  readonly newMetadataId?: Uint8Array | null;
}

/** Writes RESULT rows up to the row count, which the caller writes next (i32), then the cells. */
export function writeRowsHeader(
  out: Writer,
  metadata: EncodedMetadata,
  options: RowsOptions = {},
): void {
  out.i32(ResultKind.Rows);
  writeMetadata(out, metadata, options);
}

function writeMetadata(out: Writer, metadata: EncodedMetadata, options: RowsOptions): void {
  const pagingState = options.pagingState ?? null;
  const newId = metadata.version >= 5 ? (options.newMetadataId ?? null) : null;
  const skip = options.skipMetadata === true && newId === null;
  let flags = metadata.flags;
  if (pagingState !== null) flags |= MetadataFlag.HasMorePages;
  if (newId !== null) flags |= MetadataFlag.MetadataChanged;
  if (skip) flags |= MetadataFlag.NoMetadata;
  out.i32(flags);
  out.i32(metadata.columnCount);
  if (pagingState !== null) out.bytes(pagingState);
  if (newId !== null) out.shortBytes(newId);
  if (!skip) out.raw(metadata.columns);
}

/** Writes RESULT void. */
export function writeVoid(out: Writer): void {
  out.i32(ResultKind.Void);
}

/** Writes RESULT set_keyspace. */
export function writeSetKeyspace(out: Writer, keyspace: string): void {
  out.i32(ResultKind.SetKeyspace);
  out.string(keyspace);
}

/** Writes RESULT schema_change. */
export function writeSchemaChangeResult(
  out: Writer,
  change: SchemaChange,
  version: ProtocolVersion,
): void {
  out.i32(ResultKind.SchemaChange);
  writeSchemaChange(out, change, version);
}

/** An answer to PREPARE. */
export interface PreparedResult {
  readonly statementId: Uint8Array;
  /** Sent in v5 only, but always given: a hash of the result's columns. */
  readonly resultMetadataId: Uint8Array;
  /** Bind markers. */
  readonly variables: EncodedMetadata;
  /** Which bind marker is which partition key column; empty if they do not cover the key. */
  readonly partitionKeyIndexes: readonly number[];
  /** Null if executing returns no rows. */
  readonly result: EncodedMetadata | null;
}

/** Writes RESULT prepared. */
export function writePrepared(
  out: Writer,
  prepared: PreparedResult,
  version: ProtocolVersion,
): void {
  const { variables, result } = prepared;
  out.i32(ResultKind.Prepared);
  out.shortBytes(prepared.statementId);
  if (version >= 5) out.shortBytes(prepared.resultMetadataId);
  out.i32(variables.flags);
  out.i32(variables.columnCount);
  if (version >= 4) {
    // Indexes mean nothing if the markers belong to several tables.
    const indexes = variables.flags === 0 ? [] : prepared.partitionKeyIndexes;
    out.i32(indexes.length);
    for (const index of indexes) out.u16(index);
  }
  out.raw(variables.columns);
  if (result === null) {
    out.i32(MetadataFlag.NoMetadata);
    out.i32(0);
  } else {
    writeMetadata(out, result, {});
  }
}
