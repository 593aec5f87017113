/** DESCRIBE: names and CQL texts as rows. Source: org.apache.cassandra.cql3.statements.DescribeStatement. */
import { invalidRequest } from '../common/errors.ts';
import type { DescribeStatement, DescribeTarget, QualifiedName } from '../cql/ast.ts';
import { type CqlValue, encode } from '../types/codec.ts';
import type { CqlType, UserType } from '../types/cql-type.ts';
import { quoteName } from '../types/identifiers.ts';
import { listType, mapType, nativeType, visitTypes } from '../types/type-facts.ts';
import { describeKeyspace, describeTable, describeType } from './ddl-text.ts';
import type { KeyspaceDef, Schema, TableDef } from './schema.ts';
import { isSystemKeyspaceName } from './system-names.ts';

export { describeKeyspace, describeTable, describeType } from './ddl-text.ts';

/** What DESCRIBE CLUSTER tells. */
export interface ClusterInfo {
  readonly clusterName: string;
  /** For a keyspace: the end token of each range, and the addresses that have it. */
  rangeOwnership?(keyspace: string): readonly (readonly [string, readonly string[]])[];
}

export interface DescribeResult {
  readonly columns: readonly { readonly name: string; readonly type: CqlType }[];
  readonly rows: readonly (readonly (Uint8Array | null)[])[];
}

/** Something with a name, as a row shows it. */
interface Element {
  readonly keyspace: string;
  readonly type: 'keyspace' | 'type' | 'table';
  readonly name: string;
  create(withInternals: boolean): string;
}

const TEXT = nativeType('text');
const LIST_COLUMNS = ['keyspace_name', 'type', 'name'].map((name) => ({ name, type: TEXT }));
const ELEMENT_COLUMNS = [...LIST_COLUMNS, { name: 'create_statement', type: TEXT }];
const NO_KEYSPACE = 'No keyspace specified and no current keyspace';

function keyspaceElement(keyspace: KeyspaceDef): Element {
  const { name } = keyspace;
  return { keyspace: name, type: 'keyspace', name, create: () => describeKeyspace(keyspace) };
}

function typeElement(type: UserType): Element {
  const { keyspace, name } = type;
  return { keyspace, type: 'type', name, create: () => describeType(type) };
}

function tableElement(table: TableDef): Element {
  const { keyspace, name } = table;
  const create = (withInternals: boolean) => describeTable(table, withInternals);
  return { keyspace, type: 'table', name, create };
}

function byName<T extends { readonly name: string }>(elements: Iterable<T>): T[] {
  const key = (element: T) => element.name.toLowerCase();
  return [...elements].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

/** The keyspace's types by name, but each after those that it is made of. */
function typesInOrder({ types }: KeyspaceDef): UserType[] {
  const ordered = new Set<string>();
  const place = (type: UserType): void => {
    for (const field of type.fieldTypes) {
      visitTypes(field, (inner) => {
        const used = inner.kind === 'udt' ? types.get(inner.name) : undefined;
        if (used !== undefined && !ordered.has(used.name)) place(used);
      });
    }
    ordered.add(type.name);
  };
  const names = [...types.keys()].sort();
  for (const name of names) if (!ordered.has(name)) place(types.get(name) as UserType);
  return [...ordered].map((name) => types.get(name) as UserType);
}

function keyspaceElements(keyspace: KeyspaceDef): Element[] {
  return [
    keyspaceElement(keyspace),
    ...typesInOrder(keyspace).map(typeElement),
    ...byName(keyspace.tables.values()).map(tableElement),
  ];
}

class Describer {
  private readonly schema: Schema;
  private readonly session: string | null;

  constructor(schema: Schema, session: string | null) {
    this.schema = schema;
    this.session = session;
  }

  keyspace(name: string | null | undefined): KeyspaceDef {
    const wanted = name ?? this.session;
    if (wanted === null) throw invalidRequest(NO_KEYSPACE);
    const keyspace = this.schema.keyspaces.get(wanted);
    if (keyspace === undefined) throw invalidRequest(`'${wanted}' not found in keyspaces`);
    return keyspace;
  }

  /** The session's keyspace, or all if there is none. */
  keyspaces(): KeyspaceDef[] {
    return this.session === null ? byName(this.schema.keyspaces.values()) : [this.keyspace(null)];
  }

  table({ keyspace: keyspaceName, name }: QualifiedName): Element {
    const keyspace = this.keyspace(keyspaceName);
    const table = keyspace.tables.get(name);
    if (table === undefined) {
      throw invalidRequest(`Table '${name}' not found in keyspace '${keyspace.name}'`);
    }
    return tableElement(table);
  }

  type({ keyspace: keyspaceName, name }: QualifiedName): Element {
    const keyspace = this.keyspace(keyspaceName);
    const type = keyspace.types.get(name);
    if (type === undefined) {
      throw invalidRequest(`User defined type '${name}' not found in '${keyspace.name}'`);
    }
    return typeElement(type);
  }

  /** A bare name: a keyspace, or else a table. */
  any({ keyspace: keyspaceName, name }: QualifiedName): Element[] {
    const whole = keyspaceName === undefined ? this.schema.keyspaces.get(name) : undefined;
    if (whole !== undefined) return keyspaceElements(whole);
    const keyspace = this.keyspace(keyspaceName ?? this.session ?? name);
    const table = keyspace.tables.get(name);
    if (table === undefined) {
      throw invalidRequest(`'${name}' not found in keyspace '${keyspace.name}'`);
    }
    return [tableElement(table)];
  }

  /** Things that there are none of. */
  missing(kind: 'index' | 'view' | 'function' | 'aggregate', name: QualifiedName): never {
    const what = {
      index: 'Table for existing index',
      view: 'Materialized view',
      function: 'User defined function',
      aggregate: 'User defined aggregate',
    }[kind];
    const keyspace = this.keyspace(name.keyspace);
    throw invalidRequest(`${what} '${name.name}' not found in '${keyspace.name}'`);
  }

  elements(target: Exclude<DescribeTarget, { kind: ListKind | 'cluster' }>): Element[] {
    switch (target.kind) {
      case 'schema':
        return byName(this.schema.keyspaces.values())
          .filter((keyspace) => target.full || !isSystemKeyspaceName(keyspace.name))
          .flatMap(keyspaceElements);
      case 'keyspace': {
        const keyspace = this.keyspace(target.keyspace);
        return target.only ? [keyspaceElement(keyspace)] : keyspaceElements(keyspace);
      }
      case 'table':
        return [this.table(target.name)];
      case 'type':
        return [this.type(target.name)];
      case 'any':
        return this.any(target.name);
      default:
        return this.missing(target.kind, target.name);
    }
  }

  list(kind: ListKind): Element[] {
    switch (kind) {
      case 'keyspaces':
        return byName(this.schema.keyspaces.values()).map(keyspaceElement);
      case 'tables':
        return this.keyspaces().flatMap((k) => byName(k.tables.values()).map(tableElement));
      case 'types':
        return this.keyspaces().flatMap((k) => byName(k.types.values()).map(typeElement));
      default:
        this.keyspaces();
        return [];
    }
  }
}

type ListKind = 'keyspaces' | 'tables' | 'types' | 'functions' | 'aggregates';

function text(value: string): Uint8Array {
  return Buffer.from(value);
}

function elementRow({ keyspace, type, name }: Element): Uint8Array[] {
  return [text(quoteName(keyspace)), text(type), text(quoteName(name))];
}

const OWNERSHIP = mapType(TEXT, listType(TEXT));

function describeCluster(session: string | null, cluster: ClusterInfo): DescribeResult {
  const columns: DescribeResult['columns'][number][] = ['cluster', 'partitioner', 'snitch'].map(
    (name) => ({ name, type: TEXT }),
  );
  const row: (Uint8Array | null)[] = [
    text(cluster.clusterName),
    text('Murmur3Partitioner'),
    text('DynamicEndpointSnitch'),
  ];
  if (session !== null && !isSystemKeyspaceName(session) && cluster.rangeOwnership) {
    const ranges = cluster.rangeOwnership(session);
    columns.push({ name: 'range_ownership', type: OWNERSHIP });
    row.push(
      encode(
        OWNERSHIP,
        ranges.map(([token, addresses]): CqlValue => [token, [...addresses]]),
      ),
    );
  }
  return { columns, rows: [row] };
}

/**
 * The result of a DESCRIBE statement.
 * @param schema with the system keyspaces in it
 * @param session the session's keyspace; null: none
 * @throws CqlError Invalid if there is no such thing
 */
export function describe(
  statement: DescribeStatement,
  schema: Schema,
  session: string | null,
  cluster: ClusterInfo,
): DescribeResult {
  const { target, withInternals } = statement;
  const describer = new Describer(schema, session);
  switch (target.kind) {
    case 'cluster':
      return describeCluster(session, cluster);
    case 'keyspaces':
    case 'tables':
    case 'types':
    case 'functions':
    case 'aggregates':
      return { columns: LIST_COLUMNS, rows: describer.list(target.kind).map(elementRow) };
    default:
      return {
        columns: ELEMENT_COLUMNS,
        rows: describer
          .elements(target)
          .map((element) => [...elementRow(element), text(element.create(withInternals))]),
      };
  }
}
