import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { EMPTY_CLUSTER } from '../cluster/commands.ts';
import { loadSettings } from '../config/load.ts';
import { LATENCY_KINDS, Latencies } from '../server/latency.ts';
import { createMetrics } from '../transport/metrics.ts';
import { RingAdmin } from './admin-server-ring.ts';
import { TopologyAdmin } from './admin-server-topology.ts';
import { ListenError } from './listen.ts';
import { LOOP_DELAY_BOUNDS } from './loop-monitor.ts';
import { serveMetrics } from './metrics-server.ts';
import { render } from './metrics-server-registry.ts';
import type { Node } from './node.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

function settingsWithPort(port: number) {
  const machine = { cores: 2, memoryBytes: 2 ** 30, isTerminal: false };
  const flags = new Map([['metrics-port', String(port)]]);
  return loadSettings({ file: null, environment: {}, flags }, machine).settings;
}

function fakeNode(phase: () => 'serving' | 'draining'): Node {
  return {
    hostId: 'a',
    stores: [],
    schema: () => {
      throw new TypeError('not asked for');
    },
    cluster: () => ({
      state: EMPTY_CLUSTER,
      alive: new Set(),
      node: {} as never,
      peers: [],
    }),
    define: async () => {},
    phase,
    status: async () => [],
    stop: async () => {},
    failed: new Promise(() => {}),
    joined: Promise.resolve(),
    movements: () => [],
    topology: new TopologyAdmin({ hostId: 'a', control: null, movements: null }),
    configure: async () => {},
    ring: new RingAdmin({
      ...{ hostId: 'a', control: null, stores: [] },
      schema: () => {
        throw new TypeError('not asked for');
      },
    }),
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('ready while serving, not while draining; alive in both', async () => {
  let phase: 'serving' | 'draining' = 'serving';
  const port = await freePort();
  const close = await serveMetrics(
    settingsWithPort(port),
    fakeNode(() => phase),
    silent,
  );
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await get('/readyz'), [200, 'ready\n']);
  assert.deepEqual(await get('/healthz?verbose'), [200, 'alive\n']);
  assert.deepEqual(await get('/readyz', 'HEAD'), [200, '']);
  assert.equal((await get('/readyz', 'POST'))[0], 405);
  assert.equal((await get('/'))[0], 404);
  phase = 'draining';
  assert.deepEqual(await get('/readyz'), [503, 'draining\n']);
  assert.deepEqual(await get('/metrics'), [503, 'draining\n']);
  assert.deepEqual(await get('/healthz'), [200, 'alive\n']);

  const settings = settingsWithPort(port);
  await assert.rejects(
    serveMetrics(
      settings,
      fakeNode(() => phase),
      silent,
    ),
    (error) =>
      error instanceof ListenError &&
      error.message.startsWith(`metrics_port ${port} on 127.0.0.1 is in use: `) &&
      error.message.endsWith('--metrics-port'),
  );
  await close();
});

test('what workers and shards say, as text', async () => {
  const transport = createMetrics();
  transport.connectionsOpen = 3;
  transport.requestsTotal[7] = 12;
  transport.errorsTotal.set(0x2000, 4);
  const loop = {
    delayCounts: [5, ...LOOP_DELAY_BOUNDS.slice(1).map(() => 0), 1],
    delaySeconds: 1.5,
    activeSeconds: 2,
    collections: [{ kind: 'minor' as const, count: 2, seconds: 0.25 }],
    heapUsedBytes: 1000,
  };
  const latencyOf = (millis: number) => {
    const latency = new Latencies(() => millis);
    latency.add(LATENCY_KINDS.indexOf('read'), 0);
    return latency;
  };
  const worker = {
    connections: 3,
    requests: 12,
    inFlightRequests: 0,
    inFlightBytes: 0,
    queuedWriteBytes: 0,
    clients: [],
    transport,
    latency: latencyOf(0.1),
    cluster: null,
    loop,
  };
  const shard = {
    sstBytes: 10,
    memtableBytes: 20,
    queuedWriteBytes: 30,
    pendingCompactionBytes: 40,
    runningCompactions: 1,
    runningFlushes: 0,
    writesStopped: true,
    delayedWriteBytesPerSecond: 0,
    backgroundErrors: 0,
  };
  const text = await render(
    {
      workers: [worker, { ...worker, latency: latencyOf(2.5) }],
      loops: [{ thread: '0', loop }],
      shards: [shard],
      statistics: [{ 'rocksdb.wal.bytes': 77 }],
      ring: {
        up: 4,
        down: 1,
        operations: 2,
        topologyEpoch: 77,
        movements: [
          {
            operation: 'o1',
            bytesTotal: 900,
            bytesDone: 300,
            filesTotal: 9,
            filesDone: 3,
            rangesTotal: 8,
            rangesDone: 2,
            wholeBytes: 0,
            seconds: 1,
            problem: null,
          },
        ],
      },
      memory: { cacheBytes: 5, memtableBytes: 6, tableReaderBytes: 7 },
      stalls: [{ labels: { shard: '0', state: 'stopped' }, value: 2 }],
    },
    { cluster: 'a "quoted" one' },
  );
  for (const line of [
    'ilion_info{cluster="a \\"quoted\\" one"} 1',
    'ilion_connections{worker="0"} 3',
    'ilion_requests_total{worker="0",opcode="Query"} 12',
    'ilion_errors_total{worker="0",error="SyntaxError"} 4',
    'ilion_storage_sst_bytes{shard="0"} 10',
    'ilion_storage_writes_stopped{shard="0"} 1',
    'ilion_storage_wal_bytes_total{shard="0"} 77',
    'ilion_storage_stalls_total{shard="0",state="stopped"} 2',
    'ilion_storage_cache_bytes 5',
    'ilion_cluster_members_up 4',
    'ilion_topology_epoch 77',
    'ilion_stream_bytes_done{operation="o1"} 300',
    'ilion_stream_ranges_total{operation="o1"} 8',
    'ilion_loop_delay_seconds_bucket{thread="0",le="0.001"} 5',
    'ilion_loop_delay_seconds_bucket{thread="0",le="1"} 5',
    'ilion_loop_delay_seconds_bucket{thread="0",le="+Inf"} 6',
    'ilion_loop_delay_seconds_sum{thread="0"} 1.5',
    'ilion_loop_delay_seconds_count{thread="0"} 6',
    'ilion_collection_seconds_total{thread="0",kind="minor"} 0.25',
    'ilion_request_seconds_bucket{kind="read",le="0.000128"} 1',
    'ilion_request_seconds_bucket{kind="read",le="0.002048"} 1',
    'ilion_request_seconds_bucket{kind="read",le="0.003072"} 2',
    'ilion_request_seconds_bucket{kind="read",le="+Inf"} 2',
    'ilion_request_seconds_sum{kind="read"} 0.0026',
    'ilion_request_seconds_count{kind="read"} 2',
    'ilion_request_seconds_count{kind="cas"} 0',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
});
