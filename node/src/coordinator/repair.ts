/**
 * Makes replicas that answered differently the same: merges what they have and sends the result to those that lack some
 * of it.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { equalBytes } from '../common/bytes.ts';
import { type AnswerSink, Verb } from '../internode/links.ts';
import { applyMutations } from '../query/apply-mutations.ts';
import { mergeRecords } from '../storage/merge.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { type CoordinatorContext, staleEpochOf } from './context.ts';
import { addMutation, beginRequest } from './messages.ts';

/** A key and the record that a replica should have. */
export interface RepairEntry {
  readonly key: Uint8Array;
  readonly record: Uint8Array;
}

/**
 * The join of what replicas have for one key; null: nobody has anything.
 * @throws RecordFormatError
 */
export function mergeVersions(versions: readonly (Uint8Array | null)[]): Uint8Array | null {
  let first: Uint8Array | null = null;
  let others: Uint8Array[] | null = null;
  for (const version of versions) {
    if (version === null) continue;
    if (first === null) first = version;
    else if (!equalBytes(first, version)) {
      others ??= [];
      others.push(version);
    }
  }
  return first === null || others === null ? first : mergeRecords([first, ...others]);
}

/** Whether a replica with `version` has to be sent `merged`. */
export function lacks(version: Uint8Array | null, merged: Uint8Array | null): boolean {
  if (merged === null) return false;
  return version === null || !equalBytes(version, merged);
}

/** What came of a repair; a number: the epoch by which the replica refused it as stale. */
export type RepairOutcome = 'done' | 'failed' | number;

async function repairHere(
  { deps }: CoordinatorContext,
  handle: TableHandle,
  entries: readonly RepairEntry[],
): Promise<void> {
  await applyMutations(
    deps.store,
    entries.map(({ key, record }) => ({ handle, key, record })),
  );
}

/** Sends a replica what it lacks; done: it is durable there. @param epoch by which it is a replica */
export function sendRepair(
  context: CoordinatorContext,
  handle: TableHandle,
  epoch: number,
  node: NodeInfo,
  entries: readonly RepairEntry[],
  timeoutMillis: number,
): Promise<RepairOutcome> {
  const { topology } = context;
  const { links } = context.deps;
  context.metrics.readRepairs += entries.length;
  if (context.isSelf(node)) {
    const isStale = ({ key }: RepairEntry) => topology.hasMoved(epoch, handle.table, key, 'write');
    if (entries.some(isStale)) return Promise.resolve(topology.epoch);
    return repairHere(context, handle, entries).then(
      () => 'done',
      () => 'failed',
    );
  }
  const { out } = context;
  beginRequest(out, epoch);
  for (const { key, record } of entries) {
    addMutation(out, handle.table, key, key.length, record, record.length);
  }
  return new Promise((resolve) => {
    const sink: AnswerSink = {
      answered: () => resolve('done'),
      failed: (error) => resolve(staleEpochOf(error, epoch) || 'failed'),
    };
    links.call(node, Verb.Mutation, out.view(), timeoutMillis, sink);
  });
}
