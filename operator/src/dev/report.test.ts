import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeStatus } from '../api/database-node.ts';
import type { ClusterStatus } from '../api/datacenter-cluster.ts';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { createReport } from './report.ts';

function world() {
  const lines: string[] = [];
  const timers: (() => void)[] = [];
  const report = createReport({
    clock: {
      nowMillis: () => 0,
      after: (_millis, run) => {
        timers.push(run);
        return () => {};
      },
    },
    tell: (line) => lines.push(line),
    ready: () => 'ilion status',
    addresses: () => ['127.0.0.1', '127.0.0.2'],
    keptAt: (name) => (name === 'n2' ? '/data/n2' : null),
  });
  const metadata = (name: string) => ({ name, namespace: 'd', uid: name, resourceVersion: '1' });
  const kind = { apiVersion: 'ilion.dev/v1alpha1', spec: {} as never };
  const nodeOf = (name: string, status: NodeStatus): DatabaseNode => {
    return { ...kind, kind: 'DatabaseNode', metadata: metadata(name), status };
  };
  const clusterOf = (status: ClusterStatus): DatacenterCluster => {
    return { ...kind, kind: 'DatacenterCluster', metadata: metadata('demo'), status };
  };
  return {
    report,
    nodeOf,
    clusterOf,
    said: () => lines.splice(0),
    timePasses: () => {
      for (const run of timers.splice(0)) run();
    },
  };
}

test('each thing is told once, when it is so', () => {
  const { report, nodeOf, clusterOf, said } = world();
  const node = (status: NodeStatus) => report.node(nodeOf('n1', status));
  node({ phase: 'Starting', address: '127.0.0.1' });
  node({ phase: 'Starting', address: '127.0.0.1' });
  node({ phase: 'NotReady', address: '127.0.0.1' });
  node({ phase: 'Joining', address: '127.0.0.1', progress: '1 % 5 MiB/s' });
  node({ phase: 'Joining', address: '127.0.0.1', progress: '7 % 5 MiB/s' });
  node({ phase: 'Joining', address: '127.0.0.1', progress: '42 % 9 MiB/s' });
  node({ phase: 'Ready', address: '127.0.0.1' });
  node({ phase: 'NotReady', address: '127.0.0.1' });
  assert.deepEqual(said(), [
    'n1 starts at 127.0.0.1',
    'n1 joins at 127.0.0.1: 1 % 5 MiB/s',
    'n1 joins at 127.0.0.1: 42 % 9 MiB/s',
    'n1 serves at 127.0.0.1',
    'n1 does not serve at 127.0.0.1',
  ]);
  const ready = clusterOf({ state: 'Ready', ready: 2, desired: 2 });
  report.cluster(ready);
  report.cluster(ready);
  assert.deepEqual(said(), [
    'demo is ready: 2 of 2 nodes serve at 127.0.0.1, 127.0.0.2, port 9042: cqlsh 127.0.0.1; ilion status',
  ]);
  report.gone(nodeOf('n1', {}));
  report.known([nodeOf('n2', { phase: 'Ready' })]);
  report.gone(nodeOf('n2', {}));
  report.gone(nodeOf('n3', {}));
  assert.deepEqual(said(), ['n1 is gone and its data', 'n2 is gone (its data is kept: /data/n2)']);
});

test('what is in the way is told if it stays', () => {
  const { report, clusterOf, said, timePasses } = world();
  const condition = (status: 'True' | 'False', message: string) =>
    report.cluster(
      clusterOf({
        conditions: [
          {
            type: 'ScalingDown',
            status,
            reason: 'Quorum',
            message,
            lastTransitionTime: '',
            observedGeneration: 1,
          },
        ],
      }),
    );
  condition('False', 'a keyspace has 3 replicas');
  condition('True', '');
  timePasses();
  assert.deepEqual(said(), []);
  condition('False', 'a keyspace has 3 replicas');
  condition('False', 'a keyspace has 3 replicas');
  timePasses();
  assert.deepEqual(said(), ['Quorum: a keyspace has 3 replicas']);
});
