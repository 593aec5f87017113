/** Settings of a node that runs: what counts, where it is from, and how some of it changes without a restart. */
import { ConfigError, type Loaded } from './load.ts';
import { OPTIONS, type Option } from './options.ts';

/** A setting as it counts. */
export interface SettingInfo {
  readonly name: string;
  readonly value: string;
  /** The line, variable or flag that has it; `default`; `reload`: the running node was told. */
  readonly origin: string;
  readonly change: 'hot' | 'restart';
}

/** A setting that has changed. */
export interface SettingChange {
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

/** Settings that cannot be taken; none has changed. The message names them and what to do. */
export class SettingsRefusedError extends Error {
  readonly code = 'SETTINGS_REFUSED';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SettingsRefusedError';
  }
}

export interface LiveSettingsDeps {
  /** Reads file, environment and flags again; what the node was told comes last. @throws ConfigError */
  load(told: ReadonlyMap<string, string>): Loaded;
  /** Makes it so, everywhere in the process. It cannot fail because of what is in it. */
  apply(loaded: Loaded, changes: readonly SettingChange[]): Promise<void>;
}

const NOTHING: ReadonlyMap<string, string> = new Map();
const CURE = 'takes effect at a start only: set it where the node is configured, and restart it';

function optionOf(name: string): Option | undefined {
  return OPTIONS.find((option) => option.name === name);
}

function refusalOf(name: string): string | null {
  const option = optionOf(name);
  if (option === undefined) {
    return `${name} is not an option: \`ilion settings\` lists them`;
  }
  return option.change === 'hot' ? null : `${name} ${CURE}`;
}

export class LiveSettings {
  private readonly deps: LiveSettingsDeps;
  private loaded: Loaded;
  private told = NOTHING;
  /** One change after another. */
  private turn: Promise<unknown> = Promise.resolve();

  /** @param first what the process has started with */
  constructor(first: Loaded, deps: LiveSettingsDeps) {
    this.loaded = first;
    this.deps = deps;
  }

  get current(): Loaded {
    return this.loaded;
  }

  list(): readonly SettingInfo[] {
    const { table, origins, found } = this.loaded;
    const options = new Map<string, Option>(OPTIONS.map((option) => [option.name, option]));
    return table.map(([name, value]) => {
      const auto = found.get(name);
      const { change = 'restart', type } = options.get(name) ?? {};
      const shown = type?.kind === 'bytes' ? `${Math.floor((auto ?? 0) / 2 ** 20)}MiB` : auto;
      return {
        ...{ name, change },
        value: auto === undefined ? value : `auto (${shown})`,
        origin: origins.get(name) ?? 'default',
      };
    });
  }

  /**
   * Reads the file again, and takes `values` on top of it and of what was told before: by name, `default` for an option's default,
   * empty for what file, environment and flags say. All of it, or nothing.
   * @throws SettingsRefusedError
   */
  reload(values: ReadonlyMap<string, string> = NOTHING): Promise<readonly SettingChange[]> {
    const done = this.turn.then(() => this.take(values));
    this.turn = done.catch(() => {});
    return done;
  }

  private async take(values: ReadonlyMap<string, string>): Promise<readonly SettingChange[]> {
    const refusals = [...values.keys()].flatMap((name) => refusalOf(name) ?? []);
    if (refusals.length > 0) throw new SettingsRefusedError(refusals.join('; '));
    const all = new Map([...this.told, ...values]);
    const told = new Map([...all].filter(([, value]) => value !== ''));
    const next = this.loadWith(told);
    const before = new Map(this.loaded.table);
    const changes = next.table.flatMap(([name, after]): SettingChange[] => {
      const old = before.get(name) ?? '';
      return old === after ? [] : [{ name, before: old, after }];
    });
    const cold = changes.filter(({ name }) => optionOf(name)?.change !== 'hot');
    if (cold.length > 0) {
      const lines = cold.map(
        ({ name, before: was, after }) =>
          `${next.origins.get(name)}: ${name} was '${was}' and is '${after}', but ${CURE}`,
      );
      throw new SettingsRefusedError(lines.join('; '));
    }
    this.told = told;
    this.loaded = next;
    await this.deps.apply(next, changes);
    return changes;
  }

  private loadWith(told: ReadonlyMap<string, string>): Loaded {
    try {
      return this.deps.load(told);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new SettingsRefusedError(error.message, { cause: error });
    }
  }
}
