/** The wall clock in microseconds, as fine as the process can tell it. */

const DRIFT_MILLIS_MAX = 2;

export interface SystemClock {
  /** Microseconds since 1970; never less than before on this thread. */
  micros(): number;
  /** Milliseconds, monotonic. */
  monotonicMillis(): number;
}

export function createSystemClock(): SystemClock {
  let origin = performance.timeOrigin;
  let last = 0;
  return {
    micros: () => {
      const since = performance.now();
      const wall = Date.now();
      // The wall clock may be set while we run: follow it.
      if (Math.abs(origin + since - wall) > DRIFT_MILLIS_MAX) origin = wall - since;
      const now = Math.floor((origin + since) * 1000);
      last = Math.max(now, last);
      return last;
    },
    monotonicMillis: () => performance.now(),
  };
}

/**
 * Timestamps for work that is serial in the whole process.
 * @param memory one BigInt64, shared by the workers
 * @returns microseconds, greater than any given before by any worker
 */
export function createSerialClock(memory: SharedArrayBuffer, clock: SystemClock): () => bigint {
  const cell = new BigInt64Array(memory);
  return () => {
    for (;;) {
      const last = Atomics.load(cell, 0);
      const now = BigInt(clock.micros());
      const next = now > last ? now : last + 1n;
      if (Atomics.compareExchange(cell, 0, last, next) === last) return next;
    }
  };
}
