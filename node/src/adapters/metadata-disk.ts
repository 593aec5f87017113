/**
 * A node's metadata log in one file of a directory.
 *
 *     file:    "ILMD" | u8 version | records
 *     record:  u32 magic | u32 length | u32 CRC-32 of the body | body
 *     body:    u8 1: all  | snapshot | change      always the first record, and only that
 *              u8 2: more | change
 *     change:  u8 1: hard state follows | u32 n | n entries
 *
 * Each `append` is one record and is synced before the next, so only the last one can be torn by a crash: it was never
 * acknowledged, and is cut off. A bad record with a good one after it is damage. `replace` writes another file beside and
 * renames it.
 */
import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { MetadataDisk, MetadataFiles } from '../cluster/ports.ts';
import { readCount, readEntry, writeCount, writeEntry } from '../cluster/raft-codec.ts';
import type { HardState, RaftEntry, RaftSnapshot } from '../cluster/raft-types.ts';
import { Reader, Writer } from '../common/bytes.ts';

const FILE_NAME = 'cluster.log';
const FILE_MAGIC = Buffer.from('ILMD');
const FORMAT = 1;
const HEADER_BYTES = FILE_MAGIC.length + 1;
const RECORD_MAGIC = 0x8d1e5aa7;
const RECORD_HEADER_BYTES = 12;
const ALL = 1;
const MORE = 2;

/** The file of the metadata log cannot be used; the message names it and says what to do. */
export class MetadataDiskError extends Error {
  readonly code: 'DAMAGED' | 'FORMAT' | 'IO';
  readonly path: string;
  constructor(
    code: MetadataDiskError['code'],
    path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'MetadataDiskError';
    this.code = code;
    this.path = path;
  }
}

interface Loaded {
  readonly files: MetadataFiles;
  /** Bytes that are good. */
  readonly length: number;
}

/** @param directory made if it is missing; one process at a time */
export function createMetadataDisk(directory: string): MetadataDisk & { close(): Promise<void> } {
  return new FileMetadataDisk(directory);
}

class FileMetadataDisk implements MetadataDisk {
  private readonly directory: string;
  private readonly path: string;
  private file: FileHandle | null = null;
  private length = 0;

  constructor(directory: string) {
    this.directory = directory;
    this.path = join(directory, FILE_NAME);
  }

  async load(): Promise<MetadataFiles | null> {
    const bytes = await this.attempt('read', async () => {
      await mkdir(this.directory, { recursive: true });
      // Of a `replace` that did not come to its end.
      await rm(`${this.path}.new`, { force: true });
      return readFile(this.path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null;
        throw error;
      });
    });
    if (bytes === null) return null;
    const { files, length } = parseFile(this.path, bytes);
    await this.attempt('open', async () => {
      this.file = await open(this.path, 'r+');
      if (length < bytes.length) {
        await this.file.truncate(length);
        await this.file.sync();
      }
      this.length = length;
    });
    return files;
  }

  async append(entries: readonly RaftEntry[], hardState: HardState | null): Promise<void> {
    const out = startRecord(MORE);
    writeChange(out, entries, hardState);
    const record = endRecord(out);
    await this.attempt('write', async () => {
      if (this.file === null) throw new TypeError('there is no log to append to');
      await writeAll(this.file, record, this.length);
      await this.file.datasync();
      this.length += record.length;
    });
  }

  async replace(files: MetadataFiles): Promise<void> {
    const out = startRecord(ALL);
    writeSnapshot(out, files.snapshot);
    writeChange(out, files.entries, files.hardState);
    const bytes = Buffer.concat([FILE_MAGIC, Uint8Array.of(FORMAT), endRecord(out)]);
    await this.attempt('write', async () => {
      await mkdir(this.directory, { recursive: true });
      const beside = `${this.path}.new`;
      const file = await open(beside, 'w+');
      try {
        await writeAll(file, bytes, 0);
        await file.sync();
        await rename(beside, this.path);
        await syncDirectory(this.directory);
      } catch (error) {
        await file.close();
        throw error;
      }
      await this.file?.close();
      this.file = file;
      this.length = bytes.length;
    });
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.file = null;
  }

  private async attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw new MetadataDiskError(
        'IO',
        this.path,
        `cannot ${what} ${this.path}: ${String(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function startRecord(kind: number): Writer {
  const out = new Writer(1024);
  out.reserve(RECORD_HEADER_BYTES);
  out.u8(kind);
  return out;
}

function endRecord(out: Writer): Uint8Array {
  const body = out.view(RECORD_HEADER_BYTES);
  out.patchI32(0, RECORD_MAGIC);
  out.patchI32(4, body.length);
  out.patchI32(8, crc32(body));
  return out.view();
}

function writeSnapshot(out: Writer, { index, term, voters, data }: RaftSnapshot): void {
  writeCount(out, index);
  writeCount(out, term);
  out.stringList(voters);
  out.bytes(data);
}

function writeChange(
  out: Writer,
  entries: readonly RaftEntry[],
  hardState: HardState | null,
): void {
  out.u8(hardState === null ? 0 : 1);
  if (hardState !== null) {
    writeCount(out, hardState.term);
    writeCount(out, hardState.commit);
    out.string(hardState.votedFor);
  }
  out.i32(entries.length);
  for (const entry of entries) writeEntry(out, entry);
}

/** @throws MetadataDiskError */
function parseFile(path: string, bytes: Buffer): Loaded {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 4).equals(FILE_MAGIC)) {
    throw damaged(path, 'it does not begin as one');
  }
  const format = bytes[4];
  if (format !== FORMAT) {
    throw new MetadataDiskError(
      'FORMAT',
      path,
      `${path} has format ${format}, this version of Ilion reads format ${FORMAT}: start the version that wrote it, or a later one`,
    );
  }
  let at = HEADER_BYTES;
  let files: MetadataFiles | null = null;
  while (at < bytes.length) {
    const body = recordAt(bytes, at);
    if (body === null) {
      if (files === null) throw damaged(path, 'its snapshot is not what was written');
      if (hasRecordAfter(bytes, at))
        throw damaged(path, `what is at byte ${at} is not what was written`);
      break;
    }
    try {
      files = readRecord(files, body);
    } catch (error) {
      throw damaged(path, `what is at byte ${at} makes no sense`, error);
    }
    at += RECORD_HEADER_BYTES + body.length;
  }
  if (files === null) throw damaged(path, 'it is empty');
  return { files, length: at };
}

function damaged(path: string, what: string, cause?: unknown): MetadataDiskError {
  return new MetadataDiskError(
    'DAMAGED',
    path,
    `${path}, the metadata log, is damaged: ${what}. Restore the disk, or start this node with a new data directory as another one`,
    { cause },
  );
}

/** The body of a record; null if there is none that is whole. */
function recordAt(bytes: Buffer, at: number): Buffer | null {
  if (bytes.length - at < RECORD_HEADER_BYTES) return null;
  if (bytes.readUInt32BE(at) !== RECORD_MAGIC) return null;
  const start = at + RECORD_HEADER_BYTES;
  const length = bytes.readUInt32BE(at + 4);
  if (length > bytes.length - start) return null;
  const body = bytes.subarray(start, start + length);
  return crc32(body) === bytes.readUInt32BE(at + 8) ? body : null;
}

function hasRecordAfter(bytes: Buffer, at: number): boolean {
  const magic = Buffer.alloc(4);
  magic.writeUInt32BE(RECORD_MAGIC);
  for (let next = bytes.indexOf(magic, at + 1); next >= 0; next = bytes.indexOf(magic, next + 1)) {
    if (recordAt(bytes, next) !== null) return true;
  }
  return false;
}

/** @throws if it cannot follow what was before */
function readRecord(before: MetadataFiles | null, body: Buffer): MetadataFiles {
  const from = new Reader(body);
  const kind = from.u8();
  if (before === null) {
    if (kind !== ALL) throw new RangeError('the first record is no snapshot');
    const snapshot = readSnapshot(from);
    const hardState = { term: snapshot.term, votedFor: '', commit: snapshot.index };
    return readChange({ snapshot, entries: [], hardState }, from);
  }
  if (kind !== MORE) throw new RangeError(`record of kind ${kind}`);
  return readChange(before, from);
}

function readSnapshot(from: Reader): RaftSnapshot {
  const [index, term] = [readCount(from), readCount(from)];
  const voters = from.stringList();
  return { index, term, voters, data: Buffer.from(from.bytes() ?? []) };
}

function readChange({ snapshot, entries, hardState }: MetadataFiles, from: Reader): MetadataFiles {
  let state = hardState;
  if (from.u8() === 1) {
    const [term, commit] = [readCount(from), readCount(from)];
    state = { term, votedFor: from.string(), commit };
  }
  const count = from.u32();
  const all = entries as RaftEntry[];
  for (let i = 0; i < count; i++) {
    const entry = readEntry(from);
    const place = entry.index - snapshot.index - 1;
    if (place < 0 || place > all.length) throw new RangeError(`entry ${entry.index} has no place`);
    all.length = place;
    all.push(entry);
  }
  if (from.remaining !== 0) throw new RangeError('bytes are left');
  return { snapshot, entries: all, hardState: state };
}
