import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CarrierStream, StreamEvents } from '../internode/carrier.ts';
import { VirtualNetwork } from './network.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';

/** One stream from a to b, and what both ends hear. */
function connected(seed: number) {
  const scheduler = new Scheduler();
  const network = new VirtualNetwork(scheduler, new SeededRandom(seed));
  const heard: string[] = [];
  const near: string[] = [];
  const accepted: CarrierStream[] = [];
  const events = (log: string[]): StreamEvents => ({
    packet: (packet) => log.push(Buffer.from(packet).toString()),
    drained: () => log.push('drained'),
    closed: (reason) => log.push(`closed: ${reason}`),
  });
  network.listen('b', 1, (stream) => {
    accepted.push(stream);
    return events(heard);
  });
  const stream = network.carrier('a').open('b', 1, events(near));
  return { scheduler, network, stream, heard, near, accepted };
}

test('packets arrive in order, also those of before the connection', async () => {
  const { scheduler, stream, heard } = connected(1);
  for (let i = 0; i < 50; i++) stream.write(Buffer.from(String(i)));
  await scheduler.runUntil(100);
  assert.deepEqual(
    heard,
    Array.from({ length: 50 }, (_, i) => String(i)),
  );
});

test('an address without a listener refuses', async () => {
  const { scheduler, network } = connected(1);
  const told: string[] = [];
  network.carrier('a').open('c', 1, {
    packet: () => {},
    drained: () => {},
    closed: (reason) => told.push(reason),
  });
  await scheduler.runUntil(100);
  assert.deepEqual(told, ['cannot connect: refused']);
});

test('whatever is cut, healed and slow: a prefix in order, whole if it heals in time', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.array(fc.constantFrom('write', 'block', 'unblock', 'wait'), { maxLength: 60 }),
      async (seed, actions) => {
        const { scheduler, network, stream, heard } = connected(seed);
        network.setStandard({ loss: 0.2, latencyMax: 5 });
        let written = 0;
        for (const action of actions) {
          if (action === 'write') stream.write(Buffer.from(String(written++)));
          else if (action === 'block') network.block('a', 'b');
          else if (action === 'unblock') network.unblock('a', 'b');
          else await scheduler.runUntil(scheduler.now + 3);
        }
        network.heal();
        await scheduler.runUntil(scheduler.now + 60_000);
        assert.deepEqual(
          heard,
          Array.from({ length: written }, (_, i) => String(i)),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test('a cut that lasts breaks both ends', async () => {
  const { scheduler, network, stream, heard, near } = connected(2);
  await scheduler.runUntil(10);
  network.block('a', 'b');
  stream.write(Buffer.from('lost'));
  await scheduler.runUntil(20_000);
  network.heal();
  await scheduler.runUntil(40_000);
  assert.deepEqual(heard, ['closed: keepalive: no answer']);
  assert.deepEqual(near, ['closed: keepalive: no answer']);
});

test('a writer that is too quick is stopped, and told when to go on', async () => {
  const { scheduler, stream, near } = connected(3);
  assert.equal(stream.write(Buffer.alloc(10)), true);
  assert.equal(stream.write(Buffer.alloc(2 << 20)), false);
  await scheduler.runUntil(100);
  assert.deepEqual(near, ['drained']);
});

test('the other end hears of a close and of a process that vanished', async () => {
  const first = connected(4);
  await first.scheduler.runUntil(10);
  first.stream.write(Buffer.from('last'));
  first.stream.close();
  await first.scheduler.runUntil(20);
  assert.deepEqual(first.heard, ['last', 'closed: closed by the peer']);
  const second = connected(5);
  await second.scheduler.runUntil(10);
  second.network.vanish('b');
  await second.scheduler.runUntil(20);
  assert.deepEqual(second.near, ['closed: closed by the peer']);
});

test('events: by time, then as they were made; promises in between', async () => {
  const scheduler = new Scheduler();
  const log: string[] = [];
  scheduler.at(5, () => log.push('b'));
  scheduler.at(1, () => {
    log.push('a');
    void scheduler.sleep(3).then(() => log.push('slept'));
    void (async () => {
      for (let i = 0; i < 20; i++) await null;
      log.push('promises');
    })();
  });
  scheduler.at(5, () => log.push('c'));
  const cancel = scheduler.at(2, () => log.push('cancelled'));
  cancel();
  scheduler.at(1, () => log.push('a2'));
  await scheduler.runUntil(10);
  assert.deepEqual(log, ['a', 'promises', 'a2', 'slept', 'b', 'c']);
  assert.equal(scheduler.now, 10);
});
