/**
 * What waits to go out on one stream: messages, packed into packets as they come. While the carrier takes no more, they
 * stay here; whoever adds has checked `bytes` against a limit.
 * @hot
 */
import { Writer } from '../common/bytes.ts';
import type { CarrierStream } from './carrier.ts';
import { PACKET_BYTES } from './limits.ts';
import {
  beginPacket,
  type MessageKind,
  PACKET_HEADER_BYTES,
  PacketKind,
  sealPacket,
  writeMessageHeader,
} from './packet.ts';

const WRITER_BYTES = 4096;
/** From here on a packet's memory is given away and not copied. */
const COPY_BYTES_MAX = 64 << 10;

export class Outbox {
  private writer = new Writer(WRITER_BYTES);
  private ready: Buffer[] = [];
  private readyBytes = 0;
  private blocked = false;

  /** Bytes that wait. */
  get bytes(): number {
    return this.readyBytes + this.writer.length;
  }

  /** Adds a message; the body is copied. */
  add(kind: MessageKind, code: number, id: number, deadline: number, body: Uint8Array): void {
    const { writer } = this;
    if (writer.length > 0 && writer.length + body.length > PACKET_BYTES) this.completePacket();
    const target = this.writer;
    if (target.length === 0) beginPacket(target, PacketKind.messages);
    writeMessageHeader(target, kind, code, id, deadline, body.length);
    target.raw(body);
  }

  /** Hands over what waits, as far as the carrier takes it. @returns packets handed over */
  flush(stream: CarrierStream, nowMillis: number): number {
    if (this.blocked) return 0;
    if (this.writer.length > PACKET_HEADER_BYTES) this.completePacket();
    let sent = 0;
    while (sent < this.ready.length && !this.blocked) {
      const packet = this.ready[sent++];
      this.readyBytes -= packet.length;
      sealPacket(packet, nowMillis);
      this.blocked = !stream.write(packet);
    }
    if (sent === this.ready.length) this.ready.length = 0;
    else this.ready.splice(0, sent);
    return sent;
  }

  /** The carrier takes packets again. */
  drained(): void {
    this.blocked = false;
  }

  private completePacket(): void {
    const { writer } = this;
    let packet: Buffer;
    if (writer.length > COPY_BYTES_MAX) {
      packet = writer.view();
      this.writer = new Writer(WRITER_BYTES);
    } else {
      packet = writer.copy();
      writer.reset();
    }
    this.ready.push(packet);
    this.readyBytes += packet.length;
  }
}
