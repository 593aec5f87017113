/** Certificates in PEM: an authority, and what it signs. Keys made here are EC on P-256, as every TLS of ours takes. */
import 'reflect-metadata';
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509Certificate as X509Document,
} from '@peculiar/x509';

export interface KeyPair {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

export interface Names {
  /** For people: the subject's common name. */
  readonly common: string;
  readonly dns: readonly string[];
  /** IPv4. */
  readonly addresses: readonly string[];
}

const KEYS = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { ...KEYS, hash: 'SHA-256' } as const;
const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
const DAY_MILLIS = 86_400_000;
/** Clocks differ. */
const EARLIER_MILLIS = 3_600_000;

cryptoProvider.set(webcrypto);

function validity(nowMillis: number, days: number) {
  return {
    notBefore: new Date(nowMillis - EARLIER_MILLIS),
    notAfter: new Date(nowMillis + days * DAY_MILLIS),
  };
}

function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  // Positive, by DER.
  bytes[0] &= 0x7f;
  return Buffer.from(bytes).toString('hex');
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

/** @param nowMillis since 1970 */
export async function makeAuthority(
  common: string,
  nowMillis: number,
  days: number,
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [common] }],
    ...validity(nowMillis, days),
    signingAlgorithm: SIGNING,
    keys: keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: await privateKeyPem(keys.privateKey),
  };
}

/** @param pem in any usual form @throws Error if it is no key, or neither of RSA nor of P-256 */
async function signingKeyOf(pem: string) {
  const key = createPrivateKey(pem);
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  const isRsa = key.asymmetricKeyType === 'rsa';
  if (!isRsa && namedCurve !== 'prime256v1') {
    throw new TypeError('the key must be of RSA, or of ECDSA on P-256');
  }
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  const imported = await webcrypto.subtle.importKey('pkcs8', pkcs8, isRsa ? RSA : KEYS, false, [
    'sign',
  ]);
  return { key: imported, algorithm: isRsa ? RSA : SIGNING };
}

/** Whether it has signed itself: OpenSSL does not stop before, whatever it is told to believe. @throws Error if it cannot be read */
export function isRoot(certificate: string): boolean {
  return isSignedBy(certificate, certificate);
}

/** Why it cannot be an authority; null: it can. */
export async function flawOfAuthority(pair: KeyPair, nowMillis: number): Promise<string | null> {
  try {
    const document = new X509Certificate(pair.certificate);
    if (!document.ca) return 'the certificate is not one of an authority (CA:TRUE)';
    if (!isRoot(pair.certificate)) {
      return 'another authority has signed the certificate, and nodes believe only one that has signed its own';
    }
    if (!document.checkPrivateKey(createPrivateKey(pair.key))) {
      return 'the key does not belong to the certificate';
    }
    await signingKeyOf(pair.key);
    if (Date.parse(document.validTo) <= nowMillis) {
      return `the certificate has expired (${document.validTo})`;
    }
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A certificate for both sides of TLS. It does not outlive its authority. @throws Error if the authority's key cannot be used */
export async function issue(
  authority: KeyPair,
  { common, dns, addresses }: Names,
  nowMillis: number,
  days: number,
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
  const issuer = new X509Document(authority.certificate);
  const signing = await signingKeyOf(authority.key);
  const { notBefore, notAfter } = validity(nowMillis, days);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [common] }],
    issuer: issuer.subjectName.toJSON(),
    notBefore,
    notAfter: new Date(Math.min(issuer.notAfter.getTime(), notAfter.getTime())),
    signingAlgorithm: signing.algorithm,
    publicKey: keys.publicKey,
    signingKey: signing.key,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([
        ...dns.map((value) => ({ type: 'dns', value }) as const),
        ...addresses.map((value) => ({ type: 'ip', value }) as const),
      ]),
      await AuthorityKeyIdentifierExtension.create(issuer),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: await privateKeyPem(keys.privateKey),
  };
}

/** When it begins and ends, milliseconds since 1970. @throws Error if it is no certificate */
export function validityOf(certificate: string): { readonly from: number; readonly until: number } {
  const { validFrom, validTo } = new X509Certificate(certificate);
  return { from: Date.parse(validFrom), until: Date.parse(validTo) };
}

/** Whether the authority has signed it, and the key belongs to it. @throws Error if one of them cannot be read */
export function isSignedBy(certificate: string, authority: string): boolean {
  const document = new X509Certificate(certificate);
  const issuer = new X509Certificate(authority);
  return document.checkIssued(issuer) && document.verify(issuer.publicKey);
}
