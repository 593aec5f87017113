/** A connection that hears of nodes that come and go: what drivers are told, as it is told. */
import { once } from 'node:events';
import { connect } from 'node:net';

export interface StatusEvent {
  /** `UP` or `DOWN`. */
  readonly change: string;
  readonly address: string;
  /** `performance.now()` */
  readonly at: number;
}

const OPCODE = { startup: 1, register: 11, event: 12 } as const;
const HEADER_BYTES = 9;

function frame(opcode: number, body: Buffer): Buffer {
  const header = Buffer.from([4, 0, 0, 0, opcode, 0, 0, 0, 0]);
  header.writeInt32BE(body.length, 5);
  return Buffer.concat([header, body]);
}

/** [string]s, after their count. */
function strings(...texts: readonly string[]): Buffer {
  const parts = texts.map((text) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
  });
  return Buffer.concat(parts);
}

function readEvent(body: Buffer): StatusEvent {
  const typeBytes = body.readUInt16BE(0);
  const changeAt = 2 + typeBytes;
  const changeEnd = changeAt + 2 + body.readUInt16BE(changeAt);
  const change = body.toString('utf8', changeAt + 2, changeEnd);
  const address = [...body.subarray(changeEnd + 1, changeEnd + 1 + body[changeEnd])].join('.');
  return { change, address, at: performance.now() };
}

/** @returns what it hears, growing */
export async function listenToStatus(
  address: string,
  port = 9042,
): Promise<AsyncDisposable & { readonly events: readonly StatusEvent[] }> {
  const events: StatusEvent[] = [];
  const socket = connect(port, address);
  await once(socket, 'connect');
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + rest.readInt32BE(5);
      if (rest.length < end) return;
      if (rest[4] === OPCODE.event) events.push(readEvent(rest.subarray(HEADER_BYTES, end)));
      rest = rest.subarray(end);
    }
  });
  const options = Buffer.concat([Buffer.from([0, 1]), strings('CQL_VERSION', '3.0.0')]);
  socket.write(frame(OPCODE.startup, options));
  await once(socket, 'data');
  const kinds = Buffer.concat([Buffer.from([0, 1]), strings('STATUS_CHANGE')]);
  socket.write(frame(OPCODE.register, kinds));
  await once(socket, 'data');
  return {
    events,
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
    },
  };
}
