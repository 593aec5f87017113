/** Listens for the admin service. */
import { createServer, type Socket } from 'node:net';
import type { Logger } from '../adapters/logger.ts';
import type { Settings } from '../config/settings.ts';
import type { AdminService } from './admin-server-grpc.ts';
import { createAdmin } from './admin-server-operations.ts';
import { adminPlace, listen } from './listen.ts';
import type { Node } from './node.ts';

const CONNECTIONS_MAX = 64;

/**
 * Serves node/proto/admin.proto. gRPC itself is loaded when the first client connects: a start must not pay for it.
 * @returns closes it, after calls that run, within the drain timeout
 * @throws ListenError
 */
export async function serveAdmin(
  settings: Settings,
  node: Node,
  logger: Logger,
): Promise<() => Promise<void>> {
  const stopping = new AbortController();
  const admin = createAdmin(settings, node, stopping.signal);
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
  // Not read before gRPC takes it over.
  const server = createServer({ pauseOnConnect: true }, accept);
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, adminPlace(settings));
  return async () => {
    stopping.abort();
    server.close();
    await (await service)?.close(settings.drainTimeoutMs);
  };
}
