/**
 * Data connections of transfers over the virtual network: what `adapters/stream-connections.ts` is over TCP. Each packet has
 * a checksum, as TLS's records do: what changes on the way breaks the connection.
 */
import type { CarrierStream } from '../internode/carrier.ts';
import type { StreamPort } from '../streaming/data-movements.ts';
import { decodeHello, encodeHello, type Hello } from '../streaming/messages.ts';
import { StreamError } from '../streaming/ports.ts';
import type { SendJob, StreamSource } from '../streaming/stream-source.ts';
import type { Fetcher, FetchLane } from '../streaming/stream-target.ts';
import type { Throttle } from '../streaming/throttle.ts';
import { checksumOf } from './file-bytes.ts';
import type { NodeWorld } from './world.ts';

const STREAM_PORT = 7002;
const STALLED_MILLIS = 30_000;
const PIECE_BYTES = 512;
const CHECKSUM_BYTES = 8;

function sealed(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(checksumOf(bytes)), bytes]);
}

/** @returns null: it is not what was sent */
function unsealed(packet: Uint8Array): Buffer | null {
  const bytes = Buffer.from(packet.subarray(CHECKSUM_BYTES));
  const isWhole = Buffer.from(packet.subarray(0, CHECKSUM_BYTES)).equals(
    Buffer.from(checksumOf(bytes)),
  );
  return isWhole ? bytes : null;
}

export function listenForStreams(
  facts: NodeWorld,
  send: StreamSource['send'],
  throttle: Throttle,
): Promise<StreamPort> {
  let isOpen = true;
  const serve = async (stream: CarrierStream, job: SendJob, drained: () => Promise<void>) => {
    try {
      const bytes = facts.files.bytesToSend(job.path);
      for (let at = job.offset; at < job.offset + job.length; at += PIECE_BYTES) {
        const piece = bytes.subarray(at, Math.min(at + PIECE_BYTES, job.offset + job.length));
        await throttle.pass(piece.length);
        if (!stream.write(sealed(piece))) await drained();
      }
    } catch (error) {
      facts.log.warn('a data connection was closed', { error });
      stream.close();
    } finally {
      job.release();
    }
  };
  facts.listen(STREAM_PORT, (stream) => {
    let go = () => {};
    const drained = () =>
      new Promise<void>((resolve) => {
        go = resolve;
      });
    return {
      packet: (packet) => {
        const hello = isOpen ? unsealed(packet) : null;
        try {
          if (hello === null) throw new StreamError('MALFORMED', 'no hello');
          void serve(stream, send(decodeHello(hello)), drained);
        } catch (error) {
          facts.log.warn('a data connection was closed', { error });
          stream.close();
        }
      },
      drained: () => go(),
      closed: () => go(),
    };
  });
  return Promise.resolve({
    port: STREAM_PORT,
    close: async () => {
      isOpen = false;
    },
  });
}

/** What is being fetched. */
interface Fetch {
  readonly path: string;
  at: number;
  left: number;
  /** One write after another. */
  writing: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

class Lane implements FetchLane {
  private readonly facts: NodeWorld;
  private readonly stream: CarrierStream;
  private current: Fetch | null = null;
  private isBroken = false;

  constructor(facts: NodeWorld, address: string, port: number) {
    this.facts = facts;
    this.stream = facts.carrier.open(address, port, {
      packet: (packet) => this.take(packet),
      drained: () => {},
      closed: (reason) => this.broken(reason),
    });
  }

  fetch(hello: Hello, path: string, length: number): Promise<void> {
    if (this.isBroken) return Promise.reject(new StreamError('BROKEN', 'the connection is closed'));
    return new Promise<void>((resolve, reject) => {
      const writing = length === 0 ? this.facts.files.append(path, 0, new Uint8Array(0)) : null;
      this.current = {
        ...{ path, at: hello.offset, left: length, resolve, reject },
        writing: writing ?? Promise.resolve(),
      };
      this.watch(length);
      if (writing === null) this.stream.write(sealed(encodeHello(hello)));
      else writing.then(() => this.end(), reject);
    });
  }

  close(): void {
    this.broken('closed');
    this.stream.close();
  }

  private watch(left: number): void {
    const { current } = this;
    this.facts.clock.after(STALLED_MILLIS, () => {
      if (this.current !== current || current === null) return;
      if (current.left === left) this.close();
      else this.watch(current.left);
    });
  }

  private take(packet: Uint8Array): void {
    const { current } = this;
    const bytes = unsealed(packet);
    if (current === null) return;
    if (bytes === null || bytes.length > current.left) {
      this.broken('not what was sent');
      this.stream.close();
      return;
    }
    const { at, path } = current;
    current.at += bytes.length;
    current.left -= bytes.length;
    current.writing = current.writing.then(() => this.facts.files.append(path, at, bytes));
    current.writing.then(
      () => {
        if (current.left === 0 && current === this.current) this.end();
      },
      (error: Error) => {
        this.current = null;
        this.isBroken = true;
        current.reject(error);
      },
    );
  }

  private end(): void {
    const { current } = this;
    this.current = null;
    current?.resolve();
  }

  private broken(reason: string): void {
    const { current } = this;
    this.isBroken = true;
    this.current = null;
    // What has arrived is on the disk before it is asked how much there is.
    current?.writing.then(
      () => current.reject(new StreamError('BROKEN', reason)),
      () => current.reject(new StreamError('BROKEN', reason)),
    );
  }
}

export function createFetcher(facts: NodeWorld): Fetcher {
  return { connect: (address, port) => Promise.resolve(new Lane(facts, address, port)) };
}
