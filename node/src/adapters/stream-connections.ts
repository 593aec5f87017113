/**
 * Data connections of transfers. Without TLS the kernel moves the bytes from file to socket and from socket to file; with
 * it they pass through this process, and everything else is the same.
 */
import { open } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import {
  connect as connectTls,
  createServer as createTlsServer,
  Server as TlsServer,
} from 'node:tls';
import { QuietLog, type QuietSink } from '../internode/quiet-log.ts';
import { KvError } from '../storage/kv.ts';
import { decodeHello, encodeHello, HELLO_BYTES, type Hello } from '../streaming/messages.ts';
import { StreamError } from '../streaming/ports.ts';
import type { SendJob } from '../streaming/stream-source.ts';
import type { Fetcher, FetchLane } from '../streaming/stream-target.ts';
import type { Throttle } from '../streaming/throttle.ts';
import {
  type LinkTlsSource,
  refusalOfClient,
  secureContextOf,
  tlsServerOptions,
} from './grpc-links-tls.ts';

/** Nothing moves for so long: the other side is gone. */
const STALLED_MILLIS = 30_000;
const CONNECT_MILLIS = 5_000;
const CONNECTIONS_MAX = 128;
/** Sent in one call: what a change of the throttle may take to be felt. */
const PIECE_BYTES = 16 << 20;
const TLS_BYTES = 1 << 20;

/** The kernel's way between a file and a socket: `sendFile` and `receiveFile` of node/native. */
export interface FileMover {
  sendFile(options: {
    readonly socketFd: number;
    readonly path: string;
    readonly offset: number;
    readonly length: number;
    readonly timeoutMs: number;
  }): Promise<number>;
  receiveFile(options: {
    readonly socketFd: number;
    readonly path: string;
    readonly offset: number;
    readonly length: number;
    readonly timeoutMs: number;
    readonly fsync: boolean;
  }): Promise<number>;
}

export interface StreamListenerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Null: plain TCP. */
  readonly tls: LinkTlsSource | null;
  readonly throttle: Throttle;
  readonly mover: FileMover;
  /** What a target asks for. @throws StreamError */
  send(hello: Hello): SendJob;
  readonly log: QuietSink;
}

export interface StreamListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Node has no public way to the descriptor. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = handle !== null && typeof handle === 'object' && Reflect.get(handle, 'fd');
  if (typeof fd !== 'number' || fd < 0) throw new StreamError('BROKEN', 'the connection is closed');
  return fd;
}

async function sendPlain(
  socket: Socket,
  job: SendJob,
  { throttle, mover }: StreamListenerOptions,
): Promise<void> {
  const end = job.offset + job.length;
  for (let at = job.offset; at < end; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - at);
    await throttle.pass(length);
    const timeoutMs = STALLED_MILLIS;
    const socketFd = descriptorOf(socket);
    await mover.sendFile({ socketFd, path: job.path, offset: at, length, timeoutMs });
  }
}

function written(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => {
      if (error) reject(new StreamError('BROKEN', error.message, { cause: error }));
      else resolve();
    });
  });
}

async function sendThroughProcess(
  socket: Socket,
  job: SendJob,
  { throttle }: StreamListenerOptions,
): Promise<void> {
  const file = await open(job.path, 'r');
  try {
    const end = job.offset + job.length;
    // One is read while the other is written.
    const buffers = [Buffer.allocUnsafeSlow(TLS_BYTES), Buffer.allocUnsafeSlow(TLS_BYTES)];
    let writing: Promise<void> = Promise.resolve();
    for (let at = job.offset, i = 0; at < end; i++) {
      const buffer = buffers[i % 2];
      const length = Math.min(TLS_BYTES, end - at);
      await throttle.pass(length);
      const { bytesRead } = await file.read(buffer, 0, length, at);
      if (bytesRead === 0) throw new StreamError('BROKEN', `${job.path} ended early`);
      at += bytesRead;
      await writing;
      writing = written(socket, buffer.subarray(0, bytesRead));
      // Heard of at its turn.
      writing.catch(() => {});
    }
    await writing;
  } finally {
    await file.close();
  }
}

/** One target: hellos in, files out, one after another. */
function serve(socket: Socket, options: StreamListenerOptions, log: QuietLog): void {
  let pending = Buffer.alloc(0);
  let isSending = false;
  const refuse = (error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    const from = socket.remoteAddress ?? '';
    log.line('warn', from, 'a data connection was closed', { from, reason });
    socket.destroy();
  };
  const next = () => {
    if (isSending || pending.length < HELLO_BYTES) return;
    isSending = true;
    let job: SendJob;
    try {
      job = options.send(decodeHello(pending.subarray(0, HELLO_BYTES)));
    } catch (error) {
      refuse(error);
      return;
    }
    pending = pending.subarray(HELLO_BYTES);
    const send = options.tls === null ? sendPlain : sendThroughProcess;
    send(socket, job, options)
      .catch(refuse)
      .finally(() => {
        job.release();
        isSending = false;
        if (!socket.destroyed) next();
      });
  };
  socket.setTimeout(STALLED_MILLIS, () => {
    if (!isSending) socket.destroy();
  });
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes]);
    // A target asks for one file at a time.
    if (pending.length > HELLO_BYTES) {
      refuse(new StreamError('MALFORMED', 'more bytes than the first ones of a stream'));
    } else next();
  });
}

/** Listens for targets. @throws what listening fails with */
export async function listenForStreams(options: StreamListenerOptions): Promise<StreamListener> {
  const { host, port, tls } = options;
  const sockets = new Set<Socket>();
  const log = new QuietLog(options.log, { nowMillis: () => performance.now() });
  const accept = (socket: Socket) => {
    if (sockets.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket, options, log);
  };
  const server: Server =
    tls === null
      ? createServer({ noDelay: true }, accept)
      : createTlsServer(tlsServerOptions(tls.current(), CONNECT_MILLIS), (socket) => {
          const reason = refusalOfClient(socket, tls.current());
          if (reason === null) {
            accept(socket);
            return;
          }
          const from = socket.remoteAddress ?? '';
          log.line('warn', from, 'a data connection was refused', { from, reason });
          socket.destroy();
        });
  const forget =
    tls?.onChange(() => {
      if (server instanceof TlsServer) server.setSecureContext(secureContextOf(tls.current()));
    }) ?? (() => {});
  server.on('tlsClientError', (error: Error, socket: Socket) => {
    const from = socket.remoteAddress ?? '';
    log.line('warn', from, 'a data connection was refused', { from, reason: error.message });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      // It stays: a failed accept later on (too many files, say) must not end the process.
      server.on('error', () => {});
      resolve();
    });
  });
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : port,
    close: async () => {
      forget();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

/** Bytes of a TLS connection, of one file after another. */
async function receiveThroughProcess(
  socket: Socket,
  path: string,
  offset: number,
  length: number,
): Promise<void> {
  const file = await open(path, offset === 0 ? 'w' : 'r+');
  try {
    await file.truncate(offset);
    for (let left = length; left > 0; ) {
      const chunk: Buffer | null = socket.read() ?? null;
      if (chunk === null) {
        await readable(socket);
        continue;
      }
      if (chunk.length > left) throw new StreamError('BROKEN', 'more bytes than were asked for');
      await file.write(chunk, 0, chunk.length, offset + length - left);
      left -= chunk.length;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}

function readable(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      socket.off('readable', go);
      socket.off('close', over);
      socket.off('end', over);
    };
    const go = () => {
      stop();
      resolve();
    };
    const over = () => {
      stop();
      reject(new StreamError('BROKEN', 'the source closed the connection'));
    };
    if (socket.destroyed || socket.readableEnded) {
      over();
      return;
    }
    socket.once('readable', go);
    socket.once('close', over);
    socket.once('end', over);
  });
}

class Lane implements FetchLane {
  private readonly socket: Socket;
  /** Null: the bytes are encrypted. */
  private readonly mover: FileMover | null;

  constructor(socket: Socket, mover: FileMover | null) {
    this.socket = socket;
    this.mover = mover;
  }

  async fetch(hello: Hello, path: string, length: number): Promise<void> {
    const { socket } = this;
    const { offset } = hello;
    try {
      await new Promise<void>((resolve, reject) => {
        socket.write(encodeHello(hello), (error) => {
          if (error) reject(error);
          else resolve();
        });
      });
      if (this.mover !== null) {
        const timeoutMs = STALLED_MILLIS;
        const socketFd = descriptorOf(socket);
        await this.mover.receiveFile({ socketFd, path, offset, length, timeoutMs, fsync: true });
      } else await receiveThroughProcess(socket, path, offset, length);
    } catch (error) {
      throw fetchError(error);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

function fetchError(error: unknown): Error {
  if (error instanceof StreamError) return error;
  if (error instanceof KvError && error.code === 'NO_SPACE') return error;
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') {
    return new KvError('NO_SPACE', error.message, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new StreamError('BROKEN', message, { cause: error });
}

/** @param tls null: plain TCP */
export function createFetcher(tls: LinkTlsSource | null, mover: FileMover): Fetcher {
  return {
    connect: (address, port) =>
      new Promise((resolve, reject) => {
        const socket =
          tls === null
            ? connect({ host: address, port, noDelay: true })
            : connectTls({
                host: address,
                port,
                ...secureContextOf(tls.current()),
                ...(tls.current().verifyAddress ? {} : { checkServerIdentity: () => undefined }),
              });
        // The kernel's bytes are for `receiveFile` alone: libuv must not read a single one.
        if (tls === null) socket.pause();
        const timer = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_MILLIS);
        socket.once(tls === null ? 'connect' : 'secureConnect', () => {
          clearTimeout(timer);
          resolve(new Lane(socket, tls === null ? mover : null));
        });
        socket.on('error', (error) => {
          clearTimeout(timer);
          const where = `${address}:${port}`;
          reject(new StreamError('BROKEN', `${where}: ${error.message}`, { cause: error }));
        });
        if (tls !== null) {
          socket.setTimeout(STALLED_MILLIS, () => socket.destroy());
        }
      }),
  };
}
