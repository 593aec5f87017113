/** Reads a node's /metrics. */

export interface MetricSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** @param text in the format of Prometheus */
export function parseMetrics(text: string): MetricSample[] {
  const samples: MetricSample[] = [];
  for (const line of text.split('\n')) {
    const [, name, labelText, value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const labels = Object.fromEntries(
      [...(labelText ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text]),
    );
    samples.push({ name, labels, value: Number(value) });
  }
  return samples;
}

export async function fetchMetrics(url: string): Promise<MetricSample[]> {
  return parseMetrics(await (await fetch(url)).text());
}

export function sumOf(samples: readonly MetricSample[], name: string): number {
  return samples.reduce((sum, sample) => sum + (sample.name === name ? sample.value : 0), 0);
}

/** Delays of the event loops of all workers: how many samples by their upper bound in seconds. */
export type LoopDelays = ReadonlyMap<number, number>;

/** What was counted between two readings. */
export function loopDelays(
  before: readonly MetricSample[],
  after: readonly MetricSample[],
): LoopDelays {
  const cumulative = new Map<number, number>();
  const add = (samples: readonly MetricSample[], sign: 1 | -1) => {
    for (const { name, labels, value } of samples) {
      if (name !== 'ilion_loop_delay_seconds_bucket' || labels['thread'] === 'main') continue;
      const bound = labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le']);
      cumulative.set(bound, (cumulative.get(bound) ?? 0) + sign * value);
    }
  };
  add(after, 1);
  add(before, -1);
  let below = 0;
  const delays = new Map<number, number>();
  for (const bound of [...cumulative.keys()].sort((a, b) => a - b)) {
    const upTo = cumulative.get(bound) ?? 0;
    delays.set(bound, upTo - below);
    below = upTo;
  }
  return delays;
}

/** @returns the bound of the class that holds it, seconds */
export function delayQuantile(delays: LoopDelays, share: number): number {
  const total = [...delays.values()].reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [bound, count] of delays) {
    seen += count;
    if (seen >= total * share) return bound;
  }
  return 0;
}
