/** TLS connections whose bytes go between sockets and files on threads of their own. */
import type { NativeTls } from './addon.ts';
import type { ReceiveFileOptions, SendFileOptions } from './index.ts';
import { addon, onEngine, sumFlags } from './load.ts';

type SendRange = Omit<SendFileOptions, 'socketFd'>;
type ReceiveRange = Omit<ReceiveFileOptions, 'socketFd'>;

/** A side of a TLS connection; see `openTls`. */
export interface TlsOptions {
  /** PEM: the own one, and those between it and the authority. Null: none is shown. */
  readonly certificate: Uint8Array | null;
  /** PEM, of the certificate. */
  readonly key: Uint8Array | null;
  /** PEM: whom peers' certificates have to be signed by. */
  readonly authorities: Uint8Array | null;
  /** The side that has accepted the connection. */
  readonly isServer: boolean;
  /** The peer must show a certificate of `authorities`. */
  readonly verifyPeer: boolean;
  /** An address or name that the peer's certificate must be made out to. */
  readonly peerName: string | null;
}

/** TLS 1.2 and later. All promises reject with KvError: CLOSED after `close`, IO if the connection fails. */
export interface TlsStream {
  /**
   * Before anything else, within `timeoutMs`.
   * @throws KvError IO, with OpenSSL's words and why a certificate is not taken; BAD_ARGUMENT for certificates that
   * cannot be used
   */
  handshake(timeoutMs: number): Promise<void>;
  /** Exactly so many bytes (up to 64 KiB), all of them within `timeoutMs`. */
  read(length: number, timeoutMs: number): Promise<Buffer>;
  /** @param bytes a few: they are copied */
  write(bytes: Uint8Array, timeoutMs: number): Promise<void>;
  /** As the function of this name: gives up when nothing moved for `timeoutMs`. */
  sendFile(options: SendRange): Promise<number>;
  /** As the function of this name. What came before a failure is in the file. @throws KvError also NO_SPACE */
  receiveFile(options: ReceiveRange): Promise<number>;
  /** Also ends a call that is under way. More than once is fine. */
  close(): void;
}

class NativeTlsStream implements TlsStream {
  private readonly native: NativeTls;

  constructor(native: NativeTls) {
    this.native = native;
  }

  handshake(timeoutMs: number): Promise<void> {
    return onEngine(() => addon.tlsHandshake(this.native, timeoutMs));
  }

  read(length: number, timeoutMs: number): Promise<Buffer> {
    return onEngine(() => addon.tlsRead(this.native, length, timeoutMs));
  }

  write(bytes: Uint8Array, timeoutMs: number): Promise<void> {
    return onEngine(() => addon.tlsWrite(this.native, bytes, timeoutMs));
  }

  sendFile({ path, offset, length, timeoutMs }: SendRange): Promise<number> {
    return onEngine(() => addon.tlsSend(this.native, path, offset, length, timeoutMs));
  }

  receiveFile(options: ReceiveRange): Promise<number> {
    const { path, offset = 0, length, timeoutMs, fsync } = options;
    return onEngine(() =>
      addon.tlsReceive(this.native, path, offset, length, timeoutMs, fsync === true),
    );
  }

  close(): void {
    addon.tlsClose(this.native);
  }
}

const TLS_FLAGS = { isServer: 1, verifyPeer: 2 } as const;

/**
 * TLS over a connected socket that libuv has not read from. One call at a time, each on a thread of its own: files go to
 * and from the connection without passing through JavaScript. The descriptor is duplicated, so that the socket can be
 * destroyed at once: the connection goes on until `close`.
 * @throws KvError BAD_ARGUMENT
 */
export function openTls(socketFd: number, options: TlsOptions): TlsStream {
  const { certificate, key, authorities, peerName } = options;
  const flags = sumFlags(TLS_FLAGS, options);
  return new NativeTlsStream(
    addon.tlsOpen(socketFd, certificate, key, authorities, peerName ?? '', flags),
  );
}
