import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareValues, validate } from './codec.ts';
import { nativeType } from './type-facts.ts';
import {
  clockSeqAndNode,
  createListPaths,
  createTimeUuidGenerator,
  formatUuid,
  maxTimeUuid,
  minTimeUuid,
  parseUuid,
  randomUuid,
  timeUuid,
  timeUuidMillis,
  uuidVersion,
} from './uuid.ts';

const TIMEUUID = nativeType('timeuuid');
const NOW = 1_700_000_000_123_456n;
const tail = clockSeqAndNode(Buffer.from('0102030405060708', 'hex'));

function assertAscending(uuids: readonly Buffer[]): void {
  for (let i = 1; i < uuids.length; i++) {
    assert.ok(compareValues(TIMEUUID, uuids[i - 1], uuids[i]) < 0, `uuid ${i}`);
  }
}

test('text, both ways', () => {
  const text = 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6';
  assert.equal(formatUuid(parseUuid(text) ?? Buffer.alloc(16)), text);
  assert.equal(parseUuid('f81d4fae7dec11d0a76500a0c91e6bf6'), null);
});

test('time UUIDs carry their time and compare by it', () => {
  const uuid = timeUuid(NOW, tail, 0);
  validate(TIMEUUID, uuid);
  assert.equal(timeUuidMillis(uuid), NOW / 1000n);
  // RFC 9562's example time, 2022-02-22 19:22:22 UTC: C232AB00-9414-11EC-…
  assert.equal(
    formatUuid(timeUuid(1_645_557_742_000_000n, tail, 0)).slice(0, 18),
    'c232ab00-9414-11ec',
  );
  assertAscending([uuid, timeUuid(NOW, tail, 1), timeUuid(NOW + 1n, tail, 0)]);
});

test('bounds of a millisecond hold all its UUIDs', () => {
  const millis = NOW / 1000n;
  for (const bits of ['0000000000000000', 'ffffffffffffffff', '8080808080808080']) {
    const uuid = timeUuid(NOW, clockSeqAndNode(Buffer.from(bits, 'hex')), 9);
    assert.ok(compareValues(TIMEUUID, minTimeUuid(millis), uuid) < 0);
    assert.ok(compareValues(TIMEUUID, uuid, maxTimeUuid(millis)) < 0);
  }
  assert.equal(timeUuidMillis(maxTimeUuid(millis)), millis);
  assert.equal(timeUuidMillis(minTimeUuid(-5n)), -5n);
});

test('a generator ascends although its clock stands still and goes back', () => {
  const generator = createTimeUuidGenerator(tail);
  const clock = [NOW, NOW, NOW - 1000n, NOW + 1n, NOW + 1n, NOW + 2n];
  assertAscending(clock.map((now) => generator.next(now)));
});

test('list paths: appends in order at the end, prepends in order at the front', () => {
  const paths = createListPaths(tail);
  const appended = [paths.append(NOW), paths.append(NOW)];
  const first = paths.prepend(NOW, 30);
  const second = paths.prepend(NOW + 1n, 3);
  const third = paths.prepend(NOW, 2);
  assertAscending([...third, ...second, ...first, ...appended, paths.append(NOW + 5n)]);
});

test('random UUIDs are version 4', () => {
  const uuid = randomUuid(Buffer.alloc(16, 0xff));
  assert.equal(uuidVersion(uuid), 4);
  assert.equal(formatUuid(uuid), 'ffffffff-ffff-4fff-bfff-ffffffffffff');
});
