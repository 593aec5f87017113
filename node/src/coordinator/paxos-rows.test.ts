import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyLayout } from '../storage/keys.ts';
import { encodeMutations } from './messages.ts';
import { rowsOf } from './paxos-rows.ts';
import { NO_BALLOT, targetOf } from './paxos-state.ts';
import { rowRecord, systemTable } from './system-rows.ts';

test('a commit that replicas got after they answered is in the rows', () => {
  const table = systemTable('batchlog');
  const handle = { table, keys: keyLayout(table), families: [] };
  const [key, other] = [Buffer.from('a key of a partition'), Buffer.from('another key of it')];
  const record = Buffer.from(rowRecord(3, 7n, Buffer.from('x')));
  const message = encodeMutations([{ handle, key, record }]);
  const last = { ballot: NO_BALLOT, origin: NO_BALLOT, history: [], message };
  const nothing = Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  const rows = rowsOf(targetOf(table, key), [key, other], [nothing, nothing], last);
  assert.deepEqual(rows.get(key.toString('latin1')), record);
  assert.equal(rows.get(other.toString('latin1')), null);
  const before = rowsOf(targetOf(table, key), [key, other], [nothing, nothing], null);
  assert.equal(before.get(key.toString('latin1')), null);
});
