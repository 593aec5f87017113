/**
 * How long requests take, counted by kind in classes of log-linear width: each octave of microseconds has two. Plain numbers in
 * arrays made once; the main thread adds up those of all workers when it is asked.
 * @hot
 */
import type { Plan } from '../query/statement.ts';

/** Kinds of requests, as metrics call them; a kind's number is its place here. */
export const LATENCY_KINDS = [
  'read',
  'scan',
  'write',
  'counter',
  'cas',
  'batch',
  'prepare',
  'other',
] as const;

export type LatencyKind = (typeof LATENCY_KINDS)[number];

const FIRST_OCTAVE = 6;
const LAST_OCTAVE = 24;
/** Below the first bound, between two, and above the last. */
const CLASSES = 2 * (LAST_OCTAVE - FIRST_OCTAVE) + 2;

/** Upper bounds of the classes, seconds, from 64 us to 17 s; one class more is above them. */
export const LATENCY_BOUNDS: readonly number[] = Array.from({ length: CLASSES - 1 }, (_, i) => {
  const octave = 2 ** (FIRST_OCTAVE + (i >>> 1));
  return (i % 2 === 0 ? octave : 1.5 * octave) / 1e6;
});

/** Since the worker's start. */
export interface LatencyStatus {
  /** Kind by kind, the classes of `LATENCY_BOUNDS` and one more. */
  readonly counts: Float64Array;
  /** Sums by kind. */
  readonly seconds: Float64Array;
}

function classOf(micros: number): number {
  if (micros < 2 ** FIRST_OCTAVE) return 0;
  if (micros >= 2 ** LAST_OCTAVE) return CLASSES - 1;
  const whole = micros | 0;
  const octave = 31 - Math.clz32(whole);
  return 1 + 2 * (octave - FIRST_OCTAVE) + ((whole >>> (octave - 1)) & 1);
}

/** The counts of kind number `kind`, class by class. */
export function countsOf({ counts }: LatencyStatus, kind: number): Float64Array {
  return counts.subarray(kind * CLASSES, (kind + 1) * CLASSES);
}

/** All that any of them counted. */
export function addLatencies(parts: readonly LatencyStatus[]): LatencyStatus {
  const sum = new Latencies(() => 0);
  for (const { counts, seconds } of parts) {
    for (let i = 0; i < counts.length; i++) sum.counts[i] += counts[i];
    for (let i = 0; i < seconds.length; i++) sum.seconds[i] += seconds[i];
  }
  return sum;
}

/** The number of the kind of request that runs `plan`: a scan reads partitions that it does not name. */
export function kindOf(plan: Plan): number {
  return LATENCY_KINDS.indexOf(nameOf(plan));
}

function nameOf(plan: Plan): LatencyKind {
  switch (plan.kind) {
    case 'select':
      return plan.read.restrictions.partition.kind === 'keys' ? 'read' : 'scan';
    case 'modification':
      if (plan.conditions !== null) return 'cas';
      return plan.isCounter ? 'counter' : 'write';
    case 'batch':
      return 'batch';
    default:
      return 'other';
  }
}

export class Latencies implements LatencyStatus {
  readonly counts = new Float64Array(LATENCY_KINDS.length * CLASSES);
  readonly seconds = new Float64Array(LATENCY_KINDS.length);
  private readonly nowMillis: () => number;

  /** @param nowMillis the clock of `receivedMillis`: monotonic, with a fraction */
  constructor(nowMillis: () => number) {
    this.nowMillis = nowMillis;
  }

  /** A request that arrived at `receivedMillis` has just been answered. @param kind as of `kindOf` */
  add(kind: number, receivedMillis: number): void {
    const micros = (this.nowMillis() - receivedMillis) * 1000;
    this.counts[kind * CLASSES + classOf(micros)]++;
    this.seconds[kind] += micros / 1e6;
  }
}
