/**
 * A kube-apiserver and its etcd alone, as two ordinary processes: no root, no nodes, no controllers. For what the API
 * itself decides: schemas, CEL rules, defaults, server-side apply, watches.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../support/node-process.ts';
import { preparePrograms } from './cluster.ts';
import { runProgram, type ToolOptions, until } from './processes.ts';

const READY_MILLIS = 120_000;

/** Killed at the end of its `await using`, and at the latest when this process ends. */
export interface ApiServer extends AsyncDisposable {
  readonly kubeconfig: string;
  /** @returns standard output @throws ToolError */
  kubectl(args: readonly string[], options?: ToolOptions): Promise<string>;
}

function kubeconfigOf(port: number, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'api',
    clusters: [
      {
        name: 'api',
        cluster: { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true },
      },
    ],
    contexts: [{ name: 'api', context: { cluster: 'api', user: 'admin' } }],
    users: [{ name: 'admin', user: { token } }],
  });
}

function start(program: string, args: readonly string[], log: string): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const file = createWriteStream(log);
  child.stdout?.pipe(file);
  child.stderr?.pipe(file);
  return child;
}

/** @param flags more of kube-apiserver's @throws Error with the end of its log if it does not get ready */
export async function startApiServer(flags: readonly string[] = []): Promise<ApiServer> {
  const bin = await preparePrograms('programs');
  const folder = mkdtempSync(join(tmpdir(), 'ilion-api-'));
  const file = (name: string) => join(folder, name);
  const children: ChildProcess[] = [];
  const stop = () => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once('exit', stop);
  const [clients = 0, peers = 0, port = 0] = await freePorts(3);
  const token = randomBytes(24).toString('hex');
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(file('accounts.key'), keys.privateKey.export({ type: 'sec1', format: 'pem' }));
  writeFileSync(file('accounts.pub'), keys.publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(file('tokens.csv'), `${token},admin,admin,system:masters\n`);
  writeFileSync(file('kubeconfig'), kubeconfigOf(port, token), { mode: 0o600 });
  const etcd = `http://127.0.0.1:${clients}`;
  const peer = `http://127.0.0.1:${peers}`;
  children.push(
    start(
      join(bin, 'etcd'),
      [
        ...['--data-dir', file('etcd'), '--unsafe-no-fsync', '--log-level', 'warn'],
        ...['--listen-client-urls', etcd, '--advertise-client-urls', etcd],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', `default=${peer}`],
      ],
      file('etcd.log'),
    ),
    start(
      join(bin, 'kube-apiserver'),
      [
        ...['--etcd-servers', etcd, '--bind-address', '127.0.0.1', '--secure-port', String(port)],
        ...['--cert-dir', file('certificates'), '--token-auth-file', file('tokens.csv')],
        ...['--authorization-mode', 'RBAC', '--service-cluster-ip-range', '10.91.0.0/20'],
        ...['--service-account-issuer', 'https://kubernetes.default.svc'],
        ...['--service-account-key-file', file('accounts.pub')],
        ...['--service-account-signing-key-file', file('accounts.key')],
        // Nobody makes the account that pods and others would get.
        ...['--disable-admission-plugins', 'ServiceAccount'],
        ...flags,
      ],
      file('kube-apiserver.log'),
    ),
  );
  const kubectl = (args: readonly string[], options: ToolOptions = {}) =>
    runProgram(join(bin, 'kubectl'), args, {
      ...options,
      environment: { KUBECONFIG: file('kubeconfig'), HOME: folder },
    });
  try {
    await until('the API server', READY_MILLIS, async () => {
      if (children.some((child) => child.exitCode !== null)) return 'ended';
      await kubectl(['get', '--raw', '/readyz']);
      return kubectl(['get', 'namespace', 'default', '-o', 'name']);
    });
    if (children.some((child) => child.exitCode !== null)) {
      throw new Error(readFileSync(file('kube-apiserver.log'), 'utf8').slice(-2000));
    }
  } catch (error) {
    stop();
    throw error;
  }
  return {
    kubeconfig: file('kubeconfig'),
    kubectl,
    [Symbol.asyncDispose]: async () => {
      process.off('exit', stop);
      const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(ended);
      stop();
    },
  };
}
