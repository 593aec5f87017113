/** An HTTPS server on this machine that answers as a test says, in the place of the API server. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { accessInCluster, type KubeAccess } from '../kube-access.ts';
import { issue, makeAuthority } from '../x509.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly token: string;
  readonly contentType: string | undefined;
  readonly body: unknown;
}

/** Answers by JSON (a status and a value), or by hand. */
export type Answer =
  | readonly [status: number, value: unknown]
  | ((response: ServerResponse) => void);

export interface ScriptedServer extends AsyncDisposable {
  readonly access: KubeAccess;
  /** Folder of the service account. */
  readonly folder: string;
  readonly asked: readonly Asked[];
}

async function askedOf(request: IncomingMessage): Promise<Asked> {
  const url = new URL(request.url ?? '/', 'https://server');
  const body = await text(request);
  return {
    method: request.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    token: request.headers.authorization ?? '',
    contentType: request.headers['content-type'],
    body: body === '' ? null : JSON.parse(body),
  };
}

/** @param nowMillis by which the token is read again */
export async function startScriptedServer(
  answer: (asked: Asked) => Answer,
  nowMillis?: () => number,
): Promise<ScriptedServer> {
  const folder = mkdtempSync(join(tmpdir(), 'ilion-account-'));
  const authority = await makeAuthority('kubernetes', Date.now(), 10);
  const names = { common: 'kube-apiserver', dns: ['localhost'], addresses: ['127.0.0.1'] };
  const { certificate, key } = await issue(authority, names, Date.now(), 1);
  writeFileSync(join(folder, 'ca.crt'), authority.certificate);
  writeFileSync(join(folder, 'token'), 'first');
  writeFileSync(join(folder, 'namespace'), 'ilion-system');
  const asked: Asked[] = [];
  const server = createServer({ cert: certificate, key }, (request, response) => {
    void askedOf(request).then((one) => {
      asked.push(one);
      const said = answer(one);
      if (typeof said === 'function') return said(response);
      response.writeHead(said[0], { 'content-type': 'application/json' });
      response.end(JSON.stringify(said[1]));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const environment = {
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    KUBERNETES_SERVICE_PORT: String((server.address() as AddressInfo).port),
  };
  const access = accessInCluster(environment, folder, nowMillis);
  return {
    access,
    folder,
    asked,
    [Symbol.asyncDispose]: async () => {
      access.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      rmSync(folder, { recursive: true });
    },
  };
}
