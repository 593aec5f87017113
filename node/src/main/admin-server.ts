/** Listens for the admin service. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { openLinkCertificates } from '../adapters/certificate-files.ts';
import { refusalOfClient, secureContextOf, tlsServerOptions } from '../adapters/grpc-links-tls.ts';
import type { Logger } from '../adapters/logger.ts';
import type { LiveSettings } from '../config/live.ts';
import type { InternodeEncryption } from '../config/settings.ts';
import type { AdminService } from './admin-server-grpc.ts';
import { createAdmin } from './admin-server-operations.ts';
import { adminPlace, listen } from './listen.ts';
import type { Node } from './node.ts';

const CONNECTIONS_MAX = 64;
const HANDSHAKE_MILLIS = 5_000;

interface Listener {
  readonly server: Server | TlsServer;
  close(): void;
}

/** Not encrypted. A connection is not read before gRPC takes it over. */
function plainListener(accept: (socket: Socket) => void): Listener {
  return { server: createServer({ pauseOnConnect: true }, accept), close: () => {} };
}

/** Whoever has no certificate of the cluster's authority is turned away. */
function tlsListener(
  encryption: InternodeEncryption,
  logger: Logger,
  accept: (socket: Socket) => void,
): Listener {
  // The links between nodes have the same ones, and tell of them.
  const certificates = openLinkCertificates(encryption, null);
  const server = createTlsServer(
    tlsServerOptions(certificates.current(), HANDSHAKE_MILLIS),
    (socket) => {
      const reason = refusalOfClient(socket, certificates.current());
      if (reason === null) {
        accept(socket);
        return;
      }
      logger.warn('an admin connection was refused', { from: socket.remoteAddress, reason });
      socket.destroy();
    },
  );
  server.on('tlsClientError', (error: Error, socket: Socket) => {
    const { message: reason } = error;
    logger.debug('an admin connection was refused', { from: socket.remoteAddress, reason });
  });
  certificates.onChange(() => server.setSecureContext(secureContextOf(certificates.current())));
  return { server, close: () => certificates.close() };
}

/**
 * Serves node/proto/admin.proto. gRPC itself is loaded when the first client connects: a start must not pay for it.
 * @returns closes it, after calls that run, within the drain timeout
 * @throws ListenError, CertificateFileError
 */
export async function serveAdmin(
  live: LiveSettings,
  node: Node,
  logger: Logger,
): Promise<() => Promise<void>> {
  const stopping = new AbortController();
  const admin = createAdmin({ live, node, signal: stopping.signal });
  let service: Promise<AdminService> | null = null;
  const accept = (socket: Socket) => {
    // Between here and gRPC's own handler, a client that goes away is no error.
    socket.on('error', () => socket.destroy());
    service ??= import('./admin-server-grpc.ts').then(({ createAdminService }) =>
      createAdminService(admin, logger),
    );
    service
      .then((ready) => {
        ready.accept(socket);
        socket.resume();
      })
      .catch((error: unknown) => {
        logger.error('the admin service cannot be loaded', { error });
        socket.destroy();
      });
  };
  const { adminEncryption } = live.current.settings;
  const listener =
    adminEncryption === null ? plainListener(accept) : tlsListener(adminEncryption, logger, accept);
  const { server } = listener;
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, adminPlace(live.current.settings));
  return async () => {
    stopping.abort();
    listener.close();
    server.close();
    await (await service)?.close(live.current.settings.drainTimeoutMs);
  };
}
