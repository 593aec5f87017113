/** Data connections of transfers over TLS, which is done by the threads that move the files: see openTls of node/native. */
import type { Socket } from 'node:net';
import type { QuietLog } from '../internode/quiet-log.ts';
import { KvError } from '../storage/kv.ts';
import { decodeHello, encodeHello, HELLO_BYTES, type Hello } from '../streaming/messages.ts';
import type { FetchLane } from '../streaming/stream-target.ts';
import {
  certificateNotTaken,
  explainIncoming,
  explainOutgoing,
  type LinkTls,
  NO_CERTIFICATE,
} from './grpc-links-tls.ts';
import {
  CONNECT_MILLIS,
  descriptorOf,
  type FileMover,
  fetchError,
  messageOf,
  STALLED_MILLIS,
  type StreamListenerOptions,
  sendInPieces,
  type TlsConnection,
} from './stream-mover.ts';

const NOT_VERIFIED = 'certificate verify failed';
/** As threads say it, and a kernel that had bytes for a peer that was gone. */
const GONE = /the peer closed the connection|reset by peer|Broken pipe/;

/** Takes the connection over from a socket that nothing was read from. @throws StreamError, KvError */
function takeOver(
  socket: Socket,
  mover: FileMover,
  { ca: authorities, certificate, key }: LinkTls,
  role: Pick<Parameters<FileMover['openTls']>[1], 'isServer' | 'verifyPeer' | 'peerName'>,
): TlsConnection {
  try {
    return mover.openTls(descriptorOf(socket), { authorities, certificate, key, ...role });
  } finally {
    // Its own descriptor only.
    socket.destroy();
  }
}

/** Why a target did not get in, and the cure. */
function refusalOf(message: string): string {
  if (message === 'peer did not return a certificate') return NO_CERTIFICATE;
  if (message.startsWith(NOT_VERIFIED)) {
    return certificateNotTaken(message.slice(NOT_VERIFIED.length + 2));
  }
  if (message.startsWith('timeout')) {
    return explainIncoming({ name: '', code: 'ERR_TLS_HANDSHAKE_TIMEOUT', message });
  }
  const isPlain = /^(http request|wrong version number|packet length too long|unknown protocol)$/;
  const code = isPlain.test(message) ? 'ERR_SSL_WRONG_VERSION_NUMBER' : '';
  return explainIncoming({ name: '', code, message });
}

function isClosed(error: unknown): boolean {
  return error instanceof KvError && error.code === 'CLOSED';
}

/** A target's connection, which ends when it is closed. */
export interface ServedTarget {
  close(): void;
  readonly ended: Promise<void>;
}

/** One target: hellos in, files out, one after another. @throws StreamError, KvError */
export function serveOverTls(
  socket: Socket,
  tls: LinkTls,
  options: StreamListenerOptions,
  log: QuietLog,
): ServedTarget {
  const from = socket.remoteAddress ?? '';
  const role = { isServer: true, verifyPeer: tls.mutual, peerName: null };
  const connection = takeOver(socket, options.mover, tls, role);
  const warn = (message: string, reason: string) =>
    log.line('warn', from, message, { from, reason });
  const serve = async () => {
    try {
      await connection.handshake(CONNECT_MILLIS);
    } catch (error) {
      if (!isClosed(error)) warn('a data connection was refused', refusalOf(messageOf(error)));
      return;
    }
    for (;;) {
      // Whoever asks for nothing more just goes.
      const hello = await connection.read(HELLO_BYTES, STALLED_MILLIS).catch(() => null);
      if (hello === null) return;
      try {
        await answer(connection, hello, options);
      } catch (error) {
        if (!isClosed(error)) warn('a data connection was closed', messageOf(error));
        return;
      }
    }
  };
  return { close: () => connection.close(), ended: serve().finally(() => connection.close()) };
}

async function answer(
  connection: TlsConnection,
  hello: Buffer,
  { send, throttle }: StreamListenerOptions,
): Promise<void> {
  const job = send(decodeHello(hello));
  try {
    await sendInPieces(job, throttle, (piece) => connection.sendFile(piece));
  } finally {
    job.release();
  }
}

class TlsLane implements FetchLane {
  private readonly connection: TlsConnection;
  private readonly tls: LinkTls;
  /** A file has come: this node's certificate is taken. */
  private isProven = false;

  constructor(connection: TlsConnection, tls: LinkTls) {
    this.connection = connection;
    this.tls = tls;
  }

  async fetch(hello: Hello, path: string, length: number): Promise<void> {
    const { offset } = hello;
    const timeoutMs = STALLED_MILLIS;
    try {
      await this.connection.write(encodeHello(hello), timeoutMs);
      await this.connection.receiveFile({ path, offset, length, timeoutMs, fsync: true });
      this.isProven = true;
    } catch (error) {
      throw fetchError(error, (message) => this.explain(message));
    }
  }

  /** A source that does not take this node's certificate says so only after the handshake (TLS 1.3). */
  private explain(message: string): string {
    if (this.isProven) return message;
    return explainOutgoing(/reset by peer/.test(message) ? 'ECONNRESET' : message, this.tls);
  }

  close(): void {
    this.connection.close();
  }
}

function explainHandshake(message: string, host: string, tls: LinkTls): string {
  if (/(address|host ?name) mismatch/i.test(message)) {
    return `TLS: its certificate is not made out to ${host}`;
  }
  // As Node says it.
  return explainOutgoing(GONE.test(message) ? 'disconnected before secure TLS' : message, tls);
}

/** A lane over a socket that is connected to `host`. @throws StreamError BROKEN */
export async function connectTlsLane(
  socket: Socket,
  host: string,
  tls: LinkTls,
  mover: FileMover,
): Promise<FetchLane> {
  const where = `${host}:${socket.remotePort}`;
  const peerName = tls.verifyAddress ? host : null;
  let connection: TlsConnection | null = null;
  try {
    connection = takeOver(socket, mover, tls, { isServer: false, verifyPeer: true, peerName });
    await connection.handshake(CONNECT_MILLIS);
  } catch (error) {
    connection?.close();
    throw fetchError(error, (message) => `${where}: ${explainHandshake(message, host, tls)}`);
  }
  return new TlsLane(connection, tls);
}
