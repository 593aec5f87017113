/** What a consistency level asks of a keyspace's replicas, while this node is the only one there is. */
import { type CqlError, invalidRequest, unavailable } from '../common/errors.ts';
import type { ModificationPlan } from '../query/modify.ts';
import type { KeyspaceDef, Schema, TableDef } from '../schema/schema.ts';

/** The levels of a request, by number. */
interface RequestedConsistency {
  readonly consistency: number;
  readonly serialConsistency: number;
}

const ANY = 0;
const EACH_QUORUM = 7;
const SERIAL = 8;
const LOCAL_SERIAL = 9;
const LOCAL = new Set([6, 7, 9, 10]);

/** Replicas of the keyspace: in all, and in this datacenter. */
function replicationFactors(
  keyspace: KeyspaceDef,
  datacenter: string,
): { readonly all: number; readonly local: number } {
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
function requiredReplicas(consistency: number, keyspace: KeyspaceDef, datacenter: string): number {
  const { all, local } = replicationFactors(keyspace, datacenter);
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
    case 6:
    case EACH_QUORUM:
    case LOCAL_SERIAL:
      return quorum(local);
    default:
      return 1;
  }
}

function check(consistency: number, keyspace: KeyspaceDef, datacenter: string): CqlError | null {
  const { all, local } = replicationFactors(keyspace, datacenter);
  const alive = (LOCAL.has(consistency) ? local : all) > 0 ? 1 : 0;
  const required = requiredReplicas(consistency, keyspace, datacenter);
  return required > alive ? unavailable(consistency, required, alive) : null;
}

/** @returns why a read at this level cannot be served, or null */
export function checkRead(
  consistency: number,
  keyspace: KeyspaceDef,
  datacenter: string,
): CqlError | null {
  if (consistency === ANY)
    return invalidRequest('ANY ConsistencyLevel is only supported for writes');
  if (consistency === EACH_QUORUM) {
    return invalidRequest('EACH_QUORUM ConsistencyLevel is only supported for writes');
  }
  return check(consistency, keyspace, datacenter);
}

/** @returns why a write at this level cannot be served, or null */
function checkWrite(
  consistency: number,
  keyspace: KeyspaceDef,
  datacenter: string,
): CqlError | null {
  if (consistency === SERIAL || consistency === LOCAL_SERIAL) {
    return invalidRequest('You must use conditional updates for serializable writes');
  }
  return check(consistency, keyspace, datacenter);
}

/** @returns why a conditional write cannot be served, or null */
function checkConditional(
  consistency: number,
  serial: number,
  keyspace: KeyspaceDef,
  datacenter: string,
): CqlError | null {
  if (serial !== SERIAL && serial !== LOCAL_SERIAL) {
    return invalidRequest(
      'Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL',
    );
  }
  return check(serial, keyspace, datacenter) ?? checkWrite(consistency, keyspace, datacenter);
}

/** @returns why counters cannot be counted at this level, or null */
function checkCounter(
  consistency: number,
  keyspace: KeyspaceDef,
  datacenter: string,
): CqlError | null {
  if (consistency === ANY) {
    return invalidRequest('Consistency level ANY is not yet supported for counter tables');
  }
  return checkWrite(consistency, keyspace, datacenter);
}

/** The keyspace of a table. @throws CqlError Invalid: it has been dropped */
export function keyspaceOf(schema: Schema, { keyspace: name }: TableDef): KeyspaceDef {
  const keyspace = schema.keyspaces.get(name);
  if (keyspace === undefined) throw invalidRequest(`keyspace ${name} does not exist`);
  return keyspace;
}

/** @returns why a modification cannot be served at the request's levels, or null */
export function checkModification(
  plan: ModificationPlan,
  { consistency, serialConsistency }: RequestedConsistency,
  schema: Schema,
  datacenter: string,
): CqlError | null {
  const keyspace = keyspaceOf(schema, plan.table);
  if (plan.conditions !== null) {
    return checkConditional(consistency, serialConsistency, keyspace, datacenter);
  }
  if (plan.isCounter) return checkCounter(consistency, keyspace, datacenter);
  return checkWrite(consistency, keyspace, datacenter);
}
