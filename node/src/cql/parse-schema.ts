/** Rules for CREATE, ALTER and DROP of everything but tables and roles. */

import type {
  AlterTypeStatement,
  CreateAggregateStatement,
  CreateFunctionStatement,
  CreateIndexStatement,
  CreateTriggerStatement,
  CreateTypeStatement,
  CreateViewStatement,
  DropFunctionStatement,
  FieldDefinition,
  IndexTarget,
  SchemaStatement,
  TypeAlteration,
} from './ast.ts';
import { type Cursor, commaSeparated } from './cursor.ts';
import { acceptIfExists, acceptIfNotExists } from './parse-modification.ts';
import {
  parseColumn,
  parseDroppedFunctionName,
  parseFunctionName,
  parseIndexName,
  parseIndexReference,
  parseKeyspaceName,
  parseLocalFunctionName,
  parseName,
  parseTableName,
  parseUserTypeName,
} from './parse-name.ts';
import { PropertyList, parseClusteringOrder, parseProperties } from './parse-property.ts';
import { parseSelectors } from './parse-select.ts';
import {
  parseAlterTable,
  parseCreateTable,
  parseItemsWithGaps,
  parsePrimaryKey,
  parseRenames,
  parseTypeList,
} from './parse-table.ts';
import { parseTerm } from './parse-term.ts';
import { parseTypeRule } from './parse-type.ts';
import { parseWhere } from './parse-where.ts';

/**
 * A rule for what follows the words that say what is created, altered or dropped; `at` is the place of
 * the statement's first word.
 */
export type DefinitionRule = (c: Cursor, at: number) => SchemaStatement;

/** What CREATE can be followed by (with OR REPLACE, CUSTOM and MATERIALIZED handled by the caller). */
export const createRules: Readonly<Record<string, DefinitionRule>> = {
  K_KEYSPACE: parseCreateKeyspace,
  K_SCHEMA: parseCreateKeyspace,
  K_COLUMNFAMILY: parseCreateTable,
  K_TYPE: parseCreateType,
  K_INDEX: (c, at) => parseCreateIndex(c, at, false),
  K_CUSTOM: parseCreateCustomIndex,
  K_MATERIALIZED: parseCreateView,
  K_TRIGGER: parseCreateTrigger,
  K_FUNCTION: (c, at) => parseCreateFunction(c, at, false),
  K_AGGREGATE: (c, at) => parseCreateAggregate(c, at, false),
  K_OR: parseCreateOrReplace,
};

/** What ALTER can be followed by. */
export const alterRules: Readonly<Record<string, DefinitionRule>> = {
  K_KEYSPACE: parseAlterKeyspace,
  K_SCHEMA: parseAlterKeyspace,
  K_COLUMNFAMILY: parseAlterTable,
  K_TYPE: parseAlterType,
  K_MATERIALIZED: parseAlterView,
};

/** What DROP can be followed by. */
export const dropRules: Readonly<Record<string, DefinitionRule>> = {
  K_KEYSPACE: parseDropKeyspace,
  K_SCHEMA: parseDropKeyspace,
  K_COLUMNFAMILY: (c, at) => {
    const ifExists = acceptIfExists(c);
    return { kind: 'dropTable', ifExists, table: parseTableName(c), at };
  },
  K_TYPE: (c, at) => {
    const ifExists = acceptIfExists(c);
    return { kind: 'dropType', ifExists, type: parseUserTypeName(c), at };
  },
  K_INDEX: (c, at) => {
    const ifExists = acceptIfExists(c);
    return { kind: 'dropIndex', ifExists, index: parseIndexReference(c), at };
  },
  K_MATERIALIZED: (c, at) => {
    c.expect('K_VIEW');
    const ifExists = acceptIfExists(c);
    return { kind: 'dropView', ifExists, view: parseTableName(c), at };
  },
  K_TRIGGER: (c, at) => {
    const ifExists = acceptIfExists(c);
    const trigger = parseName(c);
    c.expect('K_ON');
    return { kind: 'dropTrigger', ifExists, trigger, table: parseTableName(c), at };
  },
  K_FUNCTION: (c, at) => parseDropFunction(c, at, 'dropFunction'),
  K_AGGREGATE: (c, at) => parseDropFunction(c, at, 'dropAggregate'),
};

function parseCreateKeyspace(c: Cursor, at: number): SchemaStatement {
  const ifNotExists = acceptIfNotExists(c);
  const keyspace = parseKeyspaceName(c);
  c.expect('K_WITH');
  return { kind: 'createKeyspace', keyspace, ifNotExists, properties: parseProperties(c), at };
}

function parseAlterKeyspace(c: Cursor, at: number): SchemaStatement {
  const ifExists = acceptIfExists(c);
  const keyspace = parseKeyspaceName(c);
  c.expect('K_WITH');
  return { kind: 'alterKeyspace', keyspace, ifExists, properties: parseProperties(c), at };
}

function parseDropKeyspace(c: Cursor, at: number): SchemaStatement {
  const ifExists = acceptIfExists(c);
  return { kind: 'dropKeyspace', ifExists, keyspace: parseKeyspaceName(c), at };
}

function parseCreateType(c: Cursor, at: number): CreateTypeStatement {
  const ifNotExists = acceptIfNotExists(c);
  const type = parseUserTypeName(c);
  const fields: FieldDefinition[] = [];
  parseItemsWithGaps(c, () => fields.push(parseField(c)));
  return { kind: 'createType', type, ifNotExists, fields, at };
}

function parseField(c: Cursor): FieldDefinition {
  const at = c.token.start;
  const name = parseName(c);
  return { name, type: parseTypeRule(c), at };
}

function parseAlterType(c: Cursor, at: number): AlterTypeStatement {
  const ifExists = acceptIfExists(c);
  const type = parseUserTypeName(c);
  return { kind: 'alterType', type, ifExists, alteration: parseTypeAlteration(c), at };
}

function parseTypeAlteration(c: Cursor): TypeAlteration {
  if (c.accept('K_ALTER')) {
    const field = parseName(c);
    c.expect('K_TYPE');
    return { kind: 'alterField', field, type: parseTypeRule(c) };
  }
  if (c.accept('K_ADD')) {
    const ifNotExists = acceptIfNotExists(c);
    return { kind: 'addField', field: parseField(c), ifNotExists };
  }
  if (!c.accept('K_RENAME')) c.noViable();
  const ifExists = acceptIfExists(c);
  return { kind: 'renameFields', renames: parseRenames(c), ifExists };
}

function parseCreateCustomIndex(c: Cursor, at: number): CreateIndexStatement {
  c.expect('K_INDEX');
  return parseCreateIndex(c, at, true);
}

function parseCreateIndex(c: Cursor, at: number, custom: boolean): CreateIndexStatement {
  const ifNotExists = acceptIfNotExists(c);
  const index = c.atName() || c.at('QMARK') ? parseIndexName(c) : undefined;
  c.expect('K_ON');
  const table = parseTableName(c);
  c.expect("'('");
  const targets = atIndexTarget(c) ? commaSeparated(c, parseIndexTarget) : [];
  c.expect("')'");
  const className = c.accept('K_USING') ? c.expect('STRING_LITERAL').value : undefined;
  const properties = c.accept('K_WITH') ? parseProperties(c) : [];
  return {
    kind: 'createIndex',
    custom,
    ifNotExists,
    ...(index !== undefined && { index }),
    table,
    targets,
    ...(className !== undefined && { className }),
    properties,
    at,
  };
}

const INDEX_TARGETS: ReadonlyMap<string, IndexTarget['of']> = new Map([
  ['K_VALUES', 'values'],
  ['K_KEYS', 'keys'],
  ['K_ENTRIES', 'entries'],
  ['K_FULL', 'full'],
]);

function atIndexTarget(c: Cursor): boolean {
  return c.atName() || INDEX_TARGETS.has(c.token.type) || c.at('EMPTY_QUOTED_NAME');
}

function parseIndexTarget(c: Cursor): IndexTarget {
  const of = INDEX_TARGETS.get(c.token.type);
  if (of === undefined || (c.atName() && c.peek(1).type !== "'('")) {
    return { column: parseColumn(c), of: 'simple' };
  }
  c.next();
  c.expect("'('");
  const column = parseColumn(c);
  c.expect("')'");
  return { column, of };
}

function parseCreateView(c: Cursor, at: number): CreateViewStatement {
  c.expect('K_VIEW');
  const ifNotExists = acceptIfNotExists(c);
  const view = parseTableName(c);
  c.expect('K_AS');
  c.expect('K_SELECT');
  const selectors = parseSelectors(c);
  c.expect('K_FROM');
  const base = parseTableName(c);
  const where = c.accept('K_WHERE') ? parseWhere(c) : [];
  const primaryKey = parsePrimaryKey(c);
  const options = parseViewOptions(c);
  return {
    kind: 'createView',
    ifNotExists,
    view,
    selectors,
    base,
    where,
    primaryKey,
    ...options,
    at,
  };
}

function parseViewOptions(c: Cursor): Pick<CreateViewStatement, 'clusteringOrder' | 'properties'> {
  const list = new PropertyList();
  const clusteringOrder: CreateViewStatement['clusteringOrder'][number][] = [];
  if (!c.accept('K_WITH')) return { clusteringOrder, properties: list.properties };
  do {
    const next = c.peek(1).type;
    if (c.at('K_COMPACT') && next === 'K_STORAGE') {
      c.failPlain('COMPACT STORAGE tables are not allowed starting with version 4.0');
    }
    if (c.at('K_CLUSTERING') && next === 'K_ORDER') {
      clusteringOrder.push(...parseClusteringOrder(c));
    } else {
      list.parse(c);
    }
  } while (c.accept('K_AND'));
  return { clusteringOrder, properties: list.properties };
}

function parseAlterView(c: Cursor, at: number): SchemaStatement {
  c.expect('K_VIEW');
  const ifExists = acceptIfExists(c);
  const view = parseTableName(c);
  c.expect('K_WITH');
  return { kind: 'alterView', view, ifExists, properties: parseProperties(c), at };
}

function parseCreateTrigger(c: Cursor, at: number): CreateTriggerStatement {
  const ifNotExists = acceptIfNotExists(c);
  const trigger = parseName(c);
  c.expect('K_ON');
  const table = parseTableName(c);
  c.expect('K_USING');
  const className = c.expect('STRING_LITERAL').value;
  return { kind: 'createTrigger', trigger, table, className, ifNotExists, at };
}

function parseCreateOrReplace(c: Cursor, at: number): SchemaStatement {
  c.expect('K_REPLACE');
  if (c.accept('K_FUNCTION')) return parseCreateFunction(c, at, true);
  if (c.accept('K_AGGREGATE')) return parseCreateAggregate(c, at, true);
  return c.noViable();
}

function parseCreateFunction(c: Cursor, at: number, orReplace: boolean): CreateFunctionStatement {
  const ifNotExists = acceptIfNotExists(c);
  const name = parseFunctionName(c);
  c.expect("'('");
  const parameters = c.atName() ? commaSeparated(c, parseField) : [];
  c.expect("')'");
  const onNullInput = parseOnNullInput(c);
  c.expect('K_RETURNS');
  const returns = parseTypeRule(c);
  c.expect('K_LANGUAGE');
  const language = c.expect('IDENT').value;
  c.expect('K_AS');
  const body = c.expect('STRING_LITERAL').value;
  const head = { kind: 'createFunction', orReplace, ifNotExists, function: name } as const;
  return { ...head, parameters, onNullInput, returns, language, body, at };
}

function parseOnNullInput(c: Cursor): CreateFunctionStatement['onNullInput'] {
  const called = c.accept('K_CALLED');
  if (!called) {
    if (!c.accept('K_RETURNS')) c.noViable();
    c.expect('K_NULL');
  }
  c.expect('K_ON');
  c.expect('K_NULL');
  c.expect('K_INPUT');
  return called ? 'called' : 'returnsNull';
}

function parseCreateAggregate(c: Cursor, at: number, orReplace: boolean): CreateAggregateStatement {
  const ifNotExists = acceptIfNotExists(c);
  const aggregate = parseFunctionName(c);
  const parameters = parseTypeList(c);
  c.expect('K_SFUNC');
  const stateFunction = parseLocalFunctionName(c);
  c.expect('K_STYPE');
  const stateType = parseTypeRule(c);
  const finalFunction = c.accept('K_FINALFUNC') ? parseLocalFunctionName(c) : undefined;
  const initialState = c.accept('K_INITCOND') ? parseTerm(c) : undefined;
  return {
    kind: 'createAggregate',
    orReplace,
    ifNotExists,
    aggregate,
    parameters,
    stateFunction,
    stateType,
    ...(finalFunction !== undefined && { finalFunction }),
    ...(initialState && { initialState }),
    at,
  };
}

function parseDropFunction(
  c: Cursor,
  at: number,
  kind: DropFunctionStatement['kind'],
): DropFunctionStatement {
  const ifExists = acceptIfExists(c);
  const name = parseDroppedFunctionName(c);
  if (!c.at("'('")) return { kind, ifExists, function: name, at };
  return { kind, ifExists, function: name, parameters: parseTypeList(c), at };
}
