/** The settings as this process was given them. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { ConfigError, type Loaded, loadSettings } from '../config/load.ts';

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

function readConfig(name: string): { readonly name: string; readonly text: string } {
  try {
    return { name, text: readFileSync(name, 'utf8') };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const reason = missing ? 'there is no such file' : String(error);
    throw new ConfigError(name, `the configuration cannot be read: ${reason}`);
  }
}

/**
 * @param configFile null: as $ILION_CONFIG says, if it does
 * @param told what the running process was told since its start
 * @throws ConfigError
 */
export function loadFromProcess(
  configFile: string | null,
  flags: ReadonlyMap<string, string>,
  told: ReadonlyMap<string, string> = new Map(),
): Loaded {
  const name = configFile ?? process.env['ILION_CONFIG'] ?? null;
  return loadSettings(
    {
      file: name === null ? null : readConfig(name),
      environment: process.env,
      flags,
      told,
    },
    {
      cores: availableParallelism(),
      memoryBytes: memoryBytes(),
      isTerminal: process.stdout.isTTY === true,
    },
  );
}
