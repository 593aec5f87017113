/** Values of manifests: compared, hashed, read. */
import { createHash } from 'node:crypto';

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]) => [key, sorted(one)]),
  );
}

/** The same for values that say the same, in whatever order their fields stand. */
export function hashOf(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest('hex')
    .slice(0, 16);
}

/** Whether `live` has all that is `wanted`; it may have more, such as what the API server fills in. */
export function hasAll(live: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(live) &&
      live.length === wanted.length &&
      wanted.every((one, i) => hasAll(live[i], one))
    );
  }
  if (wanted === null || typeof wanted !== 'object') return live === wanted;
  if (live === null || typeof live !== 'object') return false;
  return Object.entries(wanted).every(([key, one]) =>
    hasAll((live as Readonly<Record<string, unknown>>)[key], one),
  );
}

/** Whether both say the same. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
};

/** @param text such as `10Gi` @returns bytes; NaN: it is none */
export function bytesOf(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * UNITS[match[2] ?? ''];
}

/** @returns such as `10Gi`, `1536Mi`; not less than `bytes` */
export function quantityOf(bytes: number): string {
  const mib = Math.ceil(bytes / UNITS['Mi']);
  return mib % 1024 === 0 ? `${mib / 1024}Gi` : `${mib}Mi`;
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** @param text such as `1h30m` */
export function millisOf(text: string): number {
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+)(ms|h|m|s)/g)) {
    sum += Number(number) * DURATION_UNITS[unit];
  }
  return sum;
}
