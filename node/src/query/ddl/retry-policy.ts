/** The table options `speculative_retry` and `additional_write_policy`. Source: SpeculativeRetryPolicy of Cassandra 5. */
import { configError } from '../../common/errors.ts';
import { parseDouble } from '../../types/java-numbers.ts';

const PERCENTILE = /^([0-9.]+)p(?:ercentile)?$/i;
const FIXED = /^([0-9.]+)ms$/i;
const HYBRID = /^(MIN|MAX)\(([^,]+),([^,]+)\)$/i;

/** The policy as Cassandra shows it. @throws CqlError ConfigError */
export function checkRetryPolicy(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const hybrid = HYBRID.exec(text);
  if (hybrid === null) return simplePolicy(text);
  const parts = [simplePolicy(hybrid[2].trim()), simplePolicy(hybrid[3].trim())];
  const [first, second] = parts.map(kindOf);
  if (first === second) {
    throw configError(
      `Invalid value ${text} for option 'speculative_retry': MIN()/MAX() arguments should be of different types, but both are of type ${first}`,
    );
  }
  return `${hybrid[1].toUpperCase()}(${parts.join(',')})`;
}

function kindOf(policy: string): string {
  if (policy.endsWith('p')) return 'PERCENTILE';
  return policy.endsWith('ms') ? 'FIXED' : policy;
}

function simplePolicy(text: string): string {
  const word = text.toUpperCase();
  if (word === 'ALWAYS' || word === 'NEVER') return word;
  if (word === 'NONE') return 'NEVER';
  const percentile = PERCENTILE.exec(text);
  if (percentile !== null) {
    const value = parseDouble(percentile[1]) ?? Number.NaN;
    if (value > 0 && value < 100) return `${value}p`;
    throw configError(
      `Invalid value ${text} for PERCENTILE option 'speculative_retry': must be between (0.0 and 100.0)`,
    );
  }
  const millis = parseDouble(FIXED.exec(text)?.[1] ?? '');
  if (millis !== null) return `${Math.trunc(millis)}ms`;
  throw configError(`Invalid value ${text} for option 'speculative_retry'`);
}
