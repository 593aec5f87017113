/** Authorities of kinds that the operator makes none of. */
import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  X509CertificateGenerator,
  X509Certificate as X509Document,
} from '@peculiar/x509';
import type { KeyPair } from '../x509.ts';

const KEYS = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const DAY_MILLIS = 86_400_000;

/** One that another authority has signed: no root. */
export async function makeIntermediate(
  root: KeyPair,
  common: string,
  nowMillis: number,
  days: number,
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
  const pkcs8 = createPrivateKey(root.key).export({ type: 'pkcs8', format: 'der' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, KEYS, false, ['sign']);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: '0a',
    subject: [{ CN: [common] }],
    issuer: new X509Document(root.certificate).subjectName.toJSON(),
    notBefore: new Date(nowMillis - DAY_MILLIS),
    notAfter: new Date(nowMillis + days * DAY_MILLIS),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: { ...KEYS, hash: 'SHA-256' },
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: PemConverter.encode(key, 'PRIVATE KEY'),
  };
}
