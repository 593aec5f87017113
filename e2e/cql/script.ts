/**
 * Scripts of CQL and what a server answers to them, as text that can be kept and compared.
 *
 * A statement ends with `;` at the end of a line. Lines that start with `--@` before it say how it is sent:
 * `bind [JSON array]` prepares it and binds these values (by `fromJson` of the marker's type; the strings
 * `<unset>` and `<0x…>` stand for an unset value and for raw bytes; several lines: several executions),
 * `prepare` only prepares it, `page N` asks for pages of N rows and follows them all, `timestamp N` sends that
 * default timestamp, `batch logged|unlogged|counter` sends the next statements, up to one that is only `end`,
 * as a BATCH message. Other lines that start with `--` are comments.
 */
import type { QueryParameters } from '../../node/src/transport/client-codec.ts';
import { fromJson } from '../../node/src/types/json.ts';
import { parseJson } from '../../node/src/types/json-parse.ts';
import { toCqlLiteral } from '../../node/src/types/literal.ts';
import { typeName } from '../../node/src/types/type-names.ts';
import type { Client, Column, Outcome, Prepared } from './client.ts';

/** One request of a script. */
export interface Step {
  readonly text: string;
  /** JSON arrays; empty: sent as a simple query. */
  readonly binds: readonly string[];
  readonly onlyPrepare: boolean;
  /** Rows a page; null: one answer. */
  readonly pageSize: number | null;
  readonly timestamp: bigint | null;
  /** The kind of a BATCH message of which this is a statement. */
  readonly batch: BatchKind | null;
}

export type BatchKind = 'logged' | 'unlogged' | 'counter';

const BATCH_TYPES: Readonly<Record<BatchKind, number>> = { logged: 0, unlogged: 1, counter: 2 };

/** Reads a script. */
export function parseScript(source: string): Step[] {
  const steps: Step[] = [];
  let options: string[] = [];
  let lines: string[] = [];
  let batch: BatchKind | null = null;
  for (const line of source.split('\n')) {
    if (line.startsWith('--@')) {
      const option = line.slice(3).trim();
      if (option.startsWith('batch ')) batch = option.slice(6) as BatchKind;
      else options.push(option);
      continue;
    }
    if (lines.length === 0 && (line.startsWith('--') || line.trim() === '')) continue;
    lines.push(line);
    if (!line.trimEnd().endsWith(';')) continue;
    const text = lines.join('\n').trim().slice(0, -1);
    steps.push(stepOf(text, options, batch));
    if (text === 'end') batch = null;
    options = [];
    lines = [];
  }
  return steps;
}

function stepOf(text: string, options: readonly string[], batch: BatchKind | null): Step {
  const argument = (name: string) =>
    options.filter((option) => option.startsWith(`${name} `)).map((o) => o.slice(name.length + 1));
  const [page] = argument('page');
  const [timestamp] = argument('timestamp');
  return {
    text,
    binds: argument('bind'),
    onlyPrepare: options.includes('prepare'),
    pageSize: page === undefined ? null : Number(page),
    timestamp: timestamp === undefined ? null : BigInt(timestamp),
    batch,
  };
}

function bindValues(json: string, markers: readonly Column[]): (Buffer | null | undefined)[] {
  const values = parseJson(json);
  if (!Array.isArray(values)) throw new TypeError(`not a JSON array: ${json}`);
  return values.map((value, i) => {
    if (value === '<unset>') return undefined;
    if (typeof value === 'string' && value.startsWith('<0x')) {
      return Buffer.from(value.slice(3, -1), 'hex');
    }
    return fromJson(markers[i].type, value, 0n);
  });
}

function headLine(columns: readonly Column[]): string {
  return columns.map(({ name, type }) => `${name} ${typeName(type)}`).join(' | ');
}

function valueText(column: Column, value: Buffer | null): string {
  if (value === null) return 'null';
  if (value.length === 0) return 'empty';
  try {
    return toCqlLiteral(column.type, value).replaceAll('\n', '\\n');
  } catch {
    // Lists of TTLs hold nulls, which no literal can show.
    return `bytes 0x${value.toString('hex')}`;
  }
}

/** An answer as lines. */
export function describeOutcome(outcome: Outcome): string[] {
  if (outcome.kind === 'failed') {
    const { code, message } = outcome.error;
    return [`! ${code.toString(16).padStart(4, '0')} ${message.replaceAll('\n', '\\n')}`];
  }
  const warnings = outcome.warnings.map((warning) => `  warning: ${warning}`);
  switch (outcome.kind) {
    case 'done':
      return [`  ${outcome.text}`, ...warnings];
    case 'prepared': {
      const key = outcome.partitionKey.join(', ');
      return [
        `  markers: ${headLine(outcome.markers)}${key === '' ? '' : `; partition key: ${key}`}`,
        ...(outcome.columns.length === 0 ? [] : [`  result: ${headLine(outcome.columns)}`]),
        ...warnings,
      ];
    }
    case 'rows': {
      const { columns, rows, pagingState } = outcome;
      const tables = [...new Set(columns.map((column) => column.table))].join(' ');
      return [
        `  [${tables}] ${headLine(columns)}`,
        ...rows.map((row) => `  = ${row.map((v, i) => valueText(columns[i], v)).join(' | ')}`),
        ...(pagingState === null ? [] : ['  …']),
        ...warnings,
      ];
    }
  }
}

const PAGES_MAX = 1_000;

async function runPages(
  ask: (parameters: QueryParameters) => Promise<Outcome>,
  parameters: QueryParameters,
): Promise<string[]> {
  const lines: string[] = [];
  let next = parameters;
  for (let page = 0; page < PAGES_MAX; page++) {
    const outcome = await ask(next);
    lines.push(...describeOutcome(outcome));
    if (outcome.kind !== 'rows' || outcome.pagingState === null) return lines;
    if (parameters.pageSize === undefined) return lines;
    next = { ...parameters, pagingState: outcome.pagingState };
  }
  return [...lines, '! pages without end'];
}

/** Sends one step. @returns the answer, or answers, as lines */
export async function runStep(client: Client, step: Step): Promise<string[]> {
  const parameters: QueryParameters = {
    ...(step.pageSize === null ? {} : { pageSize: step.pageSize }),
    ...(step.timestamp === null ? {} : { timestamp: step.timestamp }),
  };
  if (step.binds.length === 0 && !step.onlyPrepare) {
    return runPages((own) => client.query(step.text, own), parameters);
  }
  const prepared = await client.prepare(step.text);
  const lines = describeOutcome(prepared);
  if (prepared.kind !== 'prepared') return lines;
  for (const bind of step.binds) {
    const values = bindValues(bind, prepared.markers);
    lines.push(`  bound ${bind}`);
    const ask = (own: QueryParameters) => client.execute(prepared, own);
    lines.push(...(await runPages(ask, { ...parameters, values })));
  }
  return lines;
}

async function runBatch(client: Client, steps: readonly Step[]): Promise<string[]> {
  const kind = steps[0].batch ?? 'logged';
  const items: { statement: string | Buffer; values: (Buffer | null | undefined)[] }[] = [];
  for (const step of steps) {
    if (step.binds.length === 0) {
      items.push({ statement: step.text, values: [] });
      continue;
    }
    const prepared = await client.prepare(step.text);
    if (prepared.kind !== 'prepared') return describeOutcome(prepared);
    for (const bind of step.binds) {
      items.push({ statement: prepared.id, values: bindValues(bind, markersOf(prepared)) });
    }
  }
  return describeOutcome(await client.batch(BATCH_TYPES[kind], items));
}

function markersOf(prepared: Prepared): readonly Column[] {
  return prepared.markers;
}

/** One request and its answer. */
export interface Exchange {
  readonly request: string;
  readonly answer: string;
}

/** Runs a script in a keyspace of its own, which is dropped first. */
export async function runScript(
  client: Client,
  keyspace: string,
  source: string,
): Promise<Exchange[]> {
  await client.query(`DROP KEYSPACE IF EXISTS ${keyspace}`);
  await client.query(
    `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
  );
  await client.query(`USE ${keyspace}`);
  const exchanges: Exchange[] = [];
  let batch: Step[] = [];
  for (const step of parseScript(source)) {
    if (step.batch !== null && step.text !== 'end') {
      batch.push(step);
      continue;
    }
    const request =
      step.text === 'end'
        ? batch.map((one) => `batch ${one.batch}: ${one.text} ${one.binds.join(' ')}`).join('\n')
        : step.text;
    const answer =
      step.text === 'end' ? await runBatch(client, batch) : await runStep(client, step);
    batch = [];
    exchanges.push({ request, answer: answer.join('\n') });
  }
  return exchanges;
}

/** Exchanges as kept in golden files. */
export function printExchanges(exchanges: readonly Exchange[]): string {
  return exchanges
    .map(({ request, answer }) => `> ${request.replaceAll('\n', '\n> ')}\n${answer}\n`)
    .join('');
}
