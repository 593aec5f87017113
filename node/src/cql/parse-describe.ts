/** Rules for DESCRIBE: all the forms that the server answers. */

import type { DescribeStatement, DescribeTarget } from './ast.ts';
import type { Cursor } from './cursor.ts';
import {
  parseAnyName,
  parseDroppedFunctionName,
  parseKeyspaceName,
  parseTableName,
  parseUserTypeName,
} from './parse-name.ts';

/** DESCRIBE or DESC, the current token. */
export function parseDescribe(c: Cursor): DescribeStatement {
  const at = c.next().start;
  const target = parseTarget(c);
  const withInternals = c.accept('K_WITH');
  if (withInternals) c.expect('K_INTERNALS');
  return { kind: 'describe', target, withInternals, at };
}

const LISTS = {
  K_CLUSTER: 'cluster',
  K_KEYSPACES: 'keyspaces',
  K_TABLES: 'tables',
  K_TYPES: 'types',
  K_FUNCTIONS: 'functions',
  K_AGGREGATES: 'aggregates',
} as const;

function isListWord(type: string): type is keyof typeof LISTS {
  return Object.hasOwn(LISTS, type);
}

function parseTarget(c: Cursor): DescribeTarget {
  const { type, value } = c.token;
  const next = c.peek(1);
  const isQualifier = next.type === "'.'";
  if (isListWord(type) && !isQualifier) {
    c.next();
    return { kind: LISTS[type] };
  }
  switch (type) {
    case 'K_FULL':
      c.next();
      c.expect('K_SCHEMA');
      return { kind: 'schema', full: true };
    case 'K_SCHEMA':
      c.next();
      return { kind: 'schema', full: false };
    case 'K_ONLY':
      if (next.type !== 'K_KEYSPACE') break;
      c.next();
      return parseKeyspaceTarget(c, true);
    case 'K_KEYSPACE':
      return parseKeyspaceTarget(c, false);
    case 'K_COLUMNFAMILY':
    case 'K_INDEX':
      c.next();
      return { kind: type === 'K_INDEX' ? 'index' : 'table', name: parseTableName(c) };
    case 'K_MATERIALIZED':
      c.next();
      c.expect('K_VIEW');
      return { kind: 'view', name: parseTableName(c) };
    case 'K_TYPE':
      if (next.uses === 0) break;
      c.next();
      return { kind: 'type', name: parseUserTypeName(c) };
    case 'K_FUNCTION':
    case 'K_AGGREGATE':
      if (next.uses === 0) break;
      c.next();
      return {
        kind: value === 'function' ? 'function' : 'aggregate',
        name: parseDroppedFunctionName(c),
      };
  }
  return { kind: 'any', name: parseAnyName(c) };
}

function parseKeyspaceTarget(c: Cursor, only: boolean): DescribeTarget {
  c.next();
  if (!c.atName() && !c.at('QMARK')) return { kind: 'keyspace', only };
  return { kind: 'keyspace', keyspace: parseKeyspaceName(c), only };
}
