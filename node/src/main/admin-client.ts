/** Asks a node over its admin service. */
import { Client, type ServiceError, status } from '@grpc/grpc-js';
import {
  channelCredentials,
  fixedTls,
  type LinkTls,
  tlsChannelOptions,
} from '../adapters/grpc-links-tls.ts';
import {
  type Admin,
  AdminError,
  type AdminErrorCode,
  type AdminStatus,
  type CompactReply,
  type DisruptionReply,
  type FlushReply,
  type OperationList,
  type RingBytes,
  type SettingChange,
  type SettingInfo,
  type SnapshotInfo,
} from './admin-messages.ts';
import { loadAdminService } from './admin-service.ts';

const STATUS_TIMEOUT_MS = 10_000;
const KEEPALIVE_MS = 20_000;

/** No node answers at the address. */
export class UnreachableError extends Error {
  readonly code = 'UNREACHABLE';
  readonly address: string;
  /** @param found what was there in its place; null: nothing */
  constructor(address: string, found: string | null, options?: ErrorOptions) {
    const cure =
      found === null
        ? 'check that it runs, and that this is its admin_address and admin_port (or give them with --admin HOST:PORT)'
        : `${found}: check that this is its admin_port, and that both sides have the same admin_encryption and authority`;
    super(`no node answers at ${address}: ${cure}`, options);
    this.name = 'UnreachableError';
    this.address = address;
  }
}

const CODES: ReadonlyMap<number, AdminErrorCode> = new Map([
  [status.INVALID_ARGUMENT, 'INVALID_ARGUMENT'],
  [status.FAILED_PRECONDITION, 'FAILED_PRECONDITION'],
  [status.NOT_FOUND, 'NOT_FOUND'],
  [status.ALREADY_EXISTS, 'ALREADY_EXISTS'],
  [status.ABORTED, 'ABORTED'],
  [status.RESOURCE_EXHAUSTED, 'RESOURCE_EXHAUSTED'],
]);

function toError(error: ServiceError, address: string): Error {
  const code = CODES.get(error.code);
  if (code !== undefined) return new AdminError(code, error.details, { cause: error });
  if (error.code === status.UNIMPLEMENTED) {
    const message = `the node at ${address} does not know this command: it is of another version`;
    return new AdminError('INTERNAL', message, { cause: error });
  }
  if (error.code === status.UNAVAILABLE && error.details.startsWith('the node stops')) {
    return new AdminError('UNAVAILABLE', error.details, { cause: error });
  }
  if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED) {
    const isNothing = /ECONNREFUSED|EHOSTUNREACH|ETIMEDOUT|Deadline/i.test(error.details);
    return new UnreachableError(address, isNothing ? null : error.details, { cause: error });
  }
  return new AdminError('INTERNAL', error.details, { cause: error });
}

export interface AdminClient extends Admin {
  close(): void;
}

/**
 * @param address `host:port`. Calls fail with AdminError or UnreachableError.
 * @param tls null: the service is not encrypted
 */
export function connectAdmin(address: string, tls: LinkTls | null = null): AdminClient {
  const service = loadAdminService();
  const client = new Client(address, channelCredentials(tls, address.replace(/:\d+$/, '')), {
    ...tlsChannelOptions(tls === null ? null : fixedTls(tls)),
    // The node is near; a proxy of the environment is for other things.
    'grpc.enable_http_proxy': 0,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
  });
  const call = <Reply>(
    name: string,
    request: object,
    timeoutMs = Number.POSITIVE_INFINITY,
  ): Promise<Reply> => {
    const { path, requestSerialize, responseDeserialize } = service[name];
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          if (error !== null) reject(toError(error, address));
          else resolve(reply as Reply);
        },
      );
    });
  };
  return {
    status: (agreed = false) => call<AdminStatus>('Status', { agreed }, STATUS_TIMEOUT_MS),
    flush: (request) => call<FlushReply>('Flush', request),
    compact: (request) => call<CompactReply>('Compact', request),
    snapshot: async (name) =>
      (await call<{ readonly snapshot: SnapshotInfo }>('Snapshot', { name })).snapshot,
    snapshots: async () =>
      (await call<{ readonly snapshots: readonly SnapshotInfo[] }>('ListSnapshots', {})).snapshots,
    dropSnapshot: async (name) => {
      await call('DropSnapshot', { name });
    },
    operations: () => call<OperationList>('ListOperations', {}, STATUS_TIMEOUT_MS),
    removeNode: async (request) => (await call<{ readonly id: string }>('RemoveNode', request)).id,
    ensureKeyspace: async (request) =>
      (await call<{ readonly created: boolean }>('EnsureKeyspace', request)).created,
    cancelOperation: async (id) => {
      await call('CancelOperation', { id });
    },
    checkDisruption: (hostIds) =>
      call<DisruptionReply>('CheckDisruption', { hostIds }, STATUS_TIMEOUT_MS),
    ringBytes: () => call<RingBytes>('GetRingBytes', {}),
    moveTokens: async (request) => (await call<{ readonly id: string }>('MoveTokens', request)).id,
    rebuild: async (request) => (await call<{ readonly bytes: number }>('Rebuild', request)).bytes,
    settings: async () =>
      (await call<{ readonly settings: readonly SettingInfo[] }>('ListSettings', {})).settings,
    reloadSettings: async (values) =>
      (
        await call<{ readonly changes: readonly SettingChange[] }>('ReloadSettings', {
          values,
        })
      ).changes,
    close: () => client.close(),
  };
}
