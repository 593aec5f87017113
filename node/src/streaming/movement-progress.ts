/** How far the ranges are that a node gets, as it tells others: JSON behind a version byte. */
import type { GainProgress } from './gain.ts';

export interface MovementProgress extends Omit<GainProgress, 'startedMillis'> {
  readonly seconds: number;
}

const VERSION = 1;
const BYTES_MAX = 64 << 10;

export function encodeProgress(progress: readonly MovementProgress[]): Uint8Array {
  return Buffer.concat([Buffer.of(VERSION), Buffer.from(JSON.stringify(progress))]);
}

/** What cannot be read is nothing. */
export function decodeProgress(body: Uint8Array): readonly MovementProgress[] {
  if (body[0] !== VERSION || body.length > BYTES_MAX) return [];
  try {
    const json: unknown = JSON.parse(Buffer.from(body.subarray(1)).toString('utf8'));
    return Array.isArray(json) ? json.flatMap(progressOf) : [];
  } catch {
    return [];
  }
}

function progressOf(value: unknown): MovementProgress[] {
  if (typeof value !== 'object' || value === null) return [];
  const json = value as Record<string, unknown>;
  const { operation, problem } = json;
  if (typeof operation !== 'string') return [];
  const count = (name: string) => {
    const number = json[name];
    return typeof number === 'number' && number >= 0 ? number : 0;
  };
  return [
    {
      operation,
      bytesTotal: count('bytesTotal'),
      bytesDone: count('bytesDone'),
      filesTotal: count('filesTotal'),
      filesDone: count('filesDone'),
      rangesTotal: count('rangesTotal'),
      rangesDone: count('rangesDone'),
      wholeBytes: count('wholeBytes'),
      seconds: count('seconds'),
      problem: typeof problem === 'string' ? problem : null,
    },
  ];
}
