/** A CQL connection for what is not measured: one request at a time. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  errorText,
  frame,
  HEADER_BYTES,
  longString,
  Opcode,
  preparedId,
  STARTUP_BODY,
} from './frames.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export class BenchError extends Error {
  readonly code = 'BENCH';
  constructor(message: string) {
    super(message);
    this.name = 'BenchError';
  }
}

export class Client {
  private readonly socket: Socket;
  private chunks: Buffer[] = [];
  private length = 0;
  private waiting: { resolve(body: Buffer): void; reject(error: Error): void } | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    const fail = () => this.waiting?.reject(new BenchError('the server closed the connection'));
    socket.on('error', fail).on('close', fail);
  }

  /** @throws the socket's error if nobody listens */
  static async connect({ host, port }: Endpoint): Promise<Client> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, 'connect');
    const client = new Client(socket);
    await client.request(frame(Opcode.Startup, 0, STARTUP_BODY));
    return client;
  }

  private take(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.length += chunk.length;
    if (this.length < HEADER_BYTES) return;
    if (this.chunks[0].length < HEADER_BYTES) this.chunks = [Buffer.concat(this.chunks)];
    const [first] = this.chunks;
    if (this.length < HEADER_BYTES + first.readUInt32BE(5)) return;
    const all = Buffer.concat(this.chunks);
    this.chunks = [];
    this.length = 0;
    const body = all.subarray(HEADER_BYTES);
    const waiting = this.waiting;
    this.waiting = null;
    if (all[4] === Opcode.Error) waiting?.reject(new BenchError(errorText(body)));
    else waiting?.resolve(body);
  }

  /** @returns the body of the answer @throws BenchError with the server's error */
  request(bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.write(bytes);
    });
  }

  /** @throws BenchError */
  async query(text: string): Promise<Buffer> {
    return this.request(frame(Opcode.Query, 0, longString(text), Buffer.of(0, 1, 0)));
  }

  /** @throws BenchError */
  async prepare(text: string): Promise<Buffer> {
    return preparedId(await this.request(frame(Opcode.Prepare, 0, longString(text))));
  }

  close(): void {
    this.socket.destroy();
  }
}
