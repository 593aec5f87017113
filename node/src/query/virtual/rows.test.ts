/** The tables about nodes show the nodes as they are when they are read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY_SCHEMA, findTable } from '../../schema/schema.ts';
import { keyLayout } from '../../storage/keys.ts';
import type { ScanOptions } from '../../storage/record-source.ts';
import { withSystemKeyspaces } from './definitions.ts';
import { type NodeFacts, type PeerFacts, VirtualTables } from './rows.ts';

const NODE: NodeFacts = {
  clusterName: 'c',
  datacenter: 'dc1',
  rack: 'r1',
  hostId: '00000000-0000-4000-8000-000000000001',
  tokens: ['1'],
  rpcAddress: Uint8Array.of(10, 0, 0, 1),
  rpcPort: 9042,
  listenAddress: Uint8Array.of(10, 1, 0, 1),
  listenPort: 7000,
  releaseVersion: '5.0.9',
  cqlVersion: '3.4.7',
};

function peer(last: number): PeerFacts {
  return {
    ...NODE,
    hostId: `00000000-0000-4000-8000-00000000000${last}`,
    rpcAddress: Uint8Array.of(10, 0, 0, last),
    listenAddress: Uint8Array.of(10, 1, 0, last),
    schemaVersion: '00000000-0000-4000-8000-000000000099',
  };
}

const ALL: ScanOptions = { lower: null, upper: null, reverse: false, expected: 10 };

test('peers come and go', async () => {
  const schema = withSystemKeyspaces(EMPTY_SCHEMA);
  let peers: readonly PeerFacts[] = [];
  const tables = new VirtualTables({
    node: () => NODE,
    peers: () => peers,
    schema: () => schema,
    settings: () => [],
    clients: () => [],
    diskUsage: () => [],
    threadPools: () => [],
  });
  const count = async (name: string): Promise<number> => {
    const table = findTable(schema, 'system', name);
    assert.ok(table !== undefined);
    const handle = { table, keys: keyLayout(table), families: [0] };
    return tables.records(handle).scan(handle, 0, ALL).next();
  };
  assert.deepEqual(
    [await count('local'), await count('peers'), await count('peers_v2')],
    [1, 0, 0],
  );
  peers = [peer(2), peer(3)];
  assert.deepEqual(
    [await count('local'), await count('peers'), await count('peers_v2')],
    [1, 2, 2],
  );
  peers = [peer(3)];
  assert.deepEqual([await count('peers'), await count('peers_v2')], [1, 1]);
});
