/**
 * `metadata.json` in the data directory: who this node is, how its data is laid out, and its schema. Replaced as a whole:
 * written beside, fsynced, renamed, the directory fsynced.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { SchemaJson } from '../schema/schema-json.ts';

export const METADATA_FORMAT = 1;

export interface Metadata {
  readonly format: number;
  readonly clusterName: string;
  readonly hostId: string;
  /** RocksDB instances under `shards.<layout>`. */
  readonly shards: number;
  /** Counts the changes of `shards`. */
  readonly layout: number;
  /** Of user keyspaces; the system's are made at each start. */
  readonly schema: SchemaJson;
}

/** The data directory cannot be used as it is; the message says what to do. */
export class DataDirectoryError extends Error {
  readonly code: 'FORMAT' | 'DAMAGED' | 'CLUSTER_NAME' | 'HOST_ID' | 'LOCKED' | 'NO_SPACE' | 'IO';
  constructor(code: DataDirectoryError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DataDirectoryError';
    this.code = code;
  }
}

export class MetadataFile {
  private readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  private get path(): string {
    return join(this.directory, 'metadata.json');
  }

  /** @returns null in a new data directory @throws DataDirectoryError */
  async load(): Promise<Metadata | null> {
    await mkdir(this.directory, { recursive: true });
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw new DataDirectoryError('IO', `cannot read ${this.path}: ${String(error)}`, {
        cause: error,
      });
    }
    let metadata: Metadata;
    try {
      metadata = JSON.parse(text);
    } catch (error) {
      throw new DataDirectoryError(
        'DAMAGED',
        `${this.path} is not JSON: restore it from a snapshot`,
        { cause: error },
      );
    }
    if (metadata.format !== METADATA_FORMAT) {
      throw new DataDirectoryError(
        'FORMAT',
        `${this.path} has format ${metadata.format}, this version of Ilion reads format ${METADATA_FORMAT}: start the version that wrote it, or a later one`,
      );
    }
    return metadata;
  }

  /** What was there before stays if it fails. @throws DataDirectoryError NO_SPACE, IO */
  async save(metadata: Metadata): Promise<void> {
    try {
      await this.replace(metadata);
    } catch (error) {
      const isFull = (error as NodeJS.ErrnoException).code === 'ENOSPC';
      throw new DataDirectoryError(
        isFull ? 'NO_SPACE' : 'IO',
        isFull
          ? `The disk is full: ${this.path} is as it was; make room, then try again (NO_SPACE)`
          : `cannot write ${this.path}: ${String(error)}`,
        { cause: error },
      );
    }
  }

  private async replace(metadata: Metadata): Promise<void> {
    const beside = `${this.path}.new`;
    const file = await open(beside, 'w');
    try {
      await file.writeFile(`${JSON.stringify(metadata)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, this.path);
    const directory = await open(this.directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** @param hostId null: a random one */
export function newMetadata(
  clusterName: string,
  hostId: string | null,
  shards: number,
  schema: SchemaJson,
): Metadata {
  return {
    format: METADATA_FORMAT,
    clusterName,
    hostId: hostId ?? randomUUID(),
    shards,
    layout: 0,
    schema,
  };
}
