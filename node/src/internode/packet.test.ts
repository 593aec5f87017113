import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../common/bytes.ts';
import {
  beginPacket,
  Lane,
  MessageKind,
  MessageReader,
  PacketKind,
  packetClock,
  packetKind,
  packetProblem,
  readHello,
  readRefusal,
  readWelcome,
  sealPacket,
  writeHello,
  writeMessageHeader,
  writeRefusal,
  writeWelcome,
} from './packet.ts';

const BYTES_MAX = 1 << 20;

function sealed(fill: (writer: Writer) => void, now = 0): Buffer {
  const writer = new Writer();
  fill(writer);
  const packet = writer.copy();
  sealPacket(packet, now);
  return packet;
}

const HELLO = {
  lane: Lane.large,
  session: [1, -2],
  hostId: 'a',
  meant: '',
  clusterName: 'é',
  clusterId: 'i',
} as const;

/** Whoever changes these changes the protocol: that needs a new version. */
test('version 2 on the wire', () => {
  const hello = sealed((writer) => writeHello(writer, HELLO), 2 ** 32 + 258.7);
  assert.equal(
    hello.toString('hex'),
    '494c4e4b02010000000000295517277800000102' + '0200000001fffffffe000161' + '00000002c3a9000169',
  );
  const messages = sealed((writer) => {
    beginPacket(writer, PacketKind.messages);
    writeMessageHeader(writer, MessageKind.request, 16, 0xfffffffe, 0x80000001, 2);
    writer.raw(Buffer.from('hi'));
    writeMessageHeader(writer, MessageKind.answer, 0, 7, 0, 0);
  });
  assert.equal(
    messages.toString('hex'),
    `494c4e4b0204000000000036${messages.toString('hex', 12, 16)}00000000` +
      '01100000fffffffe80000001000000026869' +
      '02000000000000070000000000000000',
  );
});

test('what is written is read', () => {
  const hello = sealed((writer) => writeHello(writer, HELLO), 77);
  assert.equal(packetProblem(hello, BYTES_MAX), null);
  assert.equal(packetKind(hello), PacketKind.hello);
  assert.equal(packetClock(hello), 77);
  assert.deepEqual(readHello(hello), HELLO);
  const refusal = sealed((writer) => writeRefusal(writer, 'why'));
  assert.equal(readRefusal(refusal), 'why');
  const welcome = sealed((writer) => writeWelcome(writer, HELLO));
  assert.deepEqual(readWelcome(welcome), { hostId: 'a', clusterId: 'i' });
  assert.match(packetProblem(hello, 10) ?? '', /at most 10 are allowed/);
});

test('any bytes behind a good checksum are read or refused, and nothing is thrown', () => {
  const reader = new MessageReader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const packet = sealed((writer) => {
        beginPacket(writer, PacketKind.messages);
        writer.raw(bytes);
      });
      assert.equal(packetProblem(packet, BYTES_MAX), null);
      readHello(packet);
      readWelcome(packet);
      readRefusal(packet);
      reader.start(packet);
      let more = reader.next();
      for (; more === true; more = reader.next()) assert.ok(reader.body.length <= bytes.length);
      packetProblem(bytes, BYTES_MAX);
    }),
    { numRuns: 2000 },
  );
});

test('one changed bit is noticed', () => {
  const packet = sealed((writer) => writeHello(writer, HELLO), 1);
  for (let bit = 0; bit < packet.length * 8; bit++) {
    const changed = Buffer.from(packet);
    changed[bit >> 3] ^= 1 << (bit & 7);
    assert.notEqual(packetProblem(changed, BYTES_MAX), null, `bit ${bit}`);
  }
});
