/** What the operator can be told: one table for flags, the environment and `--help`. */

interface Option {
  readonly name: string;
  readonly default: string;
  readonly about: string;
  /** What its text must be, and how that is said. */
  readonly form?: readonly [pattern: RegExp, says: string];
}

const BOOLEAN = [/^(true|false)$/, 'true or false'] as const;
const PORT = [/^\d{1,5}$/, 'a port'] as const;
const NAME = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

export const OPTIONS = [
  {
    name: 'image',
    default: '',
    about: 'Image of the database for clusters whose spec names none. Needed.',
    form: [/^\S+$/, 'the name of an image'],
  },
  {
    name: 'namespaces',
    default: '',
    about: 'Namespaces to watch, by commas; empty: all.',
    form: [new RegExp(`^(${NAME}(,${NAME})*)?$`), 'names of namespaces, by commas'],
  },
  {
    name: 'leader-election',
    default: 'true',
    about: 'Several operators may run; the one that holds the Lease works. false: this one alone.',
    form: BOOLEAN,
  },
  {
    name: 'lease-namespace',
    default: '',
    about: 'Of the Lease; empty: the namespace that the operator runs in.',
    form: [new RegExp(`^(${NAME})?$`), 'the name of a namespace'],
  },
  {
    name: 'lease-name',
    default: 'ilion-operator',
    about: 'Of the Lease.',
    form: [new RegExp(`^${NAME}$`), 'a name'],
  },
  {
    name: 'http-address',
    default: '0.0.0.0',
    about: 'Address of /metrics, /healthz and /readyz.',
    form: [/^[0-9.:a-f]+$/, 'an IP address'],
  },
  {
    name: 'http-port',
    default: '8080',
    about: 'Port of /metrics, /healthz and /readyz.',
    form: PORT,
  },
  {
    name: 'certificate-settle-seconds',
    default: '3600',
    about:
      'How long a new authority is told to nodes before it signs, and an old one believed after it does.',
    form: [/^\d{1,7}$/, 'seconds'],
  },
  {
    name: 'kubeconfig',
    default: '',
    about: 'Outside of a cluster: path of a kubeconfig file. In a pod its service account is used.',
  },
  {
    name: 'log-level',
    default: 'info',
    about: 'What is logged: error, warn, info or debug.',
    form: [/^(error|warn|info|debug)$/, 'error, warn, info or debug'],
  },
  {
    name: 'log-format',
    default: 'auto',
    about: 'auto: pretty on a terminal, JSON lines otherwise.',
    form: [/^(auto|pretty|json)$/, 'auto, pretty or json'],
  },
] as const satisfies readonly Option[];

type OptionName = (typeof OPTIONS)[number]['name'];

export interface OperatorOptions {
  readonly image: string;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly leaderElection: boolean;
  /** Null: where the operator runs. */
  readonly leaseNamespace: string | null;
  readonly leaseName: string;
  readonly httpAddress: string;
  readonly httpPort: number;
  readonly certificateSettleMillis: number;
  /** Null: none is given. */
  readonly kubeconfig: string | null;
  readonly logLevel: string;
  readonly logFormat: 'pretty' | 'json';
}

/** The command line, or the environment, says what it must not. */
export class OptionError extends Error {
  readonly code = 'OPTION';
  constructor(message: string) {
    super(message);
    this.name = 'OptionError';
  }
}

function variableOf(name: string): string {
  return `ILION_OPERATOR_${name.toUpperCase().replaceAll('-', '_')}`;
}

export function helpText(): string {
  const lines = OPTIONS.map(({ name, default: initial, about }) => {
    const or = initial === '' ? '' : ` Without it: ${initial}.`;
    return `  --${name}\n      ${about}${or}\n      Environment: ${variableOf(name)}`;
  });
  return ['Usage: ilion-operator [--OPTION VALUE] ...', '', ...lines, ''].join('\n');
}

/** `--a b` and `--a=b`. */
function flagsOf(args: readonly string[]): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (let i = 0; i < args.length; i++) {
    const [, name, given] = /^--([a-z-]+)(?:=(.*))?$/s.exec(args[i]) ?? [];
    if (!OPTIONS.some((option) => option.name === name)) {
      throw new OptionError(`${args[i]} is not an option: --help shows them`);
    }
    const value = given ?? args[++i];
    if (value === undefined) throw new OptionError(`--${name} needs a value`);
    flags.set(name, value);
  }
  return flags;
}

/** Flags come before the environment. @throws OptionError */
export function readOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): OperatorOptions {
  const flags = flagsOf(args);
  const texts = new Map<string, string>();
  for (const option of OPTIONS as readonly Option[]) {
    const { name, form } = option;
    const text = flags.get(name) ?? environment[variableOf(name)] ?? option.default;
    if (form !== undefined && !form[0].test(text)) {
      const said = text === '' ? 'is needed' : `is ${JSON.stringify(text)}`;
      throw new OptionError(`--${name} (${variableOf(name)}) ${said}; it must be ${form[1]}`);
    }
    texts.set(name, text);
  }
  const text = (name: OptionName) => texts.get(name) ?? '';
  const orNull = (name: OptionName) => (text(name) === '' ? null : text(name));
  const format = text('log-format');
  return {
    image: text('image'),
    namespaces: text('namespaces') === '' ? [] : [...new Set(text('namespaces').split(','))],
    leaderElection: text('leader-election') === 'true',
    leaseNamespace: orNull('lease-namespace'),
    leaseName: text('lease-name'),
    httpAddress: text('http-address'),
    httpPort: Number(text('http-port')),
    certificateSettleMillis: Number(text('certificate-settle-seconds')) * 1000,
    kubeconfig: orNull('kubeconfig'),
    logLevel: text('log-level'),
    logFormat: format === 'auto' ? (isTerminal ? 'pretty' : 'json') : (format as 'pretty' | 'json'),
  };
}
