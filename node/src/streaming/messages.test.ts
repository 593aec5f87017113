import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeClose,
  decodeHello,
  decodeOffer,
  decodeOpen,
  encodeClose,
  encodeHello,
  encodeOffer,
  encodeOpen,
  FileKind,
  HELLO_BYTES,
} from './messages.ts';
import { StreamError } from './ports.ts';

const SESSION = Buffer.alloc(16, 1);
const TOKEN = Buffer.alloc(32, 2);
const OPEN = {
  session: SESSION,
  operation: 'join of n4',
  epoch: 2 ** 40,
  asRows: false,
  shards: 4,
  tables: [
    {
      table: Buffer.alloc(20, 3),
      ranges: [
        { first: 0, last: 0 },
        { first: 7, last: 0xffff },
      ],
    },
  ],
};
const OFFER = {
  token: TOKEN,
  port: 7002,
  files: [
    { table: 1, part: 2, kind: FileKind.WHOLE, bytes: 2 ** 41, checksum: '0123abcd' },
    { table: 0, part: 0, kind: FileKind.SLICE, bytes: 0, checksum: '00000000' },
  ],
};
const HELLO = { session: SESSION, token: TOKEN, file: 5, offset: 2 ** 33 };

test('what is said is understood', () => {
  assert.deepEqual(decodeOpen(encodeOpen(OPEN)), OPEN);
  assert.deepEqual(decodeOffer(encodeOffer(OFFER)), OFFER);
  assert.equal(decodeOffer(encodeOffer(null)), null);
  assert.deepEqual(decodeClose(encodeClose(SESSION)), SESSION);
  assert.deepEqual(decodeHello(encodeHello(HELLO)), HELLO);
  assert.equal(encodeHello(HELLO).length, HELLO_BYTES);
});

test('the bytes of version 1 stay what they are', () => {
  assert.equal(
    encodeHello(HELLO).toString('hex'),
    `494c535401${'01'.repeat(16)}${'02'.repeat(32)}000000050000000200000000`,
  );
  assert.equal(
    encodeOpen({ ...OPEN, operation: 'j' }).toString('hex'),
    `01${'01'.repeat(16)}00016a000001000000000000000400${'01'}${'03'.repeat(20)}0002000000000007ffff`,
  );
  assert.equal(
    encodeOffer(OFFER).toString('hex'),
    [
      `0101${'02'.repeat(32)}1b5a00000002`,
      '00010002' + '00' + '0000020000000000' + '0123abcd',
      '00000000' + '01' + '0000000000000000' + '00000000',
    ].join(''),
  );
});

test('anything else is MALFORMED, and nothing else is thrown', () => {
  const decoders = [decodeOpen, decodeOffer, decodeClose, decodeHello];
  const messages = [encodeOpen(OPEN), encodeOffer(OFFER), encodeClose(SESSION), encodeHello(HELLO)];
  const damaged = fc
    .tuple(fc.constantFrom(...messages), fc.nat(200), fc.nat(255), fc.nat(200))
    .map(([message, at, byte, cut]) => {
      const bytes = Buffer.from(message);
      bytes[at % bytes.length] = byte;
      return bytes.subarray(0, cut % 3 === 0 ? cut : bytes.length);
    });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 120 })), (bytes) => {
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof StreamError && error.code === 'MALFORMED', String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
  const overlapping = [
    { first: 5, last: 9 },
    { first: 9, last: 9 },
  ];
  const table = { table: Buffer.alloc(20), ranges: overlapping };
  assert.throws(() => decodeOpen(encodeOpen({ ...OPEN, tables: [table] })), StreamError);
  assert.throws(() => decodeOpen(encodeOpen({ ...OPEN, shards: 3 })), StreamError);
});
