import assert from 'node:assert/strict';
import { test } from 'node:test';
import { showBytes, showDuration, showSnapshots, showStatus } from './cli-report.ts';

test('sizes and times', () => {
  assert.deepEqual([0, 1023, 1536, 5 << 20, 3 * 2 ** 40, 2 ** 60].map(showBytes), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '5.0 MiB',
    '3.0 TiB',
    '1048576.0 TiB',
  ]);
  assert.deepEqual([0.4, 59, 60, 3723, 90_000].map(showDuration), [
    '0s',
    '59s',
    '1m 0s',
    '1h 2m 3s',
    '1d 1h 0m 0s',
  ]);
});

test('the status of a node', () => {
  const worker = { connections: 2, requests: 70, inFlightRequests: 1, inFlightBytes: 9 };
  const shard = {
    loadBytes: 1024,
    memtableBytes: 512,
    queuedWriteBytes: 0,
    pendingCompactionBytes: 0,
    writesStopped: false,
  };
  const status = {
    version: '0.1.0',
    clusterName: 'Shop',
    datacenter: 'east',
    rack: 'r1',
    hostId: '42273ca9-14cb-4438-a024-5cdc06f335d1',
    cqlAddress: '10.0.0.1:9042',
    state: 'serving',
    uptimeSeconds: 61,
    loadBytes: 2048,
    memtableBytes: 1024,
    cacheBytes: 4096,
    residentBytes: 100 << 20,
    durability: 'group',
    keyspaces: 2,
    tables: 5,
    workers: [worker, worker],
    shards: [shard, { ...shard, writesStopped: true, pendingCompactionBytes: 1 << 20 }],
    nodes: [],
    ...{ diskBytes: 2 ** 30, diskFreeBytes: 2 ** 29, clusterId: '' },
  };
  assert.equal(
    showStatus(status),
    `Cluster      Shop
Datacenter   east
Rack         r1
Host id      42273ca9-14cb-4438-a024-5cdc06f335d1
Address      10.0.0.1:9042
State        serving, writes stopped on 1 of 2 shards
Version      0.1.0
Uptime       1m 1s
Load         2.0 KiB on disk, 1.0 KiB in memtables, 1.0 MiB to compact
Memory       100.0 MiB resident, block cache 4.0 KiB of it
Durability   group
Tables       5 in 2 keyspaces
Workers      2
Shards       2
Connections  4
Requests     140 since the start, 2 in flight`,
  );
  const node = {
    hostId: '42273ca9-14cb-4438-a024-5cdc06f335d1',
    address: '10.0.0.1:7000',
    datacenter: 'east',
    rack: 'r1',
    state: 'normal',
    alive: true,
    tokens: 16,
    version: '0.1.0',
  };
  const nodes = [node, { ...node, address: '10.0.0.2:7000', alive: false }];
  assert.equal(
    showStatus({ ...status, nodes }).split('\n\n')[1],
    `   State   Address        Tokens  Host id                               Datacenter  Rack
U  normal  10.0.0.1:7000  16      42273ca9-14cb-4438-a024-5cdc06f335d1  east        r1
D  normal  10.0.0.2:7000  16      42273ca9-14cb-4438-a024-5cdc06f335d1  east        r1`,
  );
});

test('snapshots', () => {
  assert.equal(showSnapshots([]), 'There are no snapshots.');
  const createdAtMs = Date.UTC(2026, 7, 1);
  assert.equal(
    showSnapshots([{ name: 'before-upgrade', createdAtMs, bytes: 1024, directory: '/d/s' }]),
    `Name            Made                      Size     Directory
before-upgrade  2026-08-01T00:00:00.000Z  1.0 KiB  /d/s`,
  );
});
