/**
 * One client: reads frames, answers what needs no handler, hands on the rest, keeps the limits.
 *
 *   stream → input → [segments] → frames → admit → handler … begin/end/fail → output → sender → stream
 *
 * Reading is blocked while the client has too much in flight, does not take its answers, waits in the
 * server's line or is being authenticated; it goes on in the server's flush.
 * @hot
 */
import type { Writer } from '../common/bytes.ts';
import { CqlError, protocolError, serverError } from '../common/errors.ts';
import type { Waiter } from './admission.ts';
import { type CompressionName, uncompressBody } from './compression.ts';
import type { ServerContext } from './context.ts';
import { decodeBatch, decodeExecute, decodePrepare, decodeQuery } from './decode-request.ts';
import { writeErrorBody } from './error-body.ts';
import { type EventType, type ServerEvent, writeEvent } from './events.ts';
import {
  checkOpcode,
  checkVersion,
  checkVersionByte,
  isTooBig,
  serverOverloaded,
  tooBig,
  VersionError,
  versionChanged,
} from './frame-check.ts';
import { type Admission, FrameReader, type FrameSink } from './frame-reader.ts';
import { Gate, type GateConnection } from './gate.ts';
import type { Startup } from './handshake.ts';
import { Input } from './input.ts';
import { Output } from './output.ts';
import type {
  AnswerHeader,
  ByteSink,
  ByteStream,
  ClientConnection,
  SocketAddress,
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
import { Sender } from './sender.ts';

/** How long a client that was told to go may take to close. */
const LINGER_MILLIS = 2000;
/** Largest frame before STARTUP is complete. */
const HANDSHAKE_BYTES_MAX = 128 * 1024;
const EVENT_STREAM = -1;
const PRELUDE_FLAGS = FrameFlag.Compressed | FrameFlag.CustomPayload | FrameFlag.Warning;

/** 'when answered' and 'when sent' say what is waited for; 'lingering': for the client to close. */
type Closing = 'no' | 'when answered' | 'when sent' | 'lingering';

/** A client's connection. */
export class Connection implements ClientConnection, GateConnection, FrameSink, ByteSink, Waiter {
  readonly id: number;
  readonly remote: SocketAddress;
  readonly tls: ByteStream['tls'];
  keyspace: string | null = null;
  requestsTotal = 0;
  requestsInFlight = 0;
  closed = false;
  /** Fixed by STARTUP; before, that of the frame at hand. */
  version: ProtocolVersion = 5;
  neededBytes = 0;

  readonly #context: ServerContext;
  readonly #stream: ByteStream;
  readonly #input: Input;
  readonly #frames: FrameReader;
  readonly #gate: Gate;
  readonly #output: Output;
  readonly #sender: Sender;
  /** In the server's line, for `neededBytes`. */
  #waiting = false;
  /** Stream id of the frame at hand. */
  #frameStream = 0;
  #bytesInFlight = 0;
  /** The request being answered. */
  #open: Request | null = null;
  #deferredEvents: ServerEvent[] = [];
  #flushRequested = false;
  #closing: Closing = 'no';
  #lingerUntilMillis = 0;

  constructor(id: number, stream: ByteStream, context: ServerContext) {
    const { metrics, clock, pool } = context;
    this.id = id;
    this.remote = stream.remote;
    this.tls = stream.tls;
    this.#stream = stream;
    this.#context = context;
    this.#frames = new FrameReader(this);
    this.#gate = new Gate(this, context.authenticator, context.logger);
    this.#output = new Output(pool);
    this.#input = new Input({
      stream,
      frames: this.#frames,
      clock,
      metrics,
      failed: (error) => this.failed(error),
      exhausted: () => this.close(),
    });
    const [output, sent] = [this.#output, (): void => this.#proceed()];
    this.#sender = new Sender({ stream, output, pool, metrics, clock, sent });
  }

  get user(): string {
    return this.#gate.user;
  }
  get startupOptions(): ReadonlyMap<string, string> {
    return this.#gate.startupOptions;
  }
  get compression(): CompressionName | null {
    return this.#gate.startup?.compression ?? null;
  }
  get registered(): ReadonlySet<EventType> {
    return this.#gate.registered;
  }

  // ---- from the stream ----

  onData(chunk: Buffer): void {
    this.#context.metrics.bytesReceivedTotal += chunk.length;
    this.#input.receive(chunk);
  }

  onEnd(): void {
    this.#input.end();
  }

  onClosed(error: Error | null): void {
    if (this.closed) return;
    this.closed = true;
    if (error !== null) {
      this.#context.logger.debug('client connection broke', { connection: this.id, error });
    }
    this.#stopReading();
    this.#sender.stop();
    this.#context.gone(this);
  }

  failed(error: unknown): void {
    const { metrics, logger } = this.#context;
    if (!(error instanceof CqlError)) {
      logger.error('bug in the CQL transport', { connection: this.id, error });
      this.destroy();
      return;
    }
    metrics.protocolErrorsTotal++;
    logger.debug('client broke the protocol', { connection: this.id, reason: error.message });
    if (error instanceof VersionError) this.#answerVersion(error);
    else this.answerError(this.#frameStream, error);
    this.#closeWhen('when sent');
  }

  #answerVersion(error: VersionError): void {
    if (error.answerVersion === 0) return;
    const versionByte = error.answerVersion | RESPONSE_BIT;
    const out = this.#output.open(versionByte, error.answerFlags, 0, Opcode.Error);
    this.#countError(writeErrorBody(out, error, 5));
    this.#closeFrame();
  }

  // ---- from the frame reader ----

  checkVersion(versionByte: number): void {
    checkVersionByte(versionByte);
  }

  admit(reader: FrameReader): Admission {
    const version = checkVersion(reader.versionByte, reader.flags);
    if (this.#gate.startup === null) this.version = version;
    this.#frameStream = reader.stream;
    checkOpcode(reader.versionByte, reader.opcode);
    if (version !== this.version) throw versionChanged(version, this.version);
    const bytes = FRAME_HEADER_BYTES + reader.bodyBytes;
    if (bytes > HANDSHAKE_BYTES_MAX && this.#gate.phase !== 'ready') {
      throw tooBig(bytes, HANDSHAKE_BYTES_MAX);
    }
    const { bodyBytesMax, metrics } = this.#context;
    if (reader.bodyBytes > bodyBytesMax) {
      this.answerError(reader.stream, tooBig(bytes, FRAME_HEADER_BYTES + bodyBytesMax));
      return 'skip';
    }
    const admission = this.#admitBytes(bytes);
    if (admission === 'take') this.#hold(bytes);
    if (admission !== 'skip') return admission;
    metrics.overloadedTotal++;
    this.answerError(reader.stream, serverOverloaded());
    return 'skip';
  }

  #admitBytes(bytes: number): Admission {
    if (this.#input.blocked) return 'stop';
    if (!this.#hasRoom(bytes)) {
      this.#input.block();
      return 'stop';
    }
    const { admission } = this.#context;
    if (admission.mayEnter(this, bytes)) return 'take';
    if (this.#gate.startup?.throwOnOverload === true)
      return admission.fits(bytes) ? 'take' : 'skip';
    this.neededBytes = bytes;
    this.#waiting = true;
    this.#input.block();
    admission.wait(this);
    return 'stop';
  }

  /** Whether this connection's own limits allow a frame of so many bytes. */
  #hasRoom(bytes: number): boolean {
    const { connectionRequestsMax, connectionBytesMax, outputBytesPause } = this.#context.options;
    if (this.requestsInFlight >= connectionRequestsMax) return false;
    if (this.#sender.unsentBytes > outputBytesPause) return false;
    return this.#bytesInFlight === 0 || this.#bytesInFlight + bytes <= connectionBytesMax;
  }

  #hold(bytes: number): void {
    this.#bytesInFlight += bytes;
    this.#context.metrics.bytesInFlight += bytes;
  }

  #release(bytes: number): void {
    this.#bytesInFlight -= bytes;
    this.#context.metrics.bytesInFlight -= bytes;
    if (this.#context.admission.contended) this.#context.requestWake();
  }

  frame(reader: FrameReader, source: Buffer, start: number, end: number): void {
    this.#input.framesCount++;
    this.#context.metrics.requestsTotal[reader.opcode]++;
    let heldBytes = FRAME_HEADER_BYTES + reader.bodyBytes;
    let request: Request | null;
    try {
      if ((reader.flags & PRELUDE_FLAGS) === 0) {
        request = this.#take(reader, source, start, end);
      } else {
        const body = this.#plainBody(reader, source.subarray(start, end));
        const grownBytes = body.buffer === source.buffer ? 0 : body.length;
        this.#hold(grownBytes);
        heldBytes += grownBytes;
        request = this.#take(reader, body, 0, body.length);
      }
    } catch (error) {
      this.#release(heldBytes);
      if (!isTooBig(error)) throw error;
      this.answerError(reader.stream, error);
      return;
    }
    if (request === null) {
      this.#release(heldBytes);
      return;
    }
    request.heldBytes = heldBytes;
    this.#handle(request, reader);
  }

  /** The body without compression and without what may come before the message. */
  #plainBody(reader: FrameReader, received: Buffer): Buffer {
    let body = received;
    if ((reader.flags & FrameFlag.Compressed) !== 0 && !this.#input.segmented) {
      if (this.compression === null) {
        throw protocolError('Compressed frame, but no compression was agreed on');
      }
      body = uncompressBody(this.compression, body, this.#context.bodyBytesMax);
    }
    return body.subarray(skipPrelude(body, reader.flags, this.version));
  }

  /** Decodes a message; answers it here (null) or gives back what the handler has to answer. */
  #take(reader: FrameReader, source: Buffer, start: number, end: number): Request | null {
    const gate = this.#gate;
    if (gate.phase !== 'ready' && !gate.admits(reader.stream, reader.opcode)) return null;
    switch (reader.opcode) {
      case Opcode.Execute:
        return decodeExecute(this.version, source, start, end);
      case Opcode.Query:
        return decodeQuery(this.version, source, start, end);
      case Opcode.Batch:
        return decodeBatch(this.version, source, start, end);
      case Opcode.Prepare:
        return decodePrepare(this.version, source, start, end);
    }
    if (gate.admits(reader.stream, reader.opcode)) {
      gate.take(reader.stream, reader.opcode, source, start, end);
    }
    return null;
  }

  #handle(request: Request, reader: FrameReader): void {
    request.stream = reader.stream;
    request.tracing = (reader.flags & FrameFlag.Tracing) !== 0;
    request.receivedMillis = this.#input.receivedMillis;
    this.requestsInFlight++;
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

  // ---- from the gate ----

  answer(stream: number, opcode: Opcode, write: ((out: Writer) => void) | null): void {
    const out = this.#output.open(this.version | RESPONSE_BIT, 0, stream, opcode);
    write?.(out);
    this.#closeFrame();
  }

  answerError(stream: number, error: CqlError): void {
    this.answer(stream, Opcode.Error, (out) =>
      this.#countError(writeErrorBody(out, error, this.version)),
    );
  }

  started(startup: Startup): void {
    this.#output.configure(this.version >= 5, startup.compression);
    if (this.version >= 5) this.#input.expectSegments(startup.compression !== null);
  }

  ready(): void {
    if (!this.closed) this.#context.ready(this);
  }

  suspend(): void {
    this.#input.block();
  }

  resume(): void {
    this.#input.unblock();
  }

  // ---- from the handler ----

  begin(request: Request, opcode: Opcode, header?: AnswerHeader): Writer {
    if (this.#open !== null) throw serverError('Bug: another answer is open on this connection');
    if (request.answered) throw serverError('Bug: the request was answered already');
    this.#open = request;
    const versionByte = this.version | RESPONSE_BIT;
    if (header === undefined) return this.#output.open(versionByte, 0, request.stream, opcode);
    const flags = preludeFlags(header, this.version);
    const out = this.#output.open(versionByte, flags, request.stream, opcode);
    writePrelude(out, header, flags);
    return out;
  }

  end(): void {
    const request = this.#open;
    if (request === null) throw serverError('Bug: no answer is open on this connection');
    this.#open = null;
    request.answered = true;
    this.requestsInFlight--;
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
    this.#countError(writeErrorBody(out, error, this.version));
    this.end();
  }

  close(): void {
    this.#closeWhen('when answered');
  }

  /** Sends an event, if the client registered for it. */
  notify(event: ServerEvent): void {
    if (this.closed || !this.#gate.registered.has(event.type)) return;
    if (this.#open !== null) this.#deferredEvents.push(event);
    else this.answer(EVENT_STREAM, Opcode.Event, (out) => writeEvent(out, event, this.version));
  }

  #sendDeferredEvents(): void {
    const events = this.#deferredEvents;
    this.#deferredEvents = [];
    for (const event of events) this.notify(event);
  }

  /** Sends what was answered; then goes on reading if that was waited for. */
  flush(): void {
    this.#flushRequested = false;
    if (this.closed) return;
    this.#sender.flush();
    this.#proceed();
  }

  retry(): void {
    this.#waiting = false;
    this.#input.unblock();
  }

  /** Called about once a second: closes clients that are too slow or do not go away. */
  tick(nowMillis: number): void {
    if (this.closed) return;
    const { options } = this.#context;
    if (this.#closing === 'lingering') {
      if (nowMillis > this.#lingerUntilMillis) this.destroy();
    } else if (this.#sender.stalledMillis(nowMillis) > options.outputStallMillisMax) {
      this.#tooSlow('answers are not taken');
    } else if (this.#input.stalled(nowMillis, options.frameStallMillisMax)) {
      this.#tooSlow('a frame does not end');
    }
  }

  /** Closes at once. */
  destroy(): void {
    if (!this.closed) this.#stream.destroy();
  }

  // ---- output and the end ----

  #countError(code: number): void {
    const counts = this.#context.metrics.errorsTotal;
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }

  #closeFrame(): void {
    this.#output.close();
    if (this.closed || this.#closing === 'lingering') this.#sender.discard();
    else if (this.#sender.unsentBytes <= this.#context.options.outputBytesMax) this.#requestFlush();
    else this.#tooSlow('answers are not taken');
  }

  #requestFlush(): void {
    if (this.#flushRequested) return;
    this.#flushRequested = true;
    this.#context.requestFlush(this);
  }

  #proceed(): void {
    if (this.closed) return;
    if (this.#closing !== 'no') {
      this.#finishIfDone();
    } else if (this.#input.blocked && !this.#waiting && !this.#gate.suspended && this.#hasRoom(0)) {
      this.#input.unblock();
    }
  }

  #tooSlow(reason: string): void {
    this.#context.metrics.slowClientsTotal++;
    this.#context.logger.warn('client is too slow and is closed', { connection: this.id, reason });
    this.destroy();
  }

  #closeWhen(closing: 'when answered' | 'when sent'): void {
    if (this.closed || this.#closing === 'when sent' || this.#closing === 'lingering') return;
    this.#closing = closing;
    this.#stopReading();
    this.#requestFlush();
  }

  /** Lets go of what was received and not read. */
  #stopReading(): void {
    const { admission } = this.#context;
    const admitted = this.#frames.admitted ? FRAME_HEADER_BYTES + this.#frames.bodyBytes : 0;
    this.#input.stop();
    if (this.#waiting) {
      this.#waiting = false;
      admission.leave(this);
      if (admission.contended) this.#context.requestWake();
    }
    if (admitted > 0) this.#release(admitted);
  }

  #finishIfDone(): void {
    if (this.#closing === 'lingering' || !this.#sender.idle) return;
    if (this.#closing === 'when answered' && this.requestsInFlight > 0) return;
    this.#closing = 'lingering';
    this.#lingerUntilMillis = this.#context.clock.nowMillis() + LINGER_MILLIS;
    this.#stream.end();
    // What still comes is read and dropped: closing over unread bytes would lose the last answer.
    this.#input.drop();
  }
}
