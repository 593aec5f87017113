/** Database nodes over their admin service: a connection for each node that is asked, closed when it stands idle. */
import { type AdminClient, connectAdmin } from '../../../node/src/main/admin-client.ts';
import type { Admin } from '../../../node/src/main/admin-messages.ts';
import { defaultOf } from '../api/node-config.ts';
import {
  type DatabaseNodes,
  NodeCallError,
  type NodeCallErrorCode,
  type NodePlace,
} from '../ports/nodes.ts';

/** What the operator shows nodes, and what it believes; PEM. */
export interface OperatorCertificate {
  /** Of all authorities that are trusted. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface DatabaseNodesOptions {
  /** Of a cluster; null: there is none yet. @throws Error if it cannot be found out */
  readonly certificateOf: (place: NodePlace) => Promise<OperatorCertificate | null>;
  readonly deadlineMillis?: number;
  readonly idleMillis?: number;
  readonly connectionsMax?: number;
  /** A call that has ended, for metrics. */
  readonly onCall?: (call: string, outcome: 'OK' | NodeCallErrorCode, seconds: number) => void;
}

const DEADLINE_MILLIS = 15_000;
const IDLE_MILLIS = 60_000;
const CONNECTIONS_MAX = 256;

interface Connection {
  readonly client: AdminClient;
  /** What it was made with. */
  readonly made: string;
  calls: number;
  idle: NodeJS.Timeout | null;
}

/** Whether a failure says that the request cannot have arrived. */
function hasNotArrived(message: string): boolean {
  return /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|No connection established|TLS/i.test(message);
}

/** @param changes whether the call changes anything, so that it matters if it arrived */
function toError(error: unknown, changes: boolean): NodeCallError {
  if (error instanceof NodeCallError) return error;
  const { message, code, cause } = error as Error & { readonly code?: unknown };
  const made = (one: NodeCallErrorCode) => new NodeCallError(one, message, { cause: error });
  switch (code) {
    case 'FAILED_PRECONDITION':
    case 'INVALID_ARGUMENT':
    case 'NOT_FOUND':
      return made('REFUSED');
    case 'ABORTED':
      return made('BUSY');
    case 'UNREACHABLE': {
      const details = cause instanceof Error ? cause.message : '';
      return made(changes && !hasNotArrived(details) ? 'UNKNOWN' : 'UNREACHABLE');
    }
    default:
      return made('UNKNOWN');
  }
}

/** Ends in time, come what may. */
async function within<T>(work: Promise<T>, millis: number, address: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new NodeCallError('UNKNOWN', `${address} has not answered in ${millis} ms`)),
    millis,
  );
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

export interface PooledNodes extends DatabaseNodes {
  /** Of open connections. */
  size(): number;
  close(): void;
}

export function createDatabaseNodes(options: DatabaseNodesOptions): PooledNodes {
  const { certificateOf, onCall = () => {} } = options;
  const deadlineMillis = options.deadlineMillis ?? DEADLINE_MILLIS;
  const idleMillis = options.idleMillis ?? IDLE_MILLIS;
  const connectionsMax = options.connectionsMax ?? CONNECTIONS_MAX;
  /** The one that was used longest ago comes first. */
  const pool = new Map<string, Connection>();

  const drop = (key: string, connection: Connection) => {
    if (connection.idle !== null) clearTimeout(connection.idle);
    if (pool.get(key) === connection) pool.delete(key);
    connection.client.close();
  };
  const makeRoom = () => {
    for (const [key, connection] of pool) {
      if (pool.size < connectionsMax) return;
      if (connection.calls === 0) drop(key, connection);
    }
    if (pool.size >= connectionsMax) {
      throw new NodeCallError('UNREACHABLE', `${connectionsMax} calls to nodes are under way`);
    }
  };
  const open = async (place: NodePlace, key: string): Promise<Connection> => {
    const { address, port, cluster, encrypted } = place;
    const certificate = encrypted ? await certificateOf(place) : null;
    if (encrypted && certificate === null) {
      throw new NodeCallError('UNREACHABLE', `the operator has no certificate for ${cluster} yet`);
    }
    const made = JSON.stringify(certificate);
    const known = pool.get(key);
    if (known !== undefined) {
      if (known.made === made) {
        pool.delete(key);
        pool.set(key, known);
        return known;
      }
      // Certificates have been renewed. What is under way on the old one fails as if the connection had been lost.
      drop(key, known);
    }
    makeRoom();
    const tls =
      certificate === null
        ? null
        : {
            ca: Buffer.from(certificate.ca),
            certificate: Buffer.from(certificate.certificate),
            key: Buffer.from(certificate.key),
            ...{ mutual: true, verifyAddress: false },
          };
    const client = connectAdmin(`${address}:${port}`, tls);
    const connection: Connection = { client, made, calls: 0, idle: null };
    pool.set(key, connection);
    return connection;
  };

  const ask = async <T>(
    name: string,
    place: NodePlace,
    changes: boolean,
    work: (admin: Admin) => Promise<T>,
  ): Promise<T> => {
    const key = JSON.stringify([place.namespace, place.cluster, place.address, place.port]);
    const begun = performance.now();
    const tell = (outcome: 'OK' | NodeCallErrorCode) =>
      onCall(name, outcome, (performance.now() - begun) / 1000);
    let connection: Connection | null = null;
    try {
      connection = await open(place, key);
      connection.calls++;
      if (connection.idle !== null) clearTimeout(connection.idle);
      const reply = await within(work(connection.client), deadlineMillis, place.address);
      tell('OK');
      return reply;
    } catch (error) {
      const failure = toError(error, changes);
      // A new connection does not wait for what the old one waits for.
      if (failure.code !== 'REFUSED' && failure.code !== 'BUSY' && connection !== null)
        drop(key, connection);
      tell(failure.code);
      throw failure;
    } finally {
      if (connection !== null) {
        const left = connection;
        left.calls--;
        if (left.calls === 0 && pool.get(key) === left) {
          left.idle = setTimeout(() => drop(key, left), idleMillis).unref();
        }
      }
    }
  };

  return {
    status: (place, agreed) => ask('status', place, false, (admin) => admin.status(agreed)),
    operations: async (place) =>
      (await ask('operations', place, false, (admin) => admin.operations())).operations,
    removeNode: async (place, hostId, dead) => {
      await ask('removeNode', place, true, (admin) =>
        admin.removeNode({ hostId, dead, atOnce: true }),
      );
    },
    configure: (place, settings) =>
      ask('configure', place, true, async (admin) => {
        const known = await admin.settings();
        const isOurs = ({ name }: { readonly name: string }) => defaultOf(name) !== undefined;
        const others = known.filter(
          (one) => one.change === 'hot' && one.origin !== 'default' && isOurs(one),
        );
        const defaults = others.map(({ name }) => [name, 'default']);
        await admin.reloadSettings({ ...Object.fromEntries(defaults), ...settings });
      }),
    ensureKeyspace: (place, keyspace) =>
      ask('ensureKeyspace', place, true, (admin) => admin.ensureKeyspace(keyspace)),
    cancel: (place, id) => ask('cancel', place, true, (admin) => admin.cancelOperation(id)),
    checkDisruption: (place, hostIds) =>
      ask('checkDisruption', place, false, (admin) => admin.checkDisruption(hostIds)),
    size: () => pool.size,
    close: () => {
      for (const [key, connection] of pool) drop(key, connection);
    },
  };
}
