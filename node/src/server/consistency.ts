/** What a consistency level asks of a keyspace's replicas, while this node is the only one there is. @hot */
import { type CqlError, invalidRequest, unavailable } from '../common/errors.ts';
import type { ModificationPlan } from '../query/modify.ts';
import type { Schema, TableDef } from '../schema/schema.ts';

/** The levels of a request, by number. */
interface RequestedConsistency {
  readonly consistency: number;
  readonly serialConsistency: number;
}

const ANY = 0;
const EACH_QUORUM = 7;
const SERIAL = 8;
const LOCAL_SERIAL = 9;
const LOCAL_ONE = 10;
const LOCAL_QUORUM = 6;

/** How many nodes have a row of a keyspace: in all, and in this datacenter. */
export interface Replicas {
  readonly all: number;
  readonly local: number;
}

/** Those of a table's keyspace. @throws CqlError Invalid: it has been dropped */
export function replicasOf(schema: Schema, table: TableDef, datacenter: string): Replicas {
  const keyspace = schema.keyspaces.get(table.keyspace);
  if (keyspace === undefined) throw invalidRequest(`keyspace ${table.keyspace} does not exist`);
  const { class: strategy = '', ...options } = keyspace.replication;
  if (strategy.endsWith('NetworkTopologyStrategy')) {
    const counts = Object.values(options).map((text) => Number.parseInt(text, 10) || 0);
    return {
      all: counts.reduce((sum, count) => sum + count, 0),
      local: Number.parseInt(options[datacenter] ?? '0', 10) || 0,
    };
  }
  const factor = strategy.endsWith('SimpleStrategy')
    ? Number.parseInt(options['replication_factor'] ?? '1', 10) || 1
    : 1;
  return { all: factor, local: factor };
}

function quorum(replicas: number): number {
  return Math.floor(replicas / 2) + 1;
}

/** Nodes that must answer. */
function requiredReplicas(consistency: number, { all, local }: Replicas): number {
  switch (consistency) {
    case ANY:
      return 0;
    case 2:
      return 2;
    case 3:
      return 3;
    case 4:
    case SERIAL:
      return quorum(all);
    case 5:
      return all;
    case LOCAL_QUORUM:
    case EACH_QUORUM:
    case LOCAL_SERIAL:
      return quorum(local);
    default:
      return 1;
  }
}

function isLocal(consistency: number): boolean {
  switch (consistency) {
    case LOCAL_QUORUM:
    case EACH_QUORUM:
    case LOCAL_SERIAL:
    case LOCAL_ONE:
      return true;
    default:
      return false;
  }
}

function check(consistency: number, replicas: Replicas): CqlError | null {
  const alive = (isLocal(consistency) ? replicas.local : replicas.all) > 0 ? 1 : 0;
  const required = requiredReplicas(consistency, replicas);
  return required > alive ? unavailable(consistency, required, alive) : null;
}

/** @returns why a read at this level cannot be served, or null */
export function checkRead(consistency: number, replicas: Replicas): CqlError | null {
  if (consistency === ANY)
    return invalidRequest('ANY ConsistencyLevel is only supported for writes');
  if (consistency === EACH_QUORUM) {
    return invalidRequest('EACH_QUORUM ConsistencyLevel is only supported for writes');
  }
  return check(consistency, replicas);
}

function checkWrite(consistency: number, replicas: Replicas): CqlError | null {
  if (consistency === SERIAL || consistency === LOCAL_SERIAL) {
    return invalidRequest('You must use conditional updates for serializable writes');
  }
  return check(consistency, replicas);
}

function checkConditional(
  consistency: number,
  serial: number,
  replicas: Replicas,
): CqlError | null {
  if (serial !== SERIAL && serial !== LOCAL_SERIAL) {
    return invalidRequest(
      'Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL',
    );
  }
  return check(serial, replicas) ?? checkWrite(consistency, replicas);
}

function checkCounter(consistency: number, replicas: Replicas): CqlError | null {
  if (consistency === ANY) {
    return invalidRequest('Consistency level ANY is not yet supported for counter tables');
  }
  return checkWrite(consistency, replicas);
}

/** @returns why a modification cannot be served at the request's levels, or null */
export function checkModification(
  plan: ModificationPlan,
  { consistency, serialConsistency }: RequestedConsistency,
  replicas: Replicas,
): CqlError | null {
  if (plan.conditions !== null) {
    return checkConditional(consistency, serialConsistency, replicas);
  }
  if (plan.isCounter) return checkCounter(consistency, replicas);
  return checkWrite(consistency, replicas);
}
