import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testNode } from '../cluster/testing/nodes.ts';
import { addressBytes } from './context.ts';
import { Delays } from './delays.ts';
import { Lines } from './lines.ts';
import { gatherVotes } from './paxos-quorum.ts';
import { PeerLatencies } from './peer-latency.ts';
import { VirtualTime } from './testing/virtual-time.ts';

test('what is delayed comes late by at most two ticks, never early', async () => {
  const time = new VirtualTime();
  const delays = new Delays(time, () => time.nowMillis);
  const late: number[] = [];
  let left = 0;
  for (let i = 0; i < 200; i++) {
    const millis = (i * 37) % 150;
    time.after(i * 1.3, () => {
      const due = time.nowMillis + millis;
      left++;
      delays.add(
        {
          delayed: () => {
            late.push(time.nowMillis - due);
            left--;
          },
        },
        millis,
      );
    });
  }
  await time.run(1_000);
  assert.equal(late.length, 200);
  assert.equal(left, 0);
  assert.ok(Math.min(...late) >= 0 && Math.max(...late) <= 8);
});

test('the 99th percentile follows what is measured', () => {
  const latencies = new PeerLatencies();
  assert.equal(latencies.percentileMillis('a'), null);
  for (let i = 0; i < 1_000; i++) latencies.add('a', i % 200 === 0 ? 90 : 1);
  const quick = latencies.percentileMillis('a') ?? 0;
  assert.ok(quick >= 1 && quick < 1.5, `${quick}`);
  for (let i = 0; i < 1_000; i++) latencies.add('a', i % 20 === 0 ? 90 : 1);
  const slow = latencies.percentileMillis('a') ?? 0;
  assert.ok(slow >= 80 && slow < 110, `${slow}`);
  latencies.retain(new Map());
  assert.equal(latencies.percentileMillis('a'), null);
});

test('in a line one after another, and nobody for longer than he wants', async () => {
  const time = new VirtualTime();
  const lines = new Lines(time);
  const first = await lines.enter('a', 100);
  const other = await lines.enter('b', 100);
  assert.ok(first !== null && other !== null);
  const impatient = lines.enter('a', 10);
  const second = lines.enter('a', 100);
  const third = lines.enter('a', 100);
  await time.run(50);
  assert.equal(await impatient, null);
  first();
  const inside = await time.until(second);
  await time.run(100);
  assert.equal(await third, null);
  inside?.();
  assert.ok((await lines.enter('a', 1)) !== null);
});

test('votes are over when enough agree, or no longer can', async () => {
  const nodes = [1, 2, 3].map((number) => testNode(number));
  const never = new Promise<boolean>(() => {});
  const vote = (answers: readonly (boolean | null)[]) =>
    gatherVotes(
      nodes,
      2,
      (node) => {
        const answer = answers[nodes.indexOf(node)];
        return answer === null ? never : Promise.resolve(answer);
      },
      (answer) => answer,
    );
  const counts = async (answers: readonly (boolean | null)[]) => {
    const { agreed, refused, unknownCount } = await vote(answers);
    return [agreed.length, refused.length, unknownCount];
  };
  assert.deepEqual(await counts([true, null, true]), [2, 0, 1]);
  assert.deepEqual(await counts([false, false, null]), [0, 2, 1]);
  assert.deepEqual(await counts([false, true, false]), [1, 2, 0]);
});

test('addresses as errors carry them', () => {
  assert.deepEqual([...addressBytes('10.0.0.7')], [10, 0, 0, 7]);
  assert.deepEqual([...addressBytes('::ffff:10.0.0.7')], [10, 0, 0, 7]);
  assert.equal(
    Buffer.from(addressBytes('fe80::1:2')).toString('hex'),
    'fe800000000000000000000000010002',
  );
  assert.equal(
    Buffer.from(addressBytes('::1')).toString('hex'),
    '00000000000000000000000000000001',
  );
  assert.deepEqual([...addressBytes('a-name')], [0, 0, 0, 0]);
});
