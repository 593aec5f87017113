/** Names of keyspaces that belong to the database itself. */

/** Their tables have no records: rows are made when they are read. */
export const VIRTUAL_KEYSPACE_NAMES: ReadonlySet<string> = new Set([
  'system_views',
  'system_virtual_schema',
]);

const SYSTEM_KEYSPACE_NAMES: ReadonlySet<string> = new Set([
  ...VIRTUAL_KEYSPACE_NAMES,
  'system',
  'system_auth',
  'system_distributed',
  'system_schema',
  'system_traces',
]);

/** True for keyspaces that DESCRIBE SCHEMA leaves out. */
export function isSystemKeyspaceName(name: string): boolean {
  return SYSTEM_KEYSPACE_NAMES.has(name);
}
