/** `ilion start`: runs a node until it is told to stop. */
import { closeSync, openSync } from 'node:fs';
import { createLogger, type Logger } from '../adapters/logger.ts';
import { LiveSettings, SettingsRefusedError } from '../config/live.ts';
import type { Loaded } from '../config/load.ts';
import { serveAdmin } from './admin-server.ts';
import { showBytes } from './cli-report.ts';
import { adminPlace, cqlPlace, metricsPlace, requireFree } from './listen.ts';
import { serveMetrics } from './metrics-server.ts';
import { type Node, startNode } from './node.ts';
import { releaseStartMemory } from './start-memory.ts';

const JOINING_MILLIS = 5_000;

/** A terminal that is closed sends SIGHUP, too. */
function isTerminalClosed(hadTerminal: boolean): boolean {
  if (!hadTerminal) return false;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return false;
  } catch {
    return true;
  }
}

/** @returns resolves to what says that the node is to stop */
function untilStopped(onHangUp: () => void): Promise<string> {
  const hadTerminal = process.stdin.isTTY || process.stdout.isTTY;
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
    process.on('SIGHUP', () => {
      if (isTerminalClosed(hadTerminal)) resolve('SIGHUP of a terminal that was closed');
      else onHangUp();
    });
    if (process.env['ILION_PARENT'] !== 'channel') return;
    // Whoever has started this node over a channel, and is gone, cannot stop it any more. It may be gone already.
    const isGone = () => resolve('the process that started it is gone');
    if (!process.connected) isGone();
    process.once('disconnect', isGone);
    process.channel?.unref();
  });
}

async function readAgain(live: LiveSettings, logger: Logger): Promise<void> {
  try {
    const changes = await live.reload();
    logger.info('settings are read again', { changes: changes.length });
  } catch (error) {
    if (!(error instanceof SettingsRefusedError)) throw error;
    logger.error('settings are not taken, all stay as they were', { reason: error.message });
  }
}

export interface StartOptions {
  /** See `LiveSettingsDeps.load`. */
  load(told: ReadonlyMap<string, string>): Loaded;
}

/**
 * Runs until SIGTERM or SIGINT. SIGHUP reads the settings again.
 * @returns the exit code; if it is not 0, threads of the node may be left and the caller has to end the process
 * @throws ConfigError before anything is opened
 */
export async function start({ load }: StartOptions): Promise<number> {
  const first = load(new Map());
  const { settings, table } = first;
  const logger = createLogger({
    level: settings.logLevel,
    format: settings.logFormat,
    source: 'main',
  });
  const began = performance.now();
  const { promise: running, resolve: runs } = Promise.withResolvers<Node>();
  const live = new LiveSettings(first, {
    load,
    apply: async ({ settings: next, table: nextTable }, changes) => {
      for (const { name, before, after } of changes) {
        logger.info('a setting changes', { setting: name, before, after });
      }
      logger.setLevel(next.logLevel);
      await (await running).configure(next, nextTable);
    },
  });
  const stopped = untilStopped(() => void readAgain(live, logger));
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
    runs(node);
    closeMetrics = await serveMetrics(settings, node, logger);
    closeAdmin = await serveAdmin(live, node, logger);
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
