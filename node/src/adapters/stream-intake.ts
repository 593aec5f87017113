/**
 * What a TLS connection brings goes into a file: through two large buffers, of which one is filled while the other is
 * written, so that nothing is allocated for each of the 16 KiB of a record.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { OnReadOpts, Socket } from 'node:net';
import { StreamError } from '../streaming/ports.ts';

const READ_BYTES = 64 << 10;
/** Written at one time. */
const WRITE_BYTES = 1 << 20;
/** What may still come of what the kernel gave, after the socket was paused. */
const LATE_BYTES = 4 * READ_BYTES;

interface Receiving {
  readonly file: FileHandle;
  /** Where the next write goes. */
  at: number;
  /** Bytes that have not come yet. */
  left: number;
  writing: Promise<void> | null;
  isPaused: boolean;
  finish(): void;
  fail(error: Error): void;
}

/** Of one connection, for one file after another. */
export class StreamIntake {
  /** For `connect` of node:tls. */
  readonly onread: OnReadOpts = {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback: (count, bytes) => this.take(bytes.subarray(0, count)),
  };
  private readonly buffers = [
    Buffer.allocUnsafeSlow(WRITE_BYTES + LATE_BYTES),
    Buffer.allocUnsafeSlow(WRITE_BYTES + LATE_BYTES),
  ];
  private filling = 0;
  private used = 0;
  private receiving: Receiving | null = null;
  private socket: Socket | null = null;

  /**
   * @param ask lets the other side send so many bytes: before that none may come
   * @throws StreamError BROKEN; what the file system fails with
   */
  readonly receive = async (
    socket: Socket,
    path: string,
    offset: number,
    length: number,
    ask: () => void,
  ): Promise<void> => {
    const file = await open(path, offset === 0 ? 'w' : 'r+');
    try {
      await file.truncate(offset);
      await this.fill(socket, file, offset, length, ask);
      await file.datasync();
    } finally {
      await file.close();
    }
  };

  private async fill(
    socket: Socket,
    file: FileHandle,
    offset: number,
    length: number,
    ask: () => void,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const over = () => reject(new StreamError('BROKEN', 'the source closed the connection'));
    socket.once('close', over).once('end', over);
    const receiving: Receiving = {
      ...{ file, at: offset, left: length, writing: null, isPaused: false },
      ...{ finish: resolve, fail: reject },
    };
    this.receiving = receiving;
    this.socket = socket;
    if (socket.destroyed || socket.readableEnded) over();
    else ask();
    if (length === 0) resolve();
    try {
      await promise;
    } finally {
      socket.off('close', over).off('end', over);
      this.receiving = null;
      this.used = 0;
      await receiving.writing?.catch(() => {});
    }
  }

  /** @returns false: no more for now */
  private take(chunk: Uint8Array): boolean {
    const { receiving } = this;
    const buffer = this.buffers[this.filling];
    if (
      receiving === null ||
      chunk.length > receiving.left ||
      chunk.length > buffer.length - this.used
    ) {
      const error = new StreamError('BROKEN', 'more bytes than were asked for');
      receiving?.fail(error);
      this.socket?.destroy();
      return false;
    }
    buffer.set(chunk, this.used);
    this.used += chunk.length;
    receiving.left -= chunk.length;
    if (this.used < WRITE_BYTES && receiving.left > 0) return true;
    if (receiving.writing === null) this.write(receiving);
    else receiving.isPaused = true;
    return !receiving.isPaused;
  }

  /** Writes what there is, and fills the other buffer meanwhile. */
  private write(receiving: Receiving): void {
    const bytes = this.buffers[this.filling].subarray(0, this.used);
    this.filling = 1 - this.filling;
    this.used = 0;
    const { at } = receiving;
    receiving.at += bytes.length;
    const isLast = receiving.left === 0;
    receiving.writing = writeAll(receiving.file, bytes, at).then(
      () => {
        receiving.writing = null;
        if (isLast) receiving.finish();
        else if (receiving.isPaused) this.goOn(receiving);
      },
      (error: Error) => receiving.fail(error),
    );
  }

  private goOn(receiving: Receiving): void {
    receiving.isPaused = false;
    this.write(receiving);
    this.socket?.resume();
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}
