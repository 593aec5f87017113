/** Certificates for a cluster on this machine, made with openssl: an authority, and one of it for each node. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of PEM files. */
export interface NodeCertificate {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const DAYS = '825';

function openssl(args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status === 0) return;
  const why = error === undefined ? stderr.trim() : 'openssl, version 3 or later, is needed';
  throw new TypeError(`certificates cannot be made: ${why}`);
}

/**
 * What is there already is kept.
 * @param directory of the authority and all certificates
 * @param name of the certificate's files @param address IPv4, which it is made out to
 * @throws TypeError
 */
export function nodeCertificate(directory: string, name: string, address: string): NodeCertificate {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [authority, authorityKey] = [join(directory, 'ca.pem'), join(directory, 'ca.key')];
  if (!existsSync(authority)) {
    openssl([
      ...['req', '-x509', ...KEY, '-days', DAYS, '-subj', '/CN=Ilion cluster authority'],
      ...['-keyout', authorityKey, '-out', authority],
    ]);
  }
  const [certificate, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  if (!existsSync(certificate)) {
    openssl([
      ...['req', '-x509', ...KEY, '-days', DAYS, '-subj', `/CN=${name}`],
      ...['-addext', `subjectAltName=IP:${address}`, '-CA', authority, '-CAkey', authorityKey],
      ...['-keyout', key, '-out', certificate],
    ]);
  }
  return { authority, certificate, key };
}

/** Options of `ilion start` by which a node uses it, without their dashes. */
export function encryptionFlags({ authority, certificate, key }: NodeCertificate) {
  return {
    'internode-encryption': 'all',
    'internode-certificate': certificate,
    'internode-key': key,
    'internode-authority': authority,
    'internode-endpoint-verification': 'true',
  };
}
