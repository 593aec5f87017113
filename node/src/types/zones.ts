/** Offsets of named time zones, from the tables of the runtime. Pure but for what it keeps. */

/** Longer than any zone's name. */
const REGION_LENGTH_MAX = 64;

/** Keeps what reads the tables: some 80 KiB of memory and 0.4 ms of work for each zone. */
export class Zones {
  readonly #max: number;
  /** The one used last comes last. Names that are no zone are not kept: clients make them up. */
  readonly #formatters = new Map<string, Intl.DateTimeFormat>();

  /** @param max zones kept */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#formatters.size;
  }

  /**
   * What local time is ahead of UTC in a region such as `Europe/Paris`.
   * @param utcMillis since 1970, at most 8.64e15 away
   * @returns null: there is no such region
   */
  offsetMillis(region: string, utcMillis: number): number | null {
    const formatter = this.#formatter(region);
    if (formatter === null) return null;
    const name = formatter.formatToParts(utcMillis).find((part) => part.type === 'timeZoneName');
    const match = /^GMT([+-])(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(name?.value ?? '');
    if (match === null) return 0;
    const seconds = Number(match[2]) * 3600 + Number(match[3]) * 60 + Number(match[4] ?? '0');
    return (match[1] === '-' ? -1000 : 1000) * seconds;
  }

  #formatter(region: string): Intl.DateTimeFormat | null {
    if (region.length > REGION_LENGTH_MAX) return null;
    const formatter = this.#formatters.get(region) ?? newFormatter(region);
    if (formatter === null) return null;
    this.#formatters.delete(region);
    this.#formatters.set(region, formatter);
    if (this.#formatters.size > this.#max) {
      const [oldest] = this.#formatters.keys();
      this.#formatters.delete(oldest);
    }
    return formatter;
  }
}

function newFormatter(region: string): Intl.DateTimeFormat | null {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: region, timeZoneName: 'longOffset' });
  } catch {
    // A RangeError: there is no such zone, which is an answer and not a failure.
    return null;
  }
}
