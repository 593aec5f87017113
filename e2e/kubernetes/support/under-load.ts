/**
 * examples/demo.yaml on a real Kubernetes, while an application reads and writes and the operator is killed again and again: no request may
 * fail, and no acknowledged row may be lost.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseCluster, type PodObject } from './database-cluster.ts';
import { startLoadPod } from './load-pod.ts';
import { type Operator, OperatorKills, startOperator, TREE } from './operator.ts';
import { Steps } from './steps.ts';

const NODES = 3;
/** Of the cluster. */
export const NAMESPACE = 'shop';
const MIB = 2 ** 20;
/** Of the operator's process. */
const MEMORY_MAX = 150 * MIB;
/** Where the application runs. */
const LOAD_NODE = 'node-1';
const VERIFIED_MIN = 100;

export interface UnderLoad extends AsyncDisposable {
  readonly operator: Operator;
  readonly demo: DatabaseCluster;
  /** What is done to it, and how long that took; printed at the end. */
  readonly steps: Steps;
  /** A pod of the database on another machine than the application. */
  victim(): Promise<PodObject>;
  /** From now on the operator lives. */
  endKills(): Promise<void>;
  /** Ends all that goes on, and looks whether it was as it has to be. */
  endLoad(): Promise<void>;
}

export interface UnderLoadOptions {
  readonly title: string;
  /** Of the operator's chart. */
  readonly values?: readonly string[];
  /** Comes before the cluster. */
  readonly prepare?: (operator: Operator) => Promise<void>;
  /** More of the cluster's spec: lines of YAML. */
  readonly spec?: readonly string[];
}

/** @throws ToolError if this machine cannot run it (ask `unavailable` first) */
export async function startUnderLoad(options: UnderLoadOptions): Promise<UnderLoad> {
  const { title, values = [], prepare, spec = [] } = options;
  const steps = new Steps(title);
  const operator = await startOperator({ nodes: NODES, hasLoad: true, values });
  const demo = new DatabaseCluster(operator, 'demo', NAMESPACE);
  try {
    steps.note('helm install, until the operator is ready', operator.installSeconds);
    await prepare?.(operator);
    await steps.step('kubectl apply examples/demo.yaml, until 3 nodes are ready', async () => {
      const example = readFileSync(join(TREE, 'examples/demo.yaml'), 'utf8');
      await demo.create([example, ...spec.map((line) => `  ${line}\n`)].join(''));
      await demo.settled(3);
    });
    const place = { datacenter: 'dc1', replicas: 3, node: LOAD_NODE };
    const load = await startLoadPod(demo, { image: operator.images.load, ...place });
    const kills = new OperatorKills(operator);
    steps.under(load, kills);
    return {
      operator,
      demo,
      steps,
      victim: async () => {
        const pod = (await demo.pods()).find(({ spec }) => spec.nodeName !== LOAD_NODE);
        assert.ok(pod?.spec.nodeName !== undefined);
        return pod;
      },
      endKills: () => kills[Symbol.asyncDispose](),
      endLoad: async () => {
        await kills[Symbol.asyncDispose]();
        steps.alone();
        const { requests, failureCount, verified, lost } = await load.end();
        const peak = Math.max(kills.peakBytes, (await operator.peakBytes()) ?? 0);
        const parts = [
          `${requests} requests, ${failureCount} failed`,
          `${verified} rows read again, ${lost.length} lost`,
          `operator killed ${kills.kills} times, ${(peak / MIB).toFixed(0)} MiB at the most`,
        ];
        console.log(`${title}: ${parts.join('; ')}`);
        assert.equal(failureCount, 0);
        assert.ok(verified > VERIFIED_MIN);
        assert.deepEqual(lost, []);
        assert.ok(kills.kills > 0);
        assert.ok(peak > 0 && peak < MEMORY_MAX);
        await demo.kubectl(['delete', 'pod', 'load', '--wait=false']);
      },
      [Symbol.asyncDispose]: async () => {
        steps.print();
        await kills[Symbol.asyncDispose]();
        await operator[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await operator[Symbol.asyncDispose]();
    throw error;
  }
}
