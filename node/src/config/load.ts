/** Settings from a YAML file, the environment and flags, in rising order of precedence. */
import { isMap, isScalar, LineCounter, type Pair, parseDocument } from 'yaml';
import { internodeEncryption, SERVER_ENCRYPTION_OPTIONS } from './encryption.ts';
import { OPTIONS, type Option, type OptionName } from './options.ts';
import type { ClusterSettings, Seed, Settings } from './settings.ts';

/** A setting is unknown or impossible. `where` is a line of the file, a variable or a flag. */
export class ConfigError extends Error {
  readonly code = 'CONFIG';
  readonly where: string;
  constructor(where: string, message: string) {
    super(`${where}: ${message}`);
    this.name = 'ConfigError';
    this.where = where;
  }
}

/** What the machine or container gives. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
  readonly isTerminal: boolean;
}

export interface Sources {
  /** Text and name of the configuration file. */
  readonly file: { readonly name: string; readonly text: string } | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Flags without their dashes: `native-transport-port`. */
  readonly flags: ReadonlyMap<string, string>;
  /** By name: what the running node was told since its start. */
  readonly told?: ReadonlyMap<string, string>;
}

interface Given {
  readonly text: string;
  readonly where: string;
}

interface FileEntry {
  readonly name: string;
  readonly value: unknown;
  readonly where: string;
}

/** Where a setting is from that a running node was told. */
export const TOLD = 'reload';
const PREFIX = 'ILION_';
const GROUP = 'server_encryption_options';
/** Variables of Ilion that are not options. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'ILION_CACHE',
  'ILION_NATIVE',
  'ILION_CONFIG',
  'ILION_PARENT',
]);
const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
const TIME_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const MIB = 2 ** 20;
/** Of memory_limit. The rest is for the event loops' heaps, requests in flight, and what the allocator cannot give back. */
const CACHE_SHARE = 0.24;
const MEMTABLE_SHARE = 0.11;

function findOption(name: string, where: string): Option {
  const option = OPTIONS.find((candidate) => candidate.name === name);
  if (option !== undefined) return option;
  const near = OPTIONS.find(
    (candidate) => candidate.name.includes(name) || name.includes(candidate.name),
  );
  throw new ConfigError(
    where,
    `unknown option ${name}${near === undefined ? '' : ` (did you mean ${near.name}?)`}`,
  );
}

function fromFile(
  file: { readonly name: string; readonly text: string },
  given: Map<string, Given>,
): void {
  const lines = new LineCounter();
  const document = parseDocument(file.text, { lineCounter: lines });
  for (const error of document.errors) {
    throw new ConfigError(
      `${file.name} line ${error.linePos?.[0].line ?? 1}`,
      error.message.split('\n')[0],
    );
  }
  if (document.contents === null) return;
  if (!isMap(document.contents))
    throw new ConfigError(`${file.name} line 1`, 'a list of `option: value` is expected');
  const entryOf = ({ key, value }: Pair): FileEntry => {
    const at = isScalar(key) && key.range ? lines.linePos(key.range[0]).line : 1;
    const name = String(isScalar(key) ? key.value : key);
    return { name, value, where: `${file.name} line ${at}` };
  };
  for (const pair of document.contents.items) {
    const entry = entryOf(pair);
    if (entry.name !== GROUP) {
      takeValue(findOption(entry.name, entry.where).name, entry, given);
      continue;
    }
    if (!isMap(entry.value)) {
      throw new ConfigError(entry.where, `${GROUP} must have options of its own`);
    }
    for (const part of entry.value.items) takeGrouped(entryOf(part), given);
  }
}

function takeValue(name: string, { value, where }: FileEntry, given: Map<string, Given>): void {
  if (!isScalar(value)) throw new ConfigError(where, `${name} must be a single value`);
  const text = value.value === null ? '' : (value.source ?? String(value.value));
  given.set(name, { text, where });
}

/** As Cassandra's file has them. */
function takeGrouped(entry: FileEntry, given: Map<string, Given>): void {
  const name = SERVER_ENCRYPTION_OPTIONS.get(entry.name);
  if (name === undefined) {
    throw new ConfigError(
      entry.where,
      `${GROUP}.${entry.name} is not known: certificates are PEM files; there are ${[...SERVER_ENCRYPTION_OPTIONS.keys()].join(', ')}`,
    );
  }
  takeValue(name, entry, given);
}

function readUnit(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text);
  if (match === null) return null;
  const unit = units[match[2]];
  return unit === undefined ? null : Math.round(Number(match[1]) * unit);
}

function readNumber(option: Option, { text, where }: Given): number {
  const { type } = option;
  const refuse = (expected: string): never => {
    throw new ConfigError(where, `${option.name} is '${text}', but must be ${expected}`);
  };
  switch (type.kind) {
    case 'integer': {
      const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= type.min && value <= type.max
        ? value
        : refuse(`a whole number from ${type.min} to ${type.max}`);
    }
    case 'power-of-two': {
      const value = /^\d+$/.test(text) ? Number(text) : 0;
      const fits = value >= 1 && value <= type.max && Number.isInteger(Math.log2(value));
      return fits ? value : refuse(`1, 2, 4 … up to ${type.max}`);
    }
    case 'bytes': {
      const value = readUnit(text, BYTE_UNITS);
      return value !== null && value >= type.min
        ? value
        : refuse(`a size such as 64MiB, at least ${type.min} bytes`);
    }
    case 'millis': {
      const value = readUnit(text, TIME_UNITS);
      return value !== null && value >= type.min
        ? value
        : refuse('a time such as 500ms, 10s or 2m');
    }
    default:
      return refuse('a number');
  }
}

/** The values, by name, each from the source that counts. */
function gather(sources: Sources): Map<string, Given> {
  const given = new Map<string, Given>();
  if (sources.file !== null) fromFile(sources.file, given);
  for (const [variable, text] of Object.entries(sources.environment)) {
    if (!variable.startsWith(PREFIX) || text === undefined || OTHER_VARIABLES.has(variable))
      continue;
    const option = findOption(variable.slice(PREFIX.length).toLowerCase(), variable);
    given.set(option.name, { text, where: variable });
  }
  for (const [flag, text] of sources.flags) {
    const option = findOption(flag.replaceAll('-', '_'), `--${flag}`);
    given.set(option.name, { text, where: `--${flag}` });
  }
  for (const [name, text] of sources.told ?? []) {
    const option = findOption(name, TOLD);
    given.set(option.name, { text: text === 'default' ? option.default : text, where: TOLD });
  }
  return given;
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$/i;

function readSeeds({ text, where }: Given, defaultPort: number): readonly Seed[] {
  return text
    .split(',')
    .map((seed) => seed.trim())
    .filter((seed) => seed !== '')
    .map((seed) => {
      const [, host, port] = /^([^:]*)(?::(\d{1,5}))?$/.exec(seed) ?? [];
      // Digits and dots are meant as an address.
      const isName = host !== undefined && !/^[\d.]*$/.test(host) && HOST_NAME.test(host);
      if (host === undefined || (!isName && !IPV4.test(host))) {
        throw new ConfigError(
          where,
          `seeds has '${seed}', but must be like 10.0.0.1, 10.0.0.1:7000 or seeds.example.org, several by commas`,
        );
      }
      return { host, port: port === undefined ? defaultPort : Number(port) };
    });
}

export interface Loaded {
  readonly settings: Settings;
  /** Every option as it counts, for system_views.settings. */
  readonly table: readonly (readonly [string, string])[];
  /** By name: the line, variable or flag that has it; `default`. */
  readonly origins: ReadonlyMap<string, string>;
  /** By name: what `auto` has become. */
  readonly found: ReadonlyMap<string, number>;
}

const HOST_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Every kind of connection between nodes has a port of its own. @throws ConfigError */
function requireOwnPorts(
  { controlPort, dataPort, streamPort }: ClusterSettings,
  whereOf: (name: OptionName) => string,
): void {
  const ports = [
    ['internode_port', controlPort],
    ['internode_data_port', dataPort],
    ['internode_stream_port', streamPort],
  ] as const;
  for (const [i, [name, port]] of ports.entries()) {
    const same = ports.slice(0, i).find(([, other]) => other === port);
    if (same === undefined) continue;
    throw new ConfigError(whereOf(name), `${name} must not be ${same[0]} (${port})`);
  }
}

/** @throws ConfigError naming the line, variable or flag */
export function loadSettings(sources: Sources, machine: Machine): Loaded {
  const given = gather(sources);
  const entry = (name: OptionName): { readonly option: Option; readonly given: Given } => {
    const option = findOption(name, 'default');
    return { option, given: given.get(name) ?? { text: option.default, where: 'default' } };
  };
  const text = (name: OptionName) => entry(name).given.text;
  const found = new Map<string, number>();
  const number = (name: OptionName, auto = 0) => {
    const { option, given: value } = entry(name);
    if (value.text !== 'auto' || option.default !== 'auto') return readNumber(option, value);
    found.set(name, auto);
    return auto;
  };
  const choice = <T extends string>(name: OptionName, of: readonly T[]): T => {
    const { given: value } = entry(name);
    const found = of.find((one) => one === value.text);
    if (found === undefined)
      throw new ConfigError(
        value.where,
        `${name} is '${value.text}', but must be one of ${of.join(', ')}`,
      );
    return found;
  };
  const address = (name: OptionName) => {
    const { given: value } = entry(name);
    if (!IPV4.test(value.text)) {
      throw new ConfigError(value.where, `${name} is '${value.text}', but must be an IPv4 address`);
    }
    return value.text;
  };
  const hostId = (name: OptionName): string | null => {
    const { given: value } = entry(name);
    if (value.text === '' || HOST_ID.test(value.text)) return value.text.toLowerCase() || null;
    throw new ConfigError(value.where, `${name} is '${value.text}', but must be a UUID`);
  };
  const controlPort = number('internode_port');
  const encryption = internodeEncryption((name) => entry(name).given);
  if (encryption !== null && 'message' in encryption) {
    throw new ConfigError(encryption.where, encryption.message);
  }
  const isAdminEncrypted = choice('admin_encryption', ['none', 'all']) === 'all';
  if (isAdminEncrypted && encryption === null) {
    const { where } = entry('admin_encryption').given;
    const message =
      'admin_encryption: all needs internode_encryption: all, too, whose certificates it uses';
    throw new ConfigError(where, message);
  }
  const cluster: ClusterSettings | null =
    text('listen_address') === ''
      ? null
      : {
          listenAddress: address('listen_address'),
          controlPort,
          dataPort: number('internode_data_port'),
          streamPort: number('internode_stream_port'),
          encryption,
          seeds: readSeeds(entry('seeds').given, controlPort),
          startsCluster: choice('new_cluster', ['true', 'false']) === 'true',
          numTokens: number('num_tokens'),
          phiConvictThreshold: number('phi_convict_threshold'),
          hintWindowMs: number('max_hint_window'),
          hintBytesMax: number('max_hints_size_per_host'),
          streamBytesPerSecond: number('stream_throughput_outbound'),
          streamEntireSstables: choice('stream_entire_sstables', ['true', 'false']) === 'true',
          replaces: hostId('replace_host_id'),
        };
  if (cluster !== null) requireOwnPorts(cluster, (name) => entry(name).given.where);
  const memory = number('memory_limit', Math.min(512 * MIB, Math.floor(machine.memoryBytes / 4)));
  const format = choice('log_format', ['auto', 'pretty', 'json']);
  const certificateFile = text('client_certificate');
  const keyFile = text('client_key');
  if ((certificateFile === '') !== (keyFile === '')) {
    const missing = certificateFile === '' ? 'client_certificate' : 'client_key';
    const { where } = entry(certificateFile === '' ? 'client_key' : 'client_certificate').given;
    throw new ConfigError(where, `TLS needs ${missing}, too`);
  }
  const settings: Settings = {
    clusterName: text('cluster_name'),
    datacenter: text('data_center'),
    rack: text('rack'),
    hostId: hostId('host_id'),
    dataDirectory: text('data_directory'),
    rpcAddress: address('rpc_address'),
    nativeTransportPort: number('native_transport_port'),
    cluster,
    timeouts: {
      readMs: number('read_request_timeout'),
      rangeMs: number('range_request_timeout'),
      writeMs: number('write_request_timeout'),
      counterMs: number('counter_write_request_timeout'),
      casMs: number('cas_contention_timeout'),
    },
    metricsAddress: address('metrics_address'),
    metricsPort: number('metrics_port'),
    adminAddress: address('admin_address'),
    adminPort: number('admin_port'),
    adminEncryption:
      isAdminEncrypted && encryption !== null
        ? { ...encryption, mutual: true, verifyAddress: false }
        : null,
    workers: number('workers', machine.cores),
    shards: number('shards', 2 ** Math.floor(Math.log2(machine.cores))),
    commitlogSync: choice('commitlog_sync', ['group', 'periodic']),
    commitlogSyncPeriodMs: number('commitlog_sync_period'),
    cacheBytes: number('cache_size', Math.floor(memory * CACHE_SHARE)),
    memtableBytes: number('memtable_size', Math.floor(memory * MEMTABLE_SHARE)),
    compactionBytesPerSecond: number('compaction_throughput'),
    concurrentCompactors: number('concurrent_compactors'),
    concurrentReads: number('concurrent_reads'),
    nativeTransportMaxConnections: number('native_transport_max_connections'),
    nativeTransportStartupTimeoutMs: number('native_transport_startup_timeout'),
    nativeTransportMaxFrameBytes: number('native_transport_max_frame_size'),
    nativeTransportMaxInFlightBytes: number('native_transport_max_in_flight'),
    nativeTransportMaxInFlightBytesPerConnection: number(
      'native_transport_max_in_flight_per_connection',
    ),
    nativeTransportMaxInFlightRequestsPerConnection: number(
      'native_transport_max_requests_per_connection',
    ),
    clientEncryption:
      certificateFile === ''
        ? null
        : { certificateFile, keyFile, authorityFile: text('client_authority') || null },
    logLevel: choice('log_level', ['error', 'warn', 'info', 'debug']),
    logFormat: format === 'auto' ? (machine.isTerminal ? 'pretty' : 'json') : format,
    drainTimeoutMs: number('drain_timeout'),
  };
  const table = OPTIONS.map(({ name }): [string, string] => [name, text(name)]);
  const origins = new Map(OPTIONS.map(({ name }) => [name, entry(name).given.where]));
  return { settings, table, origins, found };
}
