/** What the API server in memory has, kept in a file, so that a cluster is found again at the next start. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { MemoryApi, MemoryApiContents } from '../memory/memory-api.ts';
import type { Kind } from '../ports/kube-objects.ts';

/** The file is not one of ours, or of another version. */
export class StateFileError extends Error {
  readonly code = 'STATE_FILE';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StateFileError';
  }
}

const FORMAT = 1;
/** Pods are made anew; machines and classes of volumes are what there is here. */
export const KEPT: readonly Kind[] = [
  'DatacenterCluster',
  'DatabaseNode',
  'PersistentVolumeClaim',
  'Service',
  'PodDisruptionBudget',
  'Secret',
];

export class StateFile {
  private readonly path: string;
  private isDue = false;

  constructor(directory: string) {
    this.path = join(directory, 'state.json');
  }

  /** @returns null: there is none @throws StateFileError */
  load(): MemoryApiContents | null {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    try {
      const { format, contents } = JSON.parse(text) as {
        readonly format: unknown;
        readonly contents: MemoryApiContents;
      };
      if (format === FORMAT) return contents;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    throw new StateFileError(
      `${this.path} is not of this version: take its directory away to begin anew, without the data in it`,
    );
  }

  /** Written before whoever has changed something goes on. @param failed it cannot be written */
  follow(api: MemoryApi, kind: Kind, failed: (error: unknown) => void): void {
    if (this.isDue || !KEPT.includes(kind)) return;
    this.isDue = true;
    queueMicrotask(() => {
      this.isDue = false;
      try {
        this.write(api.contents(KEPT));
      } catch (error) {
        failed(error);
      }
    });
  }

  private write(contents: MemoryApiContents): void {
    const next = `${this.path}.new`;
    // It has the keys of certificates.
    const file = openSync(next, 'w', 0o600);
    writeSync(file, JSON.stringify({ format: FORMAT, contents }));
    fsyncSync(file);
    closeSync(file);
    renameSync(next, this.path);
  }
}
