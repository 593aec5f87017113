/** The histograms of a node's metrics. */
import { addLatencies, countsOf, LATENCY_BOUNDS, LATENCY_KINDS } from '../server/latency.ts';
import { LOOP_DELAY_BOUNDS } from './loop-monitor.ts';
import type { Facts } from './metrics-server-families.ts';

/** What was counted under one label. */
interface Series {
  /** `name="value"`. */
  readonly label: string;
  /** One for each bound, and one more for what is above them. */
  readonly counts: Iterable<number>;
  readonly sum: number;
}

export interface Histogram {
  readonly name: string;
  readonly help: string;
  /** Upper bounds of the classes. */
  readonly bounds: readonly number[];
  readonly series: readonly Series[];
}

/** All of them, of this moment. */
export function histograms({ loops, workers }: Facts): Histogram[] {
  const latency = addLatencies(workers.map((worker) => worker.latency));
  return [
    {
      name: 'ilion_loop_delay_seconds',
      help: 'How late timers fire: what an event has to wait for the event loop.',
      bounds: LOOP_DELAY_BOUNDS,
      series: loops.map(({ thread, loop }) => ({
        label: `thread="${thread}"`,
        counts: loop.delayCounts,
        sum: loop.delaySeconds,
      })),
    },
    {
      name: 'ilion_request_seconds',
      help: 'From the arrival of a request to its answer, by kind, of all workers.',
      bounds: LATENCY_BOUNDS,
      series: LATENCY_KINDS.map((kind, number) => ({
        label: `kind="${kind}"`,
        counts: countsOf(latency, number),
        sum: latency.seconds[number],
      })),
    },
  ];
}
