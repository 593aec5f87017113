/**
 * What may stand before the body of a message, told by the frame's flags: trace id (answers only),
 * warnings, custom payload. Source: native protocol v5, 2.3.2.
 */
import { Reader, type Writer } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import type { AnswerHeader } from './ports.ts';
import { FrameFlag, type ProtocolVersion } from './protocol.ts';

/** Frame flags for an answer's header; v3 has neither warnings nor payload. */
export function preludeFlags(header: AnswerHeader, version: ProtocolVersion): number {
  let flags = 0;
  if (header.tracingId != null) flags |= FrameFlag.Tracing;
  if (version < 4) return flags;
  if (header.warnings != null && header.warnings.length > 0) flags |= FrameFlag.Warning;
  if (header.customPayload != null) flags |= FrameFlag.CustomPayload;
  return flags;
}

/** Writes the parts of `header` that `flags` name. */
export function writePrelude(out: Writer, header: AnswerHeader, flags: number): void {
  if ((flags & FrameFlag.Tracing) !== 0) out.raw(header.tracingId!);
  if ((flags & FrameFlag.Warning) !== 0) out.stringList(header.warnings!);
  if ((flags & FrameFlag.CustomPayload) === 0) return;
  const payload = header.customPayload!;
  out.u16(payload.size);
  for (const [key, value] of payload) {
    out.string(key);
    out.bytes(value);
  }
}

/** Where the message begins in the body of a request, which may carry warnings and a payload. */
export function skipPrelude(body: Buffer, flags: number, version: ProtocolVersion): number {
  const reader = new Reader(body);
  if ((flags & FrameFlag.Warning) !== 0) reader.stringList();
  if ((flags & FrameFlag.CustomPayload) === 0) return reader.offset;
  if (version < 4) {
    throw protocolError('Received frame with CUSTOM_PAYLOAD flag for native protocol version < 4');
  }
  const count = reader.u16();
  for (let i = 0; i < count; i++) {
    reader.string();
    reader.bytes();
  }
  return reader.offset;
}
