/** Framing under every way bytes may arrive, and requests through both codecs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { QueryParameters } from './client-codec.ts';
import { uncompressBody, uncompressPayload } from './compression.ts';
import { MemoryWorld } from './memory-world.ts';
import { Opcode, type ProtocolVersion } from './protocol.ts';
import { type Request, valueAt, valueCount } from './request.ts';

const SETTINGS = [
  [3, null],
  [4, null],
  [4, 'lz4'],
  [4, 'snappy'],
  [5, null],
  [5, 'lz4'],
] as const;

const value = fc.option(
  fc.option(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined },
  ),
);
const parameters = fc.record(
  {
    consistency: fc.integer({ min: 0, max: 10 }),
    values: fc.array(value, { maxLength: 6 }),
    skipMetadata: fc.constant(true),
    pageSize: fc.integer(),
    pagingState: fc.uint8Array({ maxLength: 20 }),
    serialConsistency: fc.constantFrom(8, 9),
    timestamp: fc.bigInt({ min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }),
    keyspace: fc.string(),
    nowInSeconds: fc.nat(),
  },
  { requiredKeys: [] },
);

function checkParameters(
  request: Request,
  sent: Partial<QueryParameters>,
  version: ProtocolVersion,
): void {
  assert.ok(request.kind !== 'prepare');
  assert.equal(request.consistency, sent.consistency ?? 1);
  assert.equal(request.pageSize, sent.pageSize ?? -1);
  assert.equal(request.skipMetadata, sent.skipMetadata ?? false);
  assert.equal(request.serialConsistency, sent.serialConsistency ?? 8);
  assert.equal(request.timestamp, sent.timestamp ?? null);
  assert.equal(request.keyspace, version < 5 ? null : (sent.keyspace ?? null));
  assert.equal(request.nowInSeconds, version < 5 ? -1 : (sent.nowInSeconds ?? -1));
  const state = sent.pagingState === undefined ? null : Buffer.from(sent.pagingState);
  assert.deepEqual(request.pagingState, state);
  const values = sent.values ?? [];
  assert.equal(valueCount(request), values.length);
  for (let i = 0; i < values.length; i++) {
    const expected = values[i] === undefined && version < 4 ? null : values[i];
    assert.deepEqual(valueAt(request, i), expected);
  }
}

for (const [version, compression] of SETTINGS) {
  describe(`v${version}, ${compression}`, () => {
    test('requests of any size arrive whole however they are cut', () => {
      const run = (sizes: readonly number[], cuts: readonly number[]): void => {
        const world = new MemoryWorld();
        const client = world.client(version, compression);
        const texts = sizes.map((size, i) => String.fromCharCode(97 + (i % 26)).repeat(size));
        texts.forEach((text, i) => {
          client.codec.query(i, text);
        });
        const bytes = client.codec.take() ?? Buffer.alloc(0);
        let at = 0;
        for (const cut of cuts) {
          client.stream.deliver(bytes.subarray(at, at + cut));
          at += cut;
        }
        client.stream.deliver(bytes.subarray(at));
        const received = world.held.map(({ request }) => request.kind === 'query' && request.query);
        assert.deepEqual(received, texts);
        for (const { request, connection } of world.held.reverse()) {
          assert.ok(request.kind === 'query');
          connection.begin(request, Opcode.Result).longString(request.query);
          connection.end();
        }
        const answers = client.poll();
        assert.equal(answers.length, texts.length);
        for (const { stream, body } of answers) {
          assert.equal(body.toString('utf8', 4), texts[stream]);
        }
        assert.equal(world.server.metrics.bytesInFlight, 0);
      };
      const size = fc.oneof(fc.nat(300), fc.nat(300_000));
      const cut = fc.oneof(fc.nat(20), fc.nat(70_000));
      fc.assert(
        fc.property(fc.array(size, { maxLength: 6 }), fc.array(cut, { maxLength: 30 }), run),
        { numRuns: 60 },
      );
    });

    test('parameters of QUERY, EXECUTE and BATCH survive', () => {
      fc.assert(
        fc.property(parameters, (sent) => {
          const world = new MemoryWorld();
          const client = world.client(version, compression);
          const id = Buffer.alloc(16, 5);
          const { values, ...unvalued } = sent;
          client.codec.query(1, 'Q', sent);
          client.codec.execute(2, id, id, sent);
          client.codec.batch(
            3,
            1,
            [
              { statement: 'S', values: values ?? [] },
              { statement: id, values: [] },
            ],
            unvalued,
          );
          assert.deepEqual(client.exchange(), []);
          const [query, execute, batch] = world.held.map(({ request }) => request);
          checkParameters(query, sent, version);
          checkParameters(execute, sent, version);
          checkParameters(batch, unvalued, version);
          assert.ok(execute.kind === 'execute' && batch.kind === 'batch');
          assert.deepEqual(execute.statementId, id);
          assert.equal(batch.statements[0].query, 'S');
          assert.deepEqual(batch.statements[1].statementId, id);
          assert.equal(valueCount(batch.statements[0]), values?.length ?? 0);
        }),
        { numRuns: 100 },
      );
    });
  });
}

test('compressed data that would expand beyond the limit, or is cut, is refused', () => {
  const bomb = Buffer.from(`00100000${'1f'.repeat(9000)}`, 'hex');
  assert.throws(() => uncompressBody('lz4', bomb, 1000), /exceeds maximum allowed/);
  for (const text of ['', '00', '0000ffff1f', '000000051041']) {
    assert.throws(() => uncompressBody('lz4', Buffer.from(text, 'hex'), 1e6), /corrupt|too short/);
  }
  for (const text of ['', 'ff', 'ffffffffff', '0500']) {
    assert.throws(() => uncompressBody('snappy', Buffer.from(text, 'hex'), 1e6), /corrupt/);
  }
  assert.throws(() => uncompressPayload(Buffer.alloc(40, 0xff), 8, 30, 100_000), /corrupt/);
});
