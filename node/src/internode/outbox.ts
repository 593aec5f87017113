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
  PacketKind,
  sealPacket,
  writeMessageHeader,
} from './packet.ts';

const WRITER_BYTES = 4096;
/** From here on a packet's memory is given away and not copied. */
const COPY_BYTES_MAX = 64 << 10;
const SPARE_WRITERS_MAX = 32;
/** Shared by all: a link that is idle holds no memory. */
const spareWriters: Writer[] = [];

export class Outbox {
  /** The packet that is being filled. */
  private writer: Writer | null = null;
  private ready: Buffer[] = [];
  private readyBytes = 0;
  private blocked = false;

  /** Bytes that wait. */
  get bytes(): number {
    return this.readyBytes + (this.writer?.length ?? 0);
  }

  /** Adds a message; the body is copied. */
  add(kind: MessageKind, code: number, id: number, deadline: number, body: Uint8Array): void {
    const filled = this.writer?.length ?? 0;
    if (filled > 0 && filled + body.length > PACKET_BYTES) this.completePacket();
    const writer = (this.writer ??= beginMessages());
    writeMessageHeader(writer, kind, code, id, deadline, body.length);
    writer.raw(body);
  }

  /** Hands over what waits, as far as the carrier takes it. */
  flush(stream: CarrierStream, nowMillis: number): void {
    if (this.blocked) return;
    this.completePacket();
    let sent = 0;
    while (sent < this.ready.length && !this.blocked) {
      const packet = this.ready[sent++];
      this.readyBytes -= packet.length;
      sealPacket(packet, nowMillis);
      this.blocked = !stream.write(packet);
    }
    if (sent === this.ready.length) this.ready.length = 0;
    else this.ready.splice(0, sent);
  }

  /** The carrier takes packets again. */
  drained(): void {
    this.blocked = false;
  }

  private completePacket(): void {
    const { writer } = this;
    if (writer === null) return;
    this.writer = null;
    const copied = writer.length <= COPY_BYTES_MAX;
    const packet = copied ? writer.copy() : writer.view();
    this.ready.push(packet);
    this.readyBytes += packet.length;
    if (copied && spareWriters.length < SPARE_WRITERS_MAX) {
      writer.reset();
      spareWriters.push(writer);
    }
  }
}

function beginMessages(): Writer {
  const writer = spareWriters.pop() ?? new Writer(WRITER_BYTES);
  beginPacket(writer, PacketKind.messages);
  return writer;
}
