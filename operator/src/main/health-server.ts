/** /metrics, /healthz and /readyz over HTTP. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HealthSources {
  /** Null: ready; otherwise what it waits for. */
  notReady(): string | null;
  readonly metrics: { text(): Promise<string>; readonly contentType: string };
}

export interface HealthServer {
  readonly port: number;
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 64;

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

/** @param port 0: any free one @throws Error of node:net if it cannot listen */
export async function serveHealth(
  address: string,
  port: number,
  { notReady, metrics }: HealthSources,
): Promise<HealthServer> {
  const plain = (response: ServerResponse, status: number, body: string) =>
    answer(response, status, 'text/plain; charset=utf-8', `${body}\n`);
  const server = createServer((request, response) => {
    const [path] = (request.url ?? '/').split('?');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return plain(response, 405, 'GET and HEAD only');
    }
    switch (path) {
      case '/healthz':
        return plain(response, 200, 'alive');
      case '/readyz': {
        const missing = notReady();
        return plain(response, missing === null ? 200 : 503, missing ?? 'ready');
      }
      case '/metrics':
        metrics.text().then(
          (text) => answer(response, 200, metrics.contentType, text),
          () => plain(response, 500, 'metrics could not be gathered'),
        );
        return;
      default:
        return plain(response, 404, 'not found: there are /metrics, /healthz and /readyz');
    }
  });
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
