/** Makes random schemas, writes and reads for random.ts. All randomness comes from a seed. */
import type { Step } from './script.ts';

/** A source of random numbers. */
export interface Random {
  /** 0 <= x < below, a whole number. */
  below(limit: number): number;
  chance(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
}

/** The same seed gives the same numbers (xorshift). */
export function createRandom(seed: number): Random {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next();
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (choices) => choices[below(choices.length)],
  };
}

type Kind = 'key' | 'clustering' | 'static' | 'regular';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly kind: Kind;
  readonly descending: boolean;
}

const SCALARS = ['int', 'text', 'bigint', 'boolean', 'double', 'varint', 'timestamp', 'blob'];
const KEY_TYPES = ['int', 'text', 'bigint', 'varint', 'blob', 'timestamp', 'double', 'boolean'];
const CELL_TYPES = [
  ...SCALARS,
  'list<int>',
  'set<int>',
  'map<int, text>',
  'set<text>',
  'frozen<list<int>>',
  'frozen<set<text>>',
  'frozen<map<text, int>>',
  'tuple<int, text>',
  'pair',
  'frozen<pair>',
];

/** Few values, so that they meet often. */
function literal(random: Random, type: string): string {
  switch (type) {
    case 'int':
    case 'bigint':
    case 'varint':
      return String(random.below(5) - 1);
    case 'text':
      return random.pick(["''", "'a'", "'b'", "'ab'", "'z'"]);
    case 'boolean':
      return random.pick(['true', 'false']);
    case 'double':
      return random.pick(['0.0', '1.5', '-2.0', '1e10', '1']);
    case 'timestamp':
      return random.pick(['0', '1000', "'2020-01-01T00:00:00Z'", '-5']);
    case 'blob':
      return random.pick(['0x', '0x00', '0x0001', '0xff']);
    case 'tuple<int, text>':
      return `(${literal(random, 'int')}, ${literal(random, 'text')})`;
    case 'pair':
    case 'frozen<pair>':
      return `{a: ${literal(random, 'int')}, b: ${random.pick(['null', literal(random, 'text')])}}`;
    default:
      return collection(random, type.replace('frozen<', ''));
  }
}

function collection(random: Random, type: string): string {
  const [, kind, inner] = /^(\w+)<([^>]*)>/.exec(type) ?? [];
  const parts = inner.split(', ');
  const values = Array.from({ length: random.below(4) }, () => literal(random, parts[0]));
  if (kind === 'list') return `[${values.join(', ')}]`;
  const distinct = [...new Set(values)];
  if (kind === 'set') return `{${distinct.join(', ')}}`;
  const entries = distinct.map((key) => `${key}: ${literal(random, parts[1])}`);
  // As in Cassandra, {} may be taken for a set where a frozen map is wanted.
  return entries.length === 0
    ? `{${literal(random, parts[0])}: ${literal(random, parts[1])}}`
    : `{${entries.join(', ')}}`;
}

/** Statements on one table. */
class TableRound {
  private readonly random: Random;
  private readonly table: string;
  private readonly columns: readonly Column[];

  constructor(random: Random) {
    this.random = random;
    this.table = `t${random.below(1_000_000)}`;
    const columns: Column[] = [];
    const add = (kind: Kind, count: number, types: readonly string[]) => {
      for (let i = 0; i < count; i++) {
        const descending = kind === 'clustering' && random.chance(0.4);
        columns.push({ name: `${kind[0]}${i}`, type: random.pick(types), kind, descending });
      }
    };
    add('key', random.pick([1, 1, 2]), KEY_TYPES);
    add('clustering', random.pick([0, 1, 2, 2, 3]), KEY_TYPES);
    if (columns.some(({ kind }) => kind === 'clustering')) {
      add('static', random.pick([0, 0, 1, 2]), CELL_TYPES);
    }
    add('regular', 1 + random.below(4), CELL_TYPES);
    this.columns = columns;
  }

  private of(...kinds: Kind[]): Column[] {
    return this.columns.filter(({ kind }) => kinds.includes(kind));
  }

  private value({ type, kind }: Column): string {
    const text = literal(this.random, type);
    // An empty blob or text is no partition key.
    const isEmpty = text === "''" || text === '0x';
    if (kind !== 'key' || !isEmpty) return text;
    return type === 'text' ? "'k'" : '0x0a';
  }

  schema(): string[] {
    const keys = this.of('key').map(({ name }) => name);
    const clustering = this.of('clustering');
    const definitions = this.columns.map(
      ({ name, type, kind }) => `${name} ${type}${kind === 'static' ? ' static' : ''}`,
    );
    const order = clustering.map(
      ({ name, descending }) => `${name} ${descending ? 'DESC' : 'ASC'}`,
    );
    const primary = [`(${keys.join(', ')})`, ...clustering.map(({ name }) => name)].join(', ');
    return [
      'CREATE TYPE IF NOT EXISTS pair (a int, b text)',
      `CREATE TABLE ${this.table} (${definitions.join(', ')}, PRIMARY KEY (${primary}))${order.length === 0 ? '' : ` WITH CLUSTERING ORDER BY (${order.join(', ')})`}`,
    ];
  }

  private timestamp(): string {
    return String(1 + this.random.below(6));
  }

  /** IN or = on the columns. */
  private chosen(columns: readonly Column[]): string[] {
    return columns.map((column) =>
      this.random.chance(0.15)
        ? `${column.name} IN (${this.value(column)}, ${this.value(column)})`
        : `${column.name} = ${this.value(column)}`,
    );
  }

  write(): string {
    const { random } = this;
    const roll = random.below(10);
    if (roll < 4) return this.insert();
    if (roll < 7) return this.update();
    return this.remove();
  }

  private insert(): string {
    const { random } = this;
    const onlyStatic = this.of('static').length > 0 && random.chance(0.15);
    const keys = onlyStatic ? this.of('key') : this.of('key', 'clustering');
    const others = (onlyStatic ? this.of('static') : this.of('static', 'regular')).filter(() =>
      random.chance(0.6),
    );
    const columns = [...keys, ...others];
    const values = columns.map((column) =>
      random.chance(0.1) && !keys.includes(column) ? 'null' : this.value(column),
    );
    return `INSERT INTO ${this.table} (${columns.map(({ name }) => name).join(', ')}) VALUES (${values.join(', ')}) USING TIMESTAMP ${this.timestamp()}`;
  }

  private assignment(column: Column): string {
    const { random } = this;
    const { name, type } = column;
    if (type === 'pair' && random.chance(0.5)) {
      return random.pick([`${name}.a = ${literal(random, 'int')}`, `${name}.b = null`]);
    }
    const isCollection = /^(set|map)</.test(type);
    if (isCollection && random.chance(0.6)) {
      const some = literal(random, type);
      if (type === 'map<int, text>') {
        return random.pick([
          `${name} = ${name} + ${some}`,
          `${name} = ${name} - {${literal(random, 'int')}}`,
          `${name}[${literal(random, 'int')}] = ${literal(random, 'text')}`,
          `${name}[${literal(random, 'int')}] = null`,
        ]);
      }
      return `${name} = ${name} ${random.pick(['+', '-'])} ${some}`;
    }
    if (random.chance(0.15)) return `${name} = null`;
    return `${name} = ${literal(random, type)}`;
  }

  private update(): string {
    const { random } = this;
    const statics = this.of('static');
    const onStatics = statics.length > 0 && random.chance(0.25);
    const candidates = onStatics ? statics : this.of('static', 'regular');
    const first = random.pick(onStatics ? statics : this.of('regular'));
    const chosen = [first, ...candidates.filter((c) => c !== first && random.chance(0.4))];
    const sets = chosen.map((column) => this.assignment(column));
    // Cassandra sets static columns once for each row, so that their lists hold everything several times.
    const ofOneRow = chosen.some(({ kind }) => kind === 'static');
    const keys = onStatics ? this.of('key') : this.of('key', 'clustering');
    const where = ofOneRow
      ? keys.map((column) => `${column.name} = ${this.value(column)}`)
      : this.chosen(keys);
    return `UPDATE ${this.table} USING TIMESTAMP ${this.timestamp()} SET ${sets.join(', ')} WHERE ${where.join(' AND ')}`;
  }

  private deletion(column: Column): string {
    const { random } = this;
    if (column.type === 'map<int, text>' && random.chance(0.6)) {
      return `${column.name}[${literal(random, 'int')}]`;
    }
    if (column.type === 'set<int>' && random.chance(0.6)) {
      return `${column.name}[${literal(random, 'int')}]`;
    }
    if (column.type === 'pair' && random.chance(0.5)) return `${column.name}.a`;
    return column.name;
  }

  private remove(): string {
    const { random } = this;
    const clustering = this.of('clustering');
    const using = `USING TIMESTAMP ${this.timestamp()}`;
    if (random.chance(0.4)) {
      const statics = this.of('static');
      const onStatics = statics.length > 0 && random.chance(0.3);
      const columns = (onStatics ? statics : this.of('regular')).filter(() => random.chance(0.6));
      const what = columns.map((column) => this.deletion(column)).join(', ');
      const where = this.chosen(
        onStatics && what !== '' ? this.of('key') : this.of('key', 'clustering'),
      );
      return `DELETE ${what} FROM ${this.table} ${using} WHERE ${where.join(' AND ')}`;
    }
    const depth = random.below(clustering.length + 1);
    const where = [...this.chosen(this.of('key')), ...this.chosen(clustering.slice(0, depth))];
    if (depth < clustering.length && random.chance(0.7))
      where.push(...this.range(clustering.slice(depth)));
    return `DELETE FROM ${this.table} ${using} WHERE ${where.join(' AND ')}`;
  }

  /** One or two bounds on the next clustering column, or on several. */
  private range(columns: readonly Column[]): string[] {
    const { random } = this;
    const length = random.chance(0.6) ? 1 : 1 + random.below(columns.length);
    const some = columns.slice(0, length);
    const bound = (operators: readonly string[]) =>
      length === 1 && random.chance(0.8)
        ? `${some[0].name} ${random.pick(operators)} ${this.value(some[0])}`
        : `(${some.map(({ name }) => name).join(', ')}) ${random.pick(operators)} (${some.map((c) => this.value(c)).join(', ')})`;
    const lower = () => bound(['>', '>=']);
    const upper = () => bound(['<', '<=']);
    return random.pick([() => [lower()], () => [upper()], () => [lower(), upper()]])();
  }

  batch(): string {
    const { random } = this;
    const count = 1 + random.below(4);
    const statements = Array.from({ length: count }, () => this.write());
    return `BEGIN ${random.pick(['', 'UNLOGGED '])}BATCH ${statements.join('; ')}; APPLY BATCH`;
  }

  private selection(): string {
    const { random } = this;
    const roll = random.below(10);
    if (roll < 4) return '*';
    if (roll === 4) return 'JSON *';
    const some = this.columns.filter(() => random.chance(0.5));
    const items = (some.length === 0 ? [random.pick(this.columns)] : some).map((column) => {
      const isCell = column.kind === 'static' || column.kind === 'regular';
      return isCell && random.chance(0.3) ? `writetime(${column.name})` : column.name;
    });
    return items.join(', ');
  }

  private filters(): string[] {
    const { random } = this;
    const column = random.pick(this.columns);
    const { name, type } = column;
    if (/^(frozen<)?(list|set)</.test(type) && random.chance(0.7)) {
      return [`${name} CONTAINS ${literal(random, type.includes('text') ? 'text' : 'int')}`];
    }
    if (type === 'map<int, text>') {
      return [
        random.pick([
          `${name} CONTAINS KEY ${literal(random, 'int')}`,
          `${name} CONTAINS ${literal(random, 'text')}`,
          `${name}[${literal(random, 'int')}] = ${literal(random, 'text')}`,
        ]),
      ];
    }
    if (random.chance(0.2)) return [`${name} IN (${this.value(column)}, ${this.value(column)})`];
    return [`${name} ${random.pick(['=', '=', '>', '<=', '<', '>='])} ${this.value(column)}`];
  }

  private restrictions(): string[] {
    const { random } = this;
    const keys = this.of('key');
    const clustering = this.of('clustering');
    const roll = random.below(10);
    if (roll < 2) return [];
    if (roll === 2) {
      const names = keys.map(({ name }) => name).join(', ');
      return [
        `token(${names}) ${random.pick(['>', '<=', '>=', '<'])} ${random.pick(['0', '-5000000000000000000', '5000000000000000000'])}`,
      ];
    }
    const depth = random.below(clustering.length + 1);
    const where = [...this.chosen(keys), ...this.chosen(clustering.slice(0, depth))];
    const rest = clustering.slice(depth);
    if (rest.length > 0 && random.chance(0.5)) where.push(...this.range(rest));
    else if (rest.length > 1 && random.chance(0.2)) {
      const [a, b] = rest;
      const tuple = () => `(${this.value(a)}, ${this.value(b)})`;
      where.push(`(${a.name}, ${b.name}) IN (${tuple()}, ${tuple()})`);
    }
    return where;
  }

  private order(): string {
    const { random } = this;
    const clustering = this.of('clustering');
    if (clustering.length === 0 || random.chance(0.65)) return '';
    const reversed = random.chance(0.6);
    const length = 1 + random.below(clustering.length);
    const items = clustering.slice(0, length).map(({ name, descending }) => {
      const wrong = random.chance(0.04);
      return `${name} ${(descending !== reversed) !== wrong ? 'DESC' : 'ASC'}`;
    });
    return ` ORDER BY ${items.join(', ')}`;
  }

  private grouping(): { readonly selection: string; readonly clause: string } | null {
    const { random } = this;
    if (random.chance(0.85)) return null;
    const key = this.of('key', 'clustering');
    const keys = this.of('key').length;
    const length = keys + random.below(key.length - keys + 1);
    const names = key.slice(0, length).map(({ name }) => name);
    const regular = random.pick(this.of('regular'));
    return {
      selection: `${names.join(', ')}, count(*), count(${regular.name}), ${regular.name}`,
      clause: ` GROUP BY ${names.join(', ')}`,
    };
  }

  read(): Step {
    const { random } = this;
    const where = this.restrictions();
    const group = this.grouping();
    const distinct = group === null && random.chance(0.06);
    if (!distinct && random.chance(0.35)) where.push(...this.filters());
    const selection = distinct
      ? `DISTINCT ${this.of('key', 'static')
          .map(({ name }) => name)
          .join(', ')}`
      : (group?.selection ?? (random.chance(0.07) ? 'count(*)' : this.selection()));
    const limits = [
      random.chance(0.15) && !distinct ? ` PER PARTITION LIMIT ${1 + random.below(3)}` : '',
      random.chance(0.2) ? ` LIMIT ${1 + random.below(6)}` : '',
    ].join('');
    const order = this.order();
    const filtering = random.chance(0.85) ? ' ALLOW FILTERING' : '';
    const text = `SELECT ${selection} FROM ${this.table}${where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`}${group?.clause ?? ''}${order}${limits}${filtering}`;
    return { ...stepOf(text), pageSize: random.chance(0.3) ? 1 + random.below(5) : null };
  }

  drop(): string {
    return `DROP TABLE ${this.table}`;
  }
}

function stepOf(text: string): Step {
  return { text, binds: [], onlyPrepare: false, pageSize: null, timestamp: null, batch: null };
}

/** The statements of one round. */
export function makeRound(random: Random): Step[] {
  const round = new TableRound(random);
  const steps: Step[] = round.schema().map(stepOf);
  for (let part = 0; part < 4; part++) {
    const writes = 20 + random.below(15);
    for (let i = 0; i < writes; i++) {
      steps.push(stepOf(random.chance(0.15) ? round.batch() : round.write()));
    }
    for (let i = 0; i < 35; i++) steps.push(round.read());
  }
  steps.push(stepOf(round.drop()));
  return steps;
}
