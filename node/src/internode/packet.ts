/**
 * The bytes that nodes exchange: packets with many messages each. Version 2, big-endian.
 *
 *   packet   0  u32 magic 'ILNK'
 *            4  u8  version (2)
 *            5  u8  kind: hello, welcome, refusal, messages
 *            6  u16 0
 *            8  u32 bytes of the packet, all of it
 *           12  u32 CRC-32 of the bytes from 16 on, begun with the kind
 *           16  u32 the sender's clock when it was sent, milliseconds, modulo 2^32
 *           20  body
 *
 *   messages body: one after another
 *            0  u8  kind: request, answer, failure
 *            1  u8  request: verb; failure: code; answer: 0
 *            2  u16 0
 *            4  u32 id, the caller's, the same in request and answer
 *            8  u32 request: deadline by the sender's clock, milliseconds, modulo 2^32; else 0
 *           12  u32 bytes of the body
 *           16  body
 *
 *   hello body: u8 lane | u32 u32 session | [host id of the caller] | [host id meant, empty: any] | [cluster name] |
 *               [cluster id, empty: not in a cluster yet]
 *   welcome body: [host id] | [cluster id, or empty]     refusal body: [reason]
 *   [text]: u16 bytes, UTF-8
 *
 * CRC-32 (zlib's) and not CRC-32C: it is native in Node, several GB/s; CRC-32C in JavaScript would cost more than the rest.
 * @hot
 */
import { crc32 } from 'node:zlib';
import { asBuffer, type Writer } from '../common/bytes.ts';

export const PACKET_HEADER_BYTES = 20;
export const MESSAGE_HEADER_BYTES = 16;
const MAGIC = 0x494c4e4b;
const VERSION = 2;
const CHECKED_FROM = 16;
const TEXT_BYTES_MAX = 1024;

export const PacketKind = { hello: 1, welcome: 2, refusal: 3, messages: 4 } as const;
export type PacketKind = (typeof PacketKind)[keyof typeof PacketKind];

export const MessageKind = { request: 1, answer: 2, failure: 3 } as const;
export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind];

/** How the code of a failure travels. */
export const FailureWire = { FAILED: 1, OVERLOADED: 2, STALE: 3 } as const;

/** Lanes of a link, one stream each: the main thread's port; small and large messages on the workers'. */
export const Lane = { control: 0, small: 1, large: 2 } as const;
export type Lane = (typeof Lane)[keyof typeof Lane];

export interface Hello {
  readonly lane: Lane;
  /** Two words, drawn anew for each link: the lanes of one link have the same. */
  readonly session: readonly [number, number];
  readonly hostId: string;
  /** Empty: whoever is there. */
  readonly meant: string;
  readonly clusterName: string;
  /** Empty: not in a cluster yet. */
  readonly clusterId: string;
}

/** Who has answered a hello. */
export type Welcome = Pick<Hello, 'hostId' | 'clusterId'>;

/** Begins a packet in an empty writer; `sealPacket` completes it. */
export function beginPacket(writer: Writer, kind: PacketKind): void {
  writer.i32(MAGIC);
  writer.u8(VERSION);
  writer.u8(kind);
  writer.u16(0);
  writer.i32(0);
  writer.i32(0);
  writer.i32(0);
}

/** Writes length, clock and checksum of a packet that is complete and about to be sent. */
export function sealPacket(packet: Buffer, nowMillis: number): void {
  packet.writeUInt32BE(packet.length, 8);
  packet.writeUInt32BE(clockWord(nowMillis), 16);
  packet.writeUInt32BE(checksum(packet), 12);
}

function checksum(packet: Buffer): number {
  return crc32(packet.subarray(CHECKED_FROM), packet[5]);
}

/** Milliseconds as packets carry them. */
export function clockWord(millis: number): number {
  return Math.floor(millis) >>> 0;
}

/** The header of a message whose body of `length` bytes follows. */
export function writeMessageHeader(
  writer: Writer,
  kind: MessageKind,
  code: number,
  id: number,
  deadline: number,
  length: number,
): void {
  const at = writer.reserve(MESSAGE_HEADER_BYTES);
  const { buffer } = writer;
  buffer[at] = kind;
  buffer[at + 1] = code;
  buffer[at + 2] = 0;
  buffer[at + 3] = 0;
  buffer.writeUInt32BE(id, at + 4);
  buffer.writeUInt32BE(deadline, at + 8);
  buffer.writeUInt32BE(length, at + 12);
}

/** Why these bytes are not a packet; null: they are one. Allocates nothing of their size. */
export function packetProblem(bytes: Uint8Array, bytesMax: number): string | null {
  if (bytes.length < PACKET_HEADER_BYTES) return 'shorter than a header';
  const packet = asBuffer(bytes);
  if (packet.readUInt32BE(0) !== MAGIC) return 'wrong magic';
  if (packet[4] !== VERSION) return `unknown version ${packet[4]}`;
  if (packet.readUInt16BE(6) !== 0) return 'reserved bytes are set';
  const length = packet.readUInt32BE(8);
  if (length > bytesMax) return `${length} bytes announced, at most ${bytesMax} are allowed`;
  if (length !== packet.length) return `${length} bytes announced, ${packet.length} came`;
  if (packet.readUInt32BE(12) !== checksum(packet)) return 'wrong checksum';
  return null;
}

/** Kind of a packet that has no problem. */
export function packetKind(packet: Uint8Array): number {
  return packet[5];
}

/** The sender's clock in a packet that has no problem. */
export function packetClock(packet: Uint8Array): number {
  return asBuffer(packet).readUInt32BE(16);
}

function writeText(writer: Writer, text: string): void {
  const at = writer.reserve(2);
  writer.patchU16(at, writer.utf8(text));
}

export function writeHello(writer: Writer, hello: Hello): void {
  beginPacket(writer, PacketKind.hello);
  writer.u8(hello.lane);
  writer.i32(hello.session[0]);
  writer.i32(hello.session[1]);
  writeText(writer, hello.hostId);
  writeText(writer, hello.meant);
  writeText(writer, hello.clusterName);
  writeText(writer, hello.clusterId);
}

export function writeWelcome(writer: Writer, { hostId, clusterId }: Welcome): void {
  beginPacket(writer, PacketKind.welcome);
  writeText(writer, hostId);
  writeText(writer, clusterId);
}

export function writeRefusal(writer: Writer, reason: string): void {
  beginPacket(writer, PacketKind.refusal);
  writeText(writer, reason);
}

/** Whether every text of a hello fits the wire. */
export function fitsHello(text: string): boolean {
  return Buffer.byteLength(text) <= TEXT_BYTES_MAX;
}

class TextReader {
  private readonly packet: Buffer;
  private at: number;

  constructor(packet: Uint8Array, at: number) {
    this.packet = asBuffer(packet);
    this.at = at;
  }

  next(): string | null {
    const start = this.at + 2;
    if (start > this.packet.length) return null;
    const end = start + this.packet.readUInt16BE(this.at);
    if (end > this.packet.length || end - start > TEXT_BYTES_MAX) return null;
    this.at = end;
    return this.packet.toString('utf8', start, end);
  }

  get done(): boolean {
    return this.at === this.packet.length;
  }
}

/** Null: malformed. */
export function readHello(packet: Uint8Array): Hello | null {
  const buffer = asBuffer(packet);
  const at = PACKET_HEADER_BYTES;
  if (buffer.length < at + 9) return null;
  const lane = laneOf(buffer[at]);
  const texts = new TextReader(buffer, at + 9);
  const hostId = texts.next();
  const meant = texts.next();
  const clusterName = texts.next();
  const clusterId = texts.next();
  if (lane === null || hostId === null || meant === null) return null;
  if (clusterName === null || clusterId === null || !texts.done) return null;
  const session = [buffer.readInt32BE(at + 1), buffer.readInt32BE(at + 5)] as const;
  return { lane, session, hostId, meant, clusterName, clusterId };
}

function laneOf(byte: number): Lane | null {
  return byte === Lane.control || byte === Lane.small || byte === Lane.large ? byte : null;
}

/** Null: malformed. */
export function readWelcome(packet: Uint8Array): Welcome | null {
  const texts = new TextReader(packet, PACKET_HEADER_BYTES);
  const hostId = texts.next();
  const clusterId = texts.next();
  return hostId === null || clusterId === null || !texts.done ? null : { hostId, clusterId };
}

/** The reason. Null: malformed. */
export function readRefusal(packet: Uint8Array): string | null {
  const texts = new TextReader(packet, PACKET_HEADER_BYTES);
  const text = texts.next();
  return texts.done ? text : null;
}

/** Takes the messages of one packet after another; `body` is a view on the packet. */
export class MessageReader {
  kind = 0;
  code = 0;
  id = 0;
  deadline = 0;
  body: Buffer;
  private packet: Buffer;
  private at = 0;

  constructor() {
    this.body = this.packet = Buffer.alloc(0);
  }

  start(packet: Uint8Array): void {
    this.packet = asBuffer(packet);
    this.at = PACKET_HEADER_BYTES;
  }

  /** The next message in the fields; null: malformed; false: no more. */
  next(): boolean | null {
    const { packet, at } = this;
    if (at === packet.length) return false;
    const start = at + MESSAGE_HEADER_BYTES;
    if (start > packet.length) return null;
    const end = start + packet.readUInt32BE(at + 12);
    if (end > packet.length) return null;
    this.kind = packet[at];
    this.code = packet[at + 1];
    this.id = packet.readUInt32BE(at + 4);
    this.deadline = packet.readUInt32BE(at + 8);
    this.body = packet.subarray(start, end);
    this.at = end;
    return true;
  }
}
