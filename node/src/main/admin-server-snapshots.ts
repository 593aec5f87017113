/**
 * Snapshots of a node's data: `<data directory>/snapshots/<name>/` is itself a data directory, with a checkpoint of
 * every shard (hard links, so it takes no space until the node rewrites its files) and the metadata they belong to.
 *
 * One is made under a name that no snapshot can have and renamed when it is whole and on disk: there is all of it, or
 * nothing. What a crash leaves is removed at the next start of a snapshot.
 */
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KvError, type KvStore } from '../storage/kv.ts';
import { AdminError, type SnapshotInfo } from './admin-messages.ts';
import type { Metadata } from './metadata-file.ts';

const NAME = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/;
const PARTIAL = '.partial-';
const ATTEMPTS_MAX = 5;

export interface SnapshotsDeps {
  readonly dataDirectory: string;
  readonly stores: readonly Pick<KvStore, 'path' | 'checkpoint'>[];
  /** Milliseconds since 1970. */
  nowMs(): number;
}

function checkName(name: string): void {
  if (!NAME.test(name)) {
    throw new AdminError(
      'INVALID_ARGUMENT',
      `'${name}' cannot be the name of a snapshot: use letters, digits, '_', '-' and '.', not a dot first, at most 128`,
    );
  }
}

/** `2026-08-01T12:30:05.123Z` as `20260801T123005Z`. */
function nameOfTime(nowMs: number): string {
  return `${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')}`;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}

async function bytesUnder(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

function toAdminError(error: unknown, name: string): AdminError {
  if (error instanceof AdminError) return error;
  const { code } = error as { code?: unknown };
  if (code === 'NO_SPACE' || code === 'ENOSPC') {
    return new AdminError(
      'RESOURCE_EXHAUSTED',
      `the disk is full, snapshot '${name}' was not made: drop older ones with \`ilion drop-snapshot\``,
      { cause: error },
    );
  }
  if (error instanceof KvError && (error.code === 'CLOSED' || error.code === 'ABORTED')) {
    return new AdminError('UNAVAILABLE', `the node stops, snapshot '${name}' was not made`, {
      cause: error,
    });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new AdminError('INTERNAL', `snapshot '${name}' was not made: ${reason}`, { cause: error });
}

/** Makes, lists and drops snapshots, one call after another. */
export class Snapshots {
  private readonly deps: SnapshotsDeps;
  private readonly directory: string;
  private line: Promise<unknown> = Promise.resolve();

  constructor(deps: SnapshotsDeps) {
    this.deps = deps;
    this.directory = join(deps.dataDirectory, 'snapshots');
  }

  /** @param asked empty: after the time @throws AdminError */
  create(asked: string): Promise<SnapshotInfo> {
    return this.inLine(async () => {
      const name = asked === '' ? nameOfTime(this.deps.nowMs()) : asked;
      checkName(name);
      try {
        return await this.createNow(name);
      } catch (error) {
        await this.removePartial().catch(() => {});
        throw toAdminError(error, name);
      }
    });
  }

  /** Oldest first. */
  list(): Promise<readonly SnapshotInfo[]> {
    return this.inLine(async () => {
      const names = (await this.names()).filter((name) => NAME.test(name));
      const all = await Promise.all(names.map((name) => this.describe(name)));
      return all.sort((a, b) => a.createdAtMs - b.createdAtMs || (a.name < b.name ? -1 : 1));
    });
  }

  /** @throws AdminError */
  drop(name: string): Promise<void> {
    return this.inLine(async () => {
      checkName(name);
      const path = join(this.directory, name);
      if (!(await exists(path))) {
        throw new AdminError(
          'NOT_FOUND',
          `there is no snapshot '${name}': \`ilion snapshots\` lists them`,
        );
      }
      // Under another name first: a removal that is cut short must not leave half a snapshot.
      const doomed = join(this.directory, `${PARTIAL}${name}`);
      await rename(path, doomed);
      await syncDirectory(this.directory);
      await rm(doomed, { recursive: true, force: true });
    });
  }

  private inLine<T>(run: () => Promise<T>): Promise<T> {
    const result = this.line.then(run);
    this.line = result.catch(() => {});
    return result;
  }

  private async names(): Promise<string[]> {
    try {
      return await readdir(this.directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  private async describe(name: string): Promise<SnapshotInfo> {
    const directory = join(this.directory, name);
    const { mtimeMs } = await stat(join(directory, 'metadata.json'));
    return {
      name,
      createdAtMs: Math.round(mtimeMs),
      bytes: await bytesUnder(directory),
      directory,
    };
  }

  private async removePartial(): Promise<void> {
    for (const name of await this.names()) {
      if (!name.startsWith(PARTIAL)) continue;
      await rm(join(this.directory, name), { recursive: true, force: true });
    }
  }

  private async createNow(name: string): Promise<SnapshotInfo> {
    const target = join(this.directory, name);
    if (await exists(target)) {
      throw new AdminError(
        'ALREADY_EXISTS',
        `there is a snapshot '${name}' already: choose another name, or \`ilion drop-snapshot ${name}\` first`,
      );
    }
    await mkdir(this.directory, { recursive: true });
    await this.removePartial();
    const partial = join(this.directory, `${PARTIAL}${name}`);
    await this.checkpointAll(partial);
    await rename(partial, target);
    await syncDirectory(this.directory);
    await syncDirectory(dirname(this.directory));
    return this.describe(name);
  }

  /** Tables may be made and dropped meanwhile: then the checkpoints do not fit the schema, and are made anew. */
  private async checkpointAll(directory: string): Promise<void> {
    const metadataPath = join(this.deps.dataDirectory, 'metadata.json');
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const metadata = await readFile(metadataPath, 'utf8');
      await this.checkpointOnce(directory, metadata);
      if ((await readFile(metadataPath, 'utf8')) === metadata) return;
      await rm(directory, { recursive: true, force: true });
    }
    throw new AdminError(
      'ABORTED',
      'the schema kept changing while the snapshot was made: try again when it rests',
    );
  }

  private async checkpointOnce(directory: string, metadata: string): Promise<void> {
    const { layout } = JSON.parse(metadata) as Metadata;
    const shards = join(directory, `shards.${layout}`);
    await mkdir(shards, { recursive: true });
    // Together, so that they are of about the same moment.
    await Promise.all(
      this.deps.stores.map((store) => store.checkpoint(join(shards, basename(store.path)))),
    );
    const file = await open(join(directory, 'metadata.json'), 'wx');
    try {
      await file.writeFile(metadata);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(shards);
    await syncDirectory(directory);
  }
}
