/**
 * Data connections of transfers. Without TLS the kernel moves the bytes from file to socket and from socket to file; with
 * it threads of node/native do (stream-tls.ts). Libuv reads no byte of what is TLS, nor of files.
 */
import { connect, createServer, type Socket } from 'node:net';
import { QuietLog } from '../internode/quiet-log.ts';
import { decodeHello, encodeHello, HELLO_BYTES, type Hello } from '../streaming/messages.ts';
import { StreamError } from '../streaming/ports.ts';
import type { SendJob } from '../streaming/stream-source.ts';
import type { Fetcher, FetchLane } from '../streaming/stream-target.ts';
import type { LinkTlsSource } from './grpc-links-tls.ts';
import {
  CONNECT_MILLIS,
  descriptorOf,
  type FileMover,
  fetchError,
  messageOf,
  STALLED_MILLIS,
  type StreamListenerOptions,
  sendInPieces,
} from './stream-mover.ts';
import { connectTlsLane, serveOverTls } from './stream-tls.ts';

/** With those whose handshake is under way. */
const CONNECTIONS_MAX = 128;

export interface StreamListener {
  readonly port: number;
  close(): Promise<void>;
}

/** One target: hellos in, files out, one after another. */
function serve(socket: Socket, options: StreamListenerOptions, log: QuietLog): void {
  let pending = Buffer.alloc(0);
  let isSending = false;
  const refuse = (error: unknown) => {
    const reason = messageOf(error);
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
    const { mover, throttle } = options;
    sendInPieces(job, throttle, async (piece) =>
      mover.sendFile({ ...piece, socketFd: descriptorOf(socket) }),
    )
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
  /** Ends of connections. */
  const ends = new Set<() => void>();
  const log = new QuietLog(options.log, { nowMillis: () => performance.now() });
  const acceptPlain = (socket: Socket) => {
    const end = () => socket.destroy();
    ends.add(end);
    socket.on('close', () => ends.delete(end));
    serve(socket, options, log);
  };
  const acceptTls = (socket: Socket, source: LinkTlsSource) => {
    const target = serveOverTls(socket, source.current(), options, log);
    ends.add(target.close);
    void target.ended.finally(() => ends.delete(target.close));
  };
  const server = createServer({ noDelay: true, pauseOnConnect: tls !== null }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (ends.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    try {
      if (tls === null) acceptPlain(socket);
      else acceptTls(socket, tls);
    } catch (error) {
      const from = socket.remoteAddress ?? '';
      const reason = messageOf(error);
      log.line('warn', from, 'a data connection was refused', { from, reason });
    }
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
      for (const end of ends) end();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

class PlainLane implements FetchLane {
  private readonly socket: Socket;
  private readonly mover: FileMover;

  constructor(socket: Socket, mover: FileMover) {
    this.socket = socket;
    this.mover = mover;
  }

  async fetch(hello: Hello, path: string, length: number): Promise<void> {
    const { offset } = hello;
    try {
      const socketFd = descriptorOf(this.socket);
      this.socket.write(encodeHello(hello));
      const timeoutMs = STALLED_MILLIS;
      await this.mover.receiveFile({ socketFd, path, offset, length, timeoutMs, fsync: true });
    } catch (error) {
      throw fetchError(error);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

/** @throws StreamError BROKEN */
function connected(host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  // What comes is for threads alone: libuv must not read a single byte.
  socket.pause();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_MILLIS);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(new StreamError('BROKEN', `${host}:${port}: ${error.message}`, { cause: error }));
    });
  });
}

/** @param tls null: plain TCP */
export function createFetcher(tls: LinkTlsSource | null, mover: FileMover): Fetcher {
  return {
    connect: async (host, port) => {
      const socket = await connected(host, port);
      if (tls === null) return new PlainLane(socket, mover);
      return connectTlsLane(socket, host, tls.current(), mover);
    },
  };
}
