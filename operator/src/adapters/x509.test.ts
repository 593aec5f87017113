import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { makeIntermediate } from './testing/authorities.ts';
import { flawOfAuthority, isSignedBy, issue, makeAuthority, validityOf } from './x509.ts';

const NAMES = { common: 'n1', dns: ['n1.ns.svc'], addresses: ['127.0.0.1'] };
const DAY_MILLIS = 86_400_000;

test('what an authority signs is taken by TLS on both sides, and what another signs is not', async () => {
  const now = Date.now();
  const authority = await makeAuthority('demo', now, 3650);
  const node = await issue(authority, NAMES, now, 90);
  assert.ok(isSignedBy(node.certificate, authority.certificate));
  const other = await makeAuthority('demo', now, 3650);
  assert.equal(isSignedBy(node.certificate, other.certificate), false);

  const options = { cert: node.certificate, key: node.key, ca: authority.certificate };
  const server = createServer({ ...options, requestCert: true, rejectUnauthorized: false });
  const isAuthorized: boolean[] = [];
  server.on('secureConnection', (socket: TLSSocket) => {
    isAuthorized.push(socket.authorized);
    socket.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stranger = await issue(other, NAMES, now, 90);
  for (const one of [node, stranger]) {
    const socket = connect({
      ...{ host: '127.0.0.1', port, ca: authority.certificate },
      ...{ cert: one.certificate, key: one.key },
    });
    socket.resume();
    await once(socket, 'close');
  }
  server.close();
  assert.deepEqual(isAuthorized, [true, false]);
});

test('names and times are those that were asked for', async () => {
  const now = Date.parse('2026-03-01T00:00:00Z');
  const authority = await makeAuthority('demo', now, 3650);
  const { certificate } = await issue(authority, NAMES, now, 90);
  const document = new X509Certificate(certificate);
  assert.equal(document.checkHost('n1.ns.svc'), 'n1.ns.svc');
  assert.equal(document.checkIP('127.0.0.1'), '127.0.0.1');
  assert.equal(document.ca, false);
  assert.equal(new X509Certificate(authority.certificate).ca, true);
  const { from, until } = validityOf(certificate);
  assert.ok(from < now);
  assert.equal(until, now + 90 * DAY_MILLIS);
});

test('an authority of openssl with a key of RSA can sign, and what cannot says why', async (context) => {
  const now = Date.now();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
  const directory = mkdtempSync(join(tmpdir(), 'ilion-x509-'));
  const keyFile = join(directory, 'key.pem');
  writeFileSync(keyFile, key, { mode: 0o600 });
  const { status, stdout } = spawnSync(
    'openssl',
    ['req', '-x509', '-days', '30', '-subj', '/CN=own', '-key', keyFile],
    { encoding: 'utf8' },
  );
  rmSync(directory, { recursive: true });
  if (status !== 0) return context.skip('no openssl, version 3 or later');
  const own = { certificate: stdout, key };
  assert.equal(await flawOfAuthority(own, now), null);
  const node = await issue(own, NAMES, now, 90);
  assert.ok(isSignedBy(node.certificate, own.certificate));
  assert.equal(validityOf(node.certificate).until, validityOf(own.certificate).until);

  const other = await makeAuthority('demo', now, 1);
  const between = await makeIntermediate(other, 'between', now, 1);
  const flaws: readonly (readonly [certificate: string, key: string, at: number, flaw: RegExp])[] =
    [
      [node.certificate, node.key, now, /not one of an authority/],
      [own.certificate, other.key, now, /does not belong/],
      [between.certificate, between.key, now, /another authority has signed/],
      [other.certificate, other.key, now + 2 * DAY_MILLIS, /has expired/],
      ['nonsense', other.key, now, /./],
      [other.certificate, 'nonsense', now, /./],
    ];
  for (const [certificate, keyText, at, flaw] of flaws) {
    assert.match((await flawOfAuthority({ certificate, key: keyText }, at)) ?? 'none', flaw);
  }
});
