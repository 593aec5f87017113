/** Hosts on one machine: network namespaces that can be cut off from each other. Needs root and iproute2. */
import { spawnSync } from 'node:child_process';

export interface Network extends Disposable {
  readonly addresses: readonly string[];
  /** What a command begins with to run on the host. */
  prefix(host: number): readonly string[];
  /** Nothing passes any more between hosts of the two groups; this process still reaches all. */
  cut(some: readonly number[], others: readonly number[]): void;
  heal(): void;
}

const BRIDGE_HOST = 254;

function ip(args: string): void {
  const { status, stderr, error } = spawnSync('ip', args.split(' '), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args}: ${error?.message ?? stderr}`);
}

/** @returns why this machine cannot have one, or null */
export function networkProblem(): string | null {
  const name = `ilion-probe-${process.pid}`;
  try {
    ip(`netns add ${name}`);
    ip(`netns del ${name}`);
    return null;
  } catch (error) {
    return `network namespaces cannot be made here: ${String(error)}`;
  }
}

/** @throws Error if `ip` fails */
export function createNetwork(hosts: number): Network {
  // Names of devices have at most 15 characters.
  const id = process.pid % 100_000;
  const net = `10.${(process.pid >> 8) & 255}.${process.pid & 255}`;
  const bridge = `ilb${id}`;
  const space = (host: number) => `ilion-${id}-${host}`;
  const addresses = Array.from({ length: hosts }, (_, host) => `${net}.${host + 1}`);
  const dispose = () => {
    for (const host of addresses.keys()) spawnSync('ip', ['netns', 'del', space(host)]);
    spawnSync('ip', ['link', 'del', bridge]);
  };
  try {
    ip(`link add ${bridge} type bridge`);
    ip(`addr add ${net}.${BRIDGE_HOST}/24 dev ${bridge}`);
    ip(`link set ${bridge} up`);
    for (const [host, address] of addresses.entries()) {
      ip(`netns add ${space(host)}`);
      ip(`link add il${id}x${host} type veth peer name eth0 netns ${space(host)}`);
      ip(`link set il${id}x${host} master ${bridge} up`);
      ip(`-n ${space(host)} addr add ${address}/24 dev eth0`);
      ip(`-n ${space(host)} link set eth0 up`);
      ip(`-n ${space(host)} link set lo up`);
    }
  } catch (error) {
    dispose();
    throw error;
  }
  let cuts: (readonly [from: number, to: number])[] = [];
  return {
    addresses,
    prefix: (host) => ['ip', 'netns', 'exec', space(host)],
    cut: (some, others) => {
      const ways = some.flatMap((a) => others.flatMap((b) => [[a, b] as const, [b, a] as const]));
      for (const [from, to] of ways)
        ip(`-n ${space(from)} route add blackhole ${addresses[to]}/32`);
      cuts = [...cuts, ...ways];
    },
    heal: () => {
      for (const [from, to] of cuts)
        ip(`-n ${space(from)} route del blackhole ${addresses[to]}/32`);
      cuts = [];
    },
    [Symbol.dispose]: dispose,
  };
}
