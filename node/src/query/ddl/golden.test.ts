/**
 * Statements and what becomes of them, in testdata/*.txt; UPDATE=1 writes them anew. Codes, messages and texts
 * are those of Cassandra 5.0.9 unless a comment in the file says otherwise.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CqlError } from '../../common/errors.ts';
import type { SchemaStatement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import { describe } from '../../schema/describe.ts';
import { EMPTY_SCHEMA, type Schema } from '../../schema/schema.ts';
import { planSchemaChange, type SchemaEnv, type SchemaOutcome } from '../ddl.ts';
import { withSystemKeyspaces } from '../virtual/definitions.ts';

const DIRECTORY = new URL('./testdata/', import.meta.url);

class Session {
  private schema: Schema = withSystemKeyspaces(EMPTY_SCHEMA);
  private ids = 0;

  run(text: string): string[] {
    try {
      const statement = parseStatement(text) as SchemaStatement;
      if (statement.kind === 'describe') return this.describe(statement);
      const outcome = planSchemaChange(statement, this.schema, null, this.env());
      const isSame = outcome.schema === this.schema;
      this.schema = outcome.schema;
      return isSame ? ['nothing changed'] : shown(outcome);
    } catch (error) {
      if (!(error instanceof CqlError)) throw error;
      return [`${error.code.toString(16)} ${error.message}`];
    }
  }

  private env(): SchemaEnv {
    return {
      newId: () => `00000000-0000-1000-8000-${String(++this.ids).padStart(12, '0')}`,
      nowMicros: 1_700_000_000_000_000,
      datacenters: new Map([['datacenter1', 1]]),
    };
  }

  private describe(statement: Extract<SchemaStatement, { kind: 'describe' }>): string[] {
    const { columns, rows } = describe(statement, this.schema, null, { clusterName: 'lab' });
    const texts = rows.map((row) => row.map((value) => Buffer.from(value ?? []).toString()));
    const names = columns.map((column) => column.name).join(' | ');
    return [names, ...texts.flatMap((row) => row.join(' | ').split('\n'))];
  }
}

function shown({ event, warnings, created, altered, dropped }: SchemaOutcome): string[] {
  const tables = { created, altered, dropped };
  const parts = Object.entries(tables).filter(([, list]) => list.length > 0);
  const lists = parts.map(([what, list]) => `, ${what}: ${list.map((t) => t.name).join(' ')}`);
  const name = event?.name === undefined ? '' : `.${event.name}`;
  return [
    `${event?.change} ${event?.target} ${event?.keyspace}${name}${lists.join('')}`,
    ...warnings.map((warning) => `warning: ${warning}`),
  ];
}

function runAll(file: string): string {
  const session = new Session();
  const blocks = file.split('\n\n').map((block) => {
    const lines = block.split('\n').filter((line) => !line.startsWith('  | ') && line !== '');
    const text = lines.filter((line) => !line.startsWith('--')).join('\n');
    if (text === '') return lines.join('\n');
    return [...lines, ...session.run(text).map((line) => `  | ${line}`)].join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

for (const name of readdirSync(DIRECTORY).filter((one) => one.endsWith('.txt'))) {
  test(name, () => {
    const url = new URL(name, DIRECTORY);
    const file = readFileSync(url, 'utf8');
    const actual = runAll(file);
    if (process.env['UPDATE'] === '1') writeFileSync(url, actual);
    else assert.equal(actual, file);
  });
}
