/** Time, and what is told to people who read logs: given by whoever runs the operator. */

export interface Clock {
  /** Milliseconds since 1970. */
  nowMillis(): number;
  /** @returns takes it back */
  after(delayMillis: number, run: () => void): () => void;
}

export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
