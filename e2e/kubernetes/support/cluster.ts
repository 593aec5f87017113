/**
 * A real Kubernetes on this machine: the scripts of ../cluster as tests use them. Each cluster has its own name, port and
 * folder, and goes when the test ends, or when its process does.
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../support/node-process.ts';
import { runProgram, ToolError, type ToolOptions } from './processes.ts';

const SCRIPTS = resolve(dirname(fileURLToPath(import.meta.url)), '../cluster');
const STATES = '/var/tmp/ilion-kube';
const NET = 89;
const UP_MILLIS = 5 * 60_000;
const BUILD_MILLIS = 90 * 60_000;

export interface KubernetesOptions {
  /** Worker nodes, `node-1` ...; 0: the control plane only. */
  readonly nodes: number;
  /** Second part of its addresses, of which it has three: for two that are to reach each other. Not given: 89. */
  readonly net?: number;
}

/** A way from a port of this machine to one in the cluster, until it is disposed of. */
export interface Forward extends Disposable {
  /** On 127.0.0.1. */
  readonly port: number;
}

/** A running cluster. Nodes count from 1; 0 is the control plane. Everything throws ToolError. */
export interface Kubernetes extends AsyncDisposable {
  /** Path of a file that makes its reader the administrator. */
  readonly kubeconfig: string;
  readonly nodes: number;
  /** Unique on this machine. */
  readonly name: string;
  readonly net: number;
  /** Folder with one folder `machine-<i>/log` a machine. */
  readonly state: string;
  /** @returns standard output */
  kubectl(args: readonly string[], options?: ToolOptions): Promise<string>;
  apply(...objects: readonly object[]): Promise<void>;
  /** `kubectl get ... -o json`; throws if it is not there. */
  get(args: readonly string[]): Promise<unknown>;
  helm(args: readonly string[], options?: ToolOptions): Promise<string>;
  /** @param target such as `pod/a` or `service/b` */
  forward(namespace: string, target: string, port: number): Promise<Forward>;
  /** Imports an OCI or Docker archive on every node that is on. */
  loadImage(path: string): Promise<void>;
  /** Runs a program in a machine's namespaces. @returns standard output */
  run(machine: number, command: readonly string[], options?: ToolOptions): Promise<string>;
  /** Pulls a machine's plug. */
  nodeOff(machine: number): Promise<void>;
  nodeOn(machine: number): Promise<void>;
  /** @param from not given: from all others */
  cut(node: number, from?: number): Promise<void>;
  heal(node: number): Promise<void>;
  /** From now on machines and pods of both reach each other at their addresses. */
  cableTo(other: Kubernetes): Promise<void>;
  /** Adds nodes on which pods are only said to run (kwok). */
  addFakeNodes(count: number): Promise<void>;
}

let started = 0;

const script = (
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  options: ToolOptions = {},
) => runProgram(join(SCRIPTS, `${name}.sh`), args, { ...options, environment });

/** `all`: a whole cluster; `programs`: only processes of it, such as the API server. */
export type Extent = 'all' | 'programs';

/** @returns the one reason why this machine cannot run it, or null. */
export async function unavailable(extent: Extent = 'all'): Promise<string | null> {
  try {
    const reason = await script('probe', [extent]);
    return reason.trim() === '' ? null : reason.trim();
  } catch (error) {
    return `it cannot be found out: ${error instanceof ToolError ? error.problem.trim() : String(error)}`;
  }
}

/**
 * Builds the programs and installs the packages that a cluster needs, unless they are there: many minutes on a machine
 * that has never done it.
 * @returns folder of the programs
 */
export async function preparePrograms(extent: Extent = 'all'): Promise<string> {
  await script('build', [extent], {}, { milliseconds: BUILD_MILLIS, isShown: true });
  return (await runProgram('bash', ['-c', `. "${SCRIPTS}/lib.sh"; echo "$bin"`])).trim();
}

function forwardBy(kubectl: string, environment: Readonly<Record<string, string>>) {
  return (namespace: string, target: string, port: number): Promise<Forward> =>
    new Promise((resolve, reject) => {
      const args = ['-n', namespace, 'port-forward', target, `:${port}`];
      const child = spawn(kubectl, args, {
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let problem = '';
      child.stderr.on('data', (chunk) => {
        problem += chunk;
      });
      child.stdout.on('data', (chunk) => {
        const [, local] = /127\.0\.0\.1:(\d+) ->/.exec(String(chunk)) ?? [];
        if (local === undefined) return;
        resolve({ port: Number(local), [Symbol.dispose]: () => child.kill() });
      });
      child.once('exit', (code) =>
        reject(new ToolError(`kubectl ${args.join(' ')}`, code, problem)),
      );
    });
}

/**
 * Starts a cluster: some ten seconds, once its programs are built.
 * @throws ToolError if this machine cannot run one (ask `unavailable` first)
 */
export async function startKubernetes({
  nodes,
  net = NET,
}: KubernetesOptions): Promise<Kubernetes> {
  const [port = 0] = await freePorts(1);
  const name = `il${process.pid}-${++started}`;
  const state = join(STATES, name);
  const bin = await preparePrograms();
  const kubeconfig = join(state, 'kubeconfig');
  const environment = {
    KUBE_NAME: name,
    KUBE_STATE: state,
    KUBE_NODES: String(nodes),
    KUBE_NET: String(net),
    KUBE_PORT: String(port),
    KUBE_OWNER: String(process.pid),
    KUBECONFIG: kubeconfig,
  };
  const down = () => script('down', [], environment, { milliseconds: UP_MILLIS });
  mkdirSync(STATES, { recursive: true });
  try {
    await script('up', [], environment, { milliseconds: UP_MILLIS, isShown: true });
  } catch (error) {
    await down();
    throw error;
  }
  const program =
    (file: string) =>
    (args: readonly string[], options: ToolOptions = {}) =>
      runProgram(join(bin, file), args, { ...options, environment });
  const kubectl = program('kubectl');
  const node = async (args: readonly string[], options: ToolOptions = {}) =>
    script('node', args, environment, { milliseconds: 120_000, ...options });
  const act = async (...args: readonly string[]) => {
    await node(args);
  };
  return {
    kubeconfig,
    ...{ nodes, name, net },
    state,
    kubectl,
    apply: async (...objects) => {
      const list = { apiVersion: 'v1', kind: 'List', items: objects };
      await kubectl(['apply', '-f', '-'], { input: JSON.stringify(list) });
    },
    get: async (args) => JSON.parse(await kubectl(['get', ...args, '-o', 'json'])),
    helm: program('helm'),
    forward: forwardBy(join(bin, 'kubectl'), environment),
    loadImage: (path) => act('load', path),
    run: (machine, command, options) => node(['run', String(machine), ...command], options),
    nodeOff: (machine) => act('off', String(machine)),
    nodeOn: (machine) => act('on', String(machine)),
    cut: (one, from) => act('cut', String(one), ...(from === undefined ? [] : [String(from)])),
    heal: (one) => act('heal', String(one)),
    cableTo: async (other) => {
      await script('cable', [other.name, String(other.net)], environment);
    },
    addFakeNodes: async (count) => {
      await script('fake', [String(count)], environment, { milliseconds: UP_MILLIS });
    },
    [Symbol.asyncDispose]: async () => {
      await down();
    },
  };
}
