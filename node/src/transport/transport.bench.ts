/**
 * Requests per server-CPU-second of the bare transport: EXECUTE frames of two positional values over
 * loopback, answered with RESULT void. `node transport.bench.ts [inFlight] [connections] [version]`.
 */
import { fork } from 'node:child_process';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createTcpListener } from '../adapters/tcp-listener.ts';
import type { Writer } from '../common/bytes.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { createCqlServer, DEFAULT_OPTIONS, Opcode, writeVoid } from './index.ts';
import { Output, WriterPool } from './output.ts';
import type { ProtocolVersion } from './protocol.ts';
import { SegmentReader } from './segment-reader.ts';

const SECONDS = 5;
const WARM_UP_SECONDS = 2;

function serve(): void {
  const server = createCqlServer(
    {
      listener: createTcpListener({
        host: '127.0.0.1',
        port: 0,
        reusePort: false,
        tls: null,
        handshakeMillisMax: 10_000,
      }),
      clock: {
        nowMillis: () => performance.now(),
        every: (millis, run) => {
          const timer = setInterval(run, millis);
          return () => clearInterval(timer);
        },
      },
      logger: { debug() {}, warn: console.warn, error: console.error },
      authenticator: null,
      handler: {
        handle(request, connection) {
          writeVoid(connection.begin(request, Opcode.Result));
          connection.end();
        },
      },
      scheduleFlush: (flush) => {
        setImmediate(flush);
      },
    },
    DEFAULT_OPTIONS,
  );
  server.start().then((address) => process.send!({ port: address.port }));
  process.on('message', () => {
    process.send!({ cpu: process.cpuUsage(), flushes: server.metrics.flushesTotal });
  });
}

interface ServerReport {
  readonly port?: number;
  readonly cpu?: NodeJS.CpuUsage;
  readonly flushes?: number;
}

function executeBody(out: Writer, version: ProtocolVersion): void {
  out.shortBytes(Buffer.alloc(16, 1));
  if (version >= 5) out.shortBytes(Buffer.alloc(16, 2));
  out.u16(1);
  if (version >= 5) out.i32(1);
  else out.u8(1);
  out.u16(2);
  out.bytes(Buffer.alloc(8, 3));
  out.bytes(Buffer.alloc(100, 4));
}

/** One client that keeps `inFlight` requests on the way; counts answers. */
class Client implements FrameSink {
  answered = 0;
  readonly #socket;
  readonly #output = new Output(new WriterPool());
  readonly #frames = new FrameReader(this);
  readonly #version: ProtocolVersion;
  readonly #inFlight: number;
  #segments: SegmentReader | null = null;
  #fresh = 0;

  constructor(port: number, version: ProtocolVersion, inFlight: number) {
    this.#version = version;
    this.#inFlight = inFlight;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    const out = this.#output.open(version, 0, 0, Opcode.Startup);
    out.u16(1);
    out.string('CQL_VERSION');
    out.string('3.0.0');
    this.#output.close();
    this.#flush();
  }

  #receive(chunk: Buffer): void {
    this.#fresh = 0;
    (this.#segments ?? this.#frames).read(chunk, 0, chunk.length);
    for (let i = 0; i < this.#fresh; i++) this.#send(i);
    this.#flush();
  }

  #send(stream: number): void {
    executeBody(this.#output.open(this.#version, 0, stream, Opcode.Execute), this.#version);
    this.#output.close();
  }

  #flush(): void {
    const writer = this.#output.take();
    if (writer !== null) this.#socket.write(writer.copy());
  }

  checkVersion(): void {}
  admit(): 'take' {
    return 'take';
  }
  frame(reader: FrameReader): void {
    if (reader.opcode === Opcode.Ready) {
      if (this.#version >= 5) {
        this.#output.configure(true, null);
        this.#segments = new SegmentReader(reader, false);
      }
      this.#fresh = this.#inFlight;
      return;
    }
    this.answered++;
    this.#fresh++;
  }
}

function measure(): void {
  const inFlight = Number(process.argv[2] ?? '256');
  const connections = Number(process.argv[3] ?? '4');
  const version = Number(process.argv[4] ?? '4') as ProtocolVersion;
  const child = fork(fileURLToPath(import.meta.url), ['serve']);
  const clients: Client[] = [];
  let first: { answered: number; report: ServerReport } | null = null;
  child.on('message', (report: ServerReport) => {
    if (report.port !== undefined) {
      for (let i = 0; i < connections; i++) {
        clients.push(new Client(report.port, version, Math.ceil(inFlight / connections)));
      }
      return;
    }
    const answered = clients.reduce((sum, client) => sum + client.answered, 0);
    if (first === null) {
      first = { answered, report };
      return;
    }
    const before = first.report.cpu!;
    const cpu = (report.cpu!.user + report.cpu!.system - before.user - before.system) / 1e6;
    const count = answered - first.answered;
    const perFlush = count / (report.flushes! - first.report.flushes!);
    process.stdout.write(
      `v${version}, ${connections} connections, ${inFlight} in flight: ${Math.round(count / SECONDS)} requests/s, ` +
        `${Math.round(count / cpu)} per server-CPU-second, ${perFlush.toFixed(1)} answers per write\n`,
    );
    child.kill();
    process.exit(0);
  });
  setTimeout(() => child.send('report'), WARM_UP_SECONDS * 1000);
  setTimeout(() => child.send('report'), (WARM_UP_SECONDS + SECONDS) * 1000);
}

if (process.argv[2] === 'serve') serve();
else measure();
