/**
 * Fuzzes a whole server in memory: streams of valid requests, mutated or not, cut anywhere, with small
 * limits, clients that stall, handlers that answer in any order. What must hold: nothing is thrown and
 * no bug is logged, everything sent is valid protocol, what was not mutated is answered, and in the
 * end nothing is in flight. node/tools/fuzz-run.ts says how it is run.
 */
import assert from 'node:assert/strict';
import { runFuzz } from '../../tools/fuzz-run.ts';
import { CqlError, invalidRequest } from '../common/errors.ts';
import { mutate, type Random, randomBytes, seededRandom } from '../types/random-values.ts';
import type { BoundValue, ClientCodec, QueryParameters } from './client-codec.ts';
import { decodeBatch, decodeExecute, decodePrepare, decodeQuery } from './decode-request.ts';
import { type HeldRequest, MemoryClient, MemoryWorld } from './memory-world.ts';
import type { CqlServerOptions } from './options.ts';
import { Opcode, type ProtocolVersion } from './protocol.ts';
import { valueAt, valueCount } from './request.ts';

const DECODERS = [decodeQuery, decodeExecute, decodeBatch, decodePrepare];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random(items.length)];
}

function randomOptions(random: Random): Partial<CqlServerOptions> {
  return {
    frameBytesMax: pick(random, [500, 200_000, 1 << 28]),
    connectionRequestsMax: 1 + random(5),
    connectionBytesMax: pick(random, [2000, 100_000, 1_000_000]),
    requestsMax: 1 + random(8),
    bytesMax: pick(random, [2000, 100_000, 1_000_000]),
    outputBytesPause: pick(random, [100, 100_000]),
  };
}

function randomParameters(random: Random): QueryParameters {
  const values: BoundValue[] = [];
  for (let i = random(4); i > 0; i--) {
    values.push(pick(random, [null, undefined, randomBytes(random, random(30))]));
  }
  return {
    consistency: random(11),
    ...(random(2) === 0 ? {} : { values }),
    ...(random(4) === 0 ? { names: values.map((_, i) => `n${i}`) } : {}),
    ...(random(3) === 0 ? { pageSize: random(1000) } : {}),
    ...(random(4) === 0 ? { pagingState: randomBytes(random, random(20)) } : {}),
    ...(random(3) === 0 ? { timestamp: BigInt(random(1 << 30)) } : {}),
    ...(random(5) === 0 ? { keyspace: 'ks' } : {}),
  };
}

/** Writes one request that expects exactly one answer. */
function randomRequest(random: Random, codec: ClientCodec, stream: number): void {
  const size = pick(random, [0, 5, 100, 3000, random(20) === 0 ? 300_000 : 10]);
  const text = 'q'.repeat(size);
  const id = Buffer.alloc(16, stream);
  switch (random(7)) {
    case 0:
      codec.options(stream);
      break;
    case 1:
      codec.register(stream, ['STATUS_CHANGE']);
      break;
    case 2:
      codec.prepare(stream, text, random(2) === 0 ? null : 'ks');
      break;
    case 3:
      codec.batch(stream, random(3), [
        { statement: text, values: [] },
        { statement: id, values: [id] },
      ]);
      break;
    case 4:
      codec.query(stream, text, randomParameters(random));
      break;
    default:
      codec.execute(stream, id, id, randomParameters(random));
  }
}

function answer({ request, connection }: HeldRequest, random: Random): void {
  if (request.kind !== 'prepare') {
    for (let i = 0; i < valueCount(request); i++) valueAt(request, i);
  }
  if (random(4) === 0) {
    if (random(2) === 0) connection.begin(request, Opcode.Result).raw(Buffer.alloc(random(500)));
    connection.fail(request, invalidRequest('no'));
    return;
  }
  const header = random(5) === 0 ? { warnings: ['w'], tracingId: Buffer.alloc(16) } : undefined;
  const size = random(30) === 0 ? 400_000 : random(300);
  connection.begin(request, Opcode.Result, header).raw(Buffer.alloc(size, request.stream));
  connection.end();
}

interface FuzzClient {
  readonly client: MemoryClient;
  /** What it will send, and how far that is. */
  bytes: Buffer;
  at: number;
  readonly intact: boolean;
  /** Whether STARTUP went through as it was: then all that comes back must be valid protocol. */
  readonly started: boolean;
  requests: number;
  answers: number;
}

function createClient(random: Random, world: MemoryWorld): FuzzClient {
  const version = pick<ProtocolVersion>(random, [3, 4, 5]);
  const compression = pick(random, [null, 'lz4', version < 5 ? 'snappy' : 'lz4'] as const);
  const client = new MemoryClient(world, version, compression);
  client.codec.startup(0, random(2) === 0 ? {} : { THROW_ON_OVERLOAD: '1' });
  const startup = client.codec.take()!;
  // The handshake of an intact client comes first: what follows depends on its answer.
  const intact = random(3) === 0;
  const early = intact || random(4) > 0;
  if (early) {
    client.stream.deliver(startup);
    for (let i = 0; i < 100 && !world.server.metrics.requestsTotal[Opcode.Startup]; i++)
      world.flush();
    client.poll();
  }
  const requests = random(20);
  for (let i = 0; i < requests; i++) randomRequest(random, client.codec, i);
  let bytes = client.codec.take() ?? Buffer.alloc(0);
  if (!early) bytes = Buffer.concat([startup, bytes]);
  if (!intact) {
    for (let i = random(3); i >= 0; i--) bytes = Buffer.from(mutate(random, bytes));
  }
  return { client, bytes, at: 0, intact, started: early, requests, answers: 0 };
}

function step(random: Random, world: MemoryWorld, fuzzed: FuzzClient): void {
  const { client } = fuzzed;
  switch (random(8)) {
    case 0:
      client.stream.stalled = true;
      break;
    case 1:
      client.stream.unstall();
      break;
    case 2:
      world.flush();
      break;
    case 3:
      if (world.held.length > 0) {
        answer(world.held.splice(random(world.held.length), 1)[0], random);
      }
      break;
    case 4:
      world.server.broadcast({
        type: 'STATUS_CHANGE',
        change: 'UP',
        address: Buffer.alloc(4),
        port: 9042,
      });
      break;
    default: {
      const count = pick(random, [1, 8, 100, 100_000]);
      if (fuzzed.at < fuzzed.bytes.length && !client.stream.destroyed) {
        client.stream.deliver(fuzzed.bytes.subarray(fuzzed.at, fuzzed.at + count));
        fuzzed.at += count;
      }
    }
  }
}

/** Everything is delivered, read and answered. */
function settle(random: Random, world: MemoryWorld, clients: readonly FuzzClient[]): void {
  for (const fuzzed of clients) {
    fuzzed.client.stream.unstall();
    const rest = fuzzed.bytes.subarray(Math.min(fuzzed.at, fuzzed.bytes.length));
    if (rest.length > 0 && !fuzzed.client.stream.destroyed) fuzzed.client.stream.deliver(rest);
  }
  // Broken clients may hold room with a frame that never ends; the others wait for them to go.
  for (const { client, intact } of clients) if (!intact) client.stream.closedBy(null);
  do {
    world.flush();
    while (world.held.length > 0) answer(world.held.pop()!, random);
    world.flush();
  } while (world.held.length > 0);
  for (const fuzzed of clients) {
    if (!fuzzed.started) continue;
    const received = fuzzed.client.poll();
    fuzzed.answers += received.filter((one) => one.stream >= 0).length;
    if (!fuzzed.intact) continue;
    assert.equal(fuzzed.answers, fuzzed.requests, 'every intact request is answered once');
    assert.equal(fuzzed.client.stream.ended, false, 'an intact client is not closed');
    fuzzed.client.stream.closedBy(null);
  }
}

function fuzzServer(random: Random): void {
  const world = new MemoryWorld(randomOptions(random));
  const clients: FuzzClient[] = [];
  for (let i = random(4); i >= 0; i--) clients.push(createClient(random, world));
  if (random(3) === 0) {
    const { onRequest } = world;
    world.onRequest = (request, connection) => {
      if (random(4) === 0) throw invalidRequest('thrown');
      if (random(2) === 0) answer({ request, connection }, random);
      else onRequest(request, connection);
    };
  }
  for (let i = random(200); i > 0; i--) step(random, world, pick(random, clients));
  settle(random, world, clients);
  const { metrics } = world.server;
  assert.deepEqual(
    [metrics.bytesInFlight, metrics.requestsInFlight, metrics.connectionsOpen],
    [0, 0, 0],
    'nothing is left in flight',
  );
  const bugs = world.logged.filter(({ message }) => message !== 'client is too slow and is closed');
  assert.deepEqual(bugs, []);
}

function fuzzBodies(random: Random): void {
  const body = Buffer.from(randomBytes(random, random(80)));
  // Small numbers make plausible lengths.
  for (let i = 0; i < body.length; i++) if (random(3) > 0) body[i] = random(3);
  try {
    const version = pick<ProtocolVersion>(random, [3, 4, 5]);
    const request = pick(random, DECODERS)(version, body, 0, body.length);
    if (request.kind === 'prepare') return;
    for (let i = 0; i < valueCount(request); i++) valueAt(request, i);
  } catch (error) {
    if (!(error instanceof CqlError)) throw error;
  }
}

await runFuzz({
  name: 'frames',
  caseMillisMax: 2000,
  run: (seed) => {
    const random = seededRandom(seed);
    if (random(3) > 0) {
      fuzzServer(random);
      return 'server';
    }
    for (let i = 0; i < 20; i++) fuzzBodies(random);
    return 'bodies';
  },
});
