/** `ilion start`: runs a node until it is told to stop. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { createLogger } from '../adapters/logger.ts';
import { type Loaded, loadSettings } from '../config/load.ts';
import { serveAdmin } from './admin-server.ts';
import { serveMetrics } from './metrics-server.ts';
import { startNode } from './node.ts';

const CGROUP_LIMITS = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'];

/** Memory of the container, or of the machine if it is less. */
function memoryBytes(): number {
  let limit = totalmem();
  for (const path of CGROUP_LIMITS) {
    if (!existsSync(path)) continue;
    const value = Number(readFileSync(path, 'utf8'));
    if (Number.isFinite(value) && value > 0) limit = Math.min(limit, value);
  }
  return limit;
}

/** @throws ConfigError, or what reading the file fails with */
export function loadFromProcess(
  configFile: string | null,
  flags: ReadonlyMap<string, string>,
): Loaded {
  const name = configFile ?? process.env['ILION_CONFIG'] ?? null;
  return loadSettings(
    {
      file: name === null ? null : { name, text: readFileSync(name, 'utf8') },
      environment: process.env,
      flags,
    },
    {
      cores: availableParallelism(),
      memoryBytes: memoryBytes(),
      isTerminal: process.stdout.isTTY === true,
    },
  );
}

/** Runs until SIGTERM or SIGINT. @returns the exit code */
export async function start({ settings, table }: Loaded): Promise<number> {
  const logger = createLogger({
    level: settings.logLevel,
    format: settings.logFormat,
    source: 'main',
  });
  const began = performance.now();
  const stopped = new Promise<string>((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
  });
  let node: Awaited<ReturnType<typeof startNode>>;
  try {
    node = await startNode(settings, logger, table);
  } catch (error) {
    logger.error('the node did not start', {
      reason: error instanceof Error ? error.message : String(error),
    });
    return 1;
  }
  const closeMetrics = await serveMetrics(settings, node, logger);
  const closeAdmin = await serveAdmin(settings, node, logger);
  logger.info('ready', {
    cql: `${settings.rpcAddress}:${settings.nativeTransportPort}`,
    hostId: node.hostId,
    workers: settings.workers,
    shards: settings.shards,
    commitlogSync: settings.commitlogSync,
    milliseconds: Math.round(performance.now() - began),
  });
  const reason = await Promise.race([stopped, node.failed]);
  if (reason instanceof Error) {
    logger.error('a worker failed, the node stops', { error: reason });
    return 1;
  }
  logger.info('draining', { signal: reason });
  await closeMetrics();
  await closeAdmin();
  await node.stop();
  logger.info('stopped');
  return 0;
}
