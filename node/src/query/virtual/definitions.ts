/** The system's own keyspaces and tables, as CQL. Those in `STORED` are kept in the shards; the others are made up when read. */
import type { CreateTableStatement, Statement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import {
  type ColumnDef,
  DEFAULT_TABLE_OPTIONS,
  EMPTY_SCHEMA,
  type KeyspaceDef,
  type Schema,
  sortColumns,
  type TableDef,
} from '../../schema/schema.ts';
import { resolveType } from '../resolve-type.ts';

const LOCAL = { class: 'org.apache.cassandra.locator.LocalStrategy' };
const SIMPLE = { class: 'org.apache.cassandra.locator.SimpleStrategy', replication_factor: '1' };

const REPLICATION: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  system: LOCAL,
  system_schema: LOCAL,
  system_traces: SIMPLE,
  system_views: LOCAL,
  system_virtual_schema: LOCAL,
};

/** Tables with records of their own. */
const STORED: ReadonlySet<string> = new Set([
  'system.batches',
  'system.batchlog',
  'system.hints',
  'system.paxos_state',
  'system_traces.sessions',
  'system_traces.events',
]);

const NODE_COLUMNS =
  'data_center text, host_id uuid, rack text, release_version text, schema_version uuid, tokens set<text>';
const TABLE_OPTION_COLUMNS =
  'additional_write_policy text, allow_auto_snapshot boolean, bloom_filter_fp_chance double, caching frozen<map<text, text>>, cdc boolean, ' +
  'comment text, compaction frozen<map<text, text>>, compression frozen<map<text, text>>, crc_check_chance double, ' +
  'dclocal_read_repair_chance double, default_time_to_live int, extensions frozen<map<text, blob>>, gc_grace_seconds int, ' +
  'incremental_backups boolean, max_index_interval int, memtable text, memtable_flush_period_in_ms int, min_index_interval int, ' +
  'read_repair text, read_repair_chance double, speculative_retry text';

const TABLES: readonly string[] = [
  `system.local (key text PRIMARY KEY, bootstrapped text, broadcast_address inet, broadcast_port int, cluster_name text, cql_version text, gossip_generation int, listen_address inet, listen_port int, native_protocol_version text, partitioner text, rpc_address inet, rpc_port int, truncated_at map<uuid, blob>, ${NODE_COLUMNS})`,
  `system.peers (peer inet PRIMARY KEY, preferred_ip inet, rpc_address inet, ${NODE_COLUMNS})`,
  `system.peers_v2 (peer inet, peer_port int, native_address inet, native_port int, preferred_ip inet, preferred_port int, ${NODE_COLUMNS}, PRIMARY KEY (peer, peer_port))`,
  'system.batches (id timeuuid PRIMARY KEY, mutations blob)',
  'system.batchlog (id timeuuid PRIMARY KEY, message blob)',
  'system.paxos_state (table_ref blob, row_key blob, state blob, PRIMARY KEY ((table_ref, row_key)))',
  'system.hints (host_id uuid, worker int, id timeuuid, message blob, PRIMARY KEY ((host_id, worker), id))',
  'system.paxos (row_key blob, cf_id uuid, in_progress_ballot timeuuid, most_recent_commit blob, most_recent_commit_at timeuuid, most_recent_commit_version int, proposal blob, proposal_ballot timeuuid, proposal_version int, PRIMARY KEY (row_key, cf_id))',
  'system.size_estimates (keyspace_name text, table_name text, range_start text, range_end text, mean_partition_size bigint, partitions_count bigint, PRIMARY KEY (keyspace_name, table_name, range_start, range_end))',
  'system.table_estimates (keyspace_name text, table_name text, range_type text, range_start text, range_end text, mean_partition_size bigint, partitions_count bigint, PRIMARY KEY (keyspace_name, table_name, range_type, range_start, range_end))',
  'system.built_views (keyspace_name text, view_name text, status_replicated boolean, PRIMARY KEY (keyspace_name, view_name))',
  'system.compaction_history (id uuid PRIMARY KEY, bytes_in bigint, bytes_out bigint, columnfamily_name text, compacted_at timestamp, keyspace_name text, rows_merged map<int, bigint>)',
  'system.prepared_statements (prepared_id blob PRIMARY KEY, logged_keyspace text, query_string text)',
  'system."IndexInfo" (table_name text, index_name text, value blob, PRIMARY KEY (table_name, index_name))',
  'system_schema.keyspaces (keyspace_name text PRIMARY KEY, durable_writes boolean, replication frozen<map<text, text>>)',
  `system_schema.tables (keyspace_name text, table_name text, flags frozen<set<text>>, id uuid, ${TABLE_OPTION_COLUMNS}, PRIMARY KEY (keyspace_name, table_name))`,
  'system_schema.columns (keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes blob, kind text, position int, type text, PRIMARY KEY (keyspace_name, table_name, column_name))',
  'system_schema.column_masks (keyspace_name text, table_name text, column_name text, function_argument_nulls frozen<list<boolean>>, function_argument_types frozen<list<text>>, function_argument_values frozen<list<text>>, function_keyspace text, function_name text, PRIMARY KEY (keyspace_name, table_name, column_name))',
  'system_schema.dropped_columns (keyspace_name text, table_name text, column_name text, dropped_time timestamp, kind text, type text, PRIMARY KEY (keyspace_name, table_name, column_name))',
  'system_schema.types (keyspace_name text, type_name text, field_names frozen<list<text>>, field_types frozen<list<text>>, PRIMARY KEY (keyspace_name, type_name))',
  'system_schema.functions (keyspace_name text, function_name text, argument_types frozen<list<text>>, argument_names frozen<list<text>>, body text, called_on_null_input boolean, language text, return_type text, PRIMARY KEY (keyspace_name, function_name, argument_types))',
  'system_schema.aggregates (keyspace_name text, aggregate_name text, argument_types frozen<list<text>>, final_func text, initcond text, return_type text, state_func text, state_type text, PRIMARY KEY (keyspace_name, aggregate_name, argument_types))',
  'system_schema.triggers (keyspace_name text, table_name text, trigger_name text, options frozen<map<text, text>>, PRIMARY KEY (keyspace_name, table_name, trigger_name))',
  'system_schema.indexes (keyspace_name text, table_name text, index_name text, kind text, options frozen<map<text, text>>, PRIMARY KEY (keyspace_name, table_name, index_name))',
  `system_schema.views (keyspace_name text, view_name text, base_table_id uuid, base_table_name text, id uuid, include_all_columns boolean, where_clause text, ${TABLE_OPTION_COLUMNS}, PRIMARY KEY (keyspace_name, view_name))`,
  'system_virtual_schema.keyspaces (keyspace_name text PRIMARY KEY)',
  'system_virtual_schema.tables (keyspace_name text, table_name text, comment text, PRIMARY KEY (keyspace_name, table_name))',
  'system_virtual_schema.columns (keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes blob, kind text, position int, type text, PRIMARY KEY (keyspace_name, table_name, column_name))',
  'system_traces.sessions (session_id uuid PRIMARY KEY, client inet, command text, coordinator inet, coordinator_port int, duration int, parameters map<text, text>, request text, started_at timestamp)',
  'system_traces.events (session_id uuid, event_id timeuuid, activity text, source inet, source_elapsed int, source_port int, thread text, PRIMARY KEY (session_id, event_id))',
  'system_views.settings (name text PRIMARY KEY, value text)',
  'system_views.clients (address inet, port int, connection_stage text, driver_name text, driver_version text, hostname text, protocol_version int, request_count bigint, ssl_enabled boolean, username text, PRIMARY KEY (address, port))',
  'system_views.disk_usage (keyspace_name text, table_name text, mebibytes bigint, PRIMARY KEY (keyspace_name, table_name))',
  'system_views.thread_pools (name text PRIMARY KEY, active_tasks int, pending_tasks int)',
];

/** A fixed id for a name: 128 bits of FNV-like hashing, in a UUID's form. */
function tableId(name: string): string {
  let hex = '';
  for (let part = 0; part < 4; part++) {
    let hash = 0x811c9dc5 ^ (part * 0x9e3779b1);
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    hex += (hash >>> 0).toString(16).padStart(8, '0');
  }
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-3${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

function defineTable(statement: CreateTableStatement): TableDef {
  const keyspace = statement.table.keyspace ?? 'system';
  const { name } = statement.table;
  const [{ partition, clustering }] = statement.primaryKeys;
  const columns = statement.columns.map((column, id): ColumnDef => {
    const inPartition = partition.indexOf(column.name);
    const inClustering = clustering.indexOf(column.name);
    return {
      name: column.name,
      id,
      type: resolveType(column.type, EMPTY_SCHEMA, keyspace),
      kind: inPartition >= 0 ? 'partition_key' : inClustering >= 0 ? 'clustering' : 'regular',
      position: Math.max(inPartition, inClustering),
      reversed: false,
    };
  });
  return {
    keyspace,
    name,
    id: tableId(`${keyspace}.${name}`),
    generation: 0,
    nextColumnId: columns.length,
    columns: sortColumns(columns),
    options: { ...DEFAULT_TABLE_OPTIONS, gc_grace_seconds: 0 },
    droppedColumns: [],
    isCounter: false,
  };
}

function build(): ReadonlyMap<string, KeyspaceDef> {
  const tables = TABLES.map((text) => {
    const statement: Statement = parseStatement(`CREATE TABLE ${text}`);
    if (statement.kind !== 'createTable') throw new TypeError(`not a table: ${text}`);
    return defineTable(statement);
  });
  return new Map(
    Object.entries(REPLICATION).map(([name, replication]) => [
      name,
      {
        name,
        replication,
        durableWrites: true,
        tables: new Map(tables.filter((t) => t.keyspace === name).map((t) => [t.name, t])),
        types: new Map(),
      },
    ]),
  );
}

/** The system keyspaces; the same in every node and version of this schema. */
export const SYSTEM_KEYSPACES: ReadonlyMap<string, KeyspaceDef> = build();

/** Cassandra's virtual keyspaces: clients find them in system_virtual_schema instead of system_schema. */
export const VIRTUAL_KEYSPACES: ReadonlySet<string> = new Set([
  'system_views',
  'system_virtual_schema',
]);

/** @returns the schema with the system keyspaces in it */
export function withSystemKeyspaces(schema: Schema): Schema {
  return { ...schema, keyspaces: new Map([...SYSTEM_KEYSPACES, ...schema.keyspaces]) };
}

/** @returns the schema without the system keyspaces: what is stored */
export function withoutSystemKeyspaces(schema: Schema): Schema {
  const keyspaces = new Map([...schema.keyspaces].filter(([name]) => !SYSTEM_KEYSPACES.has(name)));
  return { ...schema, keyspaces };
}

/** True if the table has no records: its rows are made when it is read. */
export function isVirtual(table: TableDef): boolean {
  return SYSTEM_KEYSPACES.has(table.keyspace) && !STORED.has(`${table.keyspace}.${table.name}`);
}
