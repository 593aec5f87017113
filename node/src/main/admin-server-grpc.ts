/** The admin service over gRPC. Loaded when the first client connects. */
import type { Socket } from 'node:net';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from '../adapters/logger.ts';
import {
  type Admin,
  AdminError,
  type EnsureKeyspaceRequest,
  type MoveTokensRequest,
  type RebuildNodeRequest,
  type RemoveNodeRequest,
  type TablesRequest,
} from './admin-messages.ts';
import { loadAdminService } from './admin-service.ts';

export interface AdminService {
  accept(socket: Socket): void;
  /** Waits for calls that run, but not longer than `milliseconds`. */
  close(milliseconds: number): Promise<void>;
}

function unary<Request, Reply>(
  run: (request: Request) => Promise<Reply>,
  logger: Logger,
): handleUnaryCall<Request, Reply> {
  return (call, callback) => {
    run(call.request).then(
      (reply) => callback(null, reply),
      (error: unknown) => {
        const known = error instanceof AdminError;
        if (!known || error.code === 'INTERNAL') {
          logger.error('an admin call failed', { call: call.getPath(), error });
        }
        const failure: Partial<ServiceError> = {
          code: known ? status[error.code] : status.INTERNAL,
          details: known ? error.message : "the node failed unexpectedly: see the node's log",
        };
        callback(failure);
      },
    );
  };
}

function handlers(admin: Admin, logger: Logger): UntypedServiceImplementation {
  return {
    Status: unary(({ agreed }: { agreed: boolean }) => admin.status(agreed), logger),
    Flush: unary((request: TablesRequest) => admin.flush(request), logger),
    Compact: unary((request: TablesRequest) => admin.compact(request), logger),
    Snapshot: unary(
      async ({ name }: { name: string }) => ({ snapshot: await admin.snapshot(name) }),
      logger,
    ),
    ListSnapshots: unary(async () => ({ snapshots: await admin.snapshots() }), logger),
    DropSnapshot: unary(async ({ name }: { name: string }) => {
      await admin.dropSnapshot(name);
      return {};
    }, logger),
    ListOperations: unary(() => admin.operations(), logger),
    RemoveNode: unary(
      async (request: RemoveNodeRequest) => ({ id: await admin.removeNode(request) }),
      logger,
    ),
    EnsureKeyspace: unary(
      async (request: EnsureKeyspaceRequest) => ({ created: await admin.ensureKeyspace(request) }),
      logger,
    ),
    CancelOperation: unary(async ({ id }: { id: string }) => {
      await admin.cancelOperation(id);
      return {};
    }, logger),
    CheckDisruption: unary(
      ({ hostIds }: { hostIds: readonly string[] }) => admin.checkDisruption(hostIds),
      logger,
    ),
    GetRingBytes: unary(() => admin.ringBytes(), logger),
    MoveTokens: unary(
      async (request: MoveTokensRequest) => ({ id: await admin.moveTokens(request) }),
      logger,
    ),
    Rebuild: unary(
      async (request: RebuildNodeRequest) => ({ bytes: await admin.rebuild(request) }),
      logger,
    ),
    ListSettings: unary(async () => ({ settings: await admin.settings() }), logger),
    ReloadSettings: unary(
      async ({ values }: { values: Readonly<Record<string, string>> }) => ({
        changes: await admin.reloadSettings(values),
      }),
      logger,
    ),
  };
}

export function createAdminService(admin: Admin, logger: Logger): AdminService {
  const server = new Server();
  server.addService(loadAdminService(), handlers(admin, logger));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    accept: (socket) => injector.injectConnection(socket),
    close: async (milliseconds) => {
      const timer = setTimeout(() => server.forceShutdown(), milliseconds);
      injector.drain(milliseconds);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(timer);
      injector.destroy();
    },
  };
}
