/** Certificates from files, which are read again when they have changed: for the links between nodes, and for clients. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type TlsOptions } from 'node:tls';
import type { LinkLogger } from '../internode/carrier.ts';
import type { LinkTlsSource } from './grpc-links-tls.ts';

/** Paths of PEM files. */
export interface LinkCertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly authorityFile: string;
  readonly mutual: boolean;
  readonly verifyAddress: boolean;
}

export interface ClientCertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Whose certificates clients must have; null: they need none. */
  readonly authorityFile: string | null;
}

/** What is read again from time to time. */
interface Reread {
  /** Looks at the files now. Never rejects: what cannot be used is logged, and what was there is kept. */
  reload(): Promise<void>;
  close(): void;
}

export type LinkCertificates = LinkTlsSource & Reread;

/** As a server of node:tls takes them. */
export interface ClientTlsSource {
  current(): TlsOptions;
  /** @returns stops it */
  onChange(listener: () => void): () => void;
}

export type ClientCertificates = ClientTlsSource & Reread;

/** The files cannot be used; the message names the option. */
export class CertificateFileError extends Error {
  readonly code = 'CERTIFICATE_FILE';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CertificateFileError';
  }
}

interface Pem {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Empty: none. */
  readonly ca: Buffer;
}

/** A file, and the option that names it. */
interface NamedFile {
  readonly option: string;
  readonly path: string;
}

/** What is read, and what is said of it. */
interface Subject {
  readonly certificate: NamedFile;
  readonly key: NamedFile;
  readonly ca: NamedFile | null;
  readonly endsSoon: string;
  readonly changed: string;
  readonly unusable: string;
}

const NOTHING = Buffer.alloc(0);
const POLL_MILLIS = 10_000;
const DAY_MILLIS = 86_400_000;
const EXPIRY_DAYS = 14;

function unreadable({ option, path }: NamedFile, cause: unknown): CertificateFileError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CertificateFileError(`${option} (${path}) cannot be used: ${why}`, { cause });
}

/** @returns until when it is good, milliseconds since 1970 @throws CertificateFileError */
function endOf(file: NamedFile, pem: Buffer): number {
  try {
    return Date.parse(new X509Certificate(pem).validTo);
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** @returns until when all are good, milliseconds since 1970 @throws CertificateFileError */
function check({ certificate, key, ca }: Pem, subject: Subject): number {
  const own = endOf(subject.certificate, certificate);
  const until = subject.ca === null ? own : Math.min(own, endOf(subject.ca, ca));
  try {
    createSecureContext({ cert: certificate, key, ...(subject.ca === null ? {} : { ca }) });
  } catch (error) {
    throw unreadable(subject.key, error);
  }
  return until;
}

function isSame(a: Pem, b: Pem): boolean {
  return a.ca.equals(b.ca) && a.certificate.equals(b.certificate) && a.key.equals(b.key);
}

class CertificateFiles implements Reread {
  private readonly subject: Subject;
  private readonly log: LinkLogger | null;
  private readonly listeners = new Set<() => void>();
  private readonly timer: NodeJS.Timeout;
  private pem: Pem;
  private lastFailure = '';
  private isBusy = false;

  /** @throws CertificateFileError */
  constructor(subject: Subject, log: LinkLogger | null, pollMillis: number) {
    this.subject = subject;
    this.log = log;
    this.pem = readNow(subject);
    this.lookAtEnd(check(this.pem, subject));
    this.timer = setInterval(() => void this.reload(), pollMillis);
    this.timer.unref();
  }

  get current(): Pem {
    return this.pem;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async reload(): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      await this.take();
      this.lastFailure = '';
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.lastFailure) this.log?.warn(this.subject.unusable, { reason });
      this.lastFailure = reason;
    } finally {
      this.isBusy = false;
    }
  }

  private async take(): Promise<void> {
    const found = await readAgain(this.subject);
    if (isSame(found, this.pem)) return;
    const until = check(found, this.subject);
    this.pem = found;
    this.log?.info(this.subject.changed, this.lookAtEnd(until));
    for (const listener of this.listeners) listener();
  }

  private lookAtEnd(until: number): { readonly validTo: string } {
    const validTo = new Date(until).toISOString();
    if (until - Date.now() < EXPIRY_DAYS * DAY_MILLIS) {
      this.log?.warn(this.subject.endsSoon, { validTo });
    }
    return { validTo };
  }

  close(): void {
    clearInterval(this.timer);
  }
}

function readNow({ certificate, key, ca }: Subject): Pem {
  const read = (file: NamedFile): Buffer => {
    try {
      return readFileSync(file.path);
    } catch (error) {
      throw unreadable(file, error);
    }
  };
  return { certificate: read(certificate), key: read(key), ca: ca === null ? NOTHING : read(ca) };
}

async function readAgain({ certificate, key, ca }: Subject): Promise<Pem> {
  const read = async (file: NamedFile): Promise<Buffer> => {
    try {
      return await readFile(file.path);
    } catch (error) {
      throw unreadable(file, error);
    }
  };
  const [first, second, third] = await Promise.all([
    read(certificate),
    read(key),
    ca === null ? NOTHING : read(ca),
  ]);
  return { certificate: first, key: second, ca: third };
}

/**
 * Reads the files, and again from time to time. New connections are made with what they have then; a set of files that
 * does not fit together (half of it written, say) changes nothing.
 * @param log null: another thread of the process tells
 * @throws CertificateFileError
 */
export function openLinkCertificates(
  { certificateFile, keyFile, authorityFile, mutual, verifyAddress }: LinkCertificateFiles,
  log: LinkLogger | null,
  pollMillis = POLL_MILLIS,
): LinkCertificates {
  const subject = {
    certificate: { option: 'internode_certificate', path: certificateFile },
    key: { option: 'internode_key', path: keyFile },
    ca: { option: 'internode_authority', path: authorityFile },
    endsSoon: 'a certificate of the links between nodes ends soon, or has ended',
    changed: 'the certificates of the links between nodes have changed',
    unusable: 'the new certificates of the links between nodes cannot be used; the old ones stay',
  };
  const files = new CertificateFiles(subject, log, pollMillis);
  return {
    current: () => ({ ...files.current, mutual, verifyAddress }),
    onChange: (listener) => files.onChange(listener),
    reload: () => files.reload(),
    close: () => files.close(),
  };
}

/** The same for those that clients are shown. @throws CertificateFileError */
export function openClientCertificates(
  { certificateFile, keyFile, authorityFile }: ClientCertificateFiles,
  log: LinkLogger | null,
  pollMillis = POLL_MILLIS,
): ClientCertificates {
  const subject = {
    certificate: { option: 'client_certificate', path: certificateFile },
    key: { option: 'client_key', path: keyFile },
    ca: authorityFile === null ? null : { option: 'client_authority', path: authorityFile },
    endsSoon: 'the certificate for clients, or the authority of theirs, ends soon, or has ended',
    changed: 'the certificates for clients have changed',
    unusable: 'the new certificates for clients cannot be used; the old ones stay',
  };
  const files = new CertificateFiles(subject, log, pollMillis);
  return {
    current: () => {
      const { certificate, key, ca } = files.current;
      const mutual = { requestCert: true, rejectUnauthorized: true };
      return { cert: certificate, key, ...(authorityFile === null ? {} : { ca, ...mutual }) };
    },
    onChange: (listener) => files.onChange(listener),
    reload: () => files.reload(),
    close: () => files.close(),
  };
}
