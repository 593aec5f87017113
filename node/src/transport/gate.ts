/**
 * What a connection answers itself: OPTIONS, STARTUP, authentication, REGISTER; and what may come when
 * (the state table of handshake.ts).
 */
import type { Writer } from '../common/bytes.ts';
import { CqlError, protocolError, serverError } from '../common/errors.ts';
import type { EventType } from './events.ts';
import {
  decodeAuthResponse,
  decodeRegister,
  decodeStartup,
  type Phase,
  refusal,
  type Startup,
  writeSupported,
} from './handshake.ts';
import type {
  AuthExchange,
  Authenticator,
  AuthStep,
  SocketAddress,
  TransportLogger,
} from './ports.ts';
import { Opcode, type ProtocolVersion } from './protocol.ts';

const NO_OPTIONS: ReadonlyMap<string, string> = new Map();

/** What the gate asks of its connection. */
export interface GateConnection {
  readonly id: number;
  readonly remote: SocketAddress;
  readonly version: ProtocolVersion;
  answer(stream: number, opcode: Opcode, write: ((out: Writer) => void) | null): void;
  answerError(stream: number, error: CqlError): void;
  /** STARTUP was answered: what follows is framed and compressed as it says, both ways. */
  started(startup: Startup): void;
  /** Requests may come. */
  ready(): void;
  /** Authentication is under way: nothing is to be read. */
  suspend(): void;
  resume(): void;
  /** Something broke that nobody else hears of. */
  failed(error: unknown): void;
}

/** One connection's way to its first request. */
export class Gate {
  user = 'anonymous';
  startup: Startup | null = null;
  phase: Phase = 'new';
  readonly registered = new Set<EventType>();
  /** Whether an answer of the authenticator is awaited. */
  suspended = false;
  readonly #connection: GateConnection;
  readonly #authenticator: Authenticator | null;
  readonly #logger: TransportLogger;
  #exchange: AuthExchange | null = null;

  constructor(
    connection: GateConnection,
    authenticator: Authenticator | null,
    logger: TransportLogger,
  ) {
    this.#connection = connection;
    this.#authenticator = authenticator;
    this.#logger = logger;
  }

  get startupOptions(): ReadonlyMap<string, string> {
    return this.startup?.options ?? NO_OPTIONS;
  }

  /** Whether a message may come now; if not, it is answered with the error. */
  admits(stream: number, opcode: number): boolean {
    const reason = refusal(this.phase, opcode);
    if (reason !== null) this.#connection.answerError(stream, protocolError(reason));
    return reason === null;
  }

  /** Answers a message that is no request; body in [start, end) of `source`. */
  take(stream: number, opcode: number, source: Buffer, start: number, end: number): void {
    switch (opcode) {
      case Opcode.Options:
        this.#connection.answer(stream, Opcode.Supported, writeSupported);
        break;
      case Opcode.Register:
        for (const type of decodeRegister(source, start, end)) this.registered.add(type);
        this.#connection.answer(stream, Opcode.Ready, null);
        break;
      case Opcode.AuthResponse: {
        const token = decodeAuthResponse(source, start, end);
        this.#respond(stream, token === null ? null : Buffer.from(token));
        break;
      }
      default:
        this.#start(stream, decodeStartup(this.#connection.version, source, start, end));
    }
  }

  #start(stream: number, startup: Startup): void {
    const authenticator = this.#authenticator;
    this.startup = startup;
    if (authenticator === null) {
      this.#connection.answer(stream, Opcode.Ready, null);
    } else {
      this.#exchange = authenticator.begin(this.#connection.remote);
      this.phase = 'authenticating';
      const name = authenticator.className;
      this.#connection.answer(stream, Opcode.Authenticate, (out) => out.string(name));
    }
    this.#connection.started(startup);
    if (authenticator === null) this.#becomeReady();
  }

  #becomeReady(): void {
    this.phase = 'ready';
    this.#connection.ready();
  }

  #respond(stream: number, token: Buffer | null): void {
    this.suspended = true;
    this.#connection.suspend();
    this.#exchange!.respond(token)
      .then(
        (step) => this.#proceed(stream, step),
        (error: unknown) => this.#refuse(stream, error),
      )
      .catch((error: unknown) => this.#connection.failed(error));
  }

  #proceed(stream: number, step: AuthStep): void {
    this.suspended = false;
    if (step.kind === 'challenge') {
      this.#connection.answer(stream, Opcode.AuthChallenge, (out) => out.bytes(step.token));
    } else {
      this.user = step.user;
      this.#exchange = null;
      this.#connection.answer(stream, Opcode.AuthSuccess, (out) => out.bytes(step.token));
      this.#becomeReady();
    }
    this.#connection.resume();
  }

  /** The client may try again, from the start. */
  #refuse(stream: number, error: unknown): void {
    this.suspended = false;
    const expected = error instanceof CqlError;
    if (!expected) {
      this.#logger.error('authenticator failed', { connection: this.#connection.id, error });
    }
    const shown = expected ? error : serverError('Internal error', { cause: error });
    this.#connection.answerError(stream, shown);
    this.#exchange = this.#authenticator!.begin(this.#connection.remote);
    this.#connection.resume();
  }
}
