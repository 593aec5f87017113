/**
 * One client: reads frames, answers what needs no handler, hands on the rest, keeps the limits.
 *
 *   stream → [segments] → frames → admit → dispatch → handler … begin/end/fail → output → flush → stream
 *
 * Reading stops (`#blocked`) while the client has too much in flight, does not take its answers, or
 * waits in the server's line; it goes on in the server's flush.
 * @hot
 */
import type { Writer } from '../common/bytes.ts';
import {
  CqlError,
  invalidRequest,
  overloaded,
  protocolError,
  serverError,
} from '../common/errors.ts';
import type { Admission as SharedAdmission, Waiter } from './admission.ts';
import { type CompressionName, uncompressBody } from './compression.ts';
import { decodeBatch, decodeExecute, decodePrepare, decodeQuery } from './decode-request.ts';
import { writeErrorBody } from './error-body.ts';
import { type EventType, type ServerEvent, writeEvent } from './events.ts';
import { checkOpcode, checkVersion, checkVersionByte, VersionError } from './frame-check.ts';
import { type Admission, FrameReader, type FrameSink } from './frame-reader.ts';
import {
  decodeAuthResponse,
  decodeRegister,
  decodeStartup,
  type Phase,
  refusal,
  type Startup,
  writeSupported,
} from './handshake.ts';
import type { TransportMetrics } from './metrics.ts';
import type { CqlServerOptions } from './options.ts';
import { Output, type WriterPool } from './output.ts';
import type {
  AnswerHeader,
  AuthExchange,
  Authenticator,
  AuthStep,
  ByteSink,
  ByteStream,
  ClientConnection,
  RequestHandler,
  SocketAddress,
  TransportClock,
  TransportLogger,
} from './ports.ts';
import { preludeFlags, skipPrelude, writePrelude } from './prelude.ts';
import {
  FRAME_HEADER_BYTES,
  FrameFlag,
  Opcode,
  type ProtocolVersion,
  RESPONSE_BIT,
} from './protocol.ts';
import type { Request } from './request.ts';
import { SegmentReader } from './segment-reader.ts';
import { Sender } from './sender.ts';

const LINGER_MILLIS = 2000;
const BYTES_PER_MILLI_MIN = 64;
const PRELUDE_FLAGS = FrameFlag.Compressed | FrameFlag.CustomPayload | FrameFlag.Warning;
const EVENT_STREAM = -1;
const NO_OPTIONS: ReadonlyMap<string, string> = new Map();
const OVERLOADED = 'Server is in overloaded state. Cannot accept more requests at this point';

/** What the connections of a server share. */
export interface ServerContext {
  readonly options: CqlServerOptions;
  /** Body of the largest frame taken. */
  readonly bodyBytesMax: number;
  readonly metrics: TransportMetrics;
  readonly admission: SharedAdmission;
  readonly pool: WriterPool;
  readonly handler: RequestHandler;
  readonly authenticator: Authenticator | null;
  readonly clock: TransportClock;
  readonly logger: TransportLogger;
  /** Arranges that the connection's `flush` is called; it asks once until then. */
  requestFlush(connection: Connection): void;
  /** Arranges that those in line are woken. */
  requestWake(): void;
  /** The handshake is complete. */
  ready(connection: Connection): void;
  /** The stream is gone. Called once. */
  gone(connection: Connection): void;
}

/** Body of the largest message before STARTUP is complete. */
const HANDSHAKE_BYTES_MAX = 128 * 1024;

type Closing = 'no' | 'when answered' | 'when sent' | 'lingering';

/** A client's connection. */
export class Connection implements ClientConnection, FrameSink, ByteSink, Waiter {
  readonly id: number;
  keyspace: string | null = null;
  user = 'anonymous';
  requestsTotal = 0;
  /** How much room it waits for in the server's line. */
  neededBytes = 0;

  readonly #context: ServerContext;
  readonly #stream: ByteStream;
  readonly #frames: FrameReader;
  readonly #output: Output;
  readonly #sender: Sender;
  #segments: SegmentReader | null = null;
  #phase: Phase = 'new';
  /** Fixed by STARTUP; before, that of the frame at hand. */
  #version: ProtocolVersion = 5;
  #startup: Startup | null = null;
  #exchange: AuthExchange | null = null;
  readonly #registered = new Set<EventType>();

  /** Chunks not wholly read, and where the first goes on. */
  readonly #backlog: Buffer[] = [];
  #backlogAt = 0;
  #receivedMillis = 0;
  #pumping = false;
  /** Not reading: over a limit, in line, or authenticating. */
  #blocked = false;
  #waiting = false;
  #authenticating = false;
  #paused = false;
  #peerEnded = false;
  /** Stream id of the frame at hand; 0 if none. */
  #frameStream = 0;
  #framesSeen = 0;
  /** Since when the incomplete frame is incomplete, and the count of frames then. */
  #partialSinceMillis = 0;
  #partialFrames = -1;

  #requests = 0;
  #bytes = 0;
  /** The request being answered. */
  #open: Request | null = null;
  #deferredEvents: ServerEvent[] = [];
  #flushRequested = false;
  #closing: Closing = 'no';
  #lingerUntilMillis = 0;
  #closed = false;

  constructor(id: number, stream: ByteStream, context: ServerContext) {
    this.id = id;
    this.#stream = stream;
    this.#context = context;
    this.#frames = new FrameReader(this);
    this.#output = new Output(context.pool);
    this.#sender = new Sender({
      stream,
      output: this.#output,
      pool: context.pool,
      metrics: context.metrics,
      clock: context.clock,
      sent: () => this.#sent(),
    });
  }

  get version(): ProtocolVersion {
    return this.#version;
  }
  get remote(): SocketAddress {
    return this.#stream.remote;
  }
  get tls(): ByteStream['tls'] {
    return this.#stream.tls;
  }
  get startupOptions(): ReadonlyMap<string, string> {
    return this.#startup?.options ?? NO_OPTIONS;
  }
  get compression(): CompressionName | null {
    return this.#startup?.compression ?? null;
  }
  get requestsInFlight(): number {
    return this.#requests;
  }
  get registered(): ReadonlySet<EventType> {
    return this.#registered;
  }
  get closed(): boolean {
    return this.#closed;
  }

  // ---- input ----

  onData(chunk: Buffer): void {
    this.#context.metrics.bytesReceivedTotal += chunk.length;
    if (this.#closing !== 'no' || this.#closed) return;
    this.#backlog.push(chunk);
    if (!this.#blocked) {
      this.#receivedMillis = this.#context.clock.nowMillis();
      this.#pump();
    }
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.#backlog.length === 0) this.close();
  }

  onClosed(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    if (error !== null) {
      this.#context.logger.debug('client connection broke', { connection: this.id, error });
    }
    this.#stopReading();
    this.#sender.stop();
    this.#context.gone(this);
  }

  /** Reads the backlog until it is empty or something is in the way. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#backlog.length > 0 && !this.#blocked && this.#closing === 'no')
        this.#readChunk();
    } catch (error) {
      this.#inputFailed(error);
    } finally {
      this.#pumping = false;
    }
    this.#markPartial();
    this.#setPaused(this.#backlog.length > 0);
    if (this.#peerEnded && this.#backlog.length === 0) this.close();
  }

  #readChunk(): void {
    const chunk = this.#backlog[0];
    this.#frames.halted = false;
    const segments = this.#segments;
    const reader = segments ?? this.#frames;
    const at = reader.read(chunk, this.#backlogAt, chunk.length);
    // Closing has emptied the backlog.
    if (this.#backlog.length === 0) return;
    if (at === chunk.length && (segments === null || !segments.stopped)) {
      this.#backlog.shift();
      this.#backlogAt = 0;
    } else {
      this.#backlogAt = at;
    }
  }

  #setPaused(paused: boolean): void {
    if (this.#paused === paused || this.#closed) return;
    this.#paused = paused;
    if (paused) {
      this.#context.metrics.pausesTotal++;
      this.#stream.pause();
    } else {
      this.#stream.resume();
    }
  }

  /** Notes since when the frame that is not complete is awaited. */
  #markPartial(): void {
    const pending = this.#frames.pending || (this.#segments?.pending ?? false);
    if (this.#blocked || !pending) {
      this.#partialFrames = -1;
    } else if (this.#partialFrames !== this.#framesSeen) {
      this.#partialFrames = this.#framesSeen;
      this.#partialSinceMillis = this.#context.clock.nowMillis();
    }
  }

  #inputFailed(error: unknown): void {
    if (!(error instanceof CqlError)) {
      this.#context.logger.error('bug in the CQL transport', { connection: this.id, error });
      this.#stream.destroy();
      return;
    }
    const { metrics, logger } = this.#context;
    metrics.protocolErrorsTotal++;
    logger.debug('client broke the protocol', { connection: this.id, reason: error.message });
    if (error instanceof VersionError) {
      this.#answerVersionError(error);
    } else {
      this.#answerError(this.#frameStream, error);
    }
    this.#closeWhen('when sent');
  }

  #answerVersionError(error: VersionError): void {
    if (error.answerVersion === 0) return;
    const { answerVersion, answerFlags } = error;
    const out = this.#output.open(answerVersion | RESPONSE_BIT, answerFlags, 0, Opcode.Error);
    writeErrorBody(out, error, 5);
    this.#closeFrame();
  }

  // ---- frames ----

  checkVersion(versionByte: number): void {
    checkVersionByte(versionByte);
  }

  admit(reader: FrameReader): Admission {
    const version = checkVersion(reader.versionByte, reader.flags);
    if (this.#startup === null) this.#version = version;
    this.#frameStream = reader.stream;
    checkOpcode(reader.versionByte, reader.opcode);
    const bytes = FRAME_HEADER_BYTES + reader.bodyBytes;
    if (version !== this.#version) throw versionChanged(version, this.#version);
    if (this.#phase !== 'ready' && bytes > HANDSHAKE_BYTES_MAX) {
      throw tooBig(bytes, HANDSHAKE_BYTES_MAX);
    }
    if (reader.bodyBytes > this.#context.bodyBytesMax) {
      this.#answerError(reader.stream, tooBig(bytes, this.#context.bodyBytesMax));
      return 'skip';
    }
    const admission = this.#admitBytes(bytes);
    if (admission === 'take') {
      this.#hold(bytes);
    } else if (admission === 'skip') {
      this.#context.metrics.overloadedTotal++;
      this.#answerError(reader.stream, overloaded(OVERLOADED));
    }
    return admission;
  }

  #admitBytes(bytes: number): Admission {
    if (this.#blocked) return 'stop';
    if (!this.#hasRoom(bytes)) {
      this.#blocked = true;
      return 'stop';
    }
    const { admission } = this.#context;
    if (admission.mayEnter(this, bytes)) return 'take';
    if (this.#startup?.throwOnOverload === true) return admission.fits(bytes) ? 'take' : 'skip';
    this.neededBytes = bytes;
    this.#blocked = true;
    this.#waiting = true;
    admission.wait(this);
    return 'stop';
  }

  /** Whether this connection's own limits allow a frame of so many bytes. */
  #hasRoom(bytes: number): boolean {
    const { options } = this.#context;
    return (
      !this.#authenticating &&
      this.#requests < options.connectionRequestsMax &&
      (this.#bytes === 0 || this.#bytes + bytes <= options.connectionBytesMax) &&
      this.#sender.unsentBytes <= options.outputBytesPause
    );
  }

  #hold(bytes: number): void {
    this.#bytes += bytes;
    this.#context.metrics.bytesInFlight += bytes;
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    this.#context.metrics.bytesInFlight -= bytes;
    if (this.#context.admission.contended) this.#context.requestWake();
  }

  frame(reader: FrameReader, source: Buffer, start: number, end: number): void {
    this.#framesSeen++;
    this.#context.metrics.requestsTotal[reader.opcode]++;
    let heldBytes = FRAME_HEADER_BYTES + reader.bodyBytes;
    let request: Request | null;
    try {
      if ((reader.flags & PRELUDE_FLAGS) === 0) {
        request = this.#take(reader, source, start, end);
      } else {
        const body = this.#plainBody(reader, source.subarray(start, end));
        if (body.buffer !== source.buffer) {
          this.#hold(body.length);
          heldBytes += body.length;
        }
        request = this.#take(reader, body, 0, body.length);
      }
    } catch (error) {
      this.#release(heldBytes);
      throw error;
    }
    if (request === null) {
      this.#release(heldBytes);
      return;
    }
    request.stream = reader.stream;
    request.tracing = (reader.flags & FrameFlag.Tracing) !== 0;
    request.receivedMillis = this.#receivedMillis;
    request.heldBytes = heldBytes;
    this.#handle(request);
  }

  /** The body without compression and without what may come before the message. */
  #plainBody(reader: FrameReader, received: Buffer): Buffer {
    let body = received;
    if ((reader.flags & FrameFlag.Compressed) !== 0 && this.#segments === null) {
      if (this.compression === null) {
        throw protocolError('Compressed frame, but no compression was agreed on');
      }
      body = uncompressBody(this.compression, body, this.#context.bodyBytesMax);
    }
    return body.subarray(skipPrelude(body, reader.flags, this.#version));
  }

  /** Decodes a message; answers it here (null) or gives back what the handler has to answer. */
  #take(reader: FrameReader, source: Buffer, start: number, end: number): Request | null {
    if (this.#phase !== 'ready' || reader.opcode === Opcode.Startup) {
      const reason = refusal(this.#phase, reader.opcode);
      if (reason !== null) {
        this.#answerError(reader.stream, protocolError(reason));
        return null;
      }
    }
    switch (reader.opcode) {
      case Opcode.Execute:
        return decodeExecute(this.#version, source, start, end);
      case Opcode.Query:
        return decodeQuery(this.#version, source, start, end);
      case Opcode.Batch:
        return decodeBatch(this.#version, source, start, end);
      case Opcode.Prepare:
        return decodePrepare(this.#version, source, start, end);
      default:
        this.#control(reader, source, start, end);
        return null;
    }
  }

  #handle(request: Request): void {
    this.#requests++;
    this.requestsTotal++;
    this.#context.metrics.requestsInFlight++;
    try {
      this.#context.handler.handle(request, this);
    } catch (error) {
      this.#handlerFailed(request, error);
    }
  }

  #handlerFailed(request: Request, error: unknown): void {
    const expected = error instanceof CqlError;
    if (!expected || request.answered) {
      this.#context.logger.error('request handler failed', { connection: this.id, error });
    }
    if (request.answered) return;
    this.fail(request, expected ? error : serverError('Internal error', { cause: error }));
  }

  // ---- handshake and heartbeat ----

  #control(reader: FrameReader, source: Buffer, start: number, end: number): void {
    const stream = reader.stream;
    switch (reader.opcode) {
      case Opcode.Options:
        this.#answer(stream, Opcode.Supported, writeSupported);
        break;
      case Opcode.Register: {
        const types = decodeRegister(source, start, end);
        for (const type of types) this.#registered.add(type);
        this.#answer(stream, Opcode.Ready, null);
        break;
      }
      case Opcode.AuthResponse: {
        const token = decodeAuthResponse(source, start, end);
        this.#authenticate(stream, token === null ? null : Buffer.from(token));
        break;
      }
      default:
        this.#start(stream, decodeStartup(this.#version, source, start, end));
    }
  }

  #start(stream: number, startup: Startup): void {
    const { authenticator } = this.#context;
    this.#startup = startup;
    if (authenticator === null) {
      this.#answer(stream, Opcode.Ready, null);
    } else {
      this.#exchange = authenticator.begin(this.remote);
      this.#phase = 'authenticating';
      this.#answer(stream, Opcode.Authenticate, (out) => out.string(authenticator.className));
    }
    // The answer to STARTUP is the last bare frame of v5 and the last uncompressed one before.
    this.#output.configure(this.#version >= 5, startup.compression);
    if (this.#version >= 5) {
      this.#segments = new SegmentReader(this.#frames, startup.compression !== null);
      this.#frames.halted = true;
    }
    if (authenticator === null) this.#becomeReady();
  }

  #becomeReady(): void {
    this.#phase = 'ready';
    this.#context.ready(this);
  }

  #authenticate(stream: number, token: Buffer | null): void {
    this.#authenticating = true;
    this.#blocked = true;
    this.#frames.halted = true;
    this.#exchange!.respond(token).then(
      (step) => this.#authenticated(stream, step),
      (error: unknown) => this.#refused(stream, error),
    );
  }

  #authenticated(stream: number, step: AuthStep): void {
    if (step.kind === 'challenge') {
      this.#answer(stream, Opcode.AuthChallenge, (out) => out.bytes(step.token));
    } else {
      this.user = step.user;
      this.#exchange = null;
      this.#answer(stream, Opcode.AuthSuccess, (out) => out.bytes(step.token));
      if (!this.#closed) this.#becomeReady();
    }
    this.#goOnAfterAuthentication();
  }

  #refused(stream: number, error: unknown): void {
    const expected = error instanceof CqlError;
    if (!expected) {
      this.#context.logger.error('authenticator failed', { connection: this.id, error });
    }
    this.#answerError(stream, expected ? error : serverError('Internal error', { cause: error }));
    this.#exchange = this.#context.authenticator!.begin(this.remote);
    this.#goOnAfterAuthentication();
  }

  #goOnAfterAuthentication(): void {
    this.#authenticating = false;
    this.#unblock();
  }

  // ---- answers ----

  begin(request: Request, opcode: Opcode, header?: AnswerHeader): Writer {
    if (this.#open !== null) throw serverError('bug: another answer is open on this connection');
    if (request.answered) throw serverError('bug: the request was answered already');
    this.#open = request;
    const versionByte = this.#version | RESPONSE_BIT;
    if (header === undefined) return this.#output.open(versionByte, 0, request.stream, opcode);
    const flags = preludeFlags(header, this.#version);
    const out = this.#output.open(versionByte, flags, request.stream, opcode);
    writePrelude(out, header, flags);
    return out;
  }

  end(): void {
    const request = this.#open;
    if (request === null) throw serverError('bug: no answer is open on this connection');
    this.#open = null;
    request.answered = true;
    this.#requests--;
    this.#context.metrics.requestsInFlight--;
    this.#release(request.heldBytes);
    this.#closeFrame();
    if (this.#deferredEvents.length > 0) this.#sendDeferredEvents();
  }

  fail(request: Request, error: CqlError, header?: AnswerHeader): void {
    if (this.#open === request) {
      this.#output.abandon();
      this.#open = null;
    }
    const out = this.begin(request, Opcode.Error, header);
    this.#countError(writeErrorBody(out, error, this.#version));
    this.end();
  }

  /** Sends an event, if the client registered for it. */
  notify(event: ServerEvent): void {
    if (this.#closed || !this.#registered.has(event.type)) return;
    if (this.#open !== null) {
      this.#deferredEvents.push(event);
      return;
    }
    this.#answer(EVENT_STREAM, Opcode.Event, (out) => writeEvent(out, event, this.#version));
  }

  #sendDeferredEvents(): void {
    const events = this.#deferredEvents;
    this.#deferredEvents = [];
    for (const event of events) this.notify(event);
  }

  #answer(stream: number, opcode: Opcode, write: ((out: Writer) => void) | null): void {
    const out = this.#output.open(this.#version | RESPONSE_BIT, 0, stream, opcode);
    write?.(out);
    this.#closeFrame();
  }

  #answerError(stream: number, error: CqlError): void {
    this.#answer(stream, Opcode.Error, (out) =>
      this.#countError(writeErrorBody(out, error, this.#version)),
    );
  }

  #countError(code: number): void {
    const counts = this.#context.metrics.errorsTotal;
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }

  #closeFrame(): void {
    this.#output.close();
    if (this.#closed || this.#closing === 'lingering') {
      this.#sender.discard();
    } else if (this.#sender.unsentBytes > this.#context.options.outputBytesMax) {
      this.#tooSlow('answers are not taken');
    } else if (!this.#flushRequested) {
      this.#flushRequested = true;
      this.#context.requestFlush(this);
    }
  }

  /** Sends what was answered; then goes on reading if that was waited for. */
  flush(): void {
    this.#flushRequested = false;
    if (this.#closed) return;
    this.#sender.flush();
    this.#proceed();
  }

  #sent(): void {
    if (!this.#closed) this.#proceed();
  }

  #proceed(): void {
    if (this.#closing !== 'no') this.#finishIfDone();
    else if (this.#blocked && !this.#waiting && this.#hasRoom(0)) this.#unblock();
  }

  #unblock(): void {
    this.#blocked = false;
    if (!this.#closed) this.#pump();
  }

  retry(): void {
    this.#waiting = false;
    this.#unblock();
  }

  // ---- the end ----

  close(): void {
    this.#closeWhen('when answered');
  }

  /** Closes at once. */
  destroy(): void {
    if (!this.#closed) this.#stream.destroy();
  }

  /** Called about once a second: closes clients that are too slow or do not go away. */
  tick(nowMillis: number): void {
    if (this.#closed) return;
    const { options } = this.#context;
    if (this.#closing === 'lingering') {
      if (nowMillis > this.#lingerUntilMillis) this.#stream.destroy();
    } else if (this.#sender.stalledMillis(nowMillis) > options.outputStallMillisMax) {
      this.#tooSlow('answers are not taken');
    } else if (this.#partialFrames === this.#framesSeen) {
      const bytes = this.#frames.admitted ? this.#frames.bodyBytes : 0;
      const allowedMillis = options.frameStallMillisMax + bytes / BYTES_PER_MILLI_MIN;
      if (nowMillis - this.#partialSinceMillis > allowedMillis)
        this.#tooSlow('a frame does not end');
    }
  }

  #tooSlow(reason: string): void {
    this.#context.metrics.slowClientsTotal++;
    this.#context.logger.warn('client is too slow and is closed', { connection: this.id, reason });
    this.#stream.destroy();
  }

  #closeWhen(closing: 'when answered' | 'when sent'): void {
    if (this.#closed || this.#closing === 'when sent' || this.#closing === 'lingering') return;
    this.#closing = closing;
    this.#stopReading();
    if (this.#flushRequested) return;
    this.#flushRequested = true;
    this.#context.requestFlush(this);
  }

  /** Lets go of what was received and not read. */
  #stopReading(): void {
    this.#backlog.length = 0;
    this.#backlogAt = 0;
    this.#partialFrames = -1;
    const frames = this.#frames;
    frames.halted = true;
    const admittedBytes = frames.admitted ? FRAME_HEADER_BYTES + frames.bodyBytes : 0;
    frames.reset();
    if (this.#waiting) {
      this.#waiting = false;
      this.#context.admission.leave(this);
    }
    if (admittedBytes > 0) this.#release(admittedBytes);
    if (this.#context.admission.contended) this.#context.requestWake();
  }

  #finishIfDone(): void {
    if (this.#closing === 'lingering' || !this.#sender.idle) return;
    if (this.#closing === 'when answered' && this.#requests > 0) return;
    this.#closing = 'lingering';
    this.#lingerUntilMillis = this.#context.clock.nowMillis() + LINGER_MILLIS;
    this.#stream.end();
    // What still comes is read and dropped: closing over unread bytes would lose the last answer.
    this.#setPaused(false);
  }
}

function tooBig(bytes: number, bytesMax: number): CqlError {
  return invalidRequest(
    `Request is too big: length ${bytes} exceeds maximum allowed length ${bytesMax}.`,
  );
}

function versionChanged(got: number, before: number): CqlError {
  return protocolError(
    `Invalid message version. Got ${got}/v${got} but previous messages on this connection had version ${before}/v${before}`,
  );
}
