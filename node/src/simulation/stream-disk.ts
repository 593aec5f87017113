/** `StreamFiles` on a virtual disk, in one life of its process; and the bytes of files that go over the network. */
import { KvError } from '../storage/kv.ts';
import type { StreamFiles } from '../streaming/ports.ts';
import { bytesOf, checksumOf } from './file-bytes.ts';
import { openFile } from './memory-files.ts';
import type { VirtualDisk } from './virtual-disk.ts';

const FREE_BYTES = 1e12;

export class StreamDisk implements StreamFiles {
  private readonly disk: VirtualDisk;
  private dead = false;

  constructor(disk: VirtualDisk) {
    this.disk = disk;
    const forget = disk.atCrash(() => {
      this.dead = true;
      forget();
    });
  }

  /** There are no directories. */
  make(_directory: string): Promise<void> {
    return this.written(() => {});
  }

  list(directory: string): Promise<readonly string[]> {
    const prefix = `${directory}/`;
    return this.later(this.disk.faults.readMillis, () => {
      const paths = [...this.disk.files.keys(), ...this.disk.blobs.keys()];
      const below = paths.filter((path) => path.startsWith(prefix));
      return [...new Set(below.map((path) => path.slice(prefix.length).split('/')[0]))];
    });
  }

  remove(path: string): Promise<void> {
    return this.later(this.disk.faults.writeMillis, () => {
      for (const files of [this.disk.files, this.disk.blobs]) {
        for (const name of [...files.keys()]) {
          if (name === path || name.startsWith(`${path}/`)) files.delete(name);
        }
      }
    });
  }

  size(path: string): Promise<number | null> {
    return this.later(this.disk.faults.readMillis, () => this.bytes(path)?.length ?? null);
  }

  checksum(path: string): Promise<string> {
    return this.later(this.disk.faults.readMillis, () => {
      const bytes = this.bytes(path);
      if (bytes === null) throw new KvError('IO', `no file ${path}`);
      return this.disk.planted.checksumsLie ? '00000000' : checksumOf(bytes);
    });
  }

  sync(_directory: string): Promise<void> {
    return this.written(() => {});
  }

  read(path: string): Promise<string | null> {
    return this.later(this.disk.faults.readMillis, () => this.bytes(path)?.toString() ?? null);
  }

  write(path: string, text: string): Promise<void> {
    return this.written(() => void this.disk.blobs.set(path, Buffer.from(text)));
  }

  freeBytes(_directory: string): Promise<number> {
    const isFull = this.disk.faults.writeFailure === 'NO_SPACE';
    return this.later(0, () => (isFull ? 0 : FREE_BYTES));
  }

  /** What is behind `offset` gives way to these. */
  append(path: string, offset: number, bytes: Uint8Array): Promise<void> {
    const copy = Buffer.from(bytes);
    return this.written(() => {
      const before = this.disk.blobs.get(path)?.subarray(0, offset) ?? Buffer.alloc(0);
      this.disk.blobs.set(path, Buffer.concat([before, copy]));
    });
  }

  /** Null: no such file. */
  bytes(path: string): Buffer | null {
    const { files, blobs } = this.disk;
    if (!files.has(path)) return blobs.get(path) ?? null;
    return bytesOf(openFile(this.disk, path));
  }

  /** As they are sent: one bit is another, if it is this file's turn. @throws KvError IO */
  bytesToSend(path: string): Buffer {
    const { planted, random } = this.disk;
    const bytes = this.bytes(path);
    if (bytes === null) throw new KvError('IO', `no file ${path}`);
    if (!planted.flipsNextFile || bytes.length === 0) return bytes;
    planted.flipsNextFile = false;
    const flipped = Buffer.from(bytes);
    flipped[random.below(flipped.length)] ^= 1 << random.below(8);
    return flipped;
  }

  private written<T>(run: () => T): Promise<T> {
    const { faults } = this.disk;
    return this.later(faults.syncMillis, () => {
      if (faults.writeFailure !== null) throw new KvError(faults.writeFailure, 'the disk fails');
      return run();
    });
  }

  private later<T>(millis: number, run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.disk.scheduler.after(this.disk.delay(millis), () => {
        if (this.dead) return;
        try {
          resolve(run());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
