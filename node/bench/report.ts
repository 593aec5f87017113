/** Results as a table for people and as JSON for machines. */
import type { LoadResult } from './load-plan.ts';

const NAME_WIDTH = 42;
const WIDTH = 12;

/** A row of the table: what was run, and a few named figures. */
export interface Line {
  readonly name: string;
  readonly figures: Readonly<Record<string, number | string>>;
}

/** @returns the share of `part` in `whole`; 0 if there is no whole */
export function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((part / whole) * 1000) / 1000;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The figures of a run that say how capable a server is. */
export function capabilityLine(name: string, runs: readonly LoadResult[]): Line {
  const of = (pick: (run: LoadResult) => number) => median(runs.map(pick));
  return {
    name,
    figures: {
      'ops/cpu-s': of((run) => run.perCpuSecond),
      best: Math.max(...runs.map((run) => run.perCpuSecond)),
      'ops/s': of((run) => run.perSecond),
      'p50 ms': of((run) => run.p50Millis),
      'p99 ms': of((run) => run.p99Millis),
      'p99.9 ms': of((run) => run.p999Millis),
      'server cpu': of((run) => ratio(run.serverCpuSeconds, run.seconds)),
      'client cpu': of((run) => ratio(run.clientCpuSeconds, run.seconds)),
      'rss MiB': Math.max(...runs.map((run) => run.residentMib)),
    },
  };
}

function formatFigure(value: number | string): string {
  if (typeof value === 'string') return value;
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  return value.toFixed(Math.abs(value) < 10 ? 3 : 1);
}

/** Where figures are gathered; each is printed as soon as it is there. */
export class Report {
  private readonly lines: Line[] = [];
  private lastNames = '';

  add(line: Line): void {
    this.lines.push(line);
    const names = Object.keys(line.figures);
    if (names.join() !== this.lastNames) {
      console.log(
        `\n${''.padEnd(NAME_WIDTH)}${names.map((name) => name.padStart(WIDTH)).join('')}`,
      );
    }
    this.lastNames = names.join();
    const figures = Object.values(line.figures).map((value) => formatFigure(value).padStart(WIDTH));
    console.log(`${line.name.padEnd(NAME_WIDTH)}${figures.join('')}`);
  }

  note(text: string): void {
    console.log(text);
  }

  toJson(): unknown {
    return Object.fromEntries(this.lines.map(({ name, figures }) => [name, figures]));
  }
}
