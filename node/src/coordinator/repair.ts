/**
 * Makes replicas that answered differently the same: merges what they have and sends the result to those that lack some
 * of it.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { equalBytes } from '../common/bytes.ts';
import { type AnswerSink, Verb } from '../internode/links.ts';
import { mergeRecords } from '../storage/merge.ts';
import type { TableHandle } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import { addMutation, beginMutations } from './messages.ts';

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

/** Sends a replica what it lacks. @returns whether it is durable there */
export function sendRepair(
  context: CoordinatorContext,
  handle: TableHandle,
  node: NodeInfo,
  entries: readonly RepairEntry[],
  timeoutMillis: number,
): Promise<boolean> {
  const { store, links } = context.deps;
  context.metrics.readRepairs += entries.length;
  if (context.isSelf(node)) {
    return new Promise((resolve) => {
      const shards = new Set<number>();
      for (const { key, record } of entries) {
        shards.add(store.merge(handle, key, key.length, record, record.length));
      }
      let left = shards.size;
      let fine = true;
      const written = (error: unknown) => {
        fine &&= error === null;
        if (--left === 0) resolve(fine);
      };
      for (const shard of shards) store.addSink(shard, { written });
    });
  }
  const { out } = context;
  beginMutations(out);
  for (const { key, record } of entries) {
    addMutation(out, handle.table, key, key.length, record, record.length);
  }
  return new Promise((resolve) => {
    const sink: AnswerSink = { answered: () => resolve(true), failed: () => resolve(false) };
    links.call(node, Verb.Mutation, out.view(), timeoutMillis, sink);
  });
}
