/** Syntax tree of the statements about schema, functions, roles and permissions, and of DESCRIBE. */

import type {
  FunctionCall,
  LiteralSort,
  QualifiedName,
  Relation,
  Selector,
  Term,
  TypeAst,
} from './ast.ts';

/** `name = value` after WITH; names and keys of maps are unique, order as written. */
export interface Property {
  readonly name: string;
  readonly value: PropertyValue;
  readonly at: number;
}
/** `text` is raw: the content of a string, digits of a number, a keyword as written. */
export type PropertyValue =
  | { readonly kind: 'scalar'; readonly sort: LiteralSort | 'keyword'; readonly text: string }
  | { readonly kind: 'map'; readonly entries: readonly PropertyEntry[] };
export interface PropertyEntry {
  readonly key: string;
  readonly value: string;
}

interface IfNotExists {
  readonly ifNotExists: boolean;
  readonly at: number;
}
interface IfExists {
  readonly ifExists: boolean;
  readonly at: number;
}

// ---- Keyspaces ------------------------------------------------------------------------------------

export interface CreateKeyspaceStatement extends IfNotExists {
  readonly kind: 'createKeyspace';
  readonly keyspace: string;
  readonly properties: readonly Property[];
}
export interface AlterKeyspaceStatement extends IfExists {
  readonly kind: 'alterKeyspace';
  readonly keyspace: string;
  readonly properties: readonly Property[];
}
export interface DropKeyspaceStatement extends IfExists {
  readonly kind: 'dropKeyspace';
  readonly keyspace: string;
}

// ---- Tables ---------------------------------------------------------------------------------------

/** `MASKED WITH DEFAULT` or `MASKED WITH f(args)` (the masked column itself is not among `args`). */
export type ColumnMask = 'default' | Pick<FunctionCall<Term>, 'name' | 'args'>;

export interface ColumnDefinition {
  readonly name: string;
  readonly type: TypeAst;
  readonly static: boolean;
  readonly mask?: ColumnMask;
  readonly at: number;
}
/** A partition key and clustering columns, as written. */
export interface PrimaryKey {
  readonly partition: readonly string[];
  readonly clustering: readonly string[];
  readonly at: number;
}
export interface ClusteringOrder {
  readonly column: string;
  readonly direction: 'asc' | 'desc';
  readonly at: number;
}

export interface CreateTableStatement extends IfNotExists {
  readonly kind: 'createTable';
  readonly table: QualifiedName;
  readonly columns: readonly ColumnDefinition[];
  /** Each PRIMARY KEY found, beside a column or on its own; a valid table has exactly one. */
  readonly primaryKeys: readonly PrimaryKey[];
  readonly clusteringOrder: readonly ClusteringOrder[];
  readonly compactStorage: boolean;
  readonly properties: readonly Property[];
}
/** `CREATE TABLE new LIKE old`. */
export interface CreateTableLikeStatement extends IfNotExists {
  readonly kind: 'createTableLike';
  readonly table: QualifiedName;
  readonly source: QualifiedName;
  /** `WITH INDEXES`. */
  readonly indexes: boolean;
  readonly properties: readonly Property[];
}

export interface Rename {
  readonly from: string;
  readonly to: string;
}
export type TableAlteration =
  | { readonly kind: 'alterColumnType'; readonly column: string; readonly type: TypeAst }
  /** Without `mask`: DROP MASKED. */
  | {
      readonly kind: 'maskColumn';
      readonly column: string;
      readonly mask?: ColumnMask;
      readonly ifExists: boolean;
    }
  | {
      readonly kind: 'addColumns';
      readonly columns: readonly ColumnDefinition[];
      readonly ifNotExists: boolean;
    }
  | {
      readonly kind: 'dropColumns';
      readonly columns: readonly string[];
      readonly ifExists: boolean;
      /** Microseconds, digits as written. */
      readonly timestamp?: string;
    }
  | {
      readonly kind: 'renameColumns';
      readonly renames: readonly Rename[];
      readonly ifExists: boolean;
    }
  | { readonly kind: 'dropCompactStorage' }
  | { readonly kind: 'setProperties'; readonly properties: readonly Property[] };

export interface AlterTableStatement extends IfExists {
  readonly kind: 'alterTable';
  readonly table: QualifiedName;
  readonly alteration: TableAlteration;
}
export interface DropTableStatement extends IfExists {
  readonly kind: 'dropTable';
  readonly table: QualifiedName;
}

// ---- Types ----------------------------------------------------------------------------------------

export interface FieldDefinition {
  readonly name: string;
  readonly type: TypeAst;
  readonly at: number;
}
export interface CreateTypeStatement extends IfNotExists {
  readonly kind: 'createType';
  readonly type: QualifiedName;
  readonly fields: readonly FieldDefinition[];
}
export type TypeAlteration =
  | { readonly kind: 'alterField'; readonly field: string; readonly type: TypeAst }
  | { readonly kind: 'addField'; readonly field: FieldDefinition; readonly ifNotExists: boolean }
  | {
      readonly kind: 'renameFields';
      readonly renames: readonly Rename[];
      readonly ifExists: boolean;
    };
export interface AlterTypeStatement extends IfExists {
  readonly kind: 'alterType';
  readonly type: QualifiedName;
  readonly alteration: TypeAlteration;
}
export interface DropTypeStatement extends IfExists {
  readonly kind: 'dropType';
  readonly type: QualifiedName;
}

// ---- Indexes, views, triggers ---------------------------------------------------------------------

export interface IndexTarget {
  readonly column: string;
  /** `simple` is the bare column. */
  readonly of: 'simple' | 'values' | 'keys' | 'entries' | 'full';
}
export interface CreateIndexStatement extends IfNotExists {
  readonly kind: 'createIndex';
  readonly custom: boolean;
  readonly index?: string;
  readonly table: QualifiedName;
  readonly targets: readonly IndexTarget[];
  /** USING 'class'. */
  readonly className?: string;
  readonly properties: readonly Property[];
}
export interface DropIndexStatement extends IfExists {
  readonly kind: 'dropIndex';
  readonly index: QualifiedName;
}
export interface CreateViewStatement extends IfNotExists {
  readonly kind: 'createView';
  readonly view: QualifiedName;
  readonly selectors: '*' | readonly Selector[];
  readonly base: QualifiedName;
  readonly where: readonly Relation[];
  readonly primaryKey: PrimaryKey;
  readonly clusteringOrder: readonly ClusteringOrder[];
  readonly properties: readonly Property[];
}
export interface AlterViewStatement extends IfExists {
  readonly kind: 'alterView';
  readonly view: QualifiedName;
  readonly properties: readonly Property[];
}
export interface DropViewStatement extends IfExists {
  readonly kind: 'dropView';
  readonly view: QualifiedName;
}
export interface CreateTriggerStatement extends IfNotExists {
  readonly kind: 'createTrigger';
  readonly trigger: string;
  readonly table: QualifiedName;
  readonly className: string;
}
export interface DropTriggerStatement extends IfExists {
  readonly kind: 'dropTrigger';
  readonly trigger: string;
  readonly table: QualifiedName;
}

// ---- Functions and aggregates ---------------------------------------------------------------------

export interface CreateFunctionStatement extends IfNotExists {
  readonly kind: 'createFunction';
  readonly orReplace: boolean;
  readonly function: QualifiedName;
  readonly parameters: readonly FieldDefinition[];
  readonly onNullInput: 'returnsNull' | 'called';
  readonly returns: TypeAst;
  /** Lower case. */
  readonly language: string;
  readonly body: string;
}
export interface CreateAggregateStatement extends IfNotExists {
  readonly kind: 'createAggregate';
  readonly orReplace: boolean;
  readonly aggregate: QualifiedName;
  readonly parameters: readonly TypeAst[];
  readonly stateFunction: string;
  readonly stateType: TypeAst;
  readonly finalFunction?: string;
  readonly initialState?: Term;
}
/** DROP FUNCTION, DROP AGGREGATE. Without `parameters` none were written: any one overload. */
export interface DropFunctionStatement extends IfExists {
  readonly kind: 'dropFunction' | 'dropAggregate';
  readonly function: QualifiedName;
  readonly parameters?: readonly TypeAst[];
}

// ---- Roles and permissions ------------------------------------------------------------------------

/** ROLE and USER statements; `user` tells the older form, whose name keeps its case. */
export interface RoleOptions {
  readonly password?: string;
  readonly hashedPassword?: string;
  readonly generatedPassword?: true;
  readonly superuser?: boolean;
  readonly login?: boolean;
  readonly options?: readonly PropertyEntry[];
  readonly datacenters?: 'all' | readonly string[];
  readonly cidrGroups?: 'all' | readonly string[];
}
export interface CreateRoleStatement extends IfNotExists {
  readonly kind: 'createRole';
  readonly role: string;
  readonly user: boolean;
  readonly options: RoleOptions;
}
export interface AlterRoleStatement extends IfExists {
  readonly kind: 'alterRole';
  readonly role: string;
  readonly user: boolean;
  readonly options: RoleOptions;
}
export interface DropRoleStatement extends IfExists {
  readonly kind: 'dropRole';
  readonly role: string;
  readonly user: boolean;
}
/** ADD IDENTITY 'x' TO ROLE 'r'. */
export interface AddIdentityStatement extends IfNotExists {
  readonly kind: 'addIdentity';
  readonly identity: string;
  readonly role: string;
}
export interface DropIdentityStatement extends IfExists {
  readonly kind: 'dropIdentity';
  readonly identity: string;
}
/** GRANT role TO grantee, REVOKE role FROM grantee. */
export interface GrantRoleStatement {
  readonly kind: 'grantRole' | 'revokeRole';
  readonly role: string;
  readonly grantee: string;
  readonly at: number;
}
export type Permission =
  | 'CREATE'
  | 'ALTER'
  | 'DROP'
  | 'SELECT'
  | 'MODIFY'
  | 'AUTHORIZE'
  | 'DESCRIBE'
  | 'EXECUTE'
  | 'UNMASK'
  | 'SELECT_MASKED';
/** What a permission is about. */
export type Resource =
  | { readonly kind: 'allKeyspaces' | 'allRoles' | 'allFunctions' | 'allMbeans' }
  | {
      readonly kind: 'keyspace' | 'allTablesIn' | 'allFunctionsIn';
      readonly keyspace: string;
    }
  | { readonly kind: 'table'; readonly table: QualifiedName }
  | { readonly kind: 'role'; readonly role: string }
  | {
      readonly kind: 'function';
      readonly function: QualifiedName;
      readonly parameters: readonly TypeAst[];
    }
  /** `mbean` is one object, `mbeans` a pattern. */
  | { readonly kind: 'mbean' | 'mbeans'; readonly name: string };
export interface GrantPermissionsStatement {
  readonly kind: 'grantPermissions' | 'revokePermissions';
  readonly permissions: 'all' | readonly Permission[];
  readonly resource: Resource;
  readonly grantee: string;
  readonly at: number;
}
export interface ListPermissionsStatement {
  readonly kind: 'listPermissions';
  readonly permissions: 'all' | readonly Permission[];
  readonly resource?: Resource;
  readonly of?: string;
  readonly recursive: boolean;
  readonly at: number;
}
export interface ListRolesStatement {
  readonly kind: 'listRoles';
  readonly of?: string;
  readonly recursive: boolean;
  readonly at: number;
}
export interface ListUsersStatement {
  readonly kind: 'listUsers' | 'listSuperusers';
  readonly at: number;
}

// ---- DESCRIBE -------------------------------------------------------------------------------------

export type DescribeTarget =
  | { readonly kind: 'cluster' | 'keyspaces' | 'tables' | 'types' | 'functions' | 'aggregates' }
  | { readonly kind: 'schema'; readonly full: boolean }
  /** Without a name: the session's keyspace. */
  | { readonly kind: 'keyspace'; readonly keyspace?: string; readonly only: boolean }
  | {
      /** `any` is a bare name: a keyspace, table, index or view, looked up in that order. */
      readonly kind: 'table' | 'index' | 'view' | 'type' | 'function' | 'aggregate' | 'any';
      readonly name: QualifiedName;
    };
export interface DescribeStatement {
  readonly kind: 'describe';
  readonly target: DescribeTarget;
  readonly withInternals: boolean;
  readonly at: number;
}

export type SchemaStatement =
  | CreateKeyspaceStatement
  | AlterKeyspaceStatement
  | DropKeyspaceStatement
  | CreateTableStatement
  | CreateTableLikeStatement
  | AlterTableStatement
  | DropTableStatement
  | CreateTypeStatement
  | AlterTypeStatement
  | DropTypeStatement
  | CreateIndexStatement
  | DropIndexStatement
  | CreateViewStatement
  | AlterViewStatement
  | DropViewStatement
  | CreateTriggerStatement
  | DropTriggerStatement
  | CreateFunctionStatement
  | CreateAggregateStatement
  | DropFunctionStatement
  | CreateRoleStatement
  | AlterRoleStatement
  | DropRoleStatement
  | AddIdentityStatement
  | DropIdentityStatement
  | GrantRoleStatement
  | GrantPermissionsStatement
  | ListPermissionsStatement
  | ListRolesStatement
  | ListUsersStatement
  | DescribeStatement;
