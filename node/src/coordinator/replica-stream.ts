/** One replica's records of a run of keys, page by page. Nothing is kept open there: each page is asked for by its bounds. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { compareBytes } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import { LinkError, request, Verb } from '../internode/links.ts';
import type { TableHandle } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import { localPage } from './local-page.ts';
import { type Page, type PageRequest, readPage, writePageRequest } from './messages.ts';

const NOTHING = Buffer.alloc(0);

export interface StreamBounds {
  readonly lower: Uint8Array | null;
  readonly upper: Uint8Array | null;
  readonly reverse: boolean;
}

export interface StreamOptions {
  /** By which the node is a replica. */
  readonly epoch: number;
  /** Entries that are likely to be wanted. */
  readonly expected: number;
  /** Of each page from a peer. */
  readonly timeoutMillis: number;
}

/** The bounds of what comes after `key`. */
export function boundsAfter(bounds: StreamBounds, key: Uint8Array): StreamBounds {
  return bounds.reverse
    ? { ...bounds, upper: key }
    : { ...bounds, lower: Buffer.concat([key, Buffer.of(0)]) };
}

/** Each page must get somewhere, or the next one would be the same for ever. */
function isWithin({ lower, upper }: StreamBounds, key: Uint8Array): boolean {
  if (lower !== null && compareBytes(key, lower) < 0) return false;
  return upper === null || compareBytes(key, upper) < 0;
}

export class ReplicaStream {
  readonly node: NodeInfo;
  private readonly context: CoordinatorContext;
  private readonly handle: TableHandle;
  private readonly epoch: number;
  private bounds: StreamBounds;
  private readonly timeoutMillis: number;
  private entriesMax: number;
  private entries: Buffer = NOTHING;
  private at = 0;
  private left = 0;
  private isLast = false;
  private loading: Promise<Page> | null = null;

  constructor(
    context: CoordinatorContext,
    handle: TableHandle,
    node: NodeInfo,
    bounds: StreamBounds,
    { epoch, expected, timeoutMillis }: StreamOptions,
  ) {
    this.epoch = epoch;
    this.timeoutMillis = timeoutMillis;
    this.context = context;
    this.handle = handle;
    this.node = node;
    this.bounds = bounds;
    this.entriesMax = Math.min(expected + 1, context.options.pageEntries);
  }

  /** All of the page at hand has been taken, and there may be more. */
  get needsPage(): boolean {
    return this.left === 0 && !this.isLast;
  }

  get isEmpty(): boolean {
    return this.left === 0;
  }

  /** Starts to load what `load` waits for. */
  prefetch(): void {
    if (!this.needsPage || this.loading !== null) return;
    this.loading = this.nextPage();
    // Whoever loads it hears of it.
    this.loading.catch(() => {});
  }

  /** @throws LinkError, KvError, CqlError (a malformed page) */
  async load(): Promise<void> {
    if (!this.needsPage) return;
    this.prefetch();
    const page = await this.loading;
    this.loading = null;
    if (page === null) return;
    this.entries = page.entries;
    this.at = 0;
    this.left = page.count;
    this.isLast = page.isLast || page.count === 0;
    this.entriesMax = this.context.options.pageEntries;
    if (this.isLast) return;
    const key = this.lastKey();
    if (!isWithin(this.bounds, key))
      throw protocolError('a page of other keys than were asked for');
    this.bounds = boundsAfter(this.bounds, key);
  }

  private nextPage(): Promise<Page> {
    const { context, handle, node, bounds, entriesMax } = this;
    const wanted: PageRequest = { ...bounds, entriesMax, bytesMax: context.options.pageBytes };
    if (context.isSelf(node)) {
      const { topology } = context;
      if (topology.hasRunMoved(this.epoch, handle.table, bounds.lower, bounds.upper)) {
        const { epoch } = topology;
        return Promise.reject(new LinkError('STALE', 'others own some of it', { epoch }));
      }
      return localPage(context.deps.store, handle, wanted);
    }
    writePageRequest(context.out, this.epoch, handle.table, wanted);
    const body = context.out.view();
    return request(context.deps.links, node, Verb.ScanPage, body, this.timeoutMillis).then(
      readPage,
    );
  }

  private lastKey(): Buffer {
    let at = 0;
    for (let i = 1; i < this.left; i++) at += this.sizeAt(at);
    return Buffer.from(this.entries.subarray(at + 8, at + 8 + this.entries.readUInt32LE(at)));
  }

  private sizeAt(at: number): number {
    return 8 + this.entries.readUInt32LE(at) + this.entries.readUInt32LE(at + 4);
  }

  /** Of the entry that comes next; not if `isEmpty`. A view, as is `record`. */
  get key(): Buffer {
    const { entries, at } = this;
    return entries.subarray(at + 8, at + 8 + entries.readUInt32LE(at));
  }

  get record(): Buffer {
    const { entries, at } = this;
    const start = at + 8 + entries.readUInt32LE(at);
    return entries.subarray(start, start + entries.readUInt32LE(at + 4));
  }

  advance(): void {
    this.at += this.sizeAt(this.at);
    this.left--;
  }
}
