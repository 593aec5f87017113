/** Many nodes join at once; `npm run simulate:join` has a thousand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runJoin } from './thousand.ts';

test('sixty nodes join at once, agree, and say no more when idle than fifteen do', async () => {
  const small = await runJoin({ nodes: 15, settleMillis: 8000 });
  const large = await runJoin({ nodes: 60, settleMillis: 8000 });
  assert.ok(small.idle !== null && large.idle !== null, 'all agree');
  assert.ok((large.convergedSeconds ?? Number.NaN) <= 20, `in ${large.convergedSeconds} s`);
  assert.equal(large.voters, 5);
  const { gossip, raft, other } = large.idle.requests;
  // Two offers a round, and news after each.
  assert.ok(gossip <= 4.5, `${gossip} requests of gossip`);
  // The leader's heartbeats to four voters, divided by all.
  assert.ok(raft <= 1.2, `${raft} requests of Raft`);
  assert.equal(other, 0);
  assert.ok(large.idle.packets <= 1.1 * small.idle.packets);
});

test('the same seed joins in the same way', async () => {
  const run = () => runJoin({ nodes: 10, seed: 7, settleMillis: 0, idleMillis: 1000 });
  assert.deepEqual(await run(), await run());
});
