/**
 * Follows one kind of object: lists all, then watches from there. An old resourceVersion lists anew; a lost connection goes on
 * from the last version seen.
 */
import { KubeError, type WatchSink } from '../ports/kube.ts';
import type { KubeRequest, KubeTransport } from './kube-transport.ts';

export interface WatchTimes {
  /** Before the first, and the longest, try after a failure. */
  readonly backoffMillis: readonly [first: number, longest: number];
  /** Of one request; the server ends it then. */
  readonly watchSeconds: number;
  /** Without a byte: bookmarks come every minute. */
  readonly idleMillis: number;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Timers are not exact. */
const SILENT_SHARE = 0.9;

export const WATCH_TIMES: WatchTimes = {
  backoffMillis: [250, 30_000],
  watchSeconds: 300,
  idleMillis: 150_000,
  random: Math.random,
};

export interface Page<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

export interface WatchSource<T> {
  /** All there is. @throws KubeError */
  list(): Promise<Page<T>>;
  readonly request: KubeRequest;
  /** Fills in what is not sent with each object. */
  complete(object: unknown): T;
  /** Told when something failed; it goes on by itself. */
  failed(error: KubeError): void;
}

interface WatchLine {
  readonly type: string;
  readonly object: { readonly metadata?: { readonly resourceVersion?: string } };
}

function isWatchLine(value: unknown): value is WatchLine {
  if (typeof value !== 'object' || value === null) return false;
  const { type, object } = value as { readonly type?: unknown; readonly object?: unknown };
  return typeof type === 'string' && typeof object === 'object' && object !== null;
}

/** @param statusError of the object of a line of type ERROR @returns stops it */
export function followKind<T>(
  transport: KubeTransport,
  source: WatchSource<T>,
  sink: WatchSink<T>,
  statusError: (status: unknown) => KubeError,
  times: WatchTimes = WATCH_TIMES,
): () => void {
  const [first, longest] = times.backoffMillis;
  let version: string | null = null;
  let failures = 0;
  let isStopped = false;
  let timer: NodeJS.Timeout | null = null;
  let stopWatch: () => void = () => {};

  const again = (delayMillis: number) => {
    if (isStopped) return;
    timer = setTimeout(() => void turn(), delayMillis);
  };
  const afterFailure = (error: KubeError) => {
    if (isStopped) return;
    source.failed(error);
    if (error.code === 'GONE') version = null;
    const wait = Math.min(longest, first * 2 ** Math.min(failures, 16));
    failures++;
    // Many that failed together must not come back together.
    again(wait * (0.5 + times.random() / 2));
  };

  const take = ({ type, object }: WatchLine): KubeError | null => {
    if (type === 'ERROR') return statusError(object);
    version = object.metadata?.resourceVersion ?? version;
    if (type === 'ADDED' || type === 'MODIFIED') sink.changed(source.complete(object));
    else if (type === 'DELETED') sink.deleted(source.complete(object));
    failures = 0;
    return null;
  };

  const watchFrom = (resourceVersion: string) => {
    const seconds = Math.ceil(times.watchSeconds * (0.8 + times.random() * 0.2));
    const begun = performance.now();
    let isHeard = false;
    const query = {
      ...source.request.query,
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(seconds),
    };
    const end = (error: KubeError | null) => {
      stopWatch();
      const lasted = performance.now() - begun;
      // Not even a bookmark: the version may be one that the server does not have (any more), as after a restore of its data.
      if (!isHeard && lasted >= times.idleMillis * SILENT_SHARE) version = null;
      if (error !== null) return afterFailure(error);
      // A server that ends watches at once must not be asked without a pause.
      const isShort = lasted < first;
      if (!isShort) failures = 0;
      again(isShort ? first : 0);
    };
    stopWatch = transport.follow({ ...source.request, query }, times.idleMillis, {
      line: (value) => {
        if (isStopped) return;
        if (!isWatchLine(value)) {
          return end(new KubeError('UNAVAILABLE', 'a line of a watch that is not of its form'));
        }
        isHeard = true;
        const error = take(value);
        if (error !== null) end(error);
      },
      ended: (error) => {
        if (!isStopped) end(error);
      },
    });
  };

  const turn = async () => {
    timer = null;
    try {
      if (version === null) {
        const page = await source.list();
        if (isStopped) return;
        version = page.resourceVersion;
        sink.replaced(page.items);
      }
      watchFrom(version);
    } catch (error) {
      afterFailure(
        error instanceof KubeError
          ? error
          : new KubeError('UNAVAILABLE', (error as Error).message, { cause: error }),
      );
    }
  };
  void turn();
  return () => {
    isStopped = true;
    if (timer !== null) clearTimeout(timer);
    stopWatch();
  };
}
