/**
 * How many bytes lie where on the ring: what each node has on disk of each replication that keyspaces have, in cells of
 * 16 buckets. As bytes between nodes:
 *
 *   u8 1 | u16 replications | each: u16 length, JSON of the replication | 4,096 × f32
 */
import type { NodeInfo } from './cluster-state.ts';
import { GRID_BUCKETS } from './grid.ts';
import { type Replication, Ring, type RingState } from './ring.ts';
import type { BucketBytes } from './ring-load.ts';

export const CELLS = 4096;
const CELL_BUCKETS = GRID_BUCKETS / CELLS;
const CELLS_BYTES = CELLS * 4;
const VERSION = 1;
/** Of one answer. */
const REPLICATIONS_MAX = 64;

/** What one node has of the tables of all keyspaces with one replication. */
export interface CellBytes {
  readonly replication: Replication;
  /** By cell. */
  readonly bytes: Float32Array;
}

/** A file: buckets are inclusive. */
export interface BucketSpan {
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

/** Order of options does not matter. */
export function replicationName(replication: Replication): string {
  return JSON.stringify(Object.entries(replication).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Spreads what files have evenly over the buckets of each. */
export function addSpans(bytes: Float32Array, spans: Iterable<BucketSpan>): void {
  for (const { first, last, bytes: count } of spans) {
    const perBucket = count / (last - first + 1);
    for (let bucket = first; bucket <= last; ) {
      const cell = Math.floor(bucket / CELL_BUCKETS);
      const end = Math.min(last, (cell + 1) * CELL_BUCKETS - 1);
      bytes[cell] += perBucket * (end - bucket + 1);
      bucket = end + 1;
    }
  }
}

export function encodeCells(all: readonly CellBytes[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const kept = all.slice(0, REPLICATIONS_MAX);
  const head = Buffer.of(VERSION, 0, 0);
  head.writeUInt16BE(kept.length, 1);
  parts.push(head);
  for (const { replication, bytes } of kept) {
    const json = Buffer.from(JSON.stringify(replication));
    const length = Buffer.alloc(2);
    length.writeUInt16BE(json.length);
    const cells = Buffer.alloc(CELLS_BYTES);
    for (let cell = 0; cell < CELLS; cell++) cells.writeFloatBE(bytes[cell], cell * 4);
    parts.push(length, json, cells);
  }
  return Buffer.concat(parts);
}

/** @returns null: it is no such message, or of another version */
export function decodeCells(body: Uint8Array): readonly CellBytes[] | null {
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.length);
  if (buffer.length < 3 || buffer[0] !== VERSION) return null;
  const count = buffer.readUInt16BE(1);
  if (count > REPLICATIONS_MAX) return null;
  const all: CellBytes[] = [];
  let at = 3;
  for (let i = 0; i < count; i++) {
    if (at + 2 > buffer.length) return null;
    const cellsAt = at + 2 + buffer.readUInt16BE(at);
    if (cellsAt + CELLS_BYTES > buffer.length) return null;
    const replication = replicationFromJson(buffer.toString('utf8', at + 2, cellsAt));
    if (replication === null) return null;
    const bytes = new Float32Array(CELLS);
    for (let cell = 0; cell < CELLS; cell++) {
      const value = buffer.readFloatBE(cellsAt + cell * 4);
      if (!Number.isFinite(value) || value < 0) return null;
      bytes[cell] = value;
    }
    all.push({ replication, bytes });
    at = cellsAt + CELLS_BYTES;
  }
  return at === buffer.length ? all : null;
}

function replicationFromJson(text: string): Replication | null {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json !== 'object' || json === null) return null;
    const entries = Object.entries(json).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
    return Object.fromEntries(entries);
  } catch {
    return null;
  }
}

/** What a node said. */
export interface NodeCells {
  readonly hostId: string;
  readonly cells: readonly CellBytes[];
}

/**
 * One copy of everything, by replication and bucket: the mean of what the owners have that said so. What others still have
 * of a range is of no account.
 */
export function bytesOfOneCopy(
  { nodes }: RingState,
  answers: readonly NodeCells[],
): readonly BucketBytes[] {
  const ring = new Ring({ nodes });
  const byName = new Map<string, { replication: Replication; byHost: Map<string, Float32Array> }>();
  for (const { hostId, cells } of answers) {
    for (const { replication, bytes } of cells) {
      const name = replicationName(replication);
      const known = byName.get(name) ?? { replication, byHost: new Map<string, Float32Array>() };
      known.byHost.set(hostId, bytes);
      byName.set(name, known);
    }
  }
  return [...byName.values()].map(({ replication, byHost }) => {
    const answered = new Set(answers.map(({ hostId }) => hostId));
    const bytes = new Float64Array(GRID_BUCKETS);
    let first = 0;
    for (const { last, replicas } of ring.placement(replication).ranges()) {
      const owners = replicas.filter(({ hostId }) => answered.has(hostId));
      const have = owners.flatMap(({ hostId }) => byHost.get(hostId) ?? []);
      for (let bucket = first; bucket <= last && have.length > 0; bucket++) {
        const cell = Math.floor(bucket / CELL_BUCKETS);
        const sum = have.reduce((total, one) => total + one[cell], 0);
        bytes[bucket] = sum / CELL_BUCKETS / owners.length;
      }
      first = last + 1;
    }
    return { replication, bytes };
  });
}

/** By cell. */
export function cellsOfBuckets(bytes: ArrayLike<number>): number[] {
  return Array.from({ length: CELLS }, (_, cell) => {
    let sum = 0;
    for (let i = 0; i < CELL_BUCKETS; i++) sum += bytes[cell * CELL_BUCKETS + i];
    return sum;
  });
}

/** The other way, evenly within each cell. @throws RangeError if there are not so many cells */
export function bucketsOfCells(cells: readonly number[]): Float64Array {
  if (cells.length !== CELLS) throw new RangeError(`${cells.length} cells, not ${CELLS}`);
  return Float64Array.from(
    { length: GRID_BUCKETS },
    (_, bucket) => cells[Math.floor(bucket / CELL_BUCKETS)] / CELL_BUCKETS,
  );
}

/** A node with nothing but what its place on the ring depends on. */
export function nodeOnRing(
  place: Pick<NodeInfo, 'hostId' | 'datacenter' | 'rack' | 'state' | 'tokens'>,
): NodeInfo {
  return {
    ...place,
    ...{ address: '', controlPort: 0, dataPort: 0, rpcAddress: '', rpcPort: 0, releaseVersion: '' },
  };
}
