/** Connections against an in-memory client: handshake, refusals, limits, the end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { authError, type CqlError, ErrorCode, invalidRequest } from '../common/errors.ts';
import { type Answer, decodeError } from './client-codec.ts';
import { type HeldRequest, MemoryClient, MemoryWorld } from './memory-world.ts';
import { Opcode, type ProtocolVersion } from './protocol.ts';
import { type Request, valueAt } from './request.ts';
import { writeVoid } from './result.ts';

const VERSIONS: readonly ProtocolVersion[] = [3, 4, 5];
const VOID = Buffer.from([0, 0, 0, 1]);

function answerVoid({ request, connection }: HeldRequest): void {
  writeVoid(connection.begin(request, Opcode.Result));
  connection.end();
}

function errorOf(answer: Answer, version: ProtocolVersion = 4): CqlError {
  assert.equal(answer.opcode, Opcode.Error);
  return decodeError(answer.body, version);
}

/** Sends raw bytes to a fresh connection; returns what comes back, in hex. */
function rawExchange(
  world: MemoryWorld,
  hex: string,
): { stream: MemoryClient['stream']; hex: string } {
  const { stream } = new MemoryClient(world, 4, null);
  stream.deliver(Buffer.from(hex, 'hex'));
  world.flush();
  return { stream, hex: stream.takeSent().toString('hex') };
}

describe('handshake', () => {
  for (const version of VERSIONS) {
    for (const compression of [null, 'lz4', 'snappy'] as const) {
      if (version === 5 && compression === 'snappy') continue;
      test(`v${version} with compression ${compression}: OPTIONS, STARTUP, REGISTER, QUERY`, () => {
        const world = new MemoryWorld();
        const client = new MemoryClient(world, version, compression);
        client.codec.options(1);
        assert.equal(client.exchange()[0].opcode, Opcode.Supported);
        client.codec.startup(2);
        const [ready] = client.exchange();
        assert.deepEqual([ready.opcode, ready.stream, ready.version], [Opcode.Ready, 2, version]);
        assert.deepEqual(world.seen, ['opened 1']);
        client.codec.register(3, ['SCHEMA_CHANGE']);
        assert.equal(client.exchange()[0].opcode, Opcode.Ready);
        const text = `SELECT '${'x'.repeat(5000)}'`;
        client.codec.query(4, text);
        client.codec.query(-5, 'second');
        assert.deepEqual(client.exchange(), []);
        const texts = world.held.map(({ request }) => request.kind === 'query' && request.query);
        assert.deepEqual(texts, [text, 'second']);
        const body = Buffer.alloc(200_000, 'ab');
        const { request, connection } = world.held[1];
        connection.begin(request, Opcode.Result).raw(body);
        connection.end();
        answerVoid(world.held[0]);
        const answers = client.poll();
        assert.deepEqual(
          answers.map((answer) => answer.stream),
          [-5, 4],
        );
        assert.ok(answers[0].body.equals(body));
        assert.ok(answers[1].body.equals(VOID));
        assert.equal(client.stream.writes, 4);
        assert.equal(world.server.metrics.bytesInFlight, 0);
        assert.equal(world.server.metrics.requestsInFlight, 0);
        assert.deepEqual(world.logged, []);
      });
    }
  }

  test('messages out of place are refused and the connection lives', () => {
    const world = new MemoryWorld();
    const client = new MemoryClient(world, 4, null);
    client.codec.query(1, 'SELECT 1');
    const early = errorOf(client.exchange()[0]);
    assert.equal(early.message, 'Unexpected message QUERY, expecting STARTUP or OPTIONS');
    client.codec.startup(2);
    client.exchange();
    client.codec.startup(3);
    const again = errorOf(client.exchange()[0]);
    assert.equal(
      again.message,
      'Unexpected message STARTUP, the connection is already initialized',
    );
    client.codec.authResponse(4, null);
    assert.equal(errorOf(client.exchange()[0]).code, ErrorCode.ProtocolError);
    client.codec.options(5);
    assert.equal(client.exchange()[0].opcode, Opcode.Supported);
  });

  test('STARTUP with wrong options is an error and closes', () => {
    const cases: readonly [Readonly<Record<string, string>>, string][] = [
      [{ COMPRESSION: 'zstd' }, 'Unknown compression algorithm: zstd'],
      [{ CQL_VERSION: 'x' }, 'Invalid version value: x'],
      [
        { CQL_VERSION: '2.0.0' },
        'CQL version 2.0.0 is not supported by the binary protocol (supported version are >= 3.0.0)',
      ],
    ];
    for (const [options, message] of cases) {
      const world = new MemoryWorld();
      const client = new MemoryClient(world, 4, null);
      client.codec.startup(7, options);
      const [answer] = client.exchange();
      assert.equal(answer.stream, 7);
      assert.equal(errorOf(answer).message, message);
      assert.equal(client.stream.ended, true);
    }
  });

  test('authentication: challenge, failure, success; requests wait for it', async () => {
    const tokens: (string | undefined)[] = [];
    const world = new MemoryWorld(
      {},
      {
        className: 'org.apache.cassandra.auth.PasswordAuthenticator',
        begin: () => ({
          async respond(token) {
            tokens.push(token === null ? undefined : Buffer.from(token).toString());
            if (tokens.length === 1) return { kind: 'challenge', token: Buffer.from('more') };
            if (tokens.length === 2)
              throw authError('Provided username u and/or password are incorrect');
            return { kind: 'success', token: null, user: 'u' };
          },
        }),
      },
    );
    const client = new MemoryClient(world, 5, 'lz4');
    client.codec.startup(1);
    assert.equal(client.exchange()[0].opcode, Opcode.Authenticate);
    client.codec.query(2, 'SELECT 1');
    assert.match(errorOf(client.exchange()[0]).message, /expecting SASL_RESPONSE/);
    for (const expected of [Opcode.AuthChallenge, Opcode.Error, Opcode.AuthSuccess]) {
      client.codec.authResponse(3, Buffer.from('secret'));
      if (expected === Opcode.AuthSuccess) client.codec.query(4, 'SELECT 2');
      assert.deepEqual(client.exchange(), []);
      await new Promise(setImmediate);
      assert.equal(client.poll()[0].opcode, expected);
    }
    assert.deepEqual(tokens, ['secret', 'secret', 'secret']);
    assert.equal(world.held.length, 1);
    assert.equal(world.held[0].connection.user, 'u');
  });
});

describe('versions and malformed frames', () => {
  test('an unsupported version is answered in v5 and closed', () => {
    const world = new MemoryWorld();
    const text =
      'Invalid or unsupported protocol version (66); supported versions are (3/v3, 4/v4, 5/v5)';
    const { stream, hex } = rawExchange(world, '42000000050000000000');
    const body = Buffer.concat([Buffer.from([0, 0, 0, 10, 0, text.length]), Buffer.from(text)]);
    const length = body.length.toString(16).padStart(8, '0');
    assert.equal(hex, `8500000000${length}${body.toString('hex')}`);
    assert.equal(stream.ended, true);
    world.clock.advance(5000);
    assert.equal(stream.destroyed, true);
  });

  test('one byte is enough to tell', () => {
    assert.match(rawExchange(new MemoryWorld(), '42').hex, /^8500000000/);
  });

  test('v6 without the beta flag, with it, and v2', () => {
    const world = new MemoryWorld();
    const beta = rawExchange(world, '060000000500000000').hex;
    assert.ok(beta.startsWith('8610000000'));
    assert.ok(
      Buffer.from(beta, 'hex')
        .toString('latin1')
        .endsWith('Beta version of the protocol used (6/v6-beta), but USE_BETA flag is unset'),
    );
    assert.ok(rawExchange(world, '061000000500000000').hex.startsWith('8500000000'));
    const old = rawExchange(world, '020000000500000000');
    assert.deepEqual([old.hex, old.stream.ended], ['', true]);
  });

  test('unknown opcodes, answers sent by a client, other versions than before', () => {
    const cases: readonly [string, string][] = [
      ['040000097f00000000', 'Unknown opcode 127'],
      ['040000090400000000', 'Unknown opcode 4'],
      [
        '840000050700000000',
        'Wrong protocol direction (expected REQUEST, got RESPONSE) for opcode 7 (QUERY)',
      ],
      [
        '040000050800000000',
        'Wrong protocol direction (expected RESPONSE, got REQUEST) for opcode 8 (RESULT)',
      ],
    ];
    for (const [hex, message] of cases) {
      const world = new MemoryWorld();
      const { stream, hex: answer } = rawExchange(world, hex);
      assert.ok(Buffer.from(answer, 'hex').toString('latin1').endsWith(message), message);
      assert.equal(stream.ended, true);
    }
    const world = new MemoryWorld();
    const client = world.client(4);
    client.stream.deliver(Buffer.from('030000050500000000', 'hex'));
    assert.match(errorOf(client.poll()[0]).message, /^Invalid message version. Got 3\/v3/);
    assert.equal(client.stream.ended, true);
  });

  test('a body that is cut short: error for its stream, closed; nothing stays in flight', () => {
    const world = new MemoryWorld();
    const client = world.client(4);
    client.codec.send(9, Opcode.Execute, (out) => out.u16(500));
    const [answer] = client.exchange();
    assert.equal(answer.stream, 9);
    assert.equal(errorOf(answer).code, ErrorCode.ProtocolError);
    assert.equal(client.stream.ended, true);
    assert.equal(world.server.metrics.bytesInFlight, 0);
    assert.equal(world.server.metrics.protocolErrorsTotal, 1);
  });

  test('a v5 segment with a wrong checksum closes, after an error', () => {
    for (const at of [1, 12]) {
      const world = new MemoryWorld();
      const client = world.client(5);
      client.codec.options(1);
      const bytes = client.codec.take()!;
      bytes[at] ^= 1;
      client.stream.deliver(bytes);
      assert.match(errorOf(client.poll()[0], 5).message, /CRC mismatch detected in frame/);
      assert.equal(client.stream.ended, true);
    }
  });

  test('compressed bodies without agreement, or that lie about their length', () => {
    const world = new MemoryWorld();
    const plain = world.client(4);
    plain.codec.send(1, Opcode.Options, (out) => out.i32(0), 1);
    assert.match(errorOf(plain.exchange()[0]).message, /no compression was agreed/);
    for (const compression of ['lz4', 'snappy'] as const) {
      const client = world.client(4, compression);
      const lie = compression === 'lz4' ? '7fffffff10' : 'ffffffff0710';
      client.stream.deliver(
        Buffer.from(`0401000107${lie.length === 10 ? '00000005' : '00000006'}${lie}`, 'hex'),
      );
      assert.equal(errorOf(client.poll()[0]).message, 'Compressed data is corrupt');
      assert.equal(client.stream.ended, true);
    }
  });
});

describe('answers', () => {
  test('values, null, unset, tracing and custom payload reach the handler', () => {
    const world = new MemoryWorld();
    const client = world.client(4);
    client.codec.send(
      1,
      Opcode.Query,
      (out) => {
        out.u16(1);
        out.string('key');
        out.bytes(Buffer.from('payload'));
        out.longString('Q');
        out.u16(1);
        out.u8(1);
        out.u16(3);
        out.bytes(Buffer.from('v'));
        out.i32(-1);
        out.i32(-2);
      },
      0x06,
    );
    client.exchange();
    const { request } = world.held[0];
    assert.ok(request.kind === 'query');
    assert.equal(request.query, 'Q');
    assert.equal(request.tracing, true);
    assert.deepEqual(
      [0, 1, 2].map((i) => valueAt(request, i)?.toString() ?? valueAt(request, i)),
      ['v', null, undefined],
    );
  });

  test('trace id, warnings and payload go before the body; v3 has only the trace', () => {
    for (const version of VERSIONS) {
      const world = new MemoryWorld();
      const client = world.client(version);
      client.codec.query(1, 'Q');
      client.exchange();
      const { request, connection } = world.held[0];
      const header = {
        tracingId: Buffer.alloc(16, 7),
        warnings: ['careful'],
        customPayload: new Map([['k', Buffer.from('v')]]),
      };
      writeVoid(connection.begin(request, Opcode.Result, header));
      connection.end();
      const [answer] = client.poll();
      assert.deepEqual(answer.tracingId, header.tracingId);
      assert.deepEqual(answer.warnings, version === 3 ? [] : header.warnings);
      assert.deepEqual(answer.customPayload, version === 3 ? null : header.customPayload);
      assert.deepEqual(answer.body, VOID);
    }
  });

  test('fail drops a half-written answer; a second answer is refused', () => {
    const world = new MemoryWorld();
    const client = world.client(5, 'lz4');
    client.codec.query(1, 'Q');
    client.codec.query(2, 'R');
    client.exchange();
    const { request, connection } = world.held[0];
    connection.begin(request, Opcode.Result).raw(Buffer.alloc(300_000));
    connection.fail(request, invalidRequest('no'));
    answerVoid(world.held[1]);
    const answers = client.poll();
    assert.equal(errorOf(answers[0], 5).message, 'no');
    assert.deepEqual(answers[1].body, VOID);
    assert.throws(() => connection.begin(request, Opcode.Result), /answered already/);
    assert.equal(world.server.metrics.errorsTotal.get(ErrorCode.Invalid), 1);
  });

  test('what the handler throws is answered; anything but a CqlError is logged', () => {
    const world = new MemoryWorld();
    const client = world.client(4);
    const failures = [invalidRequest('bad'), new TypeError('secret')];
    world.onRequest = (request: Request, connection) => {
      connection.begin(request, Opcode.Result).i32(9);
      throw failures.shift();
    };
    client.codec.query(1, 'Q');
    client.codec.query(2, 'Q');
    const errors = client.exchange().map((answer) => errorOf(answer));
    assert.deepEqual(
      errors.map((error) => [error.code, error.message]),
      [
        [ErrorCode.Invalid, 'bad'],
        [ErrorCode.ServerError, 'Internal error'],
      ],
    );
    assert.equal(world.logged.length, 1);
    assert.equal(world.server.metrics.requestsInFlight, 0);
  });

  test('many answers of one turn leave in one write', () => {
    const world = new MemoryWorld();
    const client = world.client(4);
    for (let i = 0; i < 100; i++) client.codec.query(i, 'Q');
    client.exchange();
    const before = client.stream.writes;
    for (const held of world.held) answerVoid(held);
    assert.equal(client.poll().length, 100);
    assert.equal(client.stream.writes, before + 1);
  });

  test('events go to those who registered, after an answer that is open', () => {
    const world = new MemoryWorld();
    const [a, b] = [world.client(3), world.client(5)];
    b.codec.register(1, ['STATUS_CHANGE', 'SCHEMA_CHANGE']);
    b.codec.query(2, 'Q');
    b.exchange();
    const { request, connection } = world.held[0];
    const out = connection.begin(request, Opcode.Result);
    world.server.broadcast({
      type: 'SCHEMA_CHANGE',
      change: 'CREATED',
      target: 'TABLE',
      keyspace: 'ks',
      name: 't',
    });
    writeVoid(out);
    connection.end();
    assert.deepEqual(a.poll(), []);
    const answers = b.poll();
    assert.deepEqual(
      answers.map((answer) => [answer.stream, answer.opcode]),
      [
        [2, Opcode.Result],
        [-1, Opcode.Event],
      ],
    );
    const text = answers[1].body.toString('latin1');
    assert.equal(text, '\0\rSCHEMA_CHANGE\0\x07CREATED\0\x05TABLE\0\x02ks\0\x01t');
  });
});

describe('limits', () => {
  test('requests in flight: reading stops and goes on as they are answered', () => {
    const world = new MemoryWorld({ connectionRequestsMax: 3 });
    const client = world.client(4);
    for (let i = 0; i < 10; i++) client.codec.query(i, 'Q');
    client.exchange();
    assert.equal(world.held.length, 3);
    assert.equal(client.stream.paused, true);
    const streams: number[] = [];
    while (world.held.length > 0) {
      assert.ok(world.held.length <= 3);
      answerVoid(world.held.shift()!);
      streams.push(...client.poll().map((answer) => answer.stream));
    }
    assert.deepEqual(streams, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(client.stream.paused, false);
  });

  test('bytes in flight of a connection, also within v5 segments', () => {
    for (const version of [4, 5] as const) {
      const world = new MemoryWorld({ connectionBytesMax: 3000 });
      const client = world.client(version);
      for (let i = 0; i < 9; i++) client.codec.query(i, 'x'.repeat(1400));
      client.exchange();
      let count = 0;
      while (world.held.length > 0) {
        assert.ok(world.server.metrics.bytesInFlight <= 3000);
        answerVoid(world.held.shift()!);
        count += client.poll().length;
      }
      assert.equal(count, 9);
    }
  });

  test('the limit of all connections: those in line go on in order', () => {
    const world = new MemoryWorld({ requestsMax: 4 });
    const clients = [1, 2, 3].map(() => world.client(4));
    for (const client of clients) {
      for (let i = 0; i < 4; i++) client.codec.query(i, 'Q');
      client.exchange();
    }
    assert.equal(world.held.length, 4);
    const order: number[] = [];
    while (world.held.length > 0) {
      const held = world.held.shift()!;
      order.push(held.connection.id);
      answerVoid(held);
      world.flush();
    }
    assert.equal(order.length, 12);
    assert.deepEqual(order.slice(0, 6), [1, 1, 1, 1, 2, 3]);
    assert.equal(world.server.metrics.requestsInFlight, 0);
  });

  test('THROW_ON_OVERLOAD: Overloaded instead of waiting', () => {
    const world = new MemoryWorld({ requestsMax: 2 });
    const client = world.client(4, null, { THROW_ON_OVERLOAD: '1' });
    for (let i = 0; i < 5; i++) client.codec.query(i, 'Q');
    const errors = client.exchange().map((answer) => [answer.stream, errorOf(answer).code]);
    assert.deepEqual(errors, [
      [2, ErrorCode.Overloaded],
      [3, ErrorCode.Overloaded],
      [4, ErrorCode.Overloaded],
    ]);
    assert.equal(world.server.metrics.overloadedTotal, 3);
    for (const held of world.held) answerVoid(held);
    assert.equal(client.poll().length, 2);
  });

  test('a frame above the maximum is skipped with an error, the next one is served', () => {
    const world = new MemoryWorld({ frameBytesMax: 1000 });
    const client = world.client(4);
    client.codec.query(1, 'x'.repeat(100_000));
    client.codec.query(2, 'Q');
    const [answer] = client.exchange();
    assert.equal(answer.stream, 1);
    assert.equal(
      errorOf(answer).message,
      'Request is too big: length 100016 exceeds maximum allowed length 1009.',
    );
    assert.equal(world.held.length, 1);
  });

  test('a frame before STARTUP may not be large', () => {
    const world = new MemoryWorld();
    const { stream, hex } = rawExchange(world, '040000000110000000');
    assert.match(Buffer.from(hex, 'hex').toString('latin1'), /Request is too big/);
    assert.equal(stream.ended, true);
  });

  test('a large frame reserves its room at once and gives it back if the client goes', () => {
    const world = new MemoryWorld();
    const client = world.client(4);
    client.stream.deliver(Buffer.from('040000010700100000aabb', 'hex'));
    assert.equal(world.server.metrics.bytesInFlight, 9 + 0x100000);
    client.stream.closedBy(new Error('reset'));
    assert.equal(world.server.metrics.bytesInFlight, 0);
    assert.deepEqual(world.seen, ['opened 1', 'closed 1']);
  });

  test('a client that does not take its answers is not read, and closed in the end', () => {
    const world = new MemoryWorld({ outputBytesPause: 1000, outputStallMillisMax: 5000 });
    const client = world.client(4);
    world.onRequest = (request, connection) => {
      connection.begin(request, Opcode.Result).raw(Buffer.alloc(600));
      connection.end();
    };
    client.stream.stalled = true;
    for (let i = 0; i < 50; i++) {
      client.codec.query(i, 'Q');
      client.stream.deliver(client.codec.take()!);
      world.flush();
    }
    assert.equal(client.stream.paused, true);
    assert.ok(world.server.metrics.requestsTotal[Opcode.Query] < 6);
    client.stream.unstall();
    world.flush();
    assert.equal(client.poll().length, 50);
    client.stream.stalled = true;
    client.codec.query(1, 'Q');
    client.exchange();
    world.clock.advance(4000);
    assert.equal(client.stream.destroyed, false);
    world.clock.advance(3000);
    assert.equal(client.stream.destroyed, true);
    assert.equal(world.server.metrics.slowClientsTotal, 1);
  });

  test('answers beyond the hard limit close at once', () => {
    const world = new MemoryWorld({ outputBytesMax: 10_000 });
    const client = world.client(4);
    client.codec.query(1, 'Q');
    client.codec.query(2, 'Q');
    client.exchange();
    const [first, second] = world.held;
    first.connection.begin(first.request, Opcode.Result).raw(Buffer.alloc(20_000));
    first.connection.end();
    assert.equal(client.stream.destroyed, true);
    assert.equal(second.connection.closed, true);
    answerVoid(second);
    assert.equal(world.server.metrics.requestsInFlight, 0);
  });

  test('a frame that does not end closes; an idle client does not', () => {
    const world = new MemoryWorld({ frameStallMillisMax: 10_000 });
    const [idle, slow] = [world.client(4), world.client(4)];
    slow.stream.deliver(Buffer.from('0400', 'hex'));
    world.clock.advance(9000);
    assert.equal(slow.stream.destroyed, false);
    world.clock.advance(3000);
    assert.equal(slow.stream.destroyed, true);
    world.clock.advance(1_000_000);
    assert.equal(idle.stream.destroyed, false);
  });

  test('connections beyond the maximum are closed at once', () => {
    const world = new MemoryWorld({ connectionsMax: 2 });
    const clients = [1, 2, 3].map(() => new MemoryClient(world, 4, null));
    assert.deepEqual(
      clients.map((client) => client.stream.destroyed),
      [false, false, true],
    );
    clients[0].stream.closedBy(null);
    assert.equal(world.client(4).stream.destroyed, false);
  });
});

describe('the end', () => {
  test('drain answers what is in flight, takes nothing new, closes', async () => {
    const world = new MemoryWorld();
    const [busy, idle] = [world.client(4), world.client(5)];
    busy.codec.query(1, 'Q');
    busy.exchange();
    const drained = world.server.drain(10_000);
    world.flush();
    assert.equal(world.listening, false);
    assert.equal(idle.stream.ended, true);
    assert.equal(busy.stream.ended, false);
    busy.codec.query(2, 'late');
    busy.exchange();
    assert.equal(world.held.length, 1);
    answerVoid(world.held[0]);
    assert.equal(busy.poll().length, 1);
    assert.equal(busy.stream.ended, true);
    busy.stream.closedBy(null);
    idle.stream.closedBy(null);
    world.clock.advance(100);
    await drained;
    assert.equal(world.server.metrics.connectionsOpen, 0);
    const refused = new MemoryClient(world, 4, null);
    assert.equal(refused.stream.destroyed, true);
  });

  test('drain closes at its deadline what is not answered', async () => {
    const world = new MemoryWorld();
    const client = world.client(4);
    client.codec.query(1, 'Q');
    client.exchange();
    const drained = world.server.drain(1000);
    world.clock.advance(2000);
    await drained;
    assert.equal(client.stream.destroyed, true);
  });

  test('a client that closes its side gets its answers first', () => {
    const world = new MemoryWorld({ connectionRequestsMax: 1 });
    const client = world.client(4);
    client.codec.query(1, 'Q');
    client.codec.query(2, 'Q');
    client.exchange();
    client.stream.deliverEnd();
    world.flush();
    assert.equal(client.stream.ended, false);
    answerVoid(world.held[0]);
    assert.equal(client.poll().length, 1);
    assert.equal(world.held.length, 2);
    answerVoid(world.held[1]);
    assert.equal(client.poll().length, 1);
    assert.equal(client.stream.ended, true);
  });
});
