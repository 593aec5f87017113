/** What the operator asks of database nodes. */
import type {
  AdminNodeStatus,
  AdminStatus,
  DisruptionReply,
  EnsureKeyspaceRequest,
  OperationInfo,
} from '../../../node/src/main/admin-messages.ts';

export type { AdminNodeStatus, AdminStatus, DisruptionReply, EnsureKeyspaceRequest, OperationInfo };

/**
 * UNREACHABLE: nobody answers there. REFUSED: not as things are, with the database's reason (FAILED_PRECONDITION, INVALID_ARGUMENT,
 * NOT_FOUND). BUSY: it will be when others have ended (ABORTED). UNKNOWN: anything else, a deadline that has passed among it; it may have been done or not.
 */
export type NodeCallErrorCode = 'UNREACHABLE' | 'REFUSED' | 'BUSY' | 'UNKNOWN';

export class NodeCallError extends Error {
  readonly code: NodeCallErrorCode;
  constructor(code: NodeCallErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'NodeCallError';
    this.code = code;
  }
}

/** Where a node's admin service is, and whose certificates it takes. */
export interface NodePlace {
  /** Of the DatacenterCluster. */
  readonly namespace: string;
  readonly cluster: string;
  /** IP of the pod. */
  readonly address: string;
  readonly port: number;
  /** With TLS. */
  readonly encrypted: boolean;
}

/** All calls have a deadline, and fail with NodeCallError. */
export interface DatabaseNodes {
  /** @param agreed the members as a majority has agreed on them by now; fails without one */
  status(place: NodePlace, agreed: boolean): Promise<AdminStatus>;
  operations(place: NodePlace): Promise<readonly OperationInfo[]>;
  /** Begins that a member leaves, at once or not at all; who has nothing yet has left then. @param dead it is down for good */
  removeNode(place: NodePlace, hostId: string, dead: boolean): Promise<void>;
  /** Has a node take these settings while it runs, all or none; of others that can be told so it takes the defaults. */
  configure(place: NodePlace, settings: Readonly<Record<string, string>>): Promise<void>;
  /** @returns whether it was made; REFUSED: there is another one of the name */
  ensureKeyspace(place: NodePlace, keyspace: EnsureKeyspaceRequest): Promise<boolean>;
  cancel(place: NodePlace, operationId: string): Promise<void>;
  /** Whether these may stop at the same time. */
  checkDisruption(place: NodePlace, hostIds: readonly string[]): Promise<DisruptionReply>;
}
