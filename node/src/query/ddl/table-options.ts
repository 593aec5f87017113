/** Options of tables after WITH. Source: TableAttributes, TableParams, CachingParams, CompressionParams of Cassandra 5. */
import { configError, invalidRequest, syntaxError } from '../../common/errors.ts';
import { DEFAULT_TABLE_OPTIONS, type TableOptions } from '../../schema/schema.ts';
import { formatDouble } from '../../types/java-numbers.ts';
import { checkCompaction } from './compaction.ts';
import { checkCompression } from './compression.ts';
import type { PropertyReader } from './properties.ts';
import { checkRetryPolicy } from './retry-policy.ts';

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
/** Cassandra's default for tables whose files hardly overlap. */
const LEVELED_FALSE_POSITIVES = 0.1;

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
      checkRetryPolicy(properties.text('additional_write_policy')) ?? base.additional_write_policy,
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
    speculative_retry:
      checkRetryPolicy(properties.text('speculative_retry')) ?? base.speculative_retry,
  };
}

/** As `readTableOptions`, for a new table. @throws CqlError SyntaxError, ConfigError */
export function newTableOptions(properties: PropertyReader): TableOptions {
  const options = readTableOptions(DEFAULT_TABLE_OPTIONS, properties);
  const isLeveled = options.compaction['class']?.endsWith('.LeveledCompactionStrategy');
  if (!isLeveled || properties.has('bloom_filter_fp_chance')) return options;
  return { ...options, bloom_filter_fp_chance: LEVELED_FALSE_POSITIVES };
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
