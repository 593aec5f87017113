/** Events and schema changes, and their bytes. Source: native protocol v5, 4.2.5.5 and 4.2.6. */
import type { Writer } from '../common/bytes.ts';
import type { ProtocolVersion } from './protocol.ts';

export type EventType = 'TOPOLOGY_CHANGE' | 'STATUS_CHANGE' | 'SCHEMA_CHANGE';
export const EVENT_TYPES: readonly EventType[] = [
  'TOPOLOGY_CHANGE',
  'STATUS_CHANGE',
  'SCHEMA_CHANGE',
];

/** Also the body of RESULT schema_change. */
export interface SchemaChange {
  readonly change: 'CREATED' | 'UPDATED' | 'DROPPED';
  readonly target: 'KEYSPACE' | 'TABLE' | 'TYPE' | 'FUNCTION' | 'AGGREGATE';
  readonly keyspace: string;
  /** Table, type, function or aggregate; empty for a keyspace. */
  readonly name: string;
  /** CQL types of the arguments of a function or aggregate. */
  readonly argumentTypes?: readonly string[];
}

/** A node came, went or moved. `address` has 4 or 16 bytes. */
export interface TopologyChangeEvent {
  readonly type: 'TOPOLOGY_CHANGE';
  readonly change: 'NEW_NODE' | 'REMOVED_NODE' | 'MOVED_NODE';
  readonly address: Uint8Array;
  readonly port: number;
}
/** A node became reachable or unreachable. */
export interface StatusChangeEvent {
  readonly type: 'STATUS_CHANGE';
  readonly change: 'UP' | 'DOWN';
  readonly address: Uint8Array;
  readonly port: number;
}
export interface SchemaChangeEvent extends SchemaChange {
  readonly type: 'SCHEMA_CHANGE';
}
export type ServerEvent = TopologyChangeEvent | StatusChangeEvent | SchemaChangeEvent;

/** Writes change, target and names. v3 knows no functions: there their keyspace was updated. */
export function writeSchemaChange(
  out: Writer,
  event: SchemaChange,
  version: ProtocolVersion,
): void {
  const callable = event.target === 'FUNCTION' || event.target === 'AGGREGATE';
  if (callable && version < 4) {
    out.string('UPDATED');
    out.string('KEYSPACE');
    out.string(event.keyspace);
    return;
  }
  out.string(event.change);
  out.string(event.target);
  out.string(event.keyspace);
  if (event.target === 'KEYSPACE') return;
  out.string(event.name);
  if (callable) out.stringList(event.argumentTypes ?? []);
}

/** Writes the body of EVENT. */
export function writeEvent(out: Writer, event: ServerEvent, version: ProtocolVersion): void {
  out.string(event.type);
  if (event.type === 'SCHEMA_CHANGE') {
    writeSchemaChange(out, event, version);
    return;
  }
  out.string(event.change);
  out.u8(event.address.length);
  out.raw(event.address);
  out.i32(event.port);
}
