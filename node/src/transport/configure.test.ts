/** Limits that change while clients are connected. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../common/errors.ts';
import { decodeError } from './client-codec.ts';
import { MemoryClient, MemoryWorld } from './memory-world.ts';
import { Opcode } from './protocol.ts';

const KIB = 1024;

function send(client: MemoryClient, stream: number, bytes: number): void {
  client.codec.send(stream, Opcode.Query, (out) => {
    out.longString(' '.repeat(bytes));
    out.u16(1);
    out.u8(0);
  });
}

test('a connection that is open takes larger frames, or none that large, from then on', () => {
  const world = new MemoryWorld({ frameBytesMax: 4 * KIB });
  const client = world.client(4);
  send(client, 1, 8 * KIB);
  assert.equal(decodeError(client.exchange()[0].body, 4).code, ErrorCode.Invalid);
  world.server.configure({ frameBytesMax: 16 * KIB });
  send(client, 2, 8 * KIB);
  assert.deepEqual(client.exchange(), []);
  assert.equal(world.held.length, 1);
  world.server.configure({ frameBytesMax: 2 * KIB });
  send(client, 3, 8 * KIB);
  assert.match(decodeError(client.exchange()[0].body, 4).message, /exceeds maximum allowed/);
});

test('who waits for room goes on when there is more of it', () => {
  const world = new MemoryWorld({ bytesMax: 10 * KIB, connectionBytesMax: 10 * KIB });
  const [first, second] = [world.client(4), world.client(4)];
  send(first, 1, 8 * KIB);
  first.exchange();
  send(second, 1, 8 * KIB);
  second.exchange();
  assert.equal(world.held.length, 1);
  world.server.configure({ bytesMax: 64 * KIB });
  second.poll();
  assert.equal(world.held.length, 2);
});

test('connections and requests are counted by the newest bounds', () => {
  const world = new MemoryWorld({ connectionsMax: 1, connectionRequestsMax: 1 });
  const client = world.client(4);
  const refused = new MemoryClient(world, 4, null);
  assert.equal(refused.stream.destroyed, true);
  world.server.configure({ connectionsMax: 2, connectionRequestsMax: 2 });
  assert.equal(new MemoryClient(world, 4, null).stream.destroyed, false);
  for (const stream of [1, 2, 3]) send(client, stream, 10);
  client.exchange();
  assert.equal(world.held.length, 2);
});
