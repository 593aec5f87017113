/** `ilion start`: runs a node until it is told to stop. */
import { createLogger } from '../adapters/logger.ts';
import type { Loaded } from '../config/load.ts';
import { serveAdmin } from './admin-server.ts';
import { showBytes } from './cli-report.ts';
import { adminPlace, cqlPlace, metricsPlace, requireFree } from './listen.ts';
import { serveMetrics } from './metrics-server.ts';
import { type Node, startNode } from './node.ts';
import { releaseStartMemory } from './start-memory.ts';

const JOINING_MILLIS = 5_000;

/**
 * Runs until SIGTERM or SIGINT.
 * @returns the exit code; if it is not 0, threads of the node may be left and the caller has to end the process
 */
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
  let closeMetrics: () => Promise<void>;
  let closeAdmin: () => Promise<void>;
  try {
    for (const place of [cqlPlace, metricsPlace, adminPlace]) await requireFree(place(settings));
    const started = startNode(settings, logger, table);
    const told = await Promise.race([stopped, started]);
    if (typeof told === 'string') {
      logger.info('stopped before it was ready', { signal: told });
      // Nothing is acknowledged yet: what has been opened ends with the process, as in a crash.
      process.exit(0);
    }
    node = told;
    closeMetrics = await serveMetrics(settings, node, logger);
    closeAdmin = await serveAdmin(settings, node, logger);
  } catch (error) {
    logger.error('the node did not start', {
      reason: error instanceof Error ? error.message : String(error),
    });
    return 1;
  }
  const ended = Promise.race([stopped, node.failed]);
  const told = setInterval(() => logger.info('joining', joiningFields(node)), JOINING_MILLIS);
  const isEarly = await Promise.race([node.joined.then(() => false), ended.then(() => true)]);
  clearInterval(told);
  const milliseconds = Math.round(performance.now() - began);
  if (!isEarly) logger.info('ready', readyFields(settings, node, milliseconds));
  releaseStartMemory(() => 0).catch((error: unknown) =>
    logger.warn('the memory of the start is kept', { error }),
  );
  const reason = await ended;
  if (reason instanceof Error) {
    logger.error('the node failed and stops', { reason: reason.message, error: reason });
    return 1;
  }
  logger.info('draining', { signal: reason });
  await closeAdmin();
  // Its readiness says that the node drains, until it is over.
  await node.stop();
  await closeMetrics();
  logger.info('stopped');
  return 0;
}

function readyFields(settings: Loaded['settings'], { hostId }: Node, milliseconds: number) {
  return {
    cql: `${settings.rpcAddress}:${settings.nativeTransportPort}`,
    hostId,
    workers: settings.workers,
    shards: settings.shards,
    commitlogSync: settings.commitlogSync,
    milliseconds,
  };
}

/** How far the data is that this node gets before it serves clients. */
function joiningFields(node: Node) {
  const [progress] = node.movements();
  if (progress === undefined) return { waits: 'for its turn' };
  const { bytesDone, bytesTotal, rangesDone, rangesTotal, problem } = progress;
  return {
    ranges: `${rangesDone}/${rangesTotal}`,
    bytes: `${showBytes(bytesDone)}/${showBytes(bytesTotal)}`,
    ...(problem === null ? {} : { problem }),
  };
}
