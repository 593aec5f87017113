/** Keyspaces that an operator wants to be there. */
import { CqlError } from '../common/errors.ts';
import type { KeyspaceDef } from '../schema/schema.ts';
import { AdminError, type EnsureKeyspaceRequest } from './admin-messages.ts';
import type { Node } from './node.ts';

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,47}$/;
const TEXT = /^[A-Za-z0-9_.-]{1,64}$/;
const PACKAGE = 'org.apache.cassandra.locator.';

function withoutPackage(name: string): string {
  return name.startsWith(PACKAGE) ? name.slice(PACKAGE.length) : name;
}

function show(replication: Readonly<Record<string, string>>): string {
  const options = Object.entries(replication)
    .map(([name, value]): [string, string] => [
      name,
      name === 'class' ? withoutPackage(value) : value,
    ])
    .sort(([a], [b]) => (a === 'class' || (b !== 'class' && a < b) ? -1 : 1));
  return `{${options.map(([name, value]) => `'${name}': '${value}'`).join(', ')}}`;
}

/** @returns the statement that makes it @throws AdminError INVALID_ARGUMENT */
export function creationOf({ name, replication, durableWrites }: EnsureKeyspaceRequest): string {
  const options = Object.entries(replication).flat();
  if (!NAME.test(name)) {
    throw new AdminError(
      'INVALID_ARGUMENT',
      `'${name}' is no name for a keyspace: letters, digits and _, at most 48`,
    );
  }
  const bad = options.find((text) => !TEXT.test(text));
  if (bad !== undefined) {
    throw new AdminError('INVALID_ARGUMENT', `'${bad}' cannot stand in a replication`);
  }
  return `CREATE KEYSPACE IF NOT EXISTS "${name}" WITH replication = ${show(replication)} AND durable_writes = ${durableWrites}`;
}

/** How the keyspace that there is differs, for people; null: it does not. */
export function differenceOf(
  there: Pick<KeyspaceDef, 'replication' | 'durableWrites'>,
  wanted: EnsureKeyspaceRequest,
): string | null {
  const [has, wants] = [show(there.replication), show(wanted.replication)];
  if (has !== wants) {
    return `the keyspace ${wanted.name} has the replication ${has}, not ${wants}: copies are not made by themselves, so nothing is changed. ALTER KEYSPACE, and then get the data to the new replicas`;
  }
  if (there.durableWrites !== wanted.durableWrites) {
    return `the keyspace ${wanted.name} has durable_writes = ${there.durableWrites}: ALTER KEYSPACE changes it`;
  }
  return null;
}

/** @returns whether there was none @throws AdminError */
export async function ensureKeyspace(
  node: Pick<Node, 'schema' | 'define'>,
  wanted: EnsureKeyspaceRequest,
): Promise<boolean> {
  const text = creationOf(wanted);
  const before = node.schema().keyspaces.get(wanted.name);
  if (before === undefined) {
    try {
      await node.define(text);
    } catch (error) {
      if (!(error instanceof CqlError)) throw error;
      throw new AdminError('FAILED_PRECONDITION', error.message, { cause: error });
    }
  }
  const there = node.schema().keyspaces.get(wanted.name);
  const difference = there === undefined ? null : differenceOf(there, wanted);
  if (difference !== null) throw new AdminError('FAILED_PRECONDITION', difference);
  return before === undefined;
}
