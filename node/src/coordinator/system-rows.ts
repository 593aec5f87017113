/** Rows of the coordinator's own tables: one blob a row. */
import { SYSTEM_KEYSPACES } from '../query/virtual/definitions.ts';
import type { TableDef } from '../schema/schema.ts';
import { encodeRecord } from '../storage/record.ts';

export function systemTable(name: string): TableDef {
  const table = SYSTEM_KEYSPACES.get('system')?.tables.get(name);
  if (table === undefined) throw new TypeError(`system.${name} is not defined`);
  return table;
}

export function columnId(table: TableDef, name: string): number {
  const column = table.columns.find((candidate) => candidate.name === name);
  if (column === undefined) throw new TypeError(`${table.name} has no column ${name}`);
  return column.id;
}

/** A row with one value. @param timestamp microseconds @param ttl seconds after which it is gone; 0: stays */
export function rowRecord(
  column: number,
  timestamp: bigint,
  value: Uint8Array,
  ttl = 0,
): Uint8Array {
  const expiry = ttl === 0 ? 0 : Number(timestamp / 1_000_000n) + ttl;
  const kind = ttl === 0 ? 'live' : 'expiring';
  return encodeRecord({
    liveness: { timestamp, ttl, expiry },
    deletion: null,
    ranges: [],
    cells: [{ column, kind, timestamp, ttl, localSeconds: expiry, path: null, value }],
  });
}

/** Deletes what was written up to `timestamp`. */
export function deletionRecord(timestamp: bigint): Uint8Array {
  const deletion = { timestamp, localSeconds: Number(timestamp / 1_000_000n) };
  return encodeRecord({ liveness: null, deletion, ranges: [], cells: [] });
}

/** Key and record of each entry of a page: views. */
export function* entriesOf(entries: Buffer): Generator<readonly [Buffer, Buffer]> {
  let at = 0;
  while (at < entries.length) {
    const keyEnd = at + 8 + entries.readUInt32LE(at);
    const end = keyEnd + entries.readUInt32LE(at + 4);
    yield [entries.subarray(at + 8, keyEnd), entries.subarray(keyEnd, end)];
    at = end;
  }
}
