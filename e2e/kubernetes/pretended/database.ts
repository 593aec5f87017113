/**
 * What the database nodes in pretended pods (kwok) would answer to the operator: the admin service of each, on the address of its pod.
 * Runs in machine 0 of the test bed, where all addresses of such pods lead. A node is a member when its pod is ready, alive while there
 * is a pod, and gone when it was told to leave; there is no data, nothing takes time, and anyone may stop if all others are alive.
 *
 *     database.ts KUBECONFIG NAMESPACE PORT
 */
import { createServer } from 'node:net';
import { CoreV1Api, KubeConfig, makeInformer, type V1Pod } from '@kubernetes/client-node';
import {
  type Admin,
  AdminError,
  type AdminNodeStatus,
  type AdminStatus,
} from '../../../node/src/main/admin-messages.ts';
import { type AdminService, createAdminService } from '../../../node/src/main/admin-server-grpc.ts';

const VERSION = '0.1.0';
const TOKENS = 16;
const WATCH_AGAIN_MILLIS = 1_000;

const members = new Map<string, AdminNodeStatus>();
/** Of pods that there are. */
const hostIds = new Map<string, string>();

const hostIdOf = (pod: V1Pod) =>
  pod.spec?.containers[0]?.env?.find(({ name }) => name === 'ILION_HOST_ID')?.value;

function notice(pod: V1Pod): void {
  const [hostId, address] = [hostIdOf(pod), pod.status?.podIP];
  if (hostId === undefined || address === undefined) return;
  const { 'ilion.dev/datacenter': datacenter = '', 'ilion.dev/rack': rack = '' } =
    pod.metadata?.labels ?? {};
  const isReady = pod.status?.conditions?.some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
  if (isReady !== true || members.get(hostId)?.state === 'left') return;
  hostIds.set(address, hostId);
  members.set(hostId, {
    ...{ hostId, address: `${address}:7000`, datacenter, rack, state: 'normal' },
    ...{ alive: true, tokens: TOKENS, version: VERSION },
  });
}

function forget(pod: V1Pod): void {
  const [hostId = '', address = ''] = [hostIdOf(pod), pod.status?.podIP];
  const member = members.get(hostId);
  if (member !== undefined) members.set(hostId, { ...member, alive: false });
  if (hostIds.get(address) === hostId) hostIds.delete(address);
}

function statusOf(hostId: string): AdminStatus {
  const own = members.get(hostId);
  return {
    ...{ version: VERSION, clusterName: 'pretended', hostId, clusterId: 'pretended' },
    ...{ datacenter: own?.datacenter ?? '', rack: own?.rack ?? '', cqlAddress: '' },
    ...{ state: 'serving', uptimeSeconds: 60, durability: 'group', keyspaces: 0, tables: 0 },
    ...{ loadBytes: 0, memtableBytes: 0, cacheBytes: 0, residentBytes: 0 },
    ...{ diskBytes: 1 << 30, diskFreeBytes: 1 << 30, workers: [], shards: [] },
    nodes: [...members.values()],
  };
}

const refused = (): never => {
  throw new AdminError('FAILED_PRECONDITION', 'a pretended node does not do this');
};

const adminOf = (hostId: string): Admin => ({
  status: async () => statusOf(hostId),
  operations: async () => ({ operations: [], streamBytesPerSecond: 0 }),
  removeNode: async ({ hostId: who }) => {
    const member = members.get(who);
    if (member !== undefined) members.set(who, { ...member, state: 'left', alive: false });
    return '';
  },
  checkDisruption: async (ids) => {
    const down = [...members.values()].find(
      (one) => one.state === 'normal' && !one.alive && !ids.includes(one.hostId),
    );
    return { allowed: down === undefined, reason: `${down?.hostId} is down` };
  },
  settings: async () => [],
  flush: refused,
  compact: refused,
  snapshot: refused,
  snapshots: refused,
  dropSnapshot: refused,
  cancelOperation: refused,
  ringBytes: refused,
  moveTokens: refused,
  rebuild: refused,
  reloadSettings: refused,
  ensureKeyspace: refused,
});

const [kubeconfig = '', namespace = '', port = ''] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const api = config.makeApiClient(CoreV1Api);
const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
  api.listNamespacedPod({ namespace }),
);
informer.on('add', notice);
informer.on('update', notice);
informer.on('delete', forget);
informer.on('error', () => setTimeout(() => informer.start(), WATCH_AGAIN_MILLIS));
await informer.start();

const silent = () => {};
const logger = { debug: silent, info: silent, warn: console.error, error: console.error };
const services = new Map<string, AdminService>();
createServer((socket) => {
  // Who was asked is told by the address.
  const hostId = hostIds.get(socket.localAddress ?? '');
  if (hostId === undefined) {
    socket.destroy();
    return;
  }
  let service = services.get(hostId);
  if (service === undefined) {
    service = createAdminService(adminOf(hostId), logger);
    services.set(hostId, service);
  }
  service.accept(socket);
}).listen(Number(port), '0.0.0.0');
console.log('the pretended database answers');
