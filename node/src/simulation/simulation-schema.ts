/** The tables of a simulated cluster's clients. */
import type { SchemaStatement } from '../cql/ast.ts';
import { parseStatement } from '../cql/index.ts';
import { planSchemaChange } from '../query/ddl.ts';
import { withSystemKeyspaces } from '../query/virtual/definitions.ts';
import { EMPTY_SCHEMA, type Schema } from '../schema/schema.ts';

/** @param replication such as `{'class': 'SimpleStrategy', 'replication_factor': 3}` */
export function simulationSchema(replication: string, readRepair = 'BLOCKING'): Schema {
  let schema = EMPTY_SCHEMA;
  let ids = 0;
  const repair = `WITH read_repair = '${readRepair}'`;
  for (const text of [
    `CREATE KEYSPACE sim WITH replication = ${replication}`,
    `CREATE TABLE sim.r (k int PRIMARY KEY, v text) ${repair}`,
    `CREATE TABLE sim.a (k int PRIMARY KEY, v text) ${repair}`,
    `CREATE TABLE sim.l (k int PRIMARY KEY, v int) ${repair}`,
    `CREATE TABLE sim.c (k int PRIMARY KEY, n counter) ${repair}`,
    `CREATE TABLE sim.b (k int PRIMARY KEY, v int) ${repair}`,
    "CREATE KEYSPACE single WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TABLE single.h (k int PRIMARY KEY, v text)',
    'CREATE TABLE single.r (k int PRIMARY KEY, v text)',
    'CREATE TABLE single.l (k int PRIMARY KEY, v int)',
  ]) {
    schema = planSchemaChange(parseStatement(text) as SchemaStatement, schema, null, {
      newId: () => `00000000-0000-1000-8000-${String(++ids).padStart(12, '0')}`,
      nowMicros: 1,
    }).schema;
  }
  return withSystemKeyspaces(schema);
}
