/** The command line of `ilion` as a value. */

/** What was typed cannot be meant; the message is one line. */
export class UsageError extends Error {
  readonly code = 'USAGE';
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

export const COMMANDS = [
  'start',
  'status',
  'flush',
  'compact',
  'snapshot',
  'snapshots',
  'drop-snapshot',
  'operations',
  'decommission',
  'removenode',
  'cancel',
  'rebuild',
  'rebalance',
  'settings',
  'reload',
  'config',
] as const;
export type CommandName = (typeof COMMANDS)[number];

export interface Command {
  readonly name: CommandName;
  /** Without dashes. Of flags without a value: ''. */
  readonly flags: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
}

/** Also what `--help` and `--version` mean anywhere. */
export type Parsed = Command | { readonly name: 'help' } | { readonly name: 'version' };

interface Shape {
  readonly operandsMin: number;
  readonly operandsMax: number;
  /** Flags with a value; null: any, the settings know them. */
  readonly valued: readonly string[] | null;
  readonly plain: readonly string[];
}

const ADMIN = ['admin', 'config'];
const tool = (
  operandsMin: number,
  operandsMax: number,
  valued: readonly string[] = [],
  plain: readonly string[] = [],
): Shape => ({
  operandsMin,
  operandsMax,
  valued: [...ADMIN, ...valued],
  plain: ['json', ...plain],
});

const SHAPES: Readonly<Record<CommandName, Shape>> = {
  start: { operandsMin: 0, operandsMax: 0, valued: null, plain: [] },
  status: tool(0, 0),
  flush: tool(0, 2),
  compact: tool(0, 2),
  snapshot: tool(0, 0, ['name']),
  snapshots: tool(0, 0),
  'drop-snapshot': tool(1, 1),
  operations: tool(0, 0, [], ['watch']),
  decommission: tool(0, 0, [], ['no-wait']),
  removenode: tool(1, 1, [], ['no-wait']),
  cancel: tool(1, 1),
  rebuild: tool(0, 1, ['from']),
  rebalance: tool(0, 0, ['datacenter'], ['dry-run']),
  settings: tool(0, 0),
  reload: tool(0, Number.POSITIVE_INFINITY),
  config: { operandsMin: 0, operandsMax: 0, valued: [], plain: [] },
};

function isCommand(name: string): name is CommandName {
  return (COMMANDS as readonly string[]).includes(name);
}

/** @throws UsageError */
export function parseArguments(args: readonly string[]): Parsed {
  const [first = 'help', ...rest] = args;
  if (first === 'help' || args.includes('--help') || args.includes('-h')) return { name: 'help' };
  if (first === '--version' || first === '-V' || first === 'version') return { name: 'version' };
  if (!isCommand(first)) {
    const what = first.startsWith('-') ? 'flag' : 'command';
    throw new UsageError(`unknown ${what} ${first}: \`ilion --help\` lists the commands`);
  }
  return parseCommand(first, rest);
}

function parseCommand(name: CommandName, args: readonly string[]): Command {
  const shape = SHAPES[name];
  const flags = new Map<string, string>();
  const operands: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const argument = args[at];
    if (!argument.startsWith('-')) {
      operands.push(argument);
      continue;
    }
    const [, flag, given] = /^--([A-Za-z0-9_-]+)(?:=(.*))?$/s.exec(argument) ?? [];
    if (
      flag === undefined ||
      (!(shape.valued?.includes(flag) ?? true) && !shape.plain.includes(flag))
    ) {
      throw new UsageError(`ilion ${name}: unknown flag ${argument}`);
    }
    if (flags.has(flag)) throw new UsageError(`ilion ${name}: --${flag} is given twice`);
    if (shape.plain.includes(flag)) {
      if (given !== undefined) throw new UsageError(`ilion ${name}: --${flag} takes no value`);
      flags.set(flag, '');
      continue;
    }
    const next = args[at + 1];
    if (given === undefined && (next === undefined || next.startsWith('--'))) {
      throw new UsageError(`ilion ${name}: --${flag} needs a value`);
    }
    if (given === undefined) at++;
    flags.set(flag, given ?? next);
  }
  checkOperands(name, shape, operands);
  return { name, flags, operands };
}

const OPERANDS: Readonly<Partial<Record<CommandName, string>>> = {
  'drop-snapshot': 'the name of a snapshot',
  removenode: 'the host id of a node',
  cancel: 'the id of an operation',
};

function checkOperands(name: CommandName, shape: Shape, operands: readonly string[]): void {
  if (operands.length < shape.operandsMin) {
    throw new UsageError(`ilion ${name} needs ${OPERANDS[name] ?? 'an argument'}`);
  }
  if (operands.length > shape.operandsMax) {
    throw new UsageError(
      `ilion ${name}: '${operands[shape.operandsMax]}' is one argument too many`,
    );
  }
}
