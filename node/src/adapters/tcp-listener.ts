/** StreamListener over node:net and node:tls. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import type { ByteSink, ByteStream, SocketAddress, StreamListener } from '../transport/index.ts';
import type { ClientTlsSource } from './certificate-files.ts';

export interface TcpListenerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Several listeners (of worker threads) share the port; the kernel spreads connections. */
  readonly reusePort: boolean;
  /** Null: no TLS. What changes counts for new connections. */
  readonly tls: ClientTlsSource | null;
  /** Time for the TLS handshake; beyond, the client is closed. */
  readonly handshakeMillisMax: number;
  /** Connections the kernel queues. */
  readonly backlog?: number;
}

const BACKLOG = 1024;
const KEEP_ALIVE_MILLIS = 60_000;

/** Creates a listener; nothing is bound before `listen`. */
export function createTcpListener(options: TcpListenerOptions): StreamListener {
  return new TcpListener(options);
}

class TcpListener implements StreamListener {
  readonly #options: TcpListenerOptions;
  #server: Server | null = null;

  constructor(options: TcpListenerOptions) {
    this.#options = options;
  }

  listen(
    onStream: (stream: ByteStream) => void,
    onHandshakeTimeout: () => void,
  ): Promise<SocketAddress> {
    const { host, port, reusePort, backlog } = this.#options;
    const server = (this.#server = createListener(this.#options, onStream, onHandshakeTimeout));
    return new Promise((resolve, reject) => {
      // It stays: a failed accept later on (too many files, say) must not end the process.
      server.on('error', reject);
      server.listen({ host, port, reusePort, backlog: backlog ?? BACKLOG }, () => {
        const bound = server.address();
        if (bound === null || typeof bound === 'string') reject(new TypeError('not an IP socket'));
        else resolve({ address: bound.address, port: bound.port });
      });
    });
  }

  close(): Promise<void> {
    const server = this.#server;
    // The callback waits for every connection, which is not what closing means here.
    server?.close();
    return Promise.resolve();
  }
}

function createListener(
  { tls, handshakeMillisMax }: TcpListenerOptions,
  onStream: (stream: ByteStream) => void,
  onHandshakeTimeout: () => void,
): Server {
  const socketOptions = {
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MILLIS,
  };
  const accept = (socket: Socket): void => onStream(new TcpStream(socket));
  if (tls === null) return createServer(socketOptions, accept);
  const handshake = { handshakeTimeout: handshakeMillisMax };
  const server = createTlsServer({ ...socketOptions, ...handshake, ...tls.current() }, accept);
  const unwatch = tls.onChange(() => server.setSecureContext(tls.current()));
  server.on('close', unwatch);
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') onHandshakeTimeout();
    socket.destroy();
  });
  return server;
}

class TcpStream implements ByteStream {
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  readonly tls: ByteStream['tls'];
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remote = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    this.local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    this.tls = socket instanceof TLSSocket ? tlsOf(socket) : null;
  }

  start(sink: ByteSink): void {
    let failure: Error | null = null;
    const socket = this.#socket;
    socket.on('data', (chunk: Buffer) => sink.onData(chunk));
    socket.on('end', () => sink.onEnd());
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => sink.onClosed(failure));
  }

  write(bytes: Buffer, done: () => void): void {
    this.#socket.write(bytes, (error) => {
      if (error == null) done();
    });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

function tlsOf(socket: TLSSocket): { protocol: string; cipher: string } {
  return { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().name };
}
