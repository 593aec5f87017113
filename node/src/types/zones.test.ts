import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Zones } from './zones.ts';

const HOUR = 3_600_000;

test('offsets of zones, across a clock change', () => {
  const zones = new Zones(2);
  assert.equal(zones.offsetMillis('Europe/Paris', Date.UTC(2024, 0, 1)), HOUR);
  assert.equal(zones.offsetMillis('Europe/Paris', Date.UTC(2024, 6, 1)), 2 * HOUR);
  assert.equal(zones.offsetMillis('America/New_York', Date.UTC(2024, 0, 1)), -5 * HOUR);
});

test('only zones that exist are kept, and the last ones of them', () => {
  const zones = new Zones(2);
  for (let i = 0; i < 10; i++) assert.equal(zones.offsetMillis(`No/Where${i}`, 0), null);
  assert.equal(zones.size, 0);
  for (const region of ['Europe/Paris', 'Asia/Tokyo', 'Europe/Paris', 'Europe/London']) {
    assert.notEqual(zones.offsetMillis(region, 0), null);
  }
  assert.equal(zones.size, 2);
});

test('a name of no zone is refused by its length, whatever it costs to look for it', () => {
  const zones = new Zones(2);
  assert.equal(zones.offsetMillis(`Europe/${'x'.repeat(1_000_000)}`, 0), null);
});
