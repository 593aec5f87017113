/** Clients that do not come to their first request: nothing sent, too little, or authentication that does not end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryClient, MemoryWorld } from './memory-world.ts';
import { Opcode } from './protocol.ts';

test('a client that does not complete STARTUP in time is closed; one that has is not', () => {
  const world = new MemoryWorld({ startupMillisMax: 10_000 });
  const ready = world.client(5);
  const silent = new MemoryClient(world, 4, null);
  const asking = new MemoryClient(world, 4, null);
  world.clock.advance(9000);
  const late = new MemoryClient(world, 4, null);
  asking.codec.options(1);
  assert.equal(asking.exchange()[0].opcode, Opcode.Supported);
  late.stream.deliver(Buffer.from('0400', 'hex'));
  assert.equal(silent.stream.destroyed, false);
  world.clock.advance(1000);
  assert.deepEqual([silent.stream.destroyed, asking.stream.destroyed], [true, true]);
  assert.equal(late.stream.destroyed, false);
  world.clock.advance(9000);
  assert.equal(late.stream.destroyed, true);
  assert.equal(world.server.metrics.startupTimeoutsTotal, 3);
  assert.equal(world.server.metrics.connectionsOpen, 1);
  const told = 'client did not start in time and is closed';
  assert.deepEqual(world.details, [told, told, told]);
  world.clock.advance(1_000_000);
  assert.equal(ready.stream.destroyed, false);
  world.handshakeTimeout();
  assert.equal(world.server.metrics.startupTimeoutsTotal, 4);
  assert.deepEqual(world.logged, []);
});

test('authentication counts as a part of STARTUP, also while the authenticator thinks', async () => {
  const answer = Promise.withResolvers<{ kind: 'success'; token: null; user: string }>();
  const world = new MemoryWorld(
    { startupMillisMax: 10_000 },
    { className: 'Slow', begin: () => ({ respond: () => answer.promise }) },
  );
  const [thinking, mute] = [world.client(4), world.client(4)];
  thinking.codec.authResponse(1, Buffer.from('x'));
  thinking.exchange();
  world.clock.advance(10_000);
  assert.deepEqual([thinking.stream.destroyed, mute.stream.destroyed], [true, true]);
  answer.resolve({ kind: 'success', token: null, user: 'ann' });
  await answer.promise;
  world.flush();
  assert.deepEqual(world.seen, []);
  assert.equal(world.server.metrics.bytesInFlight, 0);
});

test('a client that goes on sending while it is authenticated is not read', () => {
  const world = new MemoryWorld(
    {},
    { className: 'Slow', begin: () => ({ respond: () => new Promise(() => {}) }) },
  );
  const client = world.client(4);
  client.codec.authResponse(1, Buffer.from('x'));
  client.exchange();
  client.stream.deliver(Buffer.alloc(100));
  assert.equal(client.stream.paused, true);
});

test('an authenticator that breaks costs its client the connection, not the process', async () => {
  let begun = 0;
  const world = new MemoryWorld(
    {},
    {
      className: 'Broken',
      begin: () => {
        if (++begun > 1) throw new TypeError('broken');
        return { respond: () => Promise.reject(new TypeError('broken, too')) };
      },
    },
  );
  const client = world.client(4);
  client.codec.authResponse(1, Buffer.from('x'));
  client.exchange();
  await new Promise(setImmediate);
  assert.equal(client.stream.destroyed, true);
  assert.deepEqual(
    world.logged.map(({ message }) => message),
    ['authenticator failed', 'bug in the CQL transport'],
  );
});
