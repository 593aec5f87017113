/** Certificates of tests, made by openssl. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { LinkTls } from '../grpc-links-tls.ts';

export interface Authority {
  readonly pem: Buffer;
  /** @param name such as `IP:127.0.0.1` */
  issue(name: string): Pick<LinkTls, 'certificate' | 'key'>;
}

/** Null: there is no openssl. */
export function createAuthority(): Authority | null {
  const directory = mkdtempSync(join(tmpdir(), 'ilion-links-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const at = (name: string) => join(directory, name);
  const run = (...args: string[]) => spawnSync('openssl', args).status === 0;
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const made = run(
    ...['req', '-x509', ...key, '-subj', '/CN=authority'],
    ...['-keyout', at('ca.key'), '-out', at('ca.pem')],
  );
  if (!made) return null;
  return {
    pem: readFileSync(at('ca.pem')),
    issue: (name) => {
      run(
        ...['req', '-x509', ...key, '-subj', '/CN=node', '-addext', `subjectAltName=${name}`],
        ...['-CA', at('ca.pem'), '-CAkey', at('ca.key')],
        ...['-keyout', at('node.key'), '-out', at('node.pem')],
      );
      return { certificate: readFileSync(at('node.pem')), key: readFileSync(at('node.key')) };
    },
  };
}
