/** Options of tables after WITH. Source: TableAttributes, TableParams, CachingParams, CompressionParams of Cassandra 5. */
import { configError, invalidRequest, syntaxError } from '../../common/errors.ts';
import type { TableOptions } from '../../schema/schema.ts';
import { formatDouble, parseDouble } from '../../types/java-numbers.ts';
import { checkCompaction } from './compaction.ts';
import type { PropertyReader } from './properties.ts';

const TABLE_PROPERTIES: readonly string[] = [
  'additional_write_policy',
  'allow_auto_snapshot',
  'bloom_filter_fp_chance',
  'caching',
  'cdc',
  'comment',
  'compaction',
  'compression',
  'crc_check_chance',
  'default_time_to_live',
  'extensions',
  'gc_grace_seconds',
  'id',
  'incremental_backups',
  'max_index_interval',
  'memtable',
  'memtable_flush_period_in_ms',
  'min_index_interval',
  'read_repair',
  'speculative_retry',
];

const TTL_MAX = 20 * 365 * 24 * 60 * 60;
/** Cassandra's Bloom filters cannot be better than this. */
const FALSE_POSITIVES_MIN = 6.71e-5;

/**
 * The options of `base` with what the properties say. Each is read, none compared with another: that is for
 * `checkTableOptions`.
 * @throws CqlError SyntaxError, ConfigError
 */
export function readTableOptions(base: TableOptions, properties: PropertyReader): TableOptions {
  const caching = properties.map('caching');
  const compaction = properties.map('compaction');
  const compression = properties.map('compression');
  return {
    additional_write_policy:
      retryPolicy(properties.text('additional_write_policy')) ?? base.additional_write_policy,
    allow_auto_snapshot: properties.boolean('allow_auto_snapshot') ?? base.allow_auto_snapshot,
    bloom_filter_fp_chance:
      properties.double('bloom_filter_fp_chance') ?? base.bloom_filter_fp_chance,
    caching: caching === undefined ? base.caching : checkCaching(caching),
    cdc: properties.boolean('cdc') ?? base.cdc,
    comment: properties.text('comment') ?? base.comment,
    compaction: compaction === undefined ? base.compaction : checkCompaction(compaction),
    compression: compression === undefined ? base.compression : checkCompression(compression),
    crc_check_chance: properties.double('crc_check_chance') ?? base.crc_check_chance,
    default_time_to_live: properties.int('default_time_to_live') ?? base.default_time_to_live,
    // Cassandra takes extensions from CQL and forgets them.
    extensions: base.extensions,
    gc_grace_seconds: properties.int('gc_grace_seconds') ?? base.gc_grace_seconds,
    incremental_backups: properties.boolean('incremental_backups') ?? base.incremental_backups,
    max_index_interval: properties.int('max_index_interval') ?? base.max_index_interval,
    memtable: memtable(properties.text('memtable')) ?? base.memtable,
    memtable_flush_period_in_ms:
      properties.int('memtable_flush_period_in_ms') ?? base.memtable_flush_period_in_ms,
    min_index_interval: properties.int('min_index_interval') ?? base.min_index_interval,
    read_repair: readRepair(properties.text('read_repair')) ?? base.read_repair,
    speculative_retry: retryPolicy(properties.text('speculative_retry')) ?? base.speculative_retry,
  };
}

/**
 * Refuses unknown properties and values out of range.
 * @throws CqlError SyntaxError, ConfigError
 */
export function checkTableOptions(options: TableOptions, properties: PropertyReader): void {
  properties.refuseUnknown(TABLE_PROPERTIES);
  const chance = options.bloom_filter_fp_chance;
  if (!(chance > FALSE_POSITIVES_MIN && chance <= 1)) {
    throw configError(
      `bloom_filter_fp_chance must be larger than 6.71E-5 and less than or equal to 1.0 (got ${formatDouble(chance)})`,
    );
  }
  const crc = options.crc_check_chance;
  if (!(crc >= 0 && crc <= 1)) {
    throw configError(
      `crc_check_chance must be larger than or equal to 0 and smaller than or equal to 1.0 (got ${formatDouble(crc)})`,
    );
  }
  atLeast('default_time_to_live', options.default_time_to_live, 0);
  if (options.default_time_to_live > TTL_MAX) {
    throw configError(
      `default_time_to_live must be less than or equal to ${TTL_MAX} (got ${options.default_time_to_live})`,
    );
  }
  atLeast('gc_grace_seconds', options.gc_grace_seconds, 0);
  atLeast('min_index_interval', options.min_index_interval, 1);
  if (options.max_index_interval < options.min_index_interval) {
    throw configError(
      `max_index_interval must be greater than or equal to min_index_interval (${options.min_index_interval}) (got ${options.max_index_interval})`,
    );
  }
  atLeast('memtable_flush_period_in_ms', options.memtable_flush_period_in_ms, 0);
}

function atLeast(name: string, value: number, least: number): void {
  if (value < least) {
    throw configError(`${name} must be greater than or equal to ${least} (got ${value})`);
  }
}

const READ_REPAIRS = ['NONE', 'BLOCKING'];

function readRepair(text: string | undefined): string | undefined {
  const strategy = text?.toUpperCase();
  if (strategy !== undefined && !READ_REPAIRS.includes(strategy)) {
    throw configError(
      `Invalid value ${text} for option 'read_repair': only 'BLOCKING' and 'NONE' are allowed`,
    );
  }
  return strategy;
}

function memtable(text: string | undefined): string | undefined {
  if (text !== undefined && text !== 'default') {
    throw configError(`Memtable configuration "${text}" not found.`);
  }
  return text;
}

const PERCENTILE = /^([0-9.]+)p(?:ercentile)?$/i;
const FIXED = /^([0-9.]+)ms$/i;
const HYBRID = /^(MIN|MAX)\(([^,]+),([^,]+)\)$/i;

function retryPolicy(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const hybrid = HYBRID.exec(text);
  if (hybrid !== null) {
    const [first, second] = [simpleRetry(hybrid[2].trim()), simpleRetry(hybrid[3].trim())];
    return `${hybrid[1].toUpperCase()}(${first},${second})`;
  }
  return simpleRetry(text);
}

function simpleRetry(text: string): string {
  const word = text.toUpperCase();
  if (word === 'ALWAYS' || word === 'NONE' || word === 'NEVER') {
    return word === 'NONE' ? 'NEVER' : word;
  }
  const percentile = PERCENTILE.exec(text);
  if (percentile !== null) {
    const value = parseDouble(percentile[1]) ?? Number.NaN;
    if (!(value > 0 && value < 100)) {
      throw configError(
        `Invalid value ${text} for PERCENTILE option 'speculative_retry': must be between (0.0 and 100.0)`,
      );
    }
    return `${trimmedNumber(value)}p`;
  }
  const fixed = FIXED.exec(text);
  if (fixed !== null && parseDouble(fixed[1]) !== null) return text.toLowerCase();
  throw configError(`Invalid value ${text} for option 'speculative_retry'`);
}

function trimmedNumber(value: number): string {
  return String(value);
}

function checkCaching(written: Readonly<Record<string, string>>): Record<string, string> {
  const { keys = 'ALL', rows_per_partition: rows = 'NONE', ...rest } = written;
  const others = Object.keys(rest);
  if (others.length > 0) {
    throw configError(
      `Invalid caching sub-options [${others.join(', ')}]: only 'keys' and 'rows_per_partition' are allowed`,
    );
  }
  if (!/^(ALL|NONE)$/i.test(keys)) {
    throw configError(
      `Invalid value '${keys}' for caching sub-option 'keys': only 'ALL' and 'NONE' are allowed`,
    );
  }
  if (!/^(ALL|NONE|[0-9]{1,9})$/i.test(rows)) {
    throw configError(
      `Invalid value '${rows}' for caching sub-option 'rows_per_partition': only 'ALL', 'NONE', and integer values are allowed`,
    );
  }
  return { keys: keys.toUpperCase(), rows_per_partition: rows.toUpperCase() };
}

const COMPRESSORS = 'org.apache.cassandra.io.compress.';
const COMPRESSOR_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  LZ4Compressor: ['lz4_compressor_type', 'lz4_high_compressor_level'],
  SnappyCompressor: [],
  DeflateCompressor: [],
  ZstdCompressor: ['compression_level'],
  ZstdDictionaryCompressor: ['compression_level'],
  NoopCompressor: [],
};
const ZSTD_LEVEL_MIN = -131072;
const ZSTD_LEVEL_MAX = 22;

function checkCompression(written: Readonly<Record<string, string>>): Record<string, string> {
  const { enabled, ...rest } = written;
  if (enabled !== undefined && /^false$/i.test(enabled)) {
    if (Object.keys(rest).length > 0) {
      throw configError(
        "If the 'enabled' option is set to false no other options must be specified",
      );
    }
    return { enabled: 'false' };
  }
  const { class: className, chunk_length_in_kb: length, min_compress_ratio: ratio, ...own } = rest;
  if (className === undefined) {
    if (Object.keys(written).length === 0) return { enabled: 'false' };
    throw configError("Missing sub-option 'class' for the 'compression' option.");
  }
  const name = className.includes('.') ? className : COMPRESSORS + className;
  checkCompressor(name, own);
  checkRatio(ratio);
  return {
    chunk_length_in_kb: chunkLength(length),
    class: name,
    ...(ratio === undefined || parseDouble(ratio) === 0
      ? {}
      : { min_compress_ratio: ratioText(ratio) }),
    ...own,
  };
}

function ratioText(ratio: string): string {
  return formatDouble(parseDouble(ratio) ?? 0);
}

function checkCompressor(fullName: string, own: Readonly<Record<string, string>>): void {
  const name = fullName.startsWith(COMPRESSORS) ? fullName.slice(COMPRESSORS.length) : '';
  const known = Object.hasOwn(COMPRESSOR_OPTIONS, name) ? COMPRESSOR_OPTIONS[name] : undefined;
  if (known === undefined) throw configError(`Could not create Compression for type ${fullName}`);
  const level = own['compression_level'];
  if (level !== undefined && known.includes('compression_level')) checkZstdLevel(name, level);
  const unknown = Object.keys(own).filter((option) => !known.includes(option));
  if (unknown.length > 0) throw configError(`Unknown compression options ${unknown.join(', ')}`);
}

function checkZstdLevel(name: string, level: string): void {
  const value = /^-?[0-9]{1,9}$/.test(level) ? Number(level) : Number.NaN;
  if (value >= ZSTD_LEVEL_MIN && value <= ZSTD_LEVEL_MAX) return;
  throw configError(
    `${name}.create() threw an error: java.lang.IllegalArgumentException compression_level=${level} is invalid`,
  );
}

function checkRatio(ratio: string | undefined): void {
  if (ratio === undefined) return;
  const value = parseDouble(ratio);
  if (value === null) throw configError('Invalid value for min_compress_ratio');
  if (!(value === 0 || value >= 1)) {
    throw configError('min_compress_ratio can either be 0 or greater than or equal to 1');
  }
}

function chunkLength(text = '16'): string {
  if (!/^[+-]?[0-9]{1,9}$/.test(text)) throw configError('Invalid value for chunk_length_in_kb');
  const length = Number(text);
  if (length <= 0) throw configError('Invalid negative or null chunk_length_in_kb');
  if ((length & (length - 1)) !== 0) throw configError('chunk_length_in_kb must be a power of 2');
  return String(length);
}

/** The id given WITH ID, if any. @throws CqlError ConfigError, SyntaxError */
export function tableIdOf(properties: PropertyReader): string | undefined {
  const id = properties.text('id');
  if (id === undefined) return undefined;
  if (!/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(id)) {
    throw configError('Invalid table id');
  }
  return id.toLowerCase();
}

/** @throws CqlError Invalid, SyntaxError */
export function checkCounterOptions(options: TableOptions, isCounter: boolean): void {
  if (isCounter && options.default_time_to_live > 0) {
    throw invalidRequest('Cannot set default_time_to_live on a table with counters');
  }
}

/** ALTER TABLE … WITH names no property. */
export function noProperties(): Error {
  return syntaxError('ALTER TABLE WITH invoked, but no parameters found');
}
