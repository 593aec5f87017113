/** Which nodes `ilion cluster` starts on this machine. */
import { join } from 'node:path';
import { UsageError } from './cli-arguments.ts';

export interface PlannedNode {
  /** n1, n2 … */
  readonly name: string;
  /** 127.0.0.1, 127.0.0.2 … */
  readonly address: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly dataDirectory: string;
}

export interface ClusterShape {
  /** Number of nodes of a cluster with one datacenter; null: `datacenters` says. */
  readonly nodes: string | null;
  /** `dc1:3,dc2:3` */
  readonly datacenters: string | null;
  /** Racks of each datacenter, filled in turn. */
  readonly racks: string | null;
  readonly dataDirectory: string;
}

/** Addresses of the loopback network that the plan uses: more nodes than that help nobody on one machine. */
const NODES_MAX = 64;
const DEFAULT_DATACENTER = 'datacenter1';

function count(text: string, flag: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > NODES_MAX) {
    throw new UsageError(
      `ilion cluster: ${flag} is '${text}', but must be a number from 1 to ${NODES_MAX}`,
    );
  }
  return number;
}

function datacentersOf(shape: ClusterShape): readonly (readonly [string, number])[] {
  if (shape.datacenters === null) {
    return [[DEFAULT_DATACENTER, count(shape.nodes ?? '3', '--nodes')]];
  }
  if (shape.nodes !== null) {
    throw new UsageError('ilion cluster: give either --nodes or --dcs, not both');
  }
  const all = shape.datacenters.split(',').map((part): readonly [string, number] => {
    const [, name, nodes] = /^([A-Za-z0-9_-]+):(\d+)$/.exec(part) ?? [];
    if (name === undefined) {
      throw new UsageError(
        `ilion cluster: --dcs is '${shape.datacenters}', but must be like dc1:3,dc2:3`,
      );
    }
    return [name, count(nodes, `--dcs ${name}`)];
  });
  if (new Set(all.map(([name]) => name)).size !== all.length) {
    throw new UsageError(`ilion cluster: --dcs names a datacenter twice: ${shape.datacenters}`);
  }
  return all;
}

/** @throws UsageError */
export function planCluster(shape: ClusterShape): readonly PlannedNode[] {
  const racks = count(shape.racks ?? '1', '--racks');
  const nodes = datacentersOf(shape).flatMap(([datacenter, size]) =>
    Array.from({ length: size }, (_, i) => ({ datacenter, rack: `rack${(i % racks) + 1}` })),
  );
  if (nodes.length > NODES_MAX) {
    throw new UsageError(`ilion cluster: ${nodes.length} nodes are more than ${NODES_MAX}`);
  }
  return nodes.map((node, i) => ({
    ...node,
    name: `n${i + 1}`,
    address: `127.0.0.${i + 1}`,
    dataDirectory: join(shape.dataDirectory, `n${i + 1}`),
  }));
}
