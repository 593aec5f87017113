/** What works while an operator leads: watches, the queue, the reconciler. */
import type { Clock, Log } from '../ports/clock.ts';
import { type Key, type KubeApi, KubeError } from '../ports/kube.ts';
import { Cache } from './cache.ts';
import type { Reconciler } from './reconcile.ts';
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts';

/** Events may be lost for good, by a bug of ours or of others: every cluster is looked at now and then. */
const RESYNC_MILLIS = 5 * 60_000;
/** Before the first reconciliation, everything must have been seen once. */
const FILL_CHECK_MILLIS = 50;

export interface Engine {
  isFilled(): boolean;
  /** That are known. */
  clusters(): number;
  queued(): number;
  /** Resolves when nothing is worked on any more. */
  stop(): Promise<void>;
}

export interface EngineParts {
  readonly kube: KubeApi;
  readonly clock: Clock;
  readonly log: Log;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly queue?: Partial<WorkQueueOptions>;
  reconciler(cache: Cache): Reconciler;
  reconciled(outcome: 'ok' | 'failed', writes: number, seconds: number): void;
}

const keyOf = ({ namespace, name }: Key) => `${namespace}/${name}`;

/** @returns stops it */
function repeat(clock: Clock, millis: number, run: () => void): () => void {
  let cancel = () => {};
  const next = () => {
    cancel = clock.after(millis, () => {
      next();
      run();
    });
  };
  next();
  return () => cancel();
}

export function startEngine(parts: EngineParts): Engine {
  const { kube, clock, log, namespaces, reconciled } = parts;
  let isWorking = false;
  const cache = new Cache(kube, (cluster) => {
    if (isWorking) queue.add(keyOf(cluster));
  });
  const work = parts.reconciler(cache);
  const turn = async (key: string) => {
    const [namespace = '', name = ''] = key.split('/');
    const begun = clock.nowMillis();
    const seconds = () => Math.max(0, clock.nowMillis() - begun) / 1000;
    try {
      const { writes, failures, again } = await work.reconcile({ namespace, name });
      reconciled(failures === 0 ? 'ok' : 'failed', writes, seconds());
      if (failures > 0) throw new KubeError('UNAVAILABLE', `${failures} actions came to nothing`);
      return again === null ? null : again * 1000;
    } catch (error) {
      if (!(error instanceof KubeError)) {
        reconciled('failed', 0, seconds());
        log.error('a reconciliation failed', { cluster: key, error });
      } else {
        log.warn('a reconciliation is tried again', { cluster: key, why: error.message });
      }
      throw error;
    }
  };
  const queue = new WorkQueue(clock, turn, parts.queue);
  const addAll = () => {
    for (const cluster of cache.clusters()) queue.add(keyOf(cluster));
  };
  cache.start(namespaces);
  const stopFilling = repeat(clock, FILL_CHECK_MILLIS, () => {
    if (!cache.isFilled) return;
    stopFilling();
    isWorking = true;
    addAll();
  });
  const stopResync = repeat(clock, RESYNC_MILLIS, addAll);
  return {
    isFilled: () => cache.isFilled,
    clusters: () => cache.clusters().length,
    queued: () => queue.size,
    stop: async () => {
      stopFilling();
      stopResync();
      cache.stop();
      await queue.stop();
    },
  };
}
