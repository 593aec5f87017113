/** Rules for roles, users, identities and permissions. */

import type {
  AlterRoleStatement,
  CreateRoleStatement,
  GrantPermissionsStatement,
  GrantRoleStatement,
  Permission,
  Resource,
  RoleOptions,
  SchemaStatement,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { andSeparated, commaSeparated } from './cursor.ts';
import { NAME } from './keywords.ts';
import { acceptIfExists, acceptIfNotExists } from './parse-modification.ts';
import {
  atFunctionCall,
  parseFunctionName,
  parseKeyspaceName,
  parseRoleName,
  parseTableName,
} from './parse-name.ts';
import { parsePropertyMap } from './parse-property.ts';
import type { DefinitionRule } from './parse-schema.ts';
import { parseTypeList } from './parse-table.ts';

/** What CREATE can be followed by. */
export const createRoleRules: Readonly<Record<string, DefinitionRule>> = {
  K_ROLE: (c, at) => parseCreateRole(c, at, false),
  K_USER: (c, at) => parseCreateRole(c, at, true),
};

/** What ALTER can be followed by. */
export const alterRoleRules: Readonly<Record<string, DefinitionRule>> = {
  K_ROLE: (c, at) => parseAlterRole(c, at, false),
  K_USER: (c, at) => parseAlterRole(c, at, true),
};

/** What DROP can be followed by. */
export const dropRoleRules: Readonly<Record<string, DefinitionRule>> = {
  K_ROLE: (c, at) => {
    const ifExists = acceptIfExists(c);
    return { kind: 'dropRole', role: parseRoleName(c), user: false, ifExists, at };
  },
  K_USER: (c, at) => {
    const ifExists = acceptIfExists(c);
    return { kind: 'dropRole', role: parseUserName(c), user: true, ifExists, at };
  },
  K_IDENTITY: (c, at) => {
    const ifExists = acceptIfExists(c);
    return { kind: 'dropIdentity', identity: parseIdentity(c), ifExists, at };
  },
};

type MutableOptions = { -readonly [K in keyof RoleOptions]: RoleOptions[K] };

function parseCreateRole(c: Cursor, at: number, user: boolean): CreateRoleStatement {
  const ifNotExists = acceptIfNotExists(c);
  const role = user ? parseUserName(c) : parseRoleName(c);
  const options = user ? parseUserOptions(c) : parseRoleOptions(c);
  return { kind: 'createRole', role, user, options, ifNotExists, at };
}

function parseAlterRole(c: Cursor, at: number, user: boolean): AlterRoleStatement {
  const ifExists = acceptIfExists(c);
  const role = user ? parseUserName(c) : parseRoleName(c);
  const options = user ? parseUserOptions(c) : parseRoleOptions(c);
  return { kind: 'alterRole', role, user, options, ifExists, at };
}

/** A user's name keeps the case it is written in. */
function parseUserName(c: Cursor): string {
  if (c.at('QUOTED_NAME')) {
    c.failPlain(
      'Quoted strings are are not supported for user names and USER is deprecated, please use ROLE',
    );
  }
  return parseIdentifierAsWritten(c);
}

function parseIdentity(c: Cursor): string {
  if (c.at('QUOTED_NAME')) c.failPlain('Quoted strings are are not supported for identity');
  return parseIdentifierAsWritten(c);
}

function parseIdentifierAsWritten(c: Cursor): string {
  if (c.at('STRING_LITERAL')) return c.next().value;
  if (!c.at('IDENT')) c.noViable();
  const { start, end } = c.next();
  return c.text.slice(start, end);
}

function parseUserOptions(c: Cursor): RoleOptions {
  const options: MutableOptions = {};
  if (c.accept('K_WITH')) parsePassword(c, options, false);
  if (c.accept('K_SUPERUSER')) options.superuser = true;
  else if (c.accept('K_NOSUPERUSER')) options.superuser = false;
  return options;
}

function parseRoleOptions(c: Cursor): RoleOptions {
  const options: MutableOptions = {};
  if (!c.accept('K_WITH')) return options;
  andSeparated(c, () => parseRoleOption(c, options));
  checkPasswords(c, options);
  return options;
}

function checkPasswords(c: Cursor, options: RoleOptions): void {
  const given = [
    options.password !== undefined && "'password'",
    options.hashedPassword !== undefined && "'hashed password'",
    options.generatedPassword && "'generated password'",
  ].filter((name) => typeof name === 'string');
  if (given.length > 1) {
    c.failPlain(`Options ${given[0]} and ${given[1]} are mutually exclusive`);
  }
}

/** `PASSWORD = 'x'`; the USER statements have no equals sign. */
function parsePassword(c: Cursor, options: MutableOptions, equals: boolean): void {
  if (c.accept('K_GENERATED')) {
    c.expect('K_PASSWORD');
    options.generatedPassword = true;
    return;
  }
  const hashed = c.accept('K_HASHED');
  if (!hashed && !c.at('K_PASSWORD')) c.noViable();
  c.expect('K_PASSWORD');
  if (equals) c.expect("'='");
  const { value } = c.expect('STRING_LITERAL');
  setOnce(c, options, hashed ? 'hashedPassword' : 'password', value);
}

function setOnce<K extends keyof RoleOptions>(
  c: Cursor,
  options: MutableOptions,
  name: K,
  value: RoleOptions[K],
): void {
  if (options[name] !== undefined) {
    const word = name === 'hashedPassword' ? 'HASHED_PASSWORD' : name.toUpperCase();
    c.failPlain(`Multiple definition for property '${word}'`);
  }
  options[name] = value as MutableOptions[K];
}

function parseRoleOption(c: Cursor, options: MutableOptions): void {
  switch (c.token.type) {
    case 'K_OPTIONS':
      c.next();
      c.expect("'='");
      setOnce(c, options, 'options', parsePropertyMap(c));
      break;
    case 'K_SUPERUSER':
      setOnce(c, options, 'superuser', parseFlag(c));
      break;
    case 'K_LOGIN':
      setOnce(c, options, 'login', parseFlag(c));
      break;
    case 'K_ACCESS':
      parseAccess(c, options);
      break;
    default:
      parsePassword(c, options, true);
  }
}

function parseFlag(c: Cursor): boolean {
  c.next();
  c.expect("'='");
  return c.expect('BOOLEAN').value === 'true';
}

/** `ACCESS TO [ALL] DATACENTERS …` or `ACCESS FROM [ALL] CIDRS …`. */
function parseAccess(c: Cursor, options: MutableOptions): void {
  c.next();
  if (c.accept('K_TO')) {
    options.datacenters = parseAccessList(c, 'K_DATACENTERS');
    return;
  }
  if (!c.accept('K_FROM')) c.noViable();
  options.cidrGroups = parseAccessList(c, 'K_CIDRS');
}

function parseAccessList(c: Cursor, word: string): 'all' | string[] {
  const all = c.accept('K_ALL');
  c.expect(word);
  if (all) return 'all';
  c.expect("'{'");
  const names = commaSeparated(c, () => c.expect('STRING_LITERAL').value);
  c.expect("'}'");
  return names;
}

/** ADD, the current token: `ADD IDENTITY 'x' TO ROLE 'r'`. */
export function parseAddIdentity(c: Cursor): SchemaStatement {
  const at = c.next().start;
  c.expect('K_IDENTITY');
  const ifNotExists = acceptIfNotExists(c);
  const identity = parseIdentity(c);
  c.expect('K_TO');
  c.expect('K_ROLE');
  return { kind: 'addIdentity', identity, role: parseIdentity(c), ifNotExists, at };
}

/** GRANT, the current token. */
export function parseGrant(c: Cursor): GrantRoleStatement | GrantPermissionsStatement {
  const isPermission = decidePermissions(c, 'K_TO');
  const at = c.next().start;
  if (isPermission) return parsePermissionGrant(c, at, 'grantPermissions', 'K_TO');
  const role = parseRoleName(c);
  c.expect('K_TO');
  return { kind: 'grantRole', role, grantee: parseRoleName(c), at };
}

/** REVOKE, the current token. */
export function parseRevoke(c: Cursor): GrantRoleStatement | GrantPermissionsStatement {
  const isPermission = decidePermissions(c, 'K_FROM');
  const at = c.next().start;
  if (isPermission) return parsePermissionGrant(c, at, 'revokePermissions', 'K_FROM');
  const role = parseRoleName(c);
  c.expect('K_FROM');
  return { kind: 'revokeRole', role, grantee: parseRoleName(c), at };
}

/** Permissions, or a role, which may be named like one (`all`, `unmask`). */
function decidePermissions(c: Cursor, preposition: string): boolean {
  const { type, uses } = c.peek(1);
  const isPermission = PERMISSIONS.has(type) || type === 'K_ALL';
  if (!isPermission) {
    const isRole = (uses & NAME) !== 0 || type === 'STRING_LITERAL' || type === 'QMARK';
    if (!isRole) c.noViable(1);
    return false;
  }
  if (uses === 0) return true;
  const next = c.peek(2).type;
  if (next === preposition) return false;
  const continues = ['K_ON', "','", 'K_PERMISSION', 'K_PERMISSIONS'].includes(next);
  if (!continues) c.noViable(2);
  return true;
}

function parsePermissionGrant(
  c: Cursor,
  at: number,
  kind: GrantPermissionsStatement['kind'],
  preposition: string,
): GrantPermissionsStatement {
  const permissions = parsePermissions(c);
  c.expect('K_ON');
  const resource = parseResource(c);
  c.expect(preposition);
  return { kind, permissions, resource, grantee: parseRoleName(c), at };
}

const PERMISSIONS: ReadonlyMap<string, Permission> = new Map(
  (
    [
      'CREATE',
      'ALTER',
      'DROP',
      'SELECT',
      'MODIFY',
      'AUTHORIZE',
      'DESCRIBE',
      'EXECUTE',
      'UNMASK',
      'SELECT_MASKED',
    ] as const
  ).map((name) => [`K_${name}`, name]),
);

function parsePermissions(c: Cursor): 'all' | Permission[] {
  if (c.accept('K_ALL')) {
    c.accept('K_PERMISSIONS');
    return 'all';
  }
  return commaSeparated(c, () => {
    const permission = PERMISSIONS.get(c.token.type);
    if (permission === undefined) c.noViable();
    c.next();
    c.accept('K_PERMISSION');
    return permission;
  });
}

function parseResource(c: Cursor): Resource {
  const next = c.peek(1);
  switch (c.token.type) {
    case 'K_ALL':
      return parseAllResource(c);
    case 'K_KEYSPACE':
    case 'K_SCHEMA':
      c.next();
      return { kind: 'keyspace', keyspace: parseKeyspaceName(c) };
    case 'K_ROLE':
      if (next.uses === 0 && next.type !== 'STRING_LITERAL') break;
      c.next();
      return { kind: 'role', role: parseRoleName(c) };
    case 'K_FUNCTION':
      if (!atFunctionCall(c, 1)) break;
      c.next();
      return { kind: 'function', function: parseFunctionName(c), parameters: parseTypeList(c) };
    case 'K_MBEAN':
    case 'K_MBEANS':
      if (next.type !== 'STRING_LITERAL') break;
      return { kind: c.next().type === 'K_MBEAN' ? 'mbean' : 'mbeans', name: c.next().value };
    default:
      c.accept('K_COLUMNFAMILY');
  }
  return { kind: 'table', table: parseTableName(c) };
}

function parseAllResource(c: Cursor): Resource {
  switch (c.peek(1).type) {
    case 'K_KEYSPACES':
      return skipTo(c, { kind: 'allKeyspaces' });
    case 'K_ROLES':
      return skipTo(c, { kind: 'allRoles' });
    case 'K_MBEANS':
      return skipTo(c, { kind: 'allMbeans' });
    case 'K_FUNCTIONS':
      if (c.peek(2).type !== 'K_IN') return skipTo(c, { kind: 'allFunctions' });
      return { kind: 'allFunctionsIn', keyspace: parseInKeyspace(c) };
    case 'K_TABLES':
      return { kind: 'allTablesIn', keyspace: parseInKeyspace(c) };
    default:
      return { kind: 'table', table: parseTableName(c) };
  }
}

/** Steps over ALL and the word after it. */
function skipTo(c: Cursor, resource: Resource): Resource {
  c.next();
  c.next();
  return resource;
}

function parseInKeyspace(c: Cursor): string {
  c.next();
  c.next();
  c.expect('K_IN');
  c.expect('K_KEYSPACE');
  return parseKeyspaceName(c);
}

const LISTED: ReadonlySet<string> = new Set(['K_ALL', 'K_USERS', 'K_SUPERUSERS', 'K_ROLES']);

/** LIST, the current token. */
export function parseList(c: Cursor): SchemaStatement {
  const second = c.peek(1).type;
  if (!PERMISSIONS.has(second) && !LISTED.has(second)) c.noViable(1);
  const at = c.next().start;
  if (c.accept('K_USERS')) return { kind: 'listUsers', at };
  if (c.accept('K_SUPERUSERS')) return { kind: 'listSuperusers', at };
  if (c.accept('K_ROLES')) {
    const of = acceptOf(c);
    return { kind: 'listRoles', ...of, recursive: !c.accept('K_NORECURSIVE'), at };
  }
  const permissions = parsePermissions(c);
  const resource = c.accept('K_ON') ? { resource: parseResource(c) } : {};
  const of = acceptOf(c);
  const recursive = !c.accept('K_NORECURSIVE');
  return { kind: 'listPermissions', permissions, ...resource, ...of, recursive, at };
}

function acceptOf(c: Cursor): { of?: string } {
  return c.accept('K_OF') ? { of: parseRoleName(c) } : {};
}
