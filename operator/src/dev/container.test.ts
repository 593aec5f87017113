import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import type { Pod } from '../ports/kube-objects.ts';
import { NEW_CLUSTER } from '../resources/names.ts';
import { nodePod } from '../resources/node-pod.ts';
import { ClusterFileReader } from './cluster-file.ts';
import { containerEnvironment } from './container.ts';

const FILE = `
apiVersion: ilion.dev/v1alpha1
kind: DatacenterCluster
metadata: { name: demo }
spec:
  replicas: 3
  resources: { limits: { memory: 8Gi, cpu: 1500m } }
  config: { readRequestTimeout: 7s }
  contactPoints: [10.0.0.9]
`;

function podOf(spec: ClusterSpec): Pod {
  const common = { namespace: 'default', resourceVersion: '1' };
  const cluster: DatacenterCluster = {
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatacenterCluster',
    metadata: { ...common, name: 'demo', uid: 'c' },
    spec,
  };
  const node: DatabaseNode = {
    apiVersion: 'ilion.dev/v1alpha1',
    kind: 'DatabaseNode',
    metadata: { ...common, name: 'demo-dc1-rack1-abcde', uid: 'host' },
    spec: { cluster: 'demo', datacenter: 'dc1', rack: 'rack1', replace: false, remove: false },
  };
  const draft = nodePod({ cluster, node, image: 'this-tree', first: false });
  const annotations = { ...draft.metadata.annotations, [NEW_CLUSTER]: 'false' };
  const metadata = { ...common, uid: 'p', ...draft.metadata, annotations };
  return { ...draft, metadata, status: { podIP: '127.0.0.2' } };
}

test('a process of this machine is told what the container would be, where it is here', () => {
  const { spec } = new ClusterFileReader('demo.yaml').read(FILE, null);
  const environment = containerEnvironment(podOf(spec), {
    address: '127.0.0.2',
    directoryOf: (volume) => `/dev-data/${volume}`,
    resolve: (host) => (host === 'demo-seeds.default.svc' ? ['127.0.0.1', '127.0.0.2'] : null),
  });
  const expected = {
    ILION_LISTEN_ADDRESS: '127.0.0.2',
    ILION_RPC_ADDRESS: '127.0.0.2',
    ILION_ADMIN_ADDRESS: '127.0.0.2',
    ILION_METRICS_ADDRESS: '127.0.0.2',
    ILION_SEEDS: '10.0.0.9,127.0.0.1,127.0.0.2',
    ILION_NEW_CLUSTER: 'false',
    ILION_DATA_DIRECTORY: '/dev-data/data/data',
    ILION_INTERNODE_KEY: '/dev-data/tls/tls.key',
    ILION_HOST_ID: 'host',
    ILION_READ_REQUEST_TIMEOUT: '7s',
    ILION_MEMORY_LIMIT: '512MiB',
    ILION_WORKERS: '2',
    ILION_SHARDS: '1',
  };
  const got = Object.fromEntries(Object.keys(expected).map((name) => [name, environment[name]]));
  assert.deepEqual(got, expected);
  assert.deepEqual(
    Object.entries(environment).filter(([, value]) =>
      /0\.0\.0\.0|\/var\/|\/etc\/|\$\(/.test(value),
    ),
    [],
  );
});
