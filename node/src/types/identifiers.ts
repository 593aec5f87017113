/** Names in CQL text: when they need quotes, and how strings are quoted. */

/** CQL's reserved words: as names they need quotes. Source: Cassandra's ReservedKeywords. */
const RESERVED: ReadonlySet<string> = new Set(
  (
    'add allow alter and apply asc authorize batch begin by columnfamily create default delete desc ' +
    'describe drop entries execute from full grant if in index infinity insert into is keyspace limit ' +
    'materialized mbean mbeans modify nan norecursive not null of on or order primary rename replace ' +
    'revoke schema select set table to token truncate unlogged unset update use using view where with'
  ).split(' '),
);

const UNQUOTED = /^[a-z][a-z0-9_]*$/;

/** Whether the word, in lower case, is reserved. */
export function isReservedWord(word: string): boolean {
  return RESERVED.has(word);
}

/** A name as CQL needs it: in double quotes unless it is plain lower case and not reserved. */
export function quoteName(name: string): string {
  if (UNQUOTED.test(name) && !RESERVED.has(name)) return name;
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string literal in single quotes. */
export function quoteString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
