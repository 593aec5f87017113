/**
 * Fills a node with what it owns already and has not got: after a keyspace was made to replicate to its datacenter, say. From
 * the replicas of another datacenter; what the node has got meanwhile is merged with it. Source: Cassandra's `nodetool rebuild`.
 */
import type { ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { Ring } from '../cluster/ring.ts';
import type { KeyspaceDef, Schema, TableDef } from '../schema/schema.ts';
import { normalized } from './file-plan.ts';
import type { GainProgress } from './gain.ts';
import { FileKind } from './messages.ts';
import { type BucketRange, StreamError } from './ports.ts';
import { type PullDeps, pull } from './stream-target.ts';

/** Begins the name of such a transfer: it is no operation of the log. */
export const REBUILD = 'rebuild:';

export interface RebuildDeps extends PullDeps {
  readonly self: Pick<NodeInfo, 'hostId'>;
  state(): Pick<ClusterState, 'nodes' | 'operations' | 'topologyEpoch'>;
  /** User keyspaces. */
  schema(): Schema;
  refOf(table: TableDef): Buffer;
  isAlive(hostId: string): boolean;
  byProximity(nodes: readonly NodeInfo[]): readonly NodeInfo[];
}

export interface RebuildRequest {
  /** Of the sources. */
  readonly datacenter: string;
  /** Null: all keyspaces that are replicated. */
  readonly keyspace: string | null;
}

/** What is taken from one source. */
interface Share {
  readonly source: NodeInfo;
  readonly byKeyspace: Map<KeyspaceDef, BucketRange[]>;
}

/** Ranges that a node has by a state: those that it is written to. */
export function ownRanges(
  state: Pick<ClusterState, 'nodes' | 'operations'>,
  replication: Readonly<Record<string, string>>,
  hostId: string,
): readonly BucketRange[] {
  const ranges = new Ring(state).writes(replication).ranges();
  return normalized(
    ranges.filter(({ replicas }) => replicas.some((node) => node.hostId === hostId)),
  );
}

/**
 * Who gives what: of each range the nearest replica of the datacenter.
 * @param isUsable alive, and not found to be of no use
 * @throws StreamError REFUSED: a range has no such replica
 */
function sharesOf(
  deps: RebuildDeps,
  keyspaces: readonly KeyspaceDef[],
  datacenter: string,
  isUsable: (node: NodeInfo) => boolean,
): readonly Share[] {
  const shares = new Map<string, Share>();
  const { hostId } = deps.self;
  for (const keyspace of keyspaces) {
    for (const range of new Ring(deps.state()).ranges(keyspace.replication)) {
      if (!range.replicas.some((node) => node.hostId === hostId)) continue;
      const there = range.replicas.filter(
        (node) => node.datacenter === datacenter && node.hostId !== hostId,
      );
      const [source] = deps.byProximity(there.filter(isUsable));
      if (source === undefined) {
        const why = there.length === 0 ? 'has no replica of' : 'has no replica that is up, of';
        throw new StreamError(
          'REFUSED',
          `${datacenter} ${why} a range of keyspace ${keyspace.name}: choose another datacenter, or start its nodes`,
        );
      }
      let share = shares.get(source.hostId);
      if (share === undefined) {
        share = { source, byKeyspace: new Map() };
        shares.set(source.hostId, share);
      }
      const ranges = share.byKeyspace.get(keyspace);
      if (ranges === undefined) share.byKeyspace.set(keyspace, [range]);
      else ranges.push(range);
    }
  }
  return [...shares.values()];
}

/**
 * @param progress is brought forward
 * @throws StreamError REFUSED: from there it cannot be had; CANCELLED
 */
export async function rebuild(
  deps: RebuildDeps,
  { datacenter, keyspace }: RebuildRequest,
  progress: GainProgress,
  signal: AbortSignal,
): Promise<void> {
  const all = [...deps.schema().keyspaces.values()];
  const keyspaces = all.filter(({ name }) => keyspace === null || name === keyspace);
  const useless = new Set<string>();
  const isUsable = ({ hostId }: NodeInfo) => deps.isAlive(hostId) && !useless.has(hostId);
  let left = sharesOf(deps, keyspaces, datacenter, isUsable);
  progress.rangesTotal = rangesIn(left);
  while (left.length > 0) {
    const failed: KeyspaceDef[] = [];
    for (const share of left) {
      try {
        await take(deps, share, progress, signal);
        progress.rangesDone += rangesIn([share]);
      } catch (error) {
        if (error instanceof StreamError && error.code === 'CANCELLED') throw error;
        if (error instanceof StreamError && error.code === 'NO_SPACE') throw error;
        progress.problem = error instanceof Error ? error.message : String(error);
        useless.add(share.source.hostId);
        failed.push(...share.byKeyspace.keys());
      }
    }
    // What another has of these keyspaces comes again, and is merged.
    left = sharesOf(deps, [...new Set(failed)], datacenter, isUsable);
  }
  progress.problem = null;
}

function rangesIn(shares: readonly Share[]): number {
  let count = 0;
  for (const { byKeyspace } of shares) {
    for (const [{ tables }, ranges] of byKeyspace) count += tables.size * ranges.length;
  }
  return count;
}

async function take(
  deps: RebuildDeps,
  { source, byKeyspace }: Share,
  progress: GainProgress,
  signal: AbortSignal,
): Promise<void> {
  const tables = [...byKeyspace].flatMap(([keyspace, ranges]) =>
    [...keyspace.tables.values()].map((table) => ({
      table,
      ref: deps.refOf(table),
      ranges: normalized(ranges),
    })),
  );
  if (tables.length === 0) return;
  await pull(
    deps,
    { operation: progress.operation, epoch: deps.state().topologyEpoch, source, tables },
    {
      planned: (files, bytes) => {
        progress.filesTotal += files;
        progress.bytesTotal += bytes;
      },
      fetched: ({ bytes, kind }) => {
        progress.filesDone++;
        progress.bytesDone += bytes;
        if (kind === FileKind.WHOLE) progress.wholeBytes += bytes;
      },
      rowsTaken: (bytes) => {
        progress.bytesDone += bytes;
      },
      ingested: () => Promise.resolve(),
    },
    signal,
  );
}
