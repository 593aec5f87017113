/** Logs through winston: for people on a terminal, JSON lines otherwise. */
import winston from 'winston';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** The logger of a process. */
export interface ProcessLogger extends Logger {
  setLevel(level: string): void;
}

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'pretty' | 'json';
  /** Which part of the process speaks. */
  readonly source: string;
  /** Added to; without it the console. */
  readonly file?: string;
}

function pretty(): winston.Logform.Format {
  const { combine, colorize, printf, timestamp } = winston.format;
  return combine(
    timestamp({ format: 'HH:mm:ss.SSS' }),
    colorize({ level: true }),
    printf(({ timestamp: at, level, message, source, ...fields }) => {
      const details = Object.entries(fields).map(([name, value]) => `${name}=${shown(value)}`);
      return [at, level, `[${String(source)}]`, message, ...details].join(' ');
    }),
  );
}

function shown(value: unknown): string {
  if (value instanceof Error) return value.stack ?? value.message;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Errors among the fields become their stacks. */
const plainErrors = winston.format((info) => {
  for (const [name, value] of Object.entries(info)) {
    if (value instanceof Error) info[name] = value.stack ?? value.message;
  }
  return info;
});

export function createLogger({ level, format, source, file }: LoggerOptions): ProcessLogger {
  const { combine, json, timestamp } = winston.format;
  const logger = winston.createLogger({
    level,
    defaultMeta: { source },
    format: format === 'pretty' ? pretty() : combine(timestamp(), plainErrors(), json()),
    transports: [
      file === undefined
        ? new winston.transports.Console({ stderrLevels: ['error', 'warn'] })
        : new winston.transports.File({ filename: file }),
    ],
  });
  const at =
    (name: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: LogFields) => {
      logger.log(name, message, fields ?? {});
    };
  return {
    ...{ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    setLevel: (next) => {
      logger.level = next;
    },
  };
}
