/** The table option `compression`. Source: CompressionParams and the compressors of Cassandra 5. */
import { configError } from '../../common/errors.ts';
import { formatDouble, parseDouble } from '../../types/java-numbers.ts';

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

/** The options as they are kept. @throws CqlError ConfigError */
export function checkCompression(
  written: Readonly<Record<string, string>>,
): Record<string, string> {
  const { enabled, ...rest } = written;
  if (enabled !== undefined && !/^true$/i.test(enabled)) {
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
  const isRatio = ratio !== undefined && parseDouble(ratio) !== 0;
  const kept = {
    ...own,
    ...(isRatio ? { min_compress_ratio: ratioText(ratio) } : {}),
    chunk_length_in_kb: chunkLength(length),
    class: name,
  };
  return Object.fromEntries(Object.entries(kept).sort(([a], [b]) => (a < b ? -1 : 1)));
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
  checkLz4(own, known);
  const [unknown] = Object.keys(own)
    .filter((option) => !known.includes(option))
    .sort();
  if (unknown !== undefined) throw configError(`Unknown compression options ${unknown}`);
}

function checkZstdLevel(name: string, level: string): void {
  const value = /^-?[0-9]{1,9}$/.test(level) ? Number(level) : Number.NaN;
  if (value >= ZSTD_LEVEL_MIN && value <= ZSTD_LEVEL_MAX) return;
  throw configError(
    `${name}.create() threw an error: java.lang.IllegalArgumentException compression_level=${level} is invalid`,
  );
}

function checkLz4(own: Readonly<Record<string, string>>, known: readonly string[]): void {
  const { lz4_compressor_type: type, lz4_high_compressor_level: level } = own;
  if (!known.includes('lz4_compressor_type')) return;
  if (type !== undefined && type !== 'high' && type !== 'fast') {
    throw configError(
      `Invalid compressor type '${type}' specified for LZ4 parameter 'lz4_compressor_type'. Valid options are [high, fast].`,
    );
  }
  if (level !== undefined && !/^(?:[1-9]|1[0-7])$/.test(level)) {
    throw configError(
      `Invalid value [${level}] for parameter 'lz4_high_compressor_level'. Value must be between 1 and 17.`,
    );
  }
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
