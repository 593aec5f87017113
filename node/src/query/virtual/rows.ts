/** The rows of the virtual tables. */
import { Writer } from '../../common/bytes.ts';
import type { ColumnDef, KeyspaceDef, Schema, TableDef } from '../../schema/schema.ts';
import { writeClustering, writePartitionKey } from '../../storage/keys.ts';
import { type MemoryRecord, MemoryRecords } from '../../storage/memory-records.ts';
import { type Cell, compareCellPlaces, encodeRecord } from '../../storage/record.ts';
import type { TableHandle } from '../../storage/record-source.ts';
import { type CqlValue, encode } from '../../types/codec.ts';
import { isMultiCell } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import { parseUuid } from '../../types/uuid.ts';
import { collectionCells } from '../operations.ts';
import { VIRTUAL_KEYSPACES } from './definitions.ts';

export type VirtualRow = Readonly<Record<string, CqlValue>>;

/** What a node tells of itself. Addresses are 4 or 16 bytes. */
export interface NodeFacts {
  readonly clusterName: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly hostId: string;
  readonly tokens: readonly string[];
  readonly rpcAddress: Uint8Array;
  readonly rpcPort: number;
  readonly listenAddress: Uint8Array;
  readonly listenPort: number;
  /** Cassandra's release whose behaviour we have: drivers decide by it. */
  readonly releaseVersion: string;
  readonly cqlVersion: string;
}

export interface ClientFacts {
  readonly address: Uint8Array;
  readonly port: number;
  readonly stage: string;
  readonly driverName: string | null;
  readonly driverVersion: string | null;
  readonly protocolVersion: number;
  readonly requestCount: number;
  readonly isEncrypted: boolean;
}

/** Another node of the cluster, as this one sees it. */
export interface PeerFacts extends Omit<NodeFacts, 'clusterName' | 'cqlVersion'> {
  readonly schemaVersion: string;
}

export interface VirtualSources {
  node(): NodeFacts;
  /** The same array as long as nothing in it has changed. */
  peers(): readonly PeerFacts[];
  schema(): Schema;
  settings(): readonly (readonly [string, string])[];
  clients(): readonly ClientFacts[];
  /** Bytes on disk of each table, on this node. */
  diskUsage(): readonly {
    readonly keyspace: string;
    readonly table: string;
    readonly bytes: number;
  }[];
  threadPools(): readonly {
    readonly name: string;
    readonly active: number;
    readonly pending: number;
  }[];
}

function uuid(text: string): Uint8Array {
  return parseUuid(text) ?? new Uint8Array(16);
}

function entries(map: Readonly<Record<string, string>>): CqlValue {
  return Object.entries(map).map(([key, value]): CqlValue => [key, value]);
}

function localRow(sources: VirtualSources): VirtualRow {
  const node = sources.node();
  return {
    key: 'local',
    bootstrapped: 'COMPLETED',
    broadcast_address: node.listenAddress,
    broadcast_port: node.listenPort,
    cluster_name: node.clusterName,
    cql_version: node.cqlVersion,
    data_center: node.datacenter,
    gossip_generation: 0,
    host_id: uuid(node.hostId),
    listen_address: node.listenAddress,
    listen_port: node.listenPort,
    native_protocol_version: '5',
    partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
    rack: node.rack,
    release_version: node.releaseVersion,
    rpc_address: node.rpcAddress,
    rpc_port: node.rpcPort,
    schema_version: uuid(sources.schema().version),
    tokens: [...node.tokens],
  };
}

function peerRow(peer: PeerFacts): VirtualRow {
  return {
    data_center: peer.datacenter,
    host_id: uuid(peer.hostId),
    rack: peer.rack,
    release_version: peer.releaseVersion,
    schema_version: uuid(peer.schemaVersion),
    tokens: [...peer.tokens],
    peer: peer.listenAddress,
  };
}

function systemRows(table: string, sources: VirtualSources): VirtualRow[] {
  switch (table) {
    case 'local':
      return [localRow(sources)];
    case 'peers':
      return sources
        .peers()
        .map((peer) => ({ ...peerRow(peer), preferred_ip: null, rpc_address: peer.rpcAddress }));
    case 'peers_v2':
      return sources.peers().map((peer) => ({
        ...peerRow(peer),
        peer_port: peer.listenPort,
        native_address: peer.rpcAddress,
        native_port: peer.rpcPort,
        preferred_ip: null,
        preferred_port: null,
      }));
    default:
      return [];
  }
}

function keyspaces(schema: Schema, virtual: boolean): KeyspaceDef[] {
  return [...schema.keyspaces.values()].filter((k) => VIRTUAL_KEYSPACES.has(k.name) === virtual);
}

function tables(schema: Schema, virtual: boolean): TableDef[] {
  return keyspaces(schema, virtual).flatMap((keyspace) => [...keyspace.tables.values()]);
}

function columnRow(table: TableDef, column: ColumnDef): VirtualRow {
  return {
    keyspace_name: table.keyspace,
    table_name: table.name,
    column_name: column.name,
    clustering_order: column.kind === 'clustering' ? (column.reversed ? 'desc' : 'asc') : 'none',
    column_name_bytes: Buffer.from(column.name),
    kind: column.kind,
    position: column.position,
    type: typeName(column.type),
  };
}

function tableRow(table: TableDef): VirtualRow {
  const { caching, compaction, compression, extensions, ...options } = table.options;
  return {
    ...options,
    keyspace_name: table.keyspace,
    table_name: table.name,
    caching: entries(caching),
    compaction: entries(compaction),
    compression: entries(compression),
    extensions: Object.entries(extensions).map(([k, v]): CqlValue => [k, Buffer.from(v)]),
    dclocal_read_repair_chance: 0,
    read_repair_chance: 0,
    flags: table.isCounter ? ['compound', 'counter'] : ['compound'],
    id: uuid(table.id),
  };
}

function schemaRows(table: string, schema: Schema): VirtualRow[] {
  switch (table) {
    case 'keyspaces':
      return keyspaces(schema, false).map((keyspace) => ({
        keyspace_name: keyspace.name,
        durable_writes: keyspace.durableWrites,
        replication: entries(keyspace.replication),
      }));
    case 'tables':
      return tables(schema, false).map(tableRow);
    case 'columns':
      return tables(schema, false).flatMap((t) => t.columns.map((c) => columnRow(t, c)));
    case 'dropped_columns':
      return tables(schema, false).flatMap((t) =>
        t.droppedColumns.map((column) => ({
          keyspace_name: t.keyspace,
          table_name: t.name,
          column_name: column.name,
          dropped_time: BigInt(Math.floor(column.droppedTime / 1000)),
          kind: column.isStatic ? 'static' : 'regular',
          type: typeName(column.type),
        })),
      );
    case 'types':
      return keyspaces(schema, false).flatMap((keyspace) =>
        [...keyspace.types.values()].map((type) => ({
          keyspace_name: keyspace.name,
          type_name: type.name,
          field_names: [...type.fieldNames],
          field_types: type.fieldTypes.map(typeName),
        })),
      );
    default:
      return [];
  }
}

function virtualSchemaRows(table: string, schema: Schema): VirtualRow[] {
  switch (table) {
    case 'keyspaces':
      return keyspaces(schema, true).map((keyspace) => ({ keyspace_name: keyspace.name }));
    case 'tables':
      return tables(schema, true).map((t) => ({
        keyspace_name: t.keyspace,
        table_name: t.name,
        comment: t.options.comment,
      }));
    default:
      return tables(schema, true).flatMap((t) => t.columns.map((c) => columnRow(t, c)));
  }
}

function viewRows(table: string, sources: VirtualSources): VirtualRow[] {
  switch (table) {
    case 'settings':
      return sources.settings().map(([name, value]) => ({ name, value }));
    case 'clients':
      return sources.clients().map((client) => ({
        address: client.address,
        port: client.port,
        connection_stage: client.stage,
        driver_name: client.driverName,
        driver_version: client.driverVersion,
        hostname: null,
        protocol_version: client.protocolVersion,
        request_count: BigInt(client.requestCount),
        ssl_enabled: client.isEncrypted,
        username: 'anonymous',
      }));
    case 'disk_usage':
      return sources.diskUsage().map(({ keyspace, table: name, bytes }) => ({
        keyspace_name: keyspace,
        table_name: name,
        mebibytes: BigInt(Math.ceil(bytes / 1048576)),
      }));
    default:
      return sources.threadPools().map(({ name, active, pending }) => ({
        name,
        active_tasks: active,
        pending_tasks: pending,
      }));
  }
}

function rowsOf(table: TableDef, sources: VirtualSources): VirtualRow[] {
  switch (table.keyspace) {
    case 'system':
      return systemRows(table.name, sources);
    case 'system_schema':
      return schemaRows(table.name, sources.schema());
    case 'system_virtual_schema':
      return virtualSchemaRows(table.name, sources.schema());
    default:
      return viewRows(table.name, sources);
  }
}

function toRecord(handle: TableHandle, row: VirtualRow): MemoryRecord {
  const { table, keys } = handle;
  const key = new Writer(64);
  const encoded = (column: ColumnDef) => encode(column.type, row[column.name] ?? null);
  const keyValue = (column: ColumnDef) => encoded(column) ?? new Uint8Array(0);
  writePartitionKey(keys, keys.partitionKey.map(keyValue), key);
  writeClustering(keys, keys.clustering.map(keyValue), key);
  const cells: Cell[] = [];
  for (const column of table.columns) {
    if (column.kind !== 'regular') continue;
    const value = encoded(column);
    if (value === null) continue;
    if (isMultiCell(column.type)) cells.push(...collectionCells(column, value));
    else {
      cells.push({
        column: column.id,
        kind: 'live',
        timestamp: 0n,
        ttl: 0,
        localSeconds: 0,
        path: null,
        value,
      });
    }
  }
  cells.sort(compareCellPlaces);
  const liveness = { timestamp: 0n, ttl: 0, expiry: 0 };
  return { key: key.copy(), record: encodeRecord({ liveness, deletion: null, ranges: [], cells }) };
}

/** Records of the tables about schema and nodes, kept as long as these are the same. */
export class VirtualTables {
  private readonly sources: VirtualSources;
  private readonly cache = new Map<TableDef, MemoryRecords>();
  private cachedFor: Schema | null = null;
  private cachedNode: NodeFacts | null = null;
  private cachedPeers: readonly PeerFacts[] | null = null;

  constructor(sources: VirtualSources) {
    this.sources = sources;
  }

  /** The table's records as they are now. */
  records(handle: TableHandle): MemoryRecords {
    this.forgetOld();
    const { table } = handle;
    const known = this.cache.get(table);
    if (known !== undefined) return known;
    const records = new MemoryRecords(
      rowsOf(table, this.sources).map((row) => toRecord(handle, row)),
    );
    if (table.keyspace !== 'system_views') this.cache.set(table, records);
    return records;
  }

  private forgetOld(): void {
    const schema = this.sources.schema();
    const node = this.sources.node();
    const peers = this.sources.peers();
    const isSame =
      schema === this.cachedFor && node === this.cachedNode && peers === this.cachedPeers;
    if (isSame) return;
    this.cache.clear();
    this.cachedFor = schema;
    this.cachedNode = node;
    this.cachedPeers = peers;
  }
}
