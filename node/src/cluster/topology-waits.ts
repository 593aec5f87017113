/**
 * What a topology change waits for, in words that say what to do. Told by the leader of the metadata log, which drives it.
 *
 *   Waits   u8 1 | entries to the end: length-prefixed id of an operation, or host id | length-prefixed text
 */

import { Reader, Writer } from '../common/bytes.ts';
import type { ClusterState, TopologyOperation } from './cluster-state.ts';
import { replicationsOf } from './operation-rules.ts';
import { missingSources, type TopologyView } from './topology-plans.ts';

const VERSION = 1;
const ENTRIES_MAX = 1_000;

export function encodeWaits(waits: ReadonlyMap<string, string>): Uint8Array {
  const out = new Writer(256);
  out.u8(VERSION);
  for (const [id, reason] of [...waits].slice(0, ENTRIES_MAX)) {
    out.bytes(Buffer.from(id));
    out.bytes(Buffer.from(reason));
  }
  return out.copy();
}

/** @throws RangeError, CqlError: malformed */
export function decodeWaits(body: Uint8Array): ReadonlyMap<string, string> {
  const reader = new Reader(body);
  const waits = new Map<string, string>();
  if (reader.u8() !== VERSION) return waits;
  while (reader.remaining > 0 && waits.size < ENTRIES_MAX) {
    const id = String(reader.bytes() ?? '');
    waits.set(id, String(reader.bytes() ?? ''));
  }
  return waits;
}

function named({ nodes }: Pick<ClusterState, 'nodes'>, hostId: string): string {
  const node = nodes.get(hostId);
  return node === undefined ? hostId : `${hostId} (${node.address})`;
}

export interface StreamingWait {
  /** Nodes that do not have all they get. */
  readonly missing: readonly string[];
  /** Milliseconds; null: it is up. */
  downFor(hostId: string): number | null;
  /** When the change is undone because of a node that is down. */
  readonly giveUpMillis: number;
}

/** Of an operation that still streams. */
export function describeStreaming(
  view: TopologyView,
  operation: TopologyOperation,
  { missing, downFor, giveUpMillis }: StreamingWait,
): string {
  const { state } = view;
  const names = (ids: readonly string[]) => ids.map((id) => named(state, id)).join(', ');
  const cancel = `\`ilion cancel ${operation.id}\` undoes the change`;
  const down = missing.filter((id) => downFor(id) !== null);
  if (down.length > 0) {
    const longest = Math.max(...down.map((id) => downFor(id) ?? 0));
    const left = Math.max(0, Math.ceil((giveUpMillis - longest) / 1000));
    return `nodes that get data are down: ${names(down)}. Start them; else the change is undone in ${left} s, and ${cancel} now`;
  }
  for (const replication of replicationsOf(state.schema)) {
    const sources = missingSources(view, operation, replication, missing);
    if (sources === null) continue;
    return `the data of a range is on nodes that are down: ${sources}. Start them; if they do not come back, ${cancel}, and they can be replaced or removed then`;
  }
  return `data is on its way to ${names(missing)}`;
}
