/** Replication options of keyspaces. Source: ReplicationParams and the strategies of org.apache.cassandra.locator. */
import { configError, invalidRequest } from '../../common/errors.ts';

const PACKAGE = 'org.apache.cassandra.locator.';
const STRATEGIES: readonly string[] = [
  'SimpleStrategy',
  'NetworkTopologyStrategy',
  'LocalStrategy',
].map((name) => PACKAGE + name);
const FACTOR = 'replication_factor';
const DEFAULT_FACTOR = '1';
/** Where 'replication_factor' goes while the datacenters are not known: Cassandra's own default name. */
const DEFAULT_DATACENTERS = ['datacenter1'];

export interface ReplicationInput {
  readonly keyspace: string;
  /** As written; undefined: not at all. */
  readonly options: Readonly<Record<string, string>>;
  /** In force now; null for a new keyspace. */
  readonly previous: Readonly<Record<string, string>> | null;
  /** Nodes of each; null: not known. */
  readonly datacenters: ReadonlyMap<string, number> | null;
}

/**
 * The checked options in the order in which they are kept: the class (full name), then the factors.
 * @throws CqlError ConfigError, Invalid
 */
export function checkReplication(input: ReplicationInput): Record<string, string> {
  requireClass(input.options);
  const { class: written, ...rest } = input.options;
  const strategy = strategyClass(written);
  if (strategy === `${PACKAGE}LocalStrategy`) {
    throw invalidRequest(
      'Unable to use given strategy class: LocalStrategy is reserved for internal use.',
    );
  }
  const factors =
    strategy === `${PACKAGE}SimpleStrategy` ? simpleFactors(input, rest) : topology(input, rest);
  return { class: strategy, ...factors };
}

/** @throws CqlError ConfigError */
export function requireClass(options: Readonly<Record<string, string>>): void {
  if (options['class'] === undefined) throw configError('Missing replication strategy class');
}

function strategyClass(written: string): string {
  const name = written.includes('.') ? written : PACKAGE + written;
  if (name === `${PACKAGE}OldNetworkTopologyStrategy`) {
    throw configError(
      'The support for the OldNetworkTopologyStrategy has been removed in C* version 4.0. The keyspace strategy should be switch to NetworkTopologyStrategy',
    );
  }
  if (!STRATEGIES.includes(name)) {
    throw configError(`Unable to find replication strategy class '${name}'`);
  }
  return name;
}

function checkFactor(text: string): void {
  if (/^[0-9]+\/[0-9]+$/.test(text)) {
    throw configError('Transient replication is not enabled on this node');
  }
  if (!/^[+-]?[0-9]{1,9}$/.test(text)) throw configError(`For input string: "${text}"`);
  if (Number(text) < 0) {
    throw configError(`Replication factor must be non-negative, found ${text}`);
  }
}

function unrecognized(option: string, strategy: string, keyspace: string): Error {
  return configError(
    `Unrecognized strategy option {${option}} passed to ${strategy} for keyspace ${keyspace}`,
  );
}

function simpleFactors(
  { keyspace }: ReplicationInput,
  options: Readonly<Record<string, string>>,
): Record<string, string> {
  const factor = options[FACTOR] ?? DEFAULT_FACTOR;
  checkFactor(factor);
  const other = Object.keys(options).find((option) => option !== FACTOR);
  if (other !== undefined) throw unrecognized(other, 'SimpleStrategy', keyspace);
  return { [FACTOR]: factor };
}

function topology(
  { keyspace, datacenters, previous }: ReplicationInput,
  options: Readonly<Record<string, string>>,
): Record<string, string> {
  const { [FACTOR]: factor, ...written } = options;
  const factors: Record<string, string> = {};
  const keepsAll = factor === undefined && Object.keys(written).length === 0;
  const isNew = previous === null || previous['class'] !== `${PACKAGE}NetworkTopologyStrategy`;
  if (factor !== undefined || (isNew && keepsAll)) {
    const all = factor ?? DEFAULT_FACTOR;
    checkFactor(all);
    for (const name of datacenters?.keys() ?? DEFAULT_DATACENTERS) factors[name] = all;
  }
  // Datacenters that have their factor keep it: 'replication_factor' is for the others.
  if (!isNew && (factor !== undefined || keepsAll)) {
    for (const [name, old] of Object.entries(previous)) if (name !== 'class') factors[name] = old;
  }
  for (const [name, one] of Object.entries(written)) {
    if (datacenters !== null && !datacenters.has(name)) {
      throw unrecognized(name, 'NetworkTopologyStrategy', keyspace);
    }
    checkFactor(one);
    factors[name] = one;
  }
  const used = Object.entries(factors).filter(([, count]) => Number(count) > 0);
  if (used.length === 0) {
    throw configError('Configuration for at least one datacenter must be present');
  }
  return Object.fromEntries(used.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What Cassandra warns of: more replicas than nodes. */
export function replicationWarnings({
  keyspace,
  options,
  datacenters,
}: Omit<ReplicationInput, 'previous'>): string[] {
  if (datacenters === null) return [];
  const warnings: string[] = [];
  const warn = (factor: string, nodes: number, where: string) => {
    if (Number(factor) <= nodes) return;
    warnings.push(
      `Your replication factor ${factor} for keyspace ${keyspace} is higher than the number of nodes ${nodes}${where}`,
    );
  };
  const allNodes = [...datacenters.values()].reduce((sum, nodes) => sum + nodes, 0);
  for (const [name, value] of Object.entries(options)) {
    if (name === FACTOR) warn(value, allNodes, '');
    else if (name !== 'class') warn(value, datacenters.get(name) ?? 0, ` for datacenter ${name}`);
  }
  return warnings;
}
