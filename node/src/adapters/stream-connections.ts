/**
 * Data connections of transfers. Without TLS the kernel moves the bytes from file to socket and from socket to file; with
 * it they pass through this process, and everything else is the same.
 */
import { open } from 'node:fs/promises';
import { connect, createServer, type OnReadOpts, type Server, type Socket } from 'node:net';
import {
  type ConnectionOptions,
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
import { StreamIntake } from './stream-intake.ts';

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

/**
 * @param ask lets the other side send so many bytes
 * @returns when they are in the file, behind those that it has, and on disk
 */
type Receive = (
  socket: Socket,
  path: string,
  offset: number,
  length: number,
  ask: () => void,
) => Promise<unknown>;

class Lane implements FetchLane {
  private readonly socket: Socket;
  private readonly receive: Receive;

  constructor(socket: Socket, receive: Receive) {
    this.socket = socket;
    this.receive = receive;
  }

  async fetch(hello: Hello, path: string, length: number): Promise<void> {
    const { socket } = this;
    const { offset } = hello;
    try {
      await this.receive(socket, path, offset, length, () => socket.write(encodeHello(hello)));
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

/** Resolves with the lane when the socket says that it is connected. */
function connected(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  where: string,
  receive: Receive,
): Promise<FetchLane> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_MILLIS);
    socket.once(event, () => {
      clearTimeout(timer);
      resolve(new Lane(socket, receive));
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(new StreamError('BROKEN', `${where}: ${error.message}`, { cause: error }));
    });
  });
}

/** @param tls null: plain TCP */
export function createFetcher(tls: LinkTlsSource | null, mover: FileMover): Fetcher {
  if (tls !== null) {
    return {
      connect: (host, port) => {
        const intake = new StreamIntake();
        const settings = tls.current();
        // The types of Node do not know `onread` here, its documentation does.
        const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
          host,
          port,
          ...secureContextOf(settings),
          ...(settings.verifyAddress ? {} : { checkServerIdentity: () => undefined }),
          onread: intake.onread,
        };
        const socket = connectTls(options);
        socket.setTimeout(STALLED_MILLIS, () => socket.destroy());
        return connected(socket, 'secureConnect', `${host}:${port}`, intake.receive);
      },
    };
  }
  const receive: Receive = (socket, path, offset, length, ask) => {
    const timeoutMs = STALLED_MILLIS;
    const socketFd = descriptorOf(socket);
    ask();
    return mover.receiveFile({ socketFd, path, offset, length, timeoutMs, fsync: true });
  };
  return {
    connect: (host, port) => {
      const socket = connect({ host, port, noDelay: true });
      // The kernel's bytes are for `receiveFile` alone: libuv must not read a single one.
      socket.pause();
      return connected(socket, 'connect', `${host}:${port}`, receive);
    },
  };
}
