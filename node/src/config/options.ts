/** Every option of a node: its name, what it may be, its default, what it is for. One table for the file, the environment, flags and documentation. */

/** How an option's text is read. Sizes and durations are numbers with a unit: `64MiB`, `10s`. */
export type OptionKind =
  | { readonly kind: 'text' }
  | { readonly kind: 'integer'; readonly min: number; readonly max: number }
  | { readonly kind: 'bytes'; readonly min: number }
  | { readonly kind: 'millis'; readonly min: number }
  | { readonly kind: 'choice'; readonly of: readonly string[] }
  /** 1, 2, 4 … */
  | { readonly kind: 'power-of-two'; readonly max: number };

export interface Option {
  readonly name: string;
  readonly type: OptionKind;
  /** As it would be written; `auto`: from the machine; empty: not set. */
  readonly default: string;
  /** hot: a change takes effect while the node runs. restart: at the next start. */
  readonly change: 'hot' | 'restart';
  readonly about: string;
}

const PORT: OptionKind = { kind: 'integer', min: 1, max: 65535 };
const TEXT: OptionKind = { kind: 'text' };
const BYTES: OptionKind = { kind: 'bytes', min: 1 << 20 };

export const OPTIONS = [
  {
    name: 'cluster_name',
    type: TEXT,
    default: 'Ilion',
    change: 'restart',
    about: 'Name of the cluster; data of another cluster is refused.',
  },
  {
    name: 'data_center',
    type: TEXT,
    default: 'datacenter1',
    change: 'restart',
    about: 'Datacenter of this node, as drivers and replication see it.',
  },
  { name: 'rack', type: TEXT, default: 'rack1', change: 'restart', about: 'Rack of this node.' },
  {
    name: 'data_directory',
    type: TEXT,
    default: 'data',
    change: 'restart',
    about: 'Where all data lives. One process at a time.',
  },
  {
    name: 'rpc_address',
    type: TEXT,
    default: '127.0.0.1',
    change: 'restart',
    about: 'IPv4 address for CQL clients; 0.0.0.0 for all.',
  },
  {
    name: 'native_transport_port',
    type: PORT,
    default: '9042',
    change: 'restart',
    about: 'Port for CQL clients.',
  },
  {
    name: 'listen_address',
    type: TEXT,
    default: '',
    change: 'restart',
    about: 'IPv4 address for the other nodes of the cluster; empty: this node is alone.',
  },
  {
    name: 'internode_port',
    type: PORT,
    default: '7000',
    change: 'restart',
    about: 'Port for gossip and the metadata log.',
  },
  {
    name: 'internode_data_port',
    type: PORT,
    default: '7001',
    change: 'restart',
    about: 'Port for replicated reads and writes.',
  },
  {
    name: 'internode_stream_port',
    type: PORT,
    default: '7002',
    change: 'restart',
    about: 'Port for whole files that move when the ring changes.',
  },
  {
    name: 'internode_encryption',
    type: { kind: 'choice', of: ['none', 'all'] },
    default: 'none',
    change: 'restart',
    about: 'all: links between nodes use TLS, on both ports; the same on every node.',
  },
  {
    name: 'internode_certificate',
    type: TEXT,
    default: '',
    change: 'restart',
    about:
      'PEM file with the certificate of this node for the others; like the next two, read again when it has changed.',
  },
  {
    name: 'internode_key',
    type: TEXT,
    default: '',
    change: 'restart',
    about: 'PEM file with the key of internode_certificate.',
  },
  {
    name: 'internode_authority',
    type: TEXT,
    default: '',
    change: 'restart',
    about: "PEM file with the authorities that nodes' certificates must be signed by.",
  },
  {
    name: 'internode_client_auth',
    type: { kind: 'choice', of: ['true', 'false'] },
    default: 'true',
    change: 'restart',
    about: 'Whether those who connect must show such a certificate, too.',
  },
  {
    name: 'internode_endpoint_verification',
    type: { kind: 'choice', of: ['true', 'false'] },
    default: 'false',
    change: 'restart',
    about: "Whether a node's certificate must be made out to its listen_address.",
  },
  {
    name: 'seeds',
    type: TEXT,
    default: '',
    change: 'hot',
    about:
      'Where to find the cluster: ADDRESS or ADDRESS:INTERNODE_PORT of some nodes, by commas. A name stands for all IPv4 addresses that it has, and is asked for again. A new node without any other than itself starts a new cluster.',
  },
  {
    name: 'new_cluster',
    type: { kind: 'choice', of: ['true', 'false'] },
    default: 'false',
    change: 'restart',
    about:
      'true: a node without data starts a new cluster, whatever its seeds are. To be taken back as soon as it has: with its data lost it would start another one.',
  },
  {
    name: 'num_tokens',
    type: { kind: 'integer', min: 1, max: 256 },
    default: '16',
    change: 'restart',
    about: 'Token ranges that a new node takes.',
  },
  {
    name: 'phi_convict_threshold',
    type: { kind: 'integer', min: 5, max: 16 },
    default: '8',
    change: 'hot',
    about: 'How sure the failure detector is before it takes a silent node for dead.',
  },
  {
    name: 'read_request_timeout',
    type: { kind: 'millis', min: 10 },
    default: '5s',
    change: 'hot',
    about: 'How long replicas may take for a read by key.',
  },
  {
    name: 'range_request_timeout',
    type: { kind: 'millis', min: 10 },
    default: '10s',
    change: 'hot',
    about: 'The same for a read of many partitions.',
  },
  {
    name: 'write_request_timeout',
    type: { kind: 'millis', min: 10 },
    default: '2s',
    change: 'hot',
    about: 'The same for a write.',
  },
  {
    name: 'counter_write_request_timeout',
    type: { kind: 'millis', min: 10 },
    default: '5s',
    change: 'hot',
    about: 'The same for a counter.',
  },
  {
    name: 'cas_contention_timeout',
    type: { kind: 'millis', min: 10 },
    default: '1s',
    change: 'hot',
    about: 'How long a conditional write tries again when others write to the same partition.',
  },
  {
    name: 'max_hint_window',
    type: { kind: 'millis', min: 0 },
    default: '3h',
    change: 'hot',
    about: 'For how long writes are kept for a node that is down.',
  },
  {
    name: 'max_hints_size_per_host',
    type: { kind: 'bytes', min: 0 },
    default: '256MiB',
    change: 'hot',
    about: 'Bytes of them for each such node.',
  },
  {
    name: 'stream_throughput_outbound',
    type: { kind: 'bytes', min: 0 },
    default: '0',
    change: 'hot',
    about: 'Bytes a second of all files that this node sends to others; 0: no limit.',
  },
  {
    name: 'stream_entire_sstables',
    type: { kind: 'choice', of: ['true', 'false'] },
    default: 'true',
    change: 'hot',
    about: 'false: this node gets ranges row by row, not as whole files.',
  },
  {
    name: 'host_id',
    type: TEXT,
    default: '',
    change: 'restart',
    about:
      'UUID that a new data directory gets as its identity; empty: a random one. A node whose data has another one does not start.',
  },
  {
    name: 'replace_host_id',
    type: TEXT,
    default: '',
    change: 'restart',
    about: 'Of a new node: host id of the dead node whose place it takes.',
  },
  {
    name: 'metrics_address',
    type: TEXT,
    default: '127.0.0.1',
    change: 'restart',
    about: 'Address of /metrics, /healthz and /readyz.',
  },
  {
    name: 'metrics_port',
    type: PORT,
    default: '9180',
    change: 'restart',
    about: 'Port of /metrics, /healthz and /readyz.',
  },
  {
    name: 'admin_address',
    type: TEXT,
    default: '127.0.0.1',
    change: 'restart',
    about: 'Address of the admin service (gRPC), which `ilion status` and the like talk to.',
  },
  {
    name: 'admin_port',
    type: PORT,
    default: '9043',
    change: 'restart',
    about: 'Port of the admin service.',
  },
  {
    name: 'admin_encryption',
    type: { kind: 'choice', of: ['none', 'all'] },
    default: 'none',
    change: 'restart',
    about:
      'all: the admin service uses TLS with the certificates of internode_encryption, and whoever asks must show one of the same authority.',
  },
  {
    name: 'workers',
    type: { kind: 'integer', min: 1, max: 256 },
    default: 'auto',
    change: 'restart',
    about: 'Event loops that serve clients; auto: one a core.',
  },
  {
    name: 'shards',
    type: { kind: 'power-of-two', max: 256 },
    default: 'auto',
    change: 'restart',
    about:
      'RocksDB instances; auto: one a core. A change lays all data out anew at the next start.',
  },
  {
    name: 'commitlog_sync',
    type: { kind: 'choice', of: ['group', 'periodic'] },
    default: 'group',
    change: 'restart',
    about:
      'group: acknowledged means on disk (shared fsync). periodic: fsync every commitlog_sync_period; a power cut may lose what was acknowledged since.',
  },
  {
    name: 'commitlog_sync_period',
    type: { kind: 'millis', min: 1 },
    default: '10s',
    change: 'restart',
    about: 'Longest time between fsyncs in mode periodic.',
  },
  {
    name: 'memory_limit',
    type: { kind: 'bytes', min: 256 << 20 },
    default: 'auto',
    change: 'restart',
    about:
      "Memory the process may use; auto: a quarter of the container's or machine's, at most 512MiB. Cache and memtables follow from it.",
  },
  {
    name: 'cache_size',
    type: BYTES,
    default: 'auto',
    change: 'restart',
    about: 'Block cache; auto: 24 % of memory_limit.',
  },
  {
    name: 'memtable_size',
    type: BYTES,
    default: 'auto',
    change: 'restart',
    about: 'Memtables, all together; auto: 11 % of memory_limit.',
  },
  {
    name: 'compaction_throughput',
    type: { kind: 'bytes', min: 0 },
    default: '0',
    change: 'restart',
    about: 'Bytes a second that flushes and compactions may write; 0: no limit.',
  },
  {
    name: 'concurrent_compactors',
    type: { kind: 'integer', min: 1, max: 64 },
    default: '2',
    change: 'restart',
    about: 'Threads for flushes and compactions.',
  },
  {
    name: 'concurrent_reads',
    type: { kind: 'integer', min: 1, max: 256 },
    default: '4',
    change: 'restart',
    about: 'Threads for reads that need the disk.',
  },
  {
    name: 'native_transport_max_connections',
    type: { kind: 'integer', min: 1, max: 1_000_000 },
    default: '16384',
    change: 'hot',
    about: 'Client connections of each worker; more are closed at once.',
  },
  {
    name: 'native_transport_startup_timeout',
    type: { kind: 'millis', min: 1000 },
    default: '30s',
    change: 'restart',
    about:
      'How long a client may take from connecting to the end of STARTUP and authentication; with TLS, as long again for its handshake. Beyond, it is closed.',
  },
  {
    name: 'native_transport_max_frame_size',
    type: { kind: 'bytes', min: 4096 },
    default: '16MiB',
    change: 'hot',
    about: 'Largest request.',
  },
  {
    name: 'native_transport_max_in_flight',
    type: BYTES,
    default: '64MiB',
    change: 'hot',
    about:
      'Bytes of requests being worked on, of all connections; beyond it clients get Overloaded or are not read.',
  },
  {
    name: 'native_transport_max_in_flight_per_connection',
    type: BYTES,
    default: '32MiB',
    change: 'hot',
    about: 'The same for one connection.',
  },
  {
    name: 'native_transport_max_requests_per_connection',
    type: { kind: 'integer', min: 1, max: 32768 },
    default: '2048',
    change: 'hot',
    about: 'Requests of one connection being worked on; beyond it the connection is not read.',
  },
  {
    name: 'client_certificate',
    type: TEXT,
    default: '',
    change: 'restart',
    about: 'PEM file with the certificate for TLS; TLS is on if this and client_key are set.',
  },
  {
    name: 'client_key',
    type: TEXT,
    default: '',
    change: 'restart',
    about: 'PEM file with the key for TLS.',
  },
  {
    name: 'client_authority',
    type: TEXT,
    default: '',
    change: 'restart',
    about:
      "PEM file with the authority that clients' certificates must be signed by; empty: clients need none.",
  },
  {
    name: 'log_level',
    type: { kind: 'choice', of: ['error', 'warn', 'info', 'debug'] },
    default: 'info',
    change: 'hot',
    about: 'What is logged.',
  },
  {
    name: 'log_format',
    type: { kind: 'choice', of: ['auto', 'pretty', 'json'] },
    default: 'auto',
    change: 'restart',
    about: 'auto: pretty on a terminal, JSON lines otherwise.',
  },
  {
    name: 'drain_timeout',
    type: { kind: 'millis', min: 0 },
    default: '10s',
    change: 'hot',
    about: 'How long SIGTERM waits for requests that are being worked on.',
  },
] as const satisfies readonly Option[];

export type OptionName = (typeof OPTIONS)[number]['name'];

/** The file that sets every option to its default, with its documentation. */
export function documentedYaml(): string {
  const lines = [
    '# Every option of an Ilion node, with its default. Those marked (hot) change while the node runs: `ilion reload`.',
    '',
  ];
  for (const { name, about, default: value, type, change } of OPTIONS) {
    const choices = type.kind === 'choice' ? ` One of: ${type.of.join(', ')}.` : '';
    lines.push(`# ${change === 'hot' ? '(hot) ' : ''}${about}${choices}`);
    lines.push(`#${name}: ${value === '' ? "''" : value}`, '');
  }
  return lines.join('\n');
}
