/** Metrics for Prometheus and health for whoever restarts nodes and routes clients, over HTTP. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Logger } from '../adapters/logger.ts';
import type { Settings } from '../config/settings.ts';
import { listen, metricsPlace } from './listen.ts';
import { LoopMonitor } from './loop-monitor.ts';
import type { Node } from './node.ts';

const CONNECTIONS_MAX = 64;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const plain = (status: number, body: string): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${body}\n`,
});

/**
 * Serves /metrics, /healthz (200 while the process lives) and /readyz (200 while clients are served, 503 while
 * draining).
 * @returns closes it
 * @throws ListenError
 */
export async function serveMetrics(
  settings: Settings,
  node: Node,
  logger: Logger,
): Promise<() => Promise<void>> {
  const loop = new LoopMonitor();
  // The registry is loaded when it is first asked for: a start must not pay for it.
  let exposition: Promise<() => Promise<Answer>> | null = null;
  const metrics = async (): Promise<Answer> => {
    exposition ??= import('./metrics-server-registry.ts').then(({ createExposition }) => {
      const { contentType, text } = createExposition(settings, node, loop);
      return async () => ({ status: 200, type: contentType, body: await text() });
    });
    return (await exposition)();
  };
  const answer = async (path: string): Promise<Answer> => {
    switch (path) {
      case '/metrics':
        return node.phase() === 'serving' ? await metrics() : plain(503, 'draining');
      case '/healthz':
        return plain(200, 'alive');
      case '/readyz':
        return node.phase() === 'serving' ? plain(200, 'ready') : plain(503, 'draining');
      default:
        return plain(404, 'not found: there are /metrics, /healthz and /readyz');
    }
  };
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const { method } = request;
    const [path] = (request.url ?? '/').split('?');
    const wanted =
      method === 'GET' || method === 'HEAD'
        ? answer(path)
        : Promise.resolve(plain(405, 'GET and HEAD only'));
    wanted
      .catch((error: unknown) => {
        logger.error('metrics could not be gathered', { error });
        return plain(500, 'metrics could not be gathered, see the log');
      })
      .then(({ status, type, body }) => {
        response.writeHead(status, {
          'content-type': type,
          'content-length': Buffer.byteLength(body),
          'cache-control': 'no-store',
        });
        response.end(method === 'HEAD' ? undefined : body);
      });
  };
  const server = createServer(handle);
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, metricsPlace(settings));
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}
