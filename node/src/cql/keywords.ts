/**
 * The words of CQL and where each may stand for a name.
 *
 * Reserved words never do. The rest fall into classes that the grammar treats differently: native type
 * names are names of columns, tables and functions but not of user types; `count`, `ttl`, `key` and a
 * few more have their own exceptions. Source: the keyword lists of the grammar of Cassandra 5.
 */

/** The token is a name of a column, table, keyspace, field, alias or bind marker. */
export const NAME = 1;
/** The token is a name of a function. */
export const FUNCTION_NAME = 2;
/** The token is a name of a user type. */
export const TYPE_NAME = 4;
/** A plain identifier: all of the above. */
export const ANY_NAME = NAME | FUNCTION_NAME | TYPE_NAME;

/** A keyword: its token type (as error messages name it) and the sum of the uses it allows. */
export interface Keyword {
  readonly type: string;
  readonly uses: number;
}

const RESERVED = `
  add allow alter and apply asc authorize batch begin by columnfamily create delete desc describe drop
  entries execute from full grant if in index infinity insert into is keyspace limit materialized modify
  nan norecursive not null of on or order primary rename revoke schema select set table to token truncate
  unlogged update use using view where with`;

const UNRESERVED = `
  access aggregate aggregates all ann as between called cidrs cluster clustering columnfamilies compact
  contains custom datacenters default exists filtering finalfunc frozen function functions generated group
  hashed identity initcond input internals json keys keyspaces language like list login map masked mbean
  mbeans nologin nosuperuser only options partition password per permission permissions replace returns
  role roles select_masked sfunc static storage stype superuser superusers tables trigger tuple type types
  unmask unset user users values vector`;

const NATIVE_TYPES = `
  ascii bigint blob boolean counter date decimal double duration float inet int smallint text time
  timestamp timeuuid tinyint uuid varchar varint`;

/** Words whose token is named after another word. */
const SYNONYMS: Readonly<Record<string, string>> = {
  table: 'K_COLUMNFAMILY',
  columnfamilies: 'K_TABLES',
  nan: 'K_POSITIVE_NAN',
  infinity: 'K_POSITIVE_INFINITY',
};

const EXCEPTIONS: Readonly<Record<string, number>> = {
  token: FUNCTION_NAME,
  count: NAME | FUNCTION_NAME,
  key: NAME | TYPE_NAME,
  ttl: NAME,
  writetime: NAME,
  maxwritetime: NAME,
  cast: NAME,
  json: NAME,
  distinct: NAME,
};

function words(list: string): string[] {
  return list.trim().split(/\s+/);
}

function buildKeywords(): Map<string, Keyword> {
  const table = new Map<string, Keyword>();
  const put = (word: string, uses: number): void => {
    const type = SYNONYMS[word] ?? `K_${word.toUpperCase()}`;
    table.set(word, Object.freeze({ type, uses }));
  };
  for (const word of words(RESERVED)) put(word, 0);
  for (const word of words(UNRESERVED)) put(word, ANY_NAME);
  for (const word of words(NATIVE_TYPES)) put(word, NAME | FUNCTION_NAME);
  for (const [word, uses] of Object.entries(EXCEPTIONS)) put(word, uses);
  for (const word of ['true', 'false']) table.set(word, { type: 'BOOLEAN', uses: 0 });
  return table;
}

/** Every keyword, lower case. */
export const keywords: ReadonlyMap<string, Keyword> = buildKeywords();

/** Names that a user type may have only in quotes, kept free for types to come. */
export const reservedTypeNames: ReadonlySet<string> = new Set(
  words('byte complex enum date interval macaddr bitstring'),
);

/** Token types of the native type names, with the name of the type each stands for. */
export const nativeTypes: ReadonlyMap<string, string> = new Map(
  words(NATIVE_TYPES).map((word) => [
    `K_${word.toUpperCase()}`,
    word === 'varchar' ? 'text' : word,
  ]),
);

/** Whether a word (any case) can be a column's name only in quotes. */
export function isReserved(word: string): boolean {
  const keyword = keywords.get(word.toLowerCase());
  return keyword !== undefined && (keyword.uses & NAME) === 0;
}

/**
 * Writes a folded identifier as CQL: bare where that reads back as the same name, else quoted.
 *
 * @param use what the name is of: NAME unless it is a function or a user type
 */
export function quoteIdentifier(name: string, use: number = NAME): string {
  if (/^[a-z][a-z0-9_]*$/.test(name)) {
    const allowed = keywords.get(name)?.uses ?? ANY_NAME;
    const isFree = use !== TYPE_NAME || !reservedTypeNames.has(name);
    if ((allowed & use) !== 0 && isFree) return name;
  }
  return `"${name.replaceAll('"', '""')}"`;
}
