/** What the admin service does, on the node itself. */
import { statfs } from 'node:fs/promises';
import { createNativeEngine } from '../../native/index.ts';
import { type LiveSettings, SettingsRefusedError } from '../config/live.ts';
import type { Settings } from '../config/settings.ts';
import { isVirtual } from '../query/virtual/definitions.ts';
import { familyName, type TableDef } from '../schema/schema.ts';
import { storedTables } from '../storage/families.ts';
import { KvError, type KvStore } from '../storage/kv.ts';
import { type Admin, AdminError, type AdminStatus, type TablesRequest } from './admin-messages.ts';
import { compactFamily } from './admin-server-compact.ts';
import { ensureKeyspace } from './admin-server-keyspaces.ts';
import { Snapshots } from './admin-server-snapshots.ts';
import type { Node } from './node.ts';
import { shardFacts } from './shard-facts.ts';
import { processOptions } from './shards.ts';
import { VERSION } from './version.ts';

async function status(settings: Settings, node: Node): Promise<AdminStatus> {
  const [workers, disk] = await Promise.all([node.status(), statfs(settings.dataDirectory)]);
  const shards = node.stores.map(shardFacts);
  const cluster = node.cluster();
  const tables = storedTables(node.schema(), isVirtual);
  const sum = (pick: (shard: (typeof shards)[number]) => number) =>
    shards.reduce((total, shard) => total + pick(shard), 0);
  return {
    version: VERSION,
    clusterName: settings.clusterName,
    datacenter: settings.datacenter,
    rack: settings.rack,
    hostId: node.hostId,
    cqlAddress: `${settings.rpcAddress}:${settings.nativeTransportPort}`,
    state: node.phase(),
    uptimeSeconds: process.uptime(),
    loadBytes: sum((shard) => shard.sstBytes),
    memtableBytes: sum((shard) => shard.memtableBytes),
    cacheBytes: createNativeEngine(processOptions(settings)).memoryUsage().cacheBytes,
    residentBytes: process.memoryUsage.rss(),
    durability: settings.commitlogSync,
    keyspaces: new Set(tables.map((table) => table.keyspace)).size,
    tables: tables.length,
    workers: workers.map(({ connections, requests, inFlightRequests, inFlightBytes }) => ({
      connections,
      requests,
      inFlightRequests,
      inFlightBytes,
    })),
    shards: shards.map((shard) => ({ ...shard, loadBytes: shard.sstBytes })),
    nodes: [...cluster.state.nodes.values()].map((one) => ({
      hostId: one.hostId,
      address: `${one.address}:${one.controlPort}`,
      datacenter: one.datacenter,
      rack: one.rack,
      state: one.state,
      alive: cluster.alive.has(one.hostId),
      tokens: one.tokens.length,
      version: one.releaseVersion,
    })),
    diskBytes: disk.blocks * disk.bsize,
    // What others than root can have of it.
    diskFreeBytes: disk.bavail * disk.bsize,
    clusterId: cluster.state.clusterId,
  };
}

/** @throws AdminError */
function chosenTables(node: Node, { keyspace, table }: TablesRequest): TableDef[] {
  const schema = node.schema();
  if (keyspace === '') {
    if (table !== '') {
      throw new AdminError('INVALID_ARGUMENT', `table '${table}' needs its keyspace, too`);
    }
    return storedTables(schema, isVirtual);
  }
  const found = schema.keyspaces.get(keyspace);
  if (found === undefined) {
    throw new AdminError('NOT_FOUND', `there is no keyspace '${keyspace}'`);
  }
  const named = [...found.tables.values()].filter((one) => table === '' || one.name === table);
  if (table !== '' && named.length === 0) {
    throw new AdminError('NOT_FOUND', `keyspace '${keyspace}' has no table '${table}'`);
  }
  const tables = named.filter((one) => !isVirtual(one));
  if (tables.length === 0 && named.length > 0) {
    const what = table === '' ? `keyspace '${keyspace}'` : `table '${keyspace}.${table}'`;
    throw new AdminError('INVALID_ARGUMENT', `${what} is virtual: it has nothing on disk`);
  }
  return tables;
}

/** Runs `work` for each table on all shards. A table that is dropped meanwhile is passed over. */
async function forTables(
  node: Node,
  request: TablesRequest,
  work: (store: KvStore, family: number) => Promise<void>,
): Promise<number> {
  const tables = chosenTables(node, request);
  for (const table of tables) {
    await Promise.all(
      node.stores.map(async (store) => {
        const family = store.families().get(familyName(table));
        if (family !== undefined) await work(store, family);
      }),
    );
  }
  return tables.length;
}

const sstBytes = (node: Node) =>
  node.stores.reduce((sum, store) => sum + shardFacts(store).sstBytes, 0);

/** Errors of the engine as an operator should read them. */
async function explained<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    if (error.code === 'CLOSED' || error.code === 'ABORTED') {
      throw new AdminError('UNAVAILABLE', `the node stops, ${what} did not end`, { cause: error });
    }
    if (error.code === 'NO_SPACE') {
      throw new AdminError(
        'RESOURCE_EXHAUSTED',
        `the disk is full, ${what} did not end: make room, for instance with \`ilion drop-snapshot\``,
        { cause: error },
      );
    }
    throw new AdminError('INTERNAL', `${what} failed: ${error.message}`, { cause: error });
  }
}

export interface AdminDeps {
  readonly live: LiveSettings;
  readonly node: Node;
  /** Ends operations that may take long. */
  readonly signal: AbortSignal;
}

/** The operations of this node. */
export function createAdmin({ live, node, signal }: AdminDeps): Admin {
  const { settings } = live.current;
  const snapshots = new Snapshots({
    dataDirectory: settings.dataDirectory,
    stores: node.stores,
    nowMs: Date.now,
  });
  return {
    status: async (agreed) => {
      if (agreed === true) await node.topology.agree();
      return status(settings, node);
    },
    flush: (request) =>
      explained('the flush', async () => ({
        tables: await forTables(node, request, (store, family) => store.flush(family)),
      })),
    compact: (request) =>
      explained('the compaction', async () => {
        const bytesBefore = sstBytes(node);
        const tables = await forTables(node, request, (store, family) =>
          compactFamily(store, family, signal),
        );
        return { tables, bytesBefore, bytesAfter: sstBytes(node) };
      }),
    snapshot: (name) => snapshots.create(name),
    snapshots: () => snapshots.list(),
    dropSnapshot: (name) => snapshots.drop(name),
    operations: () => node.topology.list(),
    removeNode: (request) => node.topology.remove(request),
    checkDisruption: async (hostIds) => node.topology.checkDisruption(hostIds),
    ringBytes: () => node.ring.bytes(),
    moveTokens: (request) => node.topology.move(request),
    rebuild: (request) => node.topology.rebuild(request),
    ensureKeyspace: (request) => ensureKeyspace(node, request),
    cancelOperation: (id) => node.topology.cancel(id),
    settings: async () => live.list(),
    reloadSettings: async (values) => {
      try {
        return await live.reload(new Map(Object.entries(values)));
      } catch (error) {
        if (!(error instanceof SettingsRefusedError)) throw error;
        throw new AdminError('FAILED_PRECONDITION', error.message, { cause: error });
      }
    },
  };
}
