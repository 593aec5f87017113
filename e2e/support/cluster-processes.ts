/** Clusters of node processes on loopback addresses of their own, so that tests do not meet. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Network } from './network.ts';
import { type NodeProcess, startNode, temporaryDirectory } from './node-process.ts';

export interface ClusterOptions {
  /** Nodes of each datacenter. */
  readonly datacenters: Readonly<Record<string, number>>;
  /** Where the nodes live; not given: on loopback addresses. */
  readonly network?: Network;
  /** More options of `ilion start`, for every node. */
  readonly flags?: Readonly<Record<string, string>>;
  /** And those of one node. */
  flagsOf?(address: string): Readonly<Record<string, string>>;
}

/** Killed at the end of its `await using`. */
export interface ClusterProcesses extends AsyncDisposable {
  /** 127.x.y.1, 127.x.y.2 … in the order of the datacenters, then of those that were added. */
  readonly addresses: string[];
  /** The process that runs now, or ran last, at each address. */
  readonly nodes: NodeProcess[];
  readonly datacenterOf: string[];
  /**
   * Starts a node again with the data that it has.
   * @param until text of its log to wait for; not given: that it is ready
   */
  restart(index: number, until?: string): Promise<NodeProcess>;
  /** A new node, in a place of its own. @param until as for `restart` @returns its index */
  add(
    datacenter: string,
    flags?: Readonly<Record<string, string>>,
    until?: string,
  ): Promise<number>;
}

const PORT = '9042';
const OCTETS = 250;
let clusters = 0;

/** Three octets that no other test process uses now: by process id. */
function loopback(): string {
  const number = process.pid * 7 + clusters++;
  return `127.${(Math.floor(number / OCTETS) % OCTETS) + 2}.${(number % OCTETS) + 1}`;
}

export async function startCluster(options: ClusterOptions): Promise<ClusterProcesses> {
  const base = loopback();
  const directory = temporaryDirectory();
  const datacenterOf = Object.entries(options.datacenters).flatMap(([name, count]) =>
    new Array<string>(count).fill(name),
  );
  const addresses = [
    ...(options.network?.addresses ?? datacenterOf.map((_, i) => `${base}.${i + 1}`)),
  ];
  /** Options of nodes that were added. */
  const added: Readonly<Record<string, string>>[] = [];
  const start = (index: number, isNew: boolean, until?: string): Promise<NodeProcess> => {
    const address = addresses[index];
    return startNode({
      ...(until === undefined ? {} : { until }),
      dataDirectory: join(directory, `n${index + 1}`),
      ...(options.network === undefined ? {} : { prefix: options.network.prefix(index) }),
      flags: {
        workers: '1',
        shards: '1',
        'memory-limit': '256MiB',
        'data-center': datacenterOf[index],
        'listen-address': address,
        'rpc-address': address,
        'admin-address': address,
        'metrics-address': address,
        'native-transport-port': PORT,
        // The first one starts the cluster.
        seeds: isNew && index === 0 ? address : addresses.slice(0, 3).join(','),
        ...options.flags,
        ...options.flagsOf?.(address),
        ...added[index],
      },
    });
  };
  const nodes: NodeProcess[] = [];
  for (const index of addresses.keys()) nodes.push(await start(index, true));
  return {
    addresses,
    nodes,
    datacenterOf,
    restart: async (index, until) => {
      nodes[index] = await start(index, false, until);
      return nodes[index];
    },
    add: async (datacenter, flags = {}, until) => {
      const index = addresses.length;
      addresses.push(`${base}.${index + 1}`);
      datacenterOf.push(datacenter);
      added[index] = flags;
      nodes[index] = await start(index, false, until);
      return index;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(Object.values(nodes).map((node) => node.kill9()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
