/**
 * A run of keys read from as many replicas as the level asks for: their records merged key by key, and those that lack
 * something repaired before it is shown. Goes through the ring segment by segment, some ahead.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { compareBytes, Writer } from '../common/bytes.ts';
import { type CqlError, readFailure, readTimeout } from '../common/errors.ts';
import { LinkError } from '../internode/links.ts';
import type { RecordScan, ScanOptions, TableHandle } from '../storage/record-source.ts';
import { othersThan, type RepairPart, repairBeforeShown } from './blocking-repair.ts';
import {
  areTimeouts,
  type CoordinatorContext,
  failureReasons,
  Reason,
  type ReplicaFailure,
  reasonOf,
  staleEpochOf,
} from './context.ts';
import { lacks, mergeVersions, type RepairEntry } from './repair.ts';
import { boundsAfter, ReplicaStream, type StreamBounds } from './replica-stream.ts';
import { type Move, type Replicated, Tally } from './replicated.ts';
import { type Segment, segmentsOf } from './scan-segments.ts';

const CHUNK_BYTES = 64 << 10;
/** Of one scan; the ring changes rarely. */
const RESTARTS_MAX = 16;
const NOTHING = Buffer.alloc(0);

export interface RangeRequest {
  readonly replicated: Replicated;
  readonly handle: TableHandle;
  readonly level: number;
  readonly scan: ScanOptions;
}

/** A replica knows of other owners: what is left has to be planned again. Never leaves this file. */
class StaleScan extends Error {
  readonly epoch: number;
  constructor(epoch: number) {
    super('others own some of it');
    this.epoch = epoch;
  }
}

/** One segment with its replicas' streams. */
class OpenSegment {
  readonly refused: CqlError | null;
  readonly move: Move | null;
  streams: ReplicaStream[];
  private readonly context: CoordinatorContext;
  private readonly request: RangeRequest;
  readonly spares: NodeInfo[];
  private readonly failures: ReplicaFailure[] = [];
  private readonly expected: number;
  /** Of what has not been shown. */
  bounds: StreamBounds;

  constructor(
    context: CoordinatorContext,
    request: RangeRequest,
    segment: Segment,
    expected: number,
  ) {
    const { lower, upper, contacts, spares, refused, move } = segment;
    this.context = context;
    this.request = request;
    this.refused = refused;
    this.move = move;
    this.spares = [...spares];
    this.expected = expected;
    this.bounds = { lower, upper, reverse: request.scan.reverse };
    this.streams = refused === null ? contacts.map((node) => this.streamOf(node)) : [];
  }

  private streamOf(node: NodeInfo): ReplicaStream {
    const { rangeTimeoutMillis } = this.context.options;
    // As long as there is somebody else to ask, nobody gets all of the time.
    const timeoutMillis = this.spares.length > 0 ? rangeTimeoutMillis / 4 : rangeTimeoutMillis;
    const { handle, replicated } = this.request;
    const options = { epoch: replicated.epoch, expected: this.expected, timeoutMillis };
    return new ReplicaStream(this.context, handle, node, this.bounds, options);
  }

  prefetch(): void {
    for (const stream of this.streams) stream.prefetch();
  }

  /** All before and with `key` has been shown. */
  passed(key: Uint8Array): void {
    this.bounds = boundsAfter(this.bounds, key);
  }

  /** Every stream has its next entry, or has ended. @throws CqlError */
  async load(): Promise<void> {
    this.prefetch();
    for (const stream of this.streams.slice()) await this.loadOne(stream);
  }

  private async loadOne(first: ReplicaStream): Promise<void> {
    let stream = first;
    for (;;) {
      try {
        await stream.load();
        return;
      } catch (error) {
        const staleEpoch = staleEpochOf(error, this.request.replicated.epoch);
        if (staleEpoch > 0) throw new StaleScan(staleEpoch);
        const reasonCode = error instanceof LinkError ? reasonOf(error) : Reason.UNKNOWN;
        this.failures.push({ node: stream.node, reasonCode });
        const next = this.standIn(stream);
        if (next === null) throw this.error();
        this.streams[this.streams.indexOf(stream)] = next;
        stream = next;
      }
    }
  }

  private standIn({ node }: ReplicaStream): ReplicaStream | null {
    const { replicated, level } = this.request;
    const perDatacenter = replicated.isPerDatacenter(level);
    const at = this.spares.findIndex(
      (spare) =>
        this.context.isAlive(spare) && (!perDatacenter || spare.datacenter === node.datacenter),
    );
    return at < 0 ? null : this.streamOf(this.spares.splice(at, 1)[0]);
  }

  /** @param lost replicas that did not take a repair */
  error(lost: readonly NodeInfo[] = []): CqlError {
    const { request, failures, context } = this;
    for (const node of lost) failures.push({ node, reasonCode: Reason.TIMEOUT });
    const tally = new Tally(request.replicated, request.level);
    const failed = new Set(failures.map(({ node }) => node));
    for (const { node } of this.streams) if (!failed.has(node)) tally.add(node);
    const hasData = this.streams.some((stream) => !stream.isEmpty);
    if (areTimeouts(failures)) {
      context.metrics.readTimeouts++;
      return readTimeout(tally.told, hasData);
    }
    context.metrics.readFailures++;
    return readFailure(tally.told, failureReasons(failures), hasData);
  }
}

export class RangeScan implements RecordScan {
  buffer: Buffer = NOTHING;
  private readonly context: CoordinatorContext;
  private request: RangeRequest;
  private segments: Iterator<Segment>;
  private readonly open: OpenSegment[] = [];
  private readonly out = new Writer(CHUNK_BYTES);
  private ahead = 1;
  private restarts = 0;
  private closed = false;

  constructor(context: CoordinatorContext, request: RangeRequest) {
    this.context = context;
    this.request = request;
    const { replicated, level, scan } = request;
    this.segments = segmentsOf(context, replicated, level, scan.lower, scan.upper);
  }

  async next(): Promise<number> {
    while (!this.closed) {
      const segment = this.current();
      if (segment === null) return 0;
      let count: number;
      try {
        await segment.load();
        if (this.closed) return 0;
        count = await this.merge(segment);
      } catch (error) {
        if (!(error instanceof StaleScan)) throw error;
        await this.planAgain(segment, error.epoch);
        continue;
      }
      if (count > 0) return count;
      if (segment.streams.every((stream) => stream.isEmpty && !stream.needsPage)) {
        this.open.shift();
        this.ahead = Math.min(this.ahead * 2, this.context.options.rangesAhead);
      }
    }
    return 0;
  }

  /** What has not been shown, of the segment and after it, as the ring is now. @throws CqlError */
  private async planAgain(segment: OpenSegment, epoch: number): Promise<void> {
    const { context, request } = this;
    this.restarts++;
    if (this.restarts > RESTARTS_MAX || !(await context.catchUp(epoch))) throw segment.error();
    const replicated = context.topology.replicatedOf(request.handle.table);
    this.request = { ...request, replicated };
    const { bounds } = segment;
    const lower = request.scan.reverse ? request.scan.lower : bounds.lower;
    const upper = request.scan.reverse ? bounds.upper : request.scan.upper;
    this.segments = segmentsOf(context, replicated, request.level, lower, upper);
    this.open.length = 0;
  }

  close(): void {
    this.closed = true;
    this.open.length = 0;
  }

  /** @throws CqlError if it cannot be read */
  private current(): OpenSegment | null {
    while (this.open.length < this.ahead) {
      const next = this.segments.next();
      if (next.done === true) break;
      const { expected } = this.request.scan;
      const segment = new OpenSegment(this.context, this.request, next.value, expected);
      segment.prefetch();
      this.open.push(segment);
    }
    const segment = this.open[0] ?? null;
    if (segment !== null && segment.refused !== null) {
      this.context.metrics.unavailables++;
      throw segment.refused;
    }
    return segment;
  }

  /** Fills `buffer` as far as all streams reach. @returns entries */
  private async merge(segment: OpenSegment): Promise<number> {
    const { out } = this;
    const { streams } = segment;
    const repairs = this.partsOf(segment);
    let count = 0;
    let last: Buffer | null = null;
    out.reset();
    while (out.length < CHUNK_BYTES && !streams.some((stream) => stream.needsPage)) {
      const key = this.leastKey(streams);
      if (key === null) break;
      const versions = streams.map((stream) =>
        !stream.isEmpty && compareBytes(stream.key, key) === 0 ? stream.record : null,
      );
      const merged = mergeVersions(versions);
      last = key;
      for (const [i, version] of versions.entries()) {
        if (merged !== null && lacks(version, merged)) {
          repairs[i].entries.push({ key, record: merged });
        }
        if (version !== null) streams[i].advance();
      }
      if (merged === null) continue;
      for (const other of repairs.slice(streams.length)) {
        other.entries.push({ key, record: merged });
      }
      const at = out.reserve(8);
      out.buffer.writeUInt32LE(key.length, at);
      out.buffer.writeUInt32LE(merged.length, at + 4);
      out.raw(key);
      out.raw(merged);
      count++;
    }
    await this.repair(segment, repairs);
    if (last !== null) segment.passed(Buffer.from(last));
    this.buffer = out.view();
    return count;
  }

  private leastKey(streams: readonly ReplicaStream[]): Buffer | null {
    const { reverse } = this.request.scan;
    let least: Buffer | null = null;
    for (const stream of streams) {
      if (stream.isEmpty) continue;
      const { key } = stream;
      if (least === null || compareBytes(key, least) < 0 !== reverse) least = key;
    }
    return least;
  }

  /** What each is to be sent: first those that are read, then those that are to have all that is shown. */
  private partsOf({ streams, move }: OpenSegment): { node: NodeInfo; entries: RepairEntry[] }[] {
    const nodes = streams.map(({ node }) => node);
    const others = othersThan(this.context, this.request, move, nodes);
    return [...nodes, ...others].map((node) => ({ node, entries: [] }));
  }

  private async repair(segment: OpenSegment, parts: readonly RepairPart[]): Promise<void> {
    const { context, request } = this;
    if (request.handle.table.options.read_repair === 'NONE') return;
    if (parts.every(({ entries }) => entries.length === 0)) return;
    const timeoutMillis = context.options.rangeTimeoutMillis;
    const { spares, streams } = segment;
    const move = parts.length > streams.length ? segment.move : null;
    const asked = { ...request, timeoutMillis, spares, move };
    const failure = await repairBeforeShown(context, asked, parts);
    if (failure === null) return;
    throw failure.staleEpoch > 0 ? new StaleScan(failure.staleEpoch) : segment.error(failure.lost);
  }
}
