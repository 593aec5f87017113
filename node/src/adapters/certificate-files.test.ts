import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect } from 'node:tls';
import {
  CertificateFileError,
  openClientCertificates,
  openLinkCertificates,
} from './certificate-files.ts';
import { createTcpListener } from './tcp-listener.ts';

const directory = mkdtempSync(join(tmpdir(), 'ilion-certificates-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const files = {
  certificateFile: join(directory, 'node.pem'),
  keyFile: join(directory, 'node.key'),
  authorityFile: join(directory, 'node.pem'),
  ...{ mutual: true, verifyAddress: false },
};

/** Writes a certificate that is its own authority. */
function issue(days: string): boolean {
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', days, '-subj', '/CN=node', '-keyout', files.keyFile],
    ...['-out', files.certificateFile],
  ]);
  return made.status === 0;
}

const skip = issue('100') ? false : 'openssl is needed';

test('certificates are read again; what does not fit together changes nothing', {
  skip,
}, async () => {
  const lines: string[] = [];
  const note = (message: string) => lines.push(message);
  const source = openLinkCertificates(files, { info: note, warn: note, error: note });
  let changes = 0;
  source.onChange(() => changes++);
  const first = source.current();
  await source.reload();
  assert.equal(changes, 0);
  issue('3');
  await source.reload();
  assert.equal(changes, 1);
  assert.notDeepEqual(source.current().key, first.key);
  const second = source.current();
  assert.deepEqual(lines, [
    'a certificate of the links between nodes ends soon, or has ended',
    'the certificates of the links between nodes have changed',
  ]);
  writeFileSync(files.keyFile, first.key);
  await source.reload();
  await source.reload();
  rmSync(files.keyFile);
  await source.reload();
  assert.equal(changes, 1);
  assert.deepEqual(source.current(), second);
  // Once for each reason.
  assert.equal(lines.length, 4);
  assert.match(lines[3], /cannot be used; the old ones stay/);
  source.close();
});

test('a node does not start with files that cannot be used', { skip }, () => {
  const refused = (changed: Partial<typeof files>, why: RegExp) =>
    assert.throws(
      () => openLinkCertificates({ ...files, ...changed }, null),
      (error) => error instanceof CertificateFileError && why.test(error.message),
    );
  issue('100');
  refused({ keyFile: join(directory, 'none') }, /internode_key \(.*\) cannot be used: ENOENT/);
  writeFileSync(join(directory, 'text'), 'not a certificate');
  refused({ authorityFile: join(directory, 'text') }, /internode_authority .* cannot be used/);
  refused({ certificateFile: join(directory, 'text') }, /internode_certificate .* cannot be used/);
  refused({ keyFile: join(directory, 'text') }, /internode_key .* cannot be used/);
});

test('new clients are shown a new certificate; those that are there stay', { skip }, async (t) => {
  issue('100');
  const { certificateFile, keyFile } = files;
  const tls = openClientCertificates({ certificateFile, keyFile, authorityFile: null }, null);
  const listener = createTcpListener({
    ...{ host: '127.0.0.1', port: 0, reusePort: false, tls },
    handshakeMillisMax: 10_000,
  });
  const { port } = await listener.listen(
    (stream) =>
      stream.start({
        onData: (chunk) => stream.write(chunk, () => {}),
        onEnd: () => {},
        onClosed: () => {},
      }),
    () => {},
  );
  t.after(() => listener.close());
  t.after(() => tls.close());
  const client = async () => {
    const socket = connect({ port, rejectUnauthorized: false });
    t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    return socket;
  };
  const before = await client();
  issue('50');
  await tls.reload();
  const later = await client();
  const shown = [before, later].map((socket) => socket.getPeerCertificate().fingerprint256);
  assert.notEqual(shown[0], shown[1]);
  before.write('still here');
  assert.equal(String((await once(before, 'data'))[0]), 'still here');
});

test('a certificate for clients that cannot be used is told with its option', { skip }, () => {
  issue('100');
  const { certificateFile, keyFile } = files;
  const authorityFile = join(directory, 'none');
  assert.throws(
    () => openClientCertificates({ certificateFile, keyFile, authorityFile }, null),
    /client_authority \(.*none\) cannot be used: ENOENT/,
  );
});
