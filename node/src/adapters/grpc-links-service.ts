/** The internode service's definition, from node/proto/internode.proto, with a codec that copies a packet once. */
import { fileURLToPath } from 'node:url';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { protoLoader } from './grpc-library.ts';

const PROTO = fileURLToPath(new URL('../../proto/internode.proto', import.meta.url));
const SERVICE = 'ilion.internode.v1.Internode';
const EXCHANGE = 'Exchange';
/** Field 1, length-delimited. */
const BODY_TAG = 0x0a;
const VARINT_BYTES_MAX = 5;
const NOTHING = Buffer.alloc(0);

export type ExchangeMethod = MethodDefinition<Uint8Array, Uint8Array>;

/** A `Packet` message around a packet. */
export function encodePacket(packet: Uint8Array): Buffer {
  let headBytes = 2;
  for (let rest = packet.length; rest > 0x7f; rest >>>= 7) headBytes++;
  const message = Buffer.allocUnsafe(headBytes + packet.length);
  message[0] = BODY_TAG;
  let at = 1;
  let rest = packet.length;
  for (; rest > 0x7f; rest >>>= 7) message[at++] = (rest & 0x7f) | 0x80;
  message[at++] = rest;
  message.set(packet, at);
  return message;
}

/** The packet in a `Packet` message, a view on it; empty (which is no packet) if it is not one body alone. */
export function decodePacket(message: Buffer): Buffer {
  if (message[0] !== BODY_TAG) return NOTHING;
  let length = 0;
  let at = 1;
  for (let byte = 0x80; byte > 0x7f; at++) {
    if (at > VARINT_BYTES_MAX || at >= message.length) return NOTHING;
    byte = message[at];
    length += (byte & 0x7f) * 2 ** (7 * (at - 1));
  }
  return at + length === message.length ? message.subarray(at) : NOTHING;
}

/** The service; its only method is `exchange`. */
export function loadInternodeService(): { service: ServiceDefinition; exchange: ExchangeMethod } {
  const definition = protoLoader().loadSync(PROTO)[SERVICE];
  if (definition === undefined || 'format' in definition) {
    throw new TypeError(`${PROTO} does not define the service ${SERVICE}`);
  }
  const exchange: ExchangeMethod = {
    ...definition[EXCHANGE],
    requestSerialize: encodePacket,
    requestDeserialize: decodePacket,
    responseSerialize: encodePacket,
    responseDeserialize: decodePacket,
  };
  return { service: { [EXCHANGE]: exchange }, exchange };
}
