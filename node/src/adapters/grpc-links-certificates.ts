/** The certificates of the links from files, which are read again when they have changed. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { LinkLogger } from '../internode/carrier.ts';
import { type LinkTls, type LinkTlsSource, secureContextOf } from './grpc-links-tls.ts';

/** Paths of PEM files. */
export interface LinkCertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly authorityFile: string;
  readonly mutual: boolean;
  readonly verifyAddress: boolean;
}

export interface LinkCertificates extends LinkTlsSource {
  /** Looks at the files now. Never rejects: what cannot be used is logged, and what was there is kept. */
  reload(): Promise<void>;
  close(): void;
}

/** The files cannot be used; the message names the option. */
export class LinkCertificateError extends Error {
  readonly code = 'LINK_CERTIFICATE';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LinkCertificateError';
  }
}

type Pem = Pick<LinkTls, 'ca' | 'certificate' | 'key'>;

const POLL_MILLIS = 10_000;
const DAY_MILLIS = 86_400_000;
const EXPIRY_DAYS = 14;

function pathsOf(files: LinkCertificateFiles): readonly (readonly [keyof Pem, string, string])[] {
  return [
    ['certificate', 'internode_certificate', files.certificateFile],
    ['key', 'internode_key', files.keyFile],
    ['ca', 'internode_authority', files.authorityFile],
  ];
}

function unreadable(option: string, path: string, cause: unknown): LinkCertificateError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new LinkCertificateError(`${option} (${path}) cannot be used: ${why}`, { cause });
}

/** @returns until when both certificates are good, milliseconds since 1970 @throws LinkCertificateError */
function check(pem: Pem, files: LinkCertificateFiles): number {
  let until = Number.POSITIVE_INFINITY;
  for (const [name, option, path] of pathsOf(files)) {
    if (name === 'key') continue;
    try {
      until = Math.min(until, Date.parse(new X509Certificate(pem[name]).validTo));
    } catch (error) {
      throw unreadable(option, path, error);
    }
  }
  try {
    createSecureContext(secureContextOf({ ...pem, mutual: true, verifyAddress: false }));
  } catch (error) {
    throw unreadable('internode_key', files.keyFile, error);
  }
  return until;
}

function isSame(a: Pem, b: Pem): boolean {
  return a.ca.equals(b.ca) && a.certificate.equals(b.certificate) && a.key.equals(b.key);
}

/**
 * Reads the files, and again from time to time. New connections are made with what they have then; a set of files that
 * does not fit together (half of it written, say) changes nothing.
 * @param log null: another thread of the process tells
 * @throws LinkCertificateError
 */
export function openLinkCertificates(
  files: LinkCertificateFiles,
  log: LinkLogger | null,
  pollMillis = POLL_MILLIS,
): LinkCertificates {
  const { mutual, verifyAddress } = files;
  const listeners = new Set<() => void>();
  let pem = readNow(files);
  let lastFailure = '';
  let isBusy = false;
  const expires = (until: number): { readonly validTo: string } => {
    const validTo = new Date(until).toISOString();
    if (until - Date.now() < EXPIRY_DAYS * DAY_MILLIS) {
      log?.warn('a certificate of the links between nodes ends soon, or has ended', { validTo });
    }
    return { validTo };
  };
  expires(check(pem, files));
  const take = async (): Promise<void> => {
    const found = await readAgain(files);
    if (isSame(found, pem)) {
      lastFailure = '';
      return;
    }
    const until = check(found, files);
    pem = found;
    lastFailure = '';
    log?.info('the certificates of the links between nodes have changed', expires(until));
    for (const listener of listeners) listener();
  };
  const reload = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    try {
      await take();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== lastFailure) {
        log?.warn(
          'the new certificates of the links between nodes cannot be used; the old ones stay',
          {
            reason,
          },
        );
      }
      lastFailure = reason;
    } finally {
      isBusy = false;
    }
  };
  const timer = setInterval(() => void reload(), pollMillis);
  timer.unref();
  return {
    current: () => ({ ...pem, mutual, verifyAddress }),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reload,
    close: () => clearInterval(timer),
  };
}

function readNow(files: LinkCertificateFiles): Pem {
  const read = ([, option, path]: readonly [keyof Pem, string, string]): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw unreadable(option, path, error);
    }
  };
  const [certificate, key, ca] = pathsOf(files).map(read);
  return { certificate, key, ca };
}

async function readAgain(files: LinkCertificateFiles): Promise<Pem> {
  const read = async ([, option, path]: readonly [keyof Pem, string, string]): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (error) {
      throw unreadable(option, path, error);
    }
  };
  const [certificate, key, ca] = await Promise.all(pathsOf(files).map(read));
  return { certificate, key, ca };
}
