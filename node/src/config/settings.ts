/** What a node can be told, after file, environment and flags have been put together and checked. */

/** TLS between nodes; paths of PEM files. */
export interface InternodeEncryption {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Of the authorities that nodes' certificates must be signed by. */
  readonly authorityFile: string;
  /** Whether those who connect must show a certificate. */
  readonly mutual: boolean;
  /** Whether a certificate must be made out to the address that is called. */
  readonly verifyAddress: boolean;
}

/** Where to find the cluster. */
export interface Seed {
  /** IPv4, or a name that stands for all addresses that it has. */
  readonly host: string;
  readonly port: number;
}

/** How the node is one of several. */
export interface ClusterSettings {
  readonly listenAddress: string;
  readonly controlPort: number;
  readonly dataPort: number;
  readonly streamPort: number;
  /** Null: links between nodes are not encrypted. */
  readonly encryption: InternodeEncryption | null;
  readonly seeds: readonly Seed[];
  /** Without data it starts a new cluster, whatever its seeds are. */
  readonly startsCluster: boolean;
  readonly numTokens: number;
  readonly phiConvictThreshold: number;
  readonly hintWindowMs: number;
  readonly hintBytesMax: number;
  /** A second, of all transfers that this node sends; 0: no limit. */
  readonly streamBytesPerSecond: number;
  readonly streamEntireSstables: boolean;
  /** Host id of the dead node whose place a new node takes; null: none. */
  readonly replaces: string | null;
}

/** Milliseconds until a client is told that replicas did not answer. */
export interface RequestTimeouts {
  readonly readMs: number;
  readonly rangeMs: number;
  readonly writeMs: number;
  readonly counterMs: number;
  readonly casMs: number;
}

export interface Settings {
  readonly clusterName: string;
  readonly datacenter: string;
  readonly rack: string;
  /** Identity of a new data directory; null: any. */
  readonly hostId: string | null;
  readonly dataDirectory: string;
  /** Address that CQL clients connect to. */
  readonly rpcAddress: string;
  readonly nativeTransportPort: number;
  /** Null: this node is alone. */
  readonly cluster: ClusterSettings | null;
  readonly timeouts: RequestTimeouts;
  /** Address and port of metrics and health over HTTP. */
  readonly metricsAddress: string;
  readonly metricsPort: number;
  /** Address and port of the admin service over gRPC. */
  readonly adminAddress: string;
  readonly adminPort: number;
  /** Null: the admin service is not encrypted. */
  readonly adminEncryption: InternodeEncryption | null;
  /** Event loops that serve clients. */
  readonly workers: number;
  /** RocksDB instances; a power of two. */
  readonly shards: number;
  readonly commitlogSync: 'group' | 'periodic';
  readonly commitlogSyncPeriodMs: number;
  /** Block cache of the whole node. */
  readonly cacheBytes: number;
  /** Memtables of the whole node. */
  readonly memtableBytes: number;
  /** Flushes and compactions, bytes per second; 0: no limit. */
  readonly compactionBytesPerSecond: number;
  readonly concurrentCompactors: number;
  readonly concurrentReads: number;
  readonly nativeTransportMaxConnections: number;
  readonly nativeTransportStartupTimeoutMs: number;
  readonly nativeTransportMaxFrameBytes: number;
  readonly nativeTransportMaxInFlightBytes: number;
  readonly nativeTransportMaxInFlightBytesPerConnection: number;
  readonly nativeTransportMaxInFlightRequestsPerConnection: number;
  readonly clientEncryption: {
    readonly certificateFile: string;
    readonly keyFile: string;
    /** Certificates that clients must be signed by; null: any client. */
    readonly authorityFile: string | null;
  } | null;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
  /** pretty: for people; json: for machines. */
  readonly logFormat: 'pretty' | 'json';
  readonly drainTimeoutMs: number;
}
