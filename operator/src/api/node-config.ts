/** Settings of the database that a cluster's spec may hold: those of the node's own table that the operator does not decide. */
import Type, { type TObject, type TSchema } from 'typebox';
import { OPTIONS, type Option } from '../../../node/src/config/options.ts';
import { object } from './schema.ts';

/** Names, places, addresses, ports and certificates follow from the rest of the spec. */
const DECIDED: ReadonlySet<string> = new Set([
  'cluster_name',
  'data_center',
  'rack',
  'data_directory',
  'rpc_address',
  'native_transport_port',
  'listen_address',
  'seeds',
  'new_cluster',
  'host_id',
  'replace_host_id',
  'memory_limit',
  'workers',
]);
const DECIDED_PATTERN =
  /^internode_|_address$|_port$|^tls|_certificate$|_key$|_authority$|_encryption/;

export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function schemaOf({ type, about, change, default: initial }: Option): TSchema {
  const without = initial === '' ? '' : ` Without it: ${initial}.`;
  const effect = change === 'hot' ? 'takes effect at once' : 'restarts the nodes';
  const description = `${about}${without} A change ${effect}.`;
  switch (type.kind) {
    case 'integer':
      return Type.Integer({ description, minimum: type.min, maximum: type.max });
    case 'power-of-two':
      return Type.Integer({ description, minimum: 1, maximum: type.max });
    case 'choice':
      return Type.Unsafe<string>({ type: 'string', description, enum: type.of });
    case 'bytes':
      return Type.String({ description, pattern: '^[0-9]+(B|KiB|MiB|GiB|TiB)?$' });
    case 'millis':
      return Type.String({ description, pattern: '^[0-9]+(ms|s|m|h|d)$' });
    case 'text':
      return Type.String({ description, maxLength: 1024 });
  }
}

/** By its name in the spec. */
export const NODE_SETTINGS: ReadonlyMap<string, Option> = new Map(
  OPTIONS.filter(({ name }) => !DECIDED.has(name) && !DECIDED_PATTERN.test(name)).map((option) => [
    camelCase(option.name),
    option,
  ]),
);

export const nodeConfig: TObject = object(
  'Settings of the database, by the names of its configuration file. Each says whether a change restarts the nodes, a rack at a time, or takes effect at once.',
  Object.fromEntries(
    [...NODE_SETTINGS].map(([name, option]) => [name, Type.Optional(schemaOf(option))]),
  ),
);

type Config = Readonly<Record<string, string | number>>;

function chosen(config: Config | undefined, change: Option['change']) {
  return Object.entries(config ?? {}).flatMap(([name, value]) => {
    const option = NODE_SETTINGS.get(name);
    return option?.change === change ? [{ name, option, value }] : [];
  });
}

/** By the names that nodes know. @param change what a change of them takes */
export function settingsOf(
  config: Config | undefined,
  change: Option['change'],
): Readonly<Record<string, string>> {
  const found = chosen(config, change).map(({ option, value }) => [option.name, String(value)]);
  return Object.fromEntries(found);
}

/** A config without the settings that take effect at once. */
export function withoutHot(config: Config | undefined): Record<string, string | number> {
  return Object.fromEntries(chosen(config, 'restart').map(({ name, value }) => [name, value]));
}

/** What a node has that is told nothing. @param name as nodes know it; undefined: it is none of these */
export function defaultOf(name: string): string | undefined {
  return [...NODE_SETTINGS.values()].find((option) => option.name === name)?.default;
}
