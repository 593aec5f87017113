/** Requests to the API server over HTTP: JSON in and out, each with a deadline and a bound; failures are KubeError. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { KubeError, type KubeErrorCode } from '../ports/kube.ts';
import type { KubeAccess } from './kube-access.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface KubeRequest {
  readonly method: Method;
  /** From `/api` or `/apis`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body; without it JSON. */
  readonly contentType?: string;
}

export interface TransportOptions {
  /** Of a request, from its beginning to the end of its answer. */
  readonly deadlineMillis: number;
  /** Of an answer, and of one line of a watch. */
  readonly bytesMax: number;
}

const DEFAULTS: TransportOptions = { deadlineMillis: 30_000, bytesMax: 64 << 20 };

/** A running watch: its lines, then its end. */
export interface LineSink {
  /** An object that came as one line. */
  line(value: unknown): void;
  /** Once. @param error null: the server ended it as it was told to */
  ended(error: KubeError | null): void;
}

export interface KubeTransport {
  /** @throws KubeError */
  call(request: KubeRequest): Promise<unknown>;
  /**
   * Reads an answer that is one object a line.
   * @param idleMillis without a byte for so long it is taken for dead @returns stops it, without an end being told
   */
  follow(request: KubeRequest, idleMillis: number, sink: LineSink): () => void;
  close(): void;
}

/** What the API server says of a failure. */
interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly causes?: readonly { readonly field?: string }[] };
}

/** What server-side apply says of fields that the schema does not have; as a failure of the server (500). */
const NOT_IN_SCHEMA = /^failed to create typed patch object/;

function codeOf(httpStatus: number, reason: string | undefined): KubeErrorCode {
  switch (httpStatus) {
    case 401:
    case 403:
      return 'FORBIDDEN';
    case 404:
      return 'NOT_FOUND';
    case 409:
      return reason === 'AlreadyExists' ? 'ALREADY_EXISTS' : 'CONFLICT';
    case 410:
      return 'GONE';
    case 412:
      return 'CONFLICT';
    default:
      return httpStatus >= 400 && httpStatus < 500 && httpStatus !== 408 && httpStatus !== 429
        ? 'INVALID'
        : 'UNAVAILABLE';
  }
}

/** @param status as the API server sends it, or anything else */
export function errorOfStatus(status: unknown, httpStatus: number): KubeError {
  const { message, reason, code, details } = (
    typeof status === 'object' && status !== null ? status : {}
  ) as Status;
  const words = typeof message === 'string' && message !== '' ? message : `HTTP ${httpStatus}`;
  // An apply that names another uid than the object has.
  const isOther = details?.causes?.some(({ field }) => field === 'metadata.uid') === true;
  const found = codeOf(typeof code === 'number' ? code : httpStatus, reason);
  if (found === 'INVALID' && isOther) return new KubeError('CONFLICT', words);
  return new KubeError(NOT_IN_SCHEMA.test(words) ? 'INVALID' : found, words);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const unavailable = (what: string, cause?: unknown) =>
  new KubeError('UNAVAILABLE', `the API server: ${what}`, { cause });

/** Cuts bytes into lines. A line beyond `bytesMax` is an error. */
export function lineCutter(bytesMax: number, line: (text: string) => void) {
  let parts: Buffer[] = [];
  let held = 0;
  /** @returns false: a line is too long */
  return (chunk: Buffer): boolean => {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      held += piece.length;
      if (held > bytesMax) return false;
      parts.push(piece);
      if (end < 0) return true;
      const text = Buffer.concat(parts).toString('utf8');
      parts = [];
      held = 0;
      if (text.trim() !== '') line(text);
      from = end + 1;
    }
  };
}

/** Collects an answer. */
function bodyOf(response: IncomingMessage, bytesMax: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else response.destroy(new Error(`an answer of more than ${bytesMax} bytes`));
    });
    response.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.once('error', reject);
    response.once('close', () => reject(new Error('the connection was lost')));
  });
}

export function createTransport(
  access: KubeAccess,
  options: Partial<TransportOptions> = {},
): KubeTransport {
  const { deadlineMillis, bytesMax } = { ...DEFAULTS, ...options };

  const open = async ({ method, path, query, body, contentType }: KubeRequest) => {
    const { agent, headers } = await access.credentials();
    const url = new URL(access.server);
    url.pathname = `${url.pathname.replace(/\/$/, '')}${path}`;
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const text = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const request = send(url, {
      method,
      agent,
      headers: {
        ...headers,
        accept: 'application/json',
        'user-agent': 'ilion-operator',
        ...(text === null
          ? {}
          : {
              'content-type': contentType ?? 'application/json',
              'content-length': text.length,
            }),
      },
    });
    request.end(text ?? undefined);
    return request;
  };

  const answerOf = (request: ClientRequest): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      request.once('response', resolve);
      request.once('error', reject);
    });

  const call = async (wanted: KubeRequest): Promise<unknown> => {
    let request: ClientRequest | null = null;
    const timer = setTimeout(
      () => request?.destroy(new Error(`no answer within ${deadlineMillis} ms`)),
      deadlineMillis,
    );
    let response: IncomingMessage;
    let text: string;
    try {
      request = await open(wanted);
      // What comes after the answer is seen by those who read it.
      request.on('error', () => {});
      response = await answerOf(request);
      text = await bodyOf(response, bytesMax);
    } catch (error) {
      throw unavailable((error as Error).message, error);
    } finally {
      clearTimeout(timer);
    }
    const httpStatus = response.statusCode ?? 0;
    const value = parsed(text);
    if (httpStatus >= 200 && httpStatus < 300) {
      if (value === null) throw unavailable('an answer that is not JSON');
      return value;
    }
    throw errorOfStatus(value, httpStatus);
  };

  const follow = (wanted: KubeRequest, idleMillis: number, sink: LineSink) => {
    let request: ClientRequest | null = null;
    let isOver = false;
    const over = (error: KubeError | null) => {
      if (isOver) return;
      isOver = true;
      request?.destroy();
      sink.ended(error);
    };
    const read = (response: IncomingMessage) => {
      const cut = lineCutter(bytesMax, (text) => {
        if (isOver) return;
        const value = parsed(text);
        if (value === null) over(unavailable('a line of a watch that is not JSON'));
        else sink.line(value);
      });
      response.on('data', (chunk: Buffer) => {
        if (!isOver && !cut(chunk)) over(unavailable('a line of a watch that is too long'));
      });
      response.once('end', () => over(null));
      response.once('error', (error) => over(unavailable(error.message, error)));
      response.once('close', () => over(unavailable('the connection of a watch was lost')));
    };
    void (async () => {
      try {
        request = await open(wanted);
        if (isOver) {
          request.on('error', () => {});
          request.destroy();
          return;
        }
        request.on('error', (error) => over(unavailable(error.message, error)));
        // The agent's own time for idle connections must not end it.
        request.setTimeout(idleMillis, () => over(unavailable('a watch went silent')));
        const response = await answerOf(request);
        const httpStatus = response.statusCode ?? 0;
        if (httpStatus === 200) read(response);
        else over(errorOfStatus(parsed(await bodyOf(response, bytesMax)), httpStatus));
      } catch (error) {
        over(unavailable((error as Error).message, error));
      }
    })();
    return () => {
      isOver = true;
      request?.destroy();
    };
  };

  return { call, follow, close: () => access.close() };
}
