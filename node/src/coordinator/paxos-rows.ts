/** The rows that a condition looks at, put together from what came along with promises. */
import { compareBytes } from '../common/bytes.ts';
import { ABSENT } from '../storage/kv.ts';
import { locateRecords, readMutations, TABLE_REF_BYTES } from './messages.ts';
import type { PaxosTarget, Proposal } from './paxos-state.ts';
import { mergeVersions } from './repair.ts';

/**
 * @param answers records answers for `keys`, of replicas that are read
 * @param last the last commit: replicas may have got it only after they answered, from one that is not read
 * @returns by key, latin1; null: there is no such row
 */
export function rowsOf(
  target: PaxosTarget,
  keys: readonly Uint8Array[],
  answers: readonly Buffer[],
  last: Proposal | null,
): ReadonlyMap<string, Uint8Array | null> {
  const versions = keys.map((): (Uint8Array | null)[] => []);
  for (const answer of answers) {
    const { starts, ends } = locateRecords(answer, keys.length);
    for (const [i, own] of versions.entries()) {
      own.push(starts[i] === ABSENT ? null : answer.subarray(starts[i], ends[i]));
    }
  }
  if (last !== null) {
    readMutations(last.message, (table, key, record) => {
      const isSameTable = compareBytes(table, target.table.subarray(0, TABLE_REF_BYTES)) === 0;
      const at = isSameTable ? keys.findIndex((one) => compareBytes(one, key) === 0) : -1;
      if (at >= 0) versions[at].push(record);
    });
  }
  const rows = new Map<string, Uint8Array | null>();
  for (const [i, key] of keys.entries()) {
    rows.set(Buffer.from(key).toString('latin1'), mergeVersions(versions[i]));
  }
  return rows;
}
