/** Metrics for Prometheus. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { KubeCall } from '../adapters/kube-client.ts';
import type { NodeCallErrorCode } from '../ports/nodes.ts';

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30];

export interface OperatorMetrics {
  kubeCall(call: KubeCall): void;
  nodeCall(name: string, outcome: 'OK' | NodeCallErrorCode, seconds: number): void;
  reconciled(outcome: 'ok' | 'failed', writes: number, seconds: number): void;
  /** In the form that Prometheus reads. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** What is read when it is asked for. */
export interface MetricSources {
  clusters(): number;
  queued(): number;
  leads(): boolean;
  connections(): number;
}

export function createMetrics(sources: MetricSources): OperatorMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const kubeCalls = new Counter({
    name: 'ilion_operator_kube_calls_total',
    help: 'Calls to the API server by verb, kind and outcome; create, apply, annotate, replace and delete are writes.',
    labelNames: ['verb', 'kind', 'outcome'],
    registers,
  });
  const kubeSeconds = new Histogram({
    name: 'ilion_operator_kube_call_seconds',
    help: 'Time that calls to the API server took.',
    labelNames: ['verb'],
    buckets: SECONDS,
    registers,
  });
  const nodeCalls = new Counter({
    name: 'ilion_operator_node_calls_total',
    help: 'Calls to database nodes by outcome.',
    labelNames: ['call', 'outcome'],
    registers,
  });
  const nodeSeconds = new Histogram({
    name: 'ilion_operator_node_call_seconds',
    help: 'Time that calls to database nodes took.',
    labelNames: ['call'],
    buckets: SECONDS,
    registers,
  });
  const reconciles = new Counter({
    name: 'ilion_operator_reconciles_total',
    help: 'Reconciliations of a cluster by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const writes = new Counter({
    name: 'ilion_operator_reconcile_writes_total',
    help: 'Writes to the API server that reconciliations have made; none while clusters are as they are to be.',
    registers,
  });
  const reconcileSeconds = new Histogram({
    name: 'ilion_operator_reconcile_seconds',
    help: 'Time that reconciliations of a cluster took.',
    buckets: SECONDS,
    registers,
  });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(value());
      },
    });
  gauge('ilion_operator_clusters_count', 'Clusters that are known.', sources.clusters);
  gauge('ilion_operator_queued_count', 'Clusters that wait or are due later.', sources.queued);
  gauge('ilion_operator_leader_count', '1: this operator leads.', () => Number(sources.leads()));
  gauge(
    'ilion_operator_node_connections_count',
    'Open connections to database nodes.',
    sources.connections,
  );
  return {
    kubeCall: ({ verb, kind, outcome, seconds }) => {
      kubeCalls.inc({ verb, kind, outcome });
      kubeSeconds.observe({ verb }, seconds);
    },
    nodeCall: (call, outcome, seconds) => {
      nodeCalls.inc({ call, outcome });
      nodeSeconds.observe({ call }, seconds);
    },
    reconciled: (outcome, count, seconds) => {
      reconciles.inc({ outcome });
      writes.inc(count);
      reconcileSeconds.observe(seconds);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
