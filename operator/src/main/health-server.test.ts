import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveHealth } from './health-server.ts';
import { createMetrics } from './metrics.ts';

test('health, readiness and metrics are served', async () => {
  const metrics = createMetrics({
    clusters: () => 2,
    queued: () => 1,
    leads: () => true,
    connections: () => 3,
  });
  metrics.kubeCall({ verb: 'apply', kind: 'Pod', outcome: 'OK', seconds: 0.01 });
  metrics.nodeCall('status', 'UNREACHABLE', 0.01);
  metrics.reconciled('ok', 4, 0.1);
  let missing: string | null = 'the watches have not brought everything yet';
  const server = await serveHealth('127.0.0.1', 0, { notReady: () => missing, metrics });
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [response.status, await response.text()] as const;
  };
  try {
    assert.deepEqual(await get('/healthz'), [200, 'alive\n']);
    assert.deepEqual(await get('/readyz'), [503, `${missing}\n`]);
    missing = null;
    assert.deepEqual(await get('/readyz'), [200, 'ready\n']);
    assert.equal((await get('/'))[0], 404);
    assert.equal((await get('/healthz', 'POST'))[0], 405);
    const [status, text] = await get('/metrics');
    assert.equal(status, 200);
    for (const line of [
      'ilion_operator_kube_calls_total{verb="apply",kind="Pod",outcome="OK"} 1',
      'ilion_operator_node_calls_total{call="status",outcome="UNREACHABLE"} 1',
      'ilion_operator_reconcile_writes_total 4',
      'ilion_operator_clusters_count 2',
      'ilion_operator_leader_count 1',
      'ilion_operator_node_connections_count 3',
    ]) {
      assert.ok(text.includes(line), line);
    }
    assert.match(text, /process_resident_memory_bytes/);
  } finally {
    await server.close();
  }
});
