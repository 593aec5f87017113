/** What data connections of transfers share, be they over TLS or not. */
import type { Socket } from 'node:net';
import type { QuietSink } from '../internode/quiet-log.ts';
import { KvError } from '../storage/kv.ts';
import type { Hello } from '../streaming/messages.ts';
import { StreamError } from '../streaming/ports.ts';
import type { SendJob } from '../streaming/stream-source.ts';
import type { Throttle } from '../streaming/throttle.ts';
import type { LinkTlsSource } from './grpc-links-tls.ts';

/** Nothing moves for so long: the other side is gone. */
export const STALLED_MILLIS = 30_000;
/** For a connection, and for its handshake. */
export const CONNECT_MILLIS = 5_000;
/** Sent in one call: what a change of the throttle may take to be felt. */
const PIECE_BYTES = 16 << 20;

interface FilePiece {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly timeoutMs: number;
}

interface OnSocket {
  readonly socketFd: number;
}

interface Synced {
  readonly fsync: boolean;
}

/** A TLS connection of node/native: one call at a time. */
export interface TlsConnection {
  handshake(timeoutMs: number): Promise<void>;
  read(length: number, timeoutMs: number): Promise<Buffer>;
  write(bytes: Uint8Array, timeoutMs: number): Promise<void>;
  sendFile(piece: FilePiece): Promise<number>;
  receiveFile(piece: FilePiece & Synced): Promise<number>;
  /** Also ends a call that is under way. */
  close(): void;
}

/** One side of it; certificates are PEM. */
export interface TlsConnectionOptions {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  readonly authorities: Uint8Array;
  readonly isServer: boolean;
  readonly verifyPeer: boolean;
  readonly peerName: string | null;
}

/** The ways between a file and a socket: `sendFile`, `receiveFile` and `openTls` of node/native. */
export interface FileMover {
  sendFile(piece: FilePiece & OnSocket): Promise<number>;
  receiveFile(piece: FilePiece & OnSocket & Synced): Promise<number>;
  openTls(socketFd: number, options: TlsConnectionOptions): TlsConnection;
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

/** Node has no public way to the descriptor. @throws StreamError BROKEN */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = handle !== null && typeof handle === 'object' && Reflect.get(handle, 'fd');
  if (typeof fd !== 'number' || fd < 0) throw new StreamError('BROKEN', 'the connection is closed');
  return fd;
}

/** Sends a job's bytes as fast as the throttle lets them. */
export async function sendInPieces(
  { path, offset, length: bytes }: SendJob,
  throttle: Throttle,
  send: (piece: FilePiece) => Promise<number>,
): Promise<void> {
  const end = offset + bytes;
  for (let at = offset; at < end; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - at);
    await throttle.pass(length);
    await send({ path, offset: at, length, timeoutMs: STALLED_MILLIS });
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a fetch fails with. @param explain says more of what happened to the connection */
export function fetchError(error: unknown, explain = (message: string) => message): Error {
  if (error instanceof StreamError) return error;
  if (error instanceof KvError && error.code === 'NO_SPACE') return error;
  return new StreamError('BROKEN', explain(messageOf(error)), { cause: error });
}
