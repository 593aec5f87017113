/** TLS of the links: what it is made with, how it is set up on both sides, and what its failures mean. */
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import { grpcLibrary } from './grpc-library.ts';

/** Certificates in PEM. */
export interface LinkTls {
  /** Of the authorities that peers' certificates are checked against. */
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Whether those who connect must show a certificate of `ca`, too. */
  readonly mutual: boolean;
  /** Whether a node's certificate must be made out to the address that it is called at. */
  readonly verifyAddress: boolean;
}

/** What new connections are made with. It may change while those that stand go on. */
export interface LinkTlsSource {
  current(): LinkTls;
  /** @returns stops it */
  onChange(listener: () => void): () => void;
}

const VERSION_MIN = 'TLSv1.2';
/** Servers of ours have one certificate: the name that is asked for is only there since an address must not be. */
const SERVER_NAME = 'ilion-node';

/** For what never changes. */
export function fixedTls(tls: LinkTls): LinkTlsSource {
  return { current: () => tls, onChange: () => () => {} };
}

type SecureContextPart = Pick<TlsOptions, 'ca' | 'cert' | 'key' | 'minVersion'>;

/** The certificates as node:tls takes them. */
export function secureContextOf({ ca, certificate, key }: LinkTls): SecureContextPart {
  return { ca, cert: certificate, key, minVersion: VERSION_MIN };
}

/** Options of a server of node:tls whose connections speak HTTP/2. */
export function tlsServerOptions(tls: LinkTls, handshakeMillis: number): TlsOptions {
  return {
    ...secureContextOf(tls),
    requestCert: tls.mutual,
    // `refusalOfClient` does, and says why.
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    handshakeTimeout: handshakeMillis,
  };
}

/** For one connection to `address`. */
export function channelCredentials(tls: LinkTls | null, address: string): ChannelCredentials {
  const { credentials } = grpcLibrary();
  if (tls === null) return credentials.createInsecure();
  const check: ConnectionOptions['checkServerIdentity'] = (_, certificate) =>
    tls.verifyAddress ? checkServerIdentity(address, certificate) : undefined;
  const verify = { checkServerIdentity: check };
  return credentials.createFromSecureContext(createSecureContext(secureContextOf(tls)), verify);
}

/** Options of a channel with such credentials. */
export function tlsChannelOptions(tls: LinkTlsSource | null): ChannelOptions {
  return tls === null ? {} : { 'grpc.ssl_target_name_override': SERVER_NAME };
}

const OWN_TLS_MISSING =
  'if the nodes of this cluster have internode_encryption: all, this node needs it, too';
const THEIR_TLS_MISSING = 'the node there seems to have internode_encryption: none';
const NOT_TAKEN =
  "the node there seems not to take this node's certificate, which must be signed by its internode_authority";
const NOT_BELIEVED = "its certificate must be signed by this node's internode_authority";

/** Of an error of OpenSSL the part for people. */
function withoutNumbers(cause: string): string {
  const [, words] = /^[0-9A-F]+:error:[^:]*:[^:]*:[^:]*:([^:]*):/.exec(cause) ?? [];
  return words ?? cause;
}

/** What is said of a connection that this side made, with the cure where TLS is the cause. */
export function explainOutgoing(cause: string, tls: LinkTls | null): string {
  const hasBroken = /^(Protocol error|Failed to connect|Socket closed|.*ECONNRESET)/.test(cause);
  if (tls === null) return hasBroken ? `${cause} (${OWN_TLS_MISSING})` : cause;
  if (/wrong version number|packet length too long|disconnected before secure/.test(cause)) {
    return `TLS: ${withoutNumbers(cause)} (${THEIR_TLS_MISSING})`;
  }
  if (hasBroken || /alert/.test(cause)) {
    return `TLS: ${withoutNumbers(cause)} (${NOT_TAKEN})`;
  }
  if (/altname/.test(cause)) return `TLS: ${cause}`;
  return /certificate|signed/.test(cause) ? `TLS: ${cause} (${NOT_BELIEVED})` : cause;
}

/** Why a connection to this node's port did not get past TLS, and the cure. */
export function explainIncoming({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ERR_SSL_HTTP_REQUEST':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'ERR_SSL_UNKNOWN_PROTOCOL':
      return 'it does not speak TLS: if it is a node, it needs internode_encryption: all';
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return 'it did not finish the handshake in time';
    default:
      return `TLS: ${withoutNumbers(message)}`;
  }
}

/** Why a connection is not served although it speaks TLS. */
export const NO_CERTIFICATE =
  'it has shown no certificate: if it is a node, it needs internode_encryption: all';

/** The same, of one that has shown a certificate. @param why the authorities do not help it */
export function certificateNotTaken(why: string): string {
  return `its certificate is not taken (${why}): it must be signed by internode_authority`;
}

/** Why a connection is not served although its handshake is done; null: it is. */
export function refusalOfClient(socket: TLSSocket, { mutual }: LinkTls): string | null {
  if (!mutual || socket.authorized) return null;
  if (socket.getPeerX509Certificate() === undefined) return NO_CERTIFICATE;
  return certificateNotTaken(String(socket.authorizationError));
}
