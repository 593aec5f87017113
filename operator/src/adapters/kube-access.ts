/**
 * Where the API server is and how one shows who one is: as a pod, by its service account; elsewhere, by a kubeconfig file.
 * The package for kubeconfig files takes 90 MiB of memory, so a pod never loads it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent, type AgentOptions, type RequestOptions } from 'node:https';
import { join } from 'node:path';

/** For one request. */
export interface Credentials {
  readonly agent: HttpAgent;
  readonly headers: Readonly<Record<string, string>>;
}

export interface KubeAccess {
  /** Of the API server. */
  readonly server: URL;
  /** The own namespace; null: none is known. */
  readonly namespace: string | null;
  /** Tokens and certificates change: asked for each request. */
  credentials(): Promise<Credentials>;
  /** Ends connections that stand idle. */
  close(): void;
}

/** What is needed to reach the API server is not there. */
export class KubeAccessError extends Error {
  readonly code = 'NO_ACCESS';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KubeAccessError';
  }
}

const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Kubernetes renews tokens some minutes before they end. */
const REREAD_MILLIS = 30_000;
const CONNECTIONS = {
  keepAlive: true,
  maxSockets: 64,
  maxFreeSockets: 8,
  // Of unused connections; the API server keeps its side open longer.
  timeout: 60_000,
} as const satisfies AgentOptions;

/** One agent for as long as the certificates are the same. */
function agents(isPlain: boolean): { of(tls: AgentOptions): HttpAgent; close(): void } {
  let shown = '';
  let agent: HttpAgent | null = null;
  return {
    of: (tls) => {
      const now = JSON.stringify([tls.ca, tls.cert, tls.key].map(String));
      if (agent === null || now !== shown) {
        agent?.destroy();
        shown = now;
        agent = isPlain ? new HttpAgent(CONNECTIONS) : new Agent({ ...CONNECTIONS, ...tls });
      }
      return agent;
    },
    close: () => agent?.destroy(),
  };
}

/** Whether this process runs in a pod with a service account. */
export function isInCluster(environment: NodeJS.ProcessEnv, folder = ACCOUNT_FOLDER): boolean {
  return environment['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(join(folder, 'token'));
}

/**
 * @param folder with `token`, `ca.crt` and `namespace`, read again now and then
 * @throws KubeAccessError
 */
export function accessInCluster(
  environment: NodeJS.ProcessEnv,
  folder = ACCOUNT_FOLDER,
  nowMillis: () => number = Date.now,
): KubeAccess {
  const host = environment['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443';
  const read = (name: string) => {
    try {
      return readFileSync(join(folder, name), 'utf8').trim();
    } catch (error) {
      const cure = 'the pod needs a service account with automountServiceAccountToken: true';
      throw new KubeAccessError(`${join(folder, name)} cannot be read: ${cure}`, { cause: error });
    }
  };
  const connections = agents(false);
  let readAt = Number.NEGATIVE_INFINITY;
  let known: Credentials;
  const refresh = () => {
    known = {
      agent: connections.of({ ca: read('ca.crt') }),
      headers: { authorization: `Bearer ${read('token')}` },
    };
    readAt = nowMillis();
  };
  refresh();
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    namespace: existsSync(join(folder, 'namespace')) ? read('namespace') : null,
    credentials: async () => {
      if (nowMillis() - readAt >= REREAD_MILLIS) refresh();
      return known;
    },
    close: () => connections.close(),
  };
}

/** @param path of a kubeconfig file; what it says of programs to run and tokens is followed @throws KubeAccessError */
export async function accessByKubeconfig(path: string): Promise<KubeAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    config.loadFromFile(path);
  } catch (error) {
    throw new KubeAccessError(`kubeconfig ${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new KubeAccessError(`kubeconfig ${path} has no current-context: set one`);
  }
  const server = new URL(cluster.server);
  const connections = agents(server.protocol === 'http:');
  return {
    server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? null,
    credentials: async () => {
      const options: RequestOptions = { headers: {} };
      await config.applyToHTTPSOptions(options);
      const { ca, cert, key, rejectUnauthorized, servername, auth, headers } = options;
      const tls = Object.fromEntries(
        Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(
          ([, value]) => value !== undefined,
        ),
      );
      const basic =
        typeof auth === 'string'
          ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` }
          : {};
      return {
        // Through a proxy, if the file names one.
        agent:
          cluster.proxyUrl !== undefined && options.agent instanceof HttpAgent
            ? options.agent
            : connections.of(tls),
        headers: { ...(headers as Record<string, string>), ...basic },
      };
    },
    close: () => connections.close(),
  };
}
