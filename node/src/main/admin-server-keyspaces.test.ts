import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdminError } from './admin-messages.ts';
import { creationOf, differenceOf } from './admin-server-keyspaces.ts';

const SHOP = {
  name: 'shop',
  replication: { class: 'NetworkTopologyStrategy', dc1: '3' },
  durableWrites: true,
};

test('a keyspace is made by CQL that can hold nothing else', () => {
  assert.equal(
    creationOf(SHOP),
    `CREATE KEYSPACE IF NOT EXISTS "shop" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'} AND durable_writes = true`,
  );
  const bad = (error: unknown) => error instanceof AdminError && error.code === 'INVALID_ARGUMENT';
  assert.throws(() => creationOf({ ...SHOP, name: 'a"; DROP' }), bad);
  assert.throws(() => creationOf({ ...SHOP, replication: { class: "'x" } }), bad);
});

test('another replication is told, not changed', () => {
  const full = { class: 'org.apache.cassandra.locator.NetworkTopologyStrategy', dc1: '3' };
  const there = { replication: full, durableWrites: true };
  assert.equal(differenceOf(there, SHOP), null);
  assert.match(
    differenceOf({ ...there, replication: { ...full, dc1: '2' } }, SHOP) ?? '',
    /'dc1': '2'.*not.*'dc1': '3'/,
  );
  assert.match(differenceOf({ ...there, durableWrites: false }, SHOP) ?? '', /durable_writes/);
});
