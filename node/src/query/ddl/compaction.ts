/** The table option `compaction`. Source: CompactionParams and the strategies' validateOptions of Cassandra 5. */
import { configError } from '../../common/errors.ts';
import { formatDouble, parseDouble } from '../../types/java-numbers.ts';

const PACKAGE = 'org.apache.cassandra.db.compaction.';

type Options = Readonly<Record<string, string>>;

const COMMON: readonly string[] = [
  'enabled',
  'tombstone_threshold',
  'tombstone_compaction_interval',
  'unchecked_tombstone_compaction',
  'only_purge_repaired_tombstones',
  'log_all',
  'provide_overlapping_tombstones',
];
const THRESHOLDS: readonly string[] = ['min_threshold', 'max_threshold'];
const SIZE_TIERED: readonly string[] = ['min_sstable_size', 'bucket_low', 'bucket_high'];

const OWN_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  SizeTieredCompactionStrategy: [...THRESHOLDS, ...SIZE_TIERED],
  LeveledCompactionStrategy: [
    ...THRESHOLDS,
    ...SIZE_TIERED,
    'sstable_size_in_mb',
    'fanout_size',
    'single_sstable_uplevel',
  ],
  TimeWindowCompactionStrategy: [
    ...THRESHOLDS,
    ...SIZE_TIERED,
    'compaction_window_unit',
    'compaction_window_size',
    'timestamp_resolution',
    'expired_sstable_check_frequency_seconds',
    'unsafe_aggressive_sstable_expiration',
  ],
  UnifiedCompactionStrategy: [
    'scaling_parameters',
    'base_shard_count',
    'target_sstable_size',
    'sstable_growth',
    'min_sstable_size',
    'flush_size_override',
    'expired_sstable_check_frequency_seconds',
    'unsafe_aggressive_sstable_expiration',
    'overlap_inclusion_method',
    'parallelize_output_shards',
  ],
};

/** The options as they are kept. @throws CqlError ConfigError */
export function checkCompaction(written: Options): Record<string, string> {
  const { class: className, ...options } = written;
  if (className === undefined) {
    throw configError("Missing sub-option 'class' for the 'compaction' option");
  }
  const fullName = className.includes('.') ? className : PACKAGE + className;
  const strategy = fullName.startsWith(PACKAGE) ? fullName.slice(PACKAGE.length) : '';
  const own = Object.hasOwn(OWN_OPTIONS, strategy) ? OWN_OPTIONS[strategy] : undefined;
  if (own === undefined)
    throw configError(`Unable to find compaction strategy class '${fullName}'`);
  checkCommon(options);
  if (own.includes('min_threshold')) checkThresholds(options);
  checkStrategy(strategy, options);
  const known = [...COMMON, ...own];
  const unknown = Object.keys(options)
    .filter((name) => !known.includes(name))
    .sort();
  if (unknown.length > 0) {
    throw configError(
      `Properties specified [${unknown.join(', ')}] are not understood by ${strategy}`,
    );
  }
  const defaults = own.includes('min_threshold') ? { max_threshold: '32', min_threshold: '4' } : {};
  return sorted({ ...defaults, ...options, class: fullName });
}

function sorted(options: Options): Record<string, string> {
  return Object.fromEntries(Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function checkStrategy(strategy: string, options: Options): void {
  if (strategy === 'SizeTieredCompactionStrategy') checkSizeTiered(options);
  if (strategy === 'LeveledCompactionStrategy') checkLeveled(options);
  if (strategy === 'TimeWindowCompactionStrategy') checkTimeWindow(options);
  if (strategy === 'UnifiedCompactionStrategy') checkUnified(options);
}

function checkCommon(options: Options): void {
  for (const name of [
    'unchecked_tombstone_compaction',
    'only_purge_repaired_tombstones',
    'log_all',
    'enabled',
  ]) {
    const value = options[name];
    if (value !== undefined && !/^(true|false)$/i.test(value)) {
      if (name === 'enabled') {
        throw configError(`enabled should either be 'true' or 'false', not ${value}`);
      }
      throw configError(
        name === 'log_all'
          ? `'log_all' should either be 'true' or 'false', not ${value}`
          : `'${name}' should be either 'true' or 'false', not '${value}'`,
      );
    }
  }
  const threshold = double('tombstone_threshold', options);
  if (threshold !== undefined && threshold < 0) {
    throw configError(
      `tombstone_threshold must be greater than 0, but was ${threshold.toFixed(6)}`,
    );
  }
  const interval = integer('tombstone_compaction_interval', options);
  if (interval !== undefined && interval < 0) {
    throw configError(`tombstone_compaction_interval must be greater than 0, but was ${interval}`);
  }
}

function integer(name: string, options: Options): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  if (!/^[+-]?[0-9]{1,18}$/.test(text)) {
    throw configError(`${text} is not a parsable int (base10) for ${name}`);
  }
  return Number(text);
}

function double(name: string, options: Options): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  const value = parseDouble(text);
  if (value === null) {
    const kind = name === 'tombstone_threshold' ? 'int (base10)' : 'float';
    throw configError(`${text} is not a parsable ${kind} for ${name}`);
  }
  return value;
}

function threshold(name: string, options: Options, missing: number): number {
  const text = options[name];
  if (text === undefined) return missing;
  if (!/^[+-]?[0-9]{1,9}$/.test(text)) {
    throw configError(
      `Invalid value ${text} for '${name}' compaction sub-option - must be an integer`,
    );
  }
  return Number(text);
}

function checkThresholds(options: Options): void {
  const least = threshold('min_threshold', options, 4);
  const most = threshold('max_threshold', options, 32);
  if (least <= 0 || most <= 0) {
    throw configError(
      "Disabling compaction by setting compaction thresholds to 0 has been removed, set the compaction option 'enabled' to false instead.",
    );
  }
  if (least <= 1) {
    throw configError(`Min compaction threshold cannot be less than 2 (got ${least})`);
  }
  if (least > most) {
    throw configError(
      `Min compaction threshold (got ${least}) cannot be greater than max compaction threshold (got ${most})`,
    );
  }
}

function checkSizeTiered(options: Options): void {
  const size = integer('min_sstable_size', options);
  if (size !== undefined && size < 0) {
    throw configError(`min_sstable_size must be non negative: ${size}`);
  }
  const low = double('bucket_low', options) ?? 0.5;
  const high = double('bucket_high', options) ?? 1.5;
  if (high <= low) {
    throw configError(
      `bucket_high value (${formatDouble(high)}) is less than or equal to the bucket_low value (${formatDouble(low)})`,
    );
  }
}

function checkLeveled(options: Options): void {
  const size = integer('sstable_size_in_mb', options);
  if (size !== undefined && size < 1) {
    throw configError(`sstable_size_in_mb must be larger than 0, but was ${size}`);
  }
  const fanout = integer('fanout_size', options);
  if (fanout !== undefined && fanout < 1) {
    throw configError(`fanout_size must be larger than 0, but was ${fanout}`);
  }
  checkSizeTiered(options);
}

const UNITS = ['MINUTES', 'HOURS', 'DAYS'];
const RESOLUTIONS = ['NANOSECONDS', 'MICROSECONDS', 'MILLISECONDS', 'SECONDS', ...UNITS];

function checkTimeWindow(options: Options): void {
  const resolution = options['timestamp_resolution'];
  if (resolution !== undefined && !RESOLUTIONS.includes(resolution)) {
    throw configError(`${resolution} is not valid for timestamp_resolution`);
  }
  const unit = options['compaction_window_unit'];
  if (unit !== undefined && !UNITS.includes(unit)) {
    throw configError(`${unit} is not valid for compaction_window_unit`);
  }
  const size = integer('compaction_window_size', options);
  if (size !== undefined && size < 1) {
    throw configError(`${size} must be greater than 1 for compaction_window_size`);
  }
  const frequency = integer('expired_sstable_check_frequency_seconds', options);
  if (frequency !== undefined && frequency < 0) {
    throw configError(
      `expired_sstable_check_frequency_seconds must not be negative, but was ${frequency}`,
    );
  }
  checkSizeTiered(options);
}

function checkUnified(options: Options): void {
  for (const written of options['scaling_parameters']?.split(',') ?? []) {
    const parameter = written.trim();
    if (!/^(N|L[0-9]+|T[0-9]+|[+-]?[0-9]+)$/.test(parameter)) {
      throw configError(`Scaling parameter ${parameter} must match N|L[0-9]+|T[0-9]+|[+-]?[0-9]+`);
    }
  }
  const shards = integer('base_shard_count', options);
  if (shards !== undefined && shards <= 0) {
    throw configError(`Invalid configuration, base_shard_count should be positive: ${shards}`);
  }
  checkTargetSize(options['target_sstable_size']);
  const growth = options['sstable_growth'];
  const part = growth === undefined ? 0 : parseDouble(growth);
  if (part === null) throw configError(`${growth} is not a parsable float for sstable_growth`);
  if (!(part >= 0 && part <= 1)) {
    throw configError(`sstable_growth ${growth} must be between 0 and 1`);
  }
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};
const TARGET_SIZE_MIN = 2 ** 20;

function checkTargetSize(text: string | undefined): void {
  if (text === undefined) return;
  const match = /^([0-9.]+)\s*(B|KiB|MiB|GiB|TiB)$/i.exec(text);
  const number = match === null ? null : parseDouble(match[1]);
  if (match === null || number === null) {
    throw configError(`target_sstable_size is not a valid size in bytes: ${text}`);
  }
  if (number * SIZE_UNITS[match[2].toUpperCase()] < TARGET_SIZE_MIN) {
    throw configError(
      `target_sstable_size ${text} is not acceptable, size must be at least 1.000MiB`,
    );
  }
}
