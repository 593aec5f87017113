/** Rules for CREATE, ALTER and DROP of tables. */

import type {
  AlterTableStatement,
  ClusteringOrder,
  ColumnDefinition,
  ColumnMask,
  CreateTableLikeStatement,
  CreateTableStatement,
  PrimaryKey,
  QualifiedName,
  Rename,
  TableAlteration,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { andSeparated, commaSeparated, parenthesised } from './cursor.ts';
import { NAME } from './keywords.ts';
import { acceptIfExists, acceptIfNotExists } from './parse-modification.ts';
import { parseColumn, parseFunctionName, parseName, parseTableName } from './parse-name.ts';
import { PropertyList, parseClusteringOrder, parseProperties } from './parse-property.ts';
import { parseElements, parseTerm } from './parse-term.ts';
import { parseTypeRule } from './parse-type.ts';

/** What follows CREATE TABLE. */
export function parseCreateTable(
  c: Cursor,
  at: number,
): CreateTableStatement | CreateTableLikeStatement {
  const ifNotExists = acceptIfNotExists(c);
  const table = parseTableName(c);
  if (c.accept('K_LIKE')) return parseLike(c, { table, ifNotExists, at });
  const body = parseTableBody(c);
  const options = parseTableOptions(c);
  return { kind: 'createTable', table, ifNotExists, ...body, ...options, at };
}

interface LikeHead {
  readonly table: QualifiedName;
  readonly ifNotExists: boolean;
  readonly at: number;
}

function parseLike(c: Cursor, head: LikeHead): CreateTableLikeStatement {
  const source = parseTableName(c);
  const list = new PropertyList();
  let indexes = false;
  if (c.accept('K_WITH')) {
    andSeparated(c, () => {
      const isOption = c.token.value === 'indexes' && c.peek(1).type !== "'='";
      if (isOption) c.next();
      else list.parse(c);
      indexes ||= isOption;
    });
  }
  return { kind: 'createTableLike', ...head, source, indexes, properties: list.properties };
}

function parseTableBody(c: Cursor): { columns: ColumnDefinition[]; primaryKeys: PrimaryKey[] } {
  const columns: ColumnDefinition[] = [];
  const primaryKeys: PrimaryKey[] = [];
  const parseItem = (): void => {
    if (c.at('K_PRIMARY')) {
      primaryKeys.push(parsePrimaryKey(c));
      return;
    }
    const column = parseColumnDefinition(c);
    columns.push(column);
    const at = c.token.start;
    if (!c.accept('K_PRIMARY')) return;
    c.expect('K_KEY');
    primaryKeys.push({ partition: [column.name], clustering: [], at });
  };
  parseItemsWithGaps(c, parseItem);
  return { columns, primaryKeys };
}

/** Items in parentheses; a comma may follow the last one, as in Cassandra's grammar. */
export function parseItemsWithGaps(c: Cursor, parseItem: () => void): void {
  c.expect("'('");
  parseItem();
  while (c.accept("','")) {
    if (c.atName() || c.at('K_PRIMARY')) parseItem();
  }
  c.expect("')'");
}

function parseColumnDefinition(c: Cursor): ColumnDefinition {
  const at = c.token.start;
  const name = parseName(c);
  const type = parseTypeRule(c);
  const isStatic = c.accept('K_STATIC');
  return { name, type, static: isStatic, ...acceptMask(c), at };
}

function acceptMask(c: Cursor): { mask?: ColumnMask } {
  if (!c.accept('K_MASKED')) return {};
  c.expect('K_WITH');
  const next = c.peek(1).type;
  if (c.at('K_DEFAULT') && next !== "'('" && next !== "'.'") {
    c.next();
    return { mask: 'default' };
  }
  const name = parseFunctionName(c);
  if (!c.at("'('")) c.noViable();
  return { mask: { name, args: parseElements(c, "')'", parseTerm) } };
}

/** `PRIMARY KEY (a, b)` or `PRIMARY KEY ((a, b), c)`. */
export function parsePrimaryKey(c: Cursor): PrimaryKey {
  const at = c.expect('K_PRIMARY').start;
  c.expect('K_KEY');
  c.expect("'('");
  const partition = c.at("'('") ? parenthesised(c, parseName) : [parseName(c)];
  const clustering: string[] = [];
  while (c.accept("','")) clustering.push(parseName(c));
  c.expect("')'");
  return { partition, clustering, at };
}

type TableOptions = Pick<CreateTableStatement, 'clusteringOrder' | 'compactStorage' | 'properties'>;

function parseTableOptions(c: Cursor): TableOptions {
  const list = new PropertyList();
  const clusteringOrder: ClusteringOrder[] = [];
  let compactStorage = false;
  if (c.accept('K_WITH')) {
    andSeparated(c, () => {
      const next = c.peek(1).type;
      if (c.at('K_CLUSTERING') && next === 'K_ORDER') {
        clusteringOrder.push(...parseClusteringOrder(c));
      } else if (c.at('K_COMPACT') && next === 'K_STORAGE') {
        c.next();
        c.next();
        compactStorage = true;
      } else {
        list.parse(c);
      }
    });
  }
  return { clusteringOrder, compactStorage, properties: list.properties };
}

/** What follows ALTER TABLE. */
export function parseAlterTable(c: Cursor, at: number): AlterTableStatement {
  const ifExists = acceptIfExists(c);
  const table = parseTableName(c);
  return { kind: 'alterTable', table, ifExists, alteration: parseAlteration(c), at };
}

function parseAlteration(c: Cursor): TableAlteration {
  const { type } = c.token;
  switch (type) {
    case 'K_ALTER':
      c.next();
      return parseAlterColumn(c);
    case 'K_ADD':
      c.next();
      return parseAddColumns(c);
    case 'K_DROP':
      return parseDropColumns(c);
    case 'K_RENAME':
      c.next();
      return { kind: 'renameColumns', ifExists: acceptIfExists(c), renames: parseRenames(c) };
    case 'K_WITH':
      c.next();
      return { kind: 'setProperties', properties: parseProperties(c) };
    default:
      return c.noViable();
  }
}

function parseAlterColumn(c: Cursor): TableAlteration {
  const mayBeType = !c.at('K_IF');
  const ifExists = acceptIfExists(c);
  const column = parseColumn(c);
  if (mayBeType && c.accept('K_TYPE')) {
    return { kind: 'alterColumnType', column, type: parseTypeRule(c) };
  }
  if (c.accept('K_DROP')) {
    c.expect('K_MASKED');
    return { kind: 'maskColumn', column, ifExists };
  }
  if (!c.at('K_MASKED')) c.noViable();
  return { kind: 'maskColumn', column, ...acceptMask(c), ifExists };
}

function parseAddColumns(c: Cursor): TableAlteration {
  const ifNotExists = acceptIfNotExists(c);
  const columns = c.at("'('")
    ? parenthesised(c, parseColumnDefinition)
    : [parseColumnDefinition(c)];
  return { kind: 'addColumns', columns, ifNotExists };
}

/** DROP, the current token. */
function parseDropColumns(c: Cursor): TableAlteration {
  const { type: next, uses } = c.peek(1);
  if (next !== "'('" && next !== 'K_IF' && (uses & NAME) === 0) c.noViable(1);
  c.next();
  if (c.at('K_COMPACT') && c.peek(1).type === 'K_STORAGE') {
    c.next();
    c.next();
    return { kind: 'dropCompactStorage' };
  }
  const ifExists = acceptIfExists(c);
  const columns = c.at("'('") ? parenthesised(c, parseName) : [parseName(c)];
  if (!c.accept('K_USING')) return { kind: 'dropColumns', columns, ifExists };
  c.expect('K_TIMESTAMP');
  return { kind: 'dropColumns', columns, ifExists, timestamp: c.expect('INTEGER').value };
}

/** `a TO b AND c TO d`. */
export function parseRenames(c: Cursor): Rename[] {
  return andSeparated(c, () => {
    const from = parseName(c);
    c.expect('K_TO');
    return { from, to: parseName(c) };
  });
}

function atType(c: Cursor): boolean {
  return c.token.uses !== 0 || c.at('K_SET') || c.at('STRING_LITERAL');
}

/** Types in parentheses, possibly none. */
export function parseTypeList(c: Cursor): ReturnType<typeof parseTypeRule>[] {
  c.expect("'('");
  const types = atType(c) ? commaSeparated(c, parseTypeRule) : [];
  c.expect("')'");
  return types;
}
