/** The metrics of a node in Prometheus' format, gathered from its workers and shards when they are asked for. */
import { Counter, Gauge, Registry } from 'prom-client';
import { createNativeEngine } from '../../native/index.ts';
import type { Settings } from '../config/settings.ts';
import type { KvStore } from '../storage/kv.ts';
import type { LoopMonitor } from './loop-monitor.ts';
import { CLUSTER_FAMILIES } from './metrics-cluster-families.ts';
import { FAMILIES, type Facts, type RingFacts, type Sample } from './metrics-server-families.ts';
import { type Histogram, histograms } from './metrics-server-histograms.ts';
import type { Node } from './node.ts';
import { shardFacts } from './shard-facts.ts';
import { processOptions } from './shards.ts';
import { VERSION } from './version.ts';

const GATHER_TIMEOUT_MS = 5000;

/** A histogram as lines: prom-client's own can only count by itself. */
function histogramLines({ name, help, bounds, series }: Histogram): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const { label, counts, sum } of series) {
    let count = 0;
    for (const [place, more] of [...counts].entries()) {
      count += more;
      lines.push(`${name}_bucket{${label},le="${bounds[place] ?? '+Inf'}"} ${count}`);
    }
    lines.push(`${name}_sum{${label}} ${sum}`);
    lines.push(`${name}_count{${label}} ${count}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Counts from now on how often each shard was held back. */
export function countStalls(stores: readonly KvStore[]): () => Sample[] {
  const counts = stores.map(() => ({ delayed: 0, stopped: 0 }));
  for (const [shard, store] of stores.entries()) {
    store.onEvent((event) => {
      if (event.kind === 'stall' && event.state !== 'normal') counts[shard][event.state]++;
    });
  }
  return () =>
    counts.flatMap((count, shard) =>
      Object.entries(count).map(([state, value]) => ({
        labels: { shard: String(shard), state },
        value,
      })),
    );
}

function within<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new TypeError(`workers did not answer within ${milliseconds} ms`)),
      milliseconds,
    );
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** The facts as text. A fresh registry each time: values are set once, and nothing is left of what is gone. */
export async function render(
  facts: Facts,
  info: Readonly<Record<string, string>>,
): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const show = (
    kind: 'counter' | 'gauge',
    name: string,
    help: string,
    samples: readonly Sample[],
  ) => {
    if (samples.length === 0) return;
    const labelNames = Object.keys(samples[0].labels);
    if (kind === 'counter') {
      const counter = new Counter({ name, help, labelNames, registers });
      for (const { labels, value } of samples) counter.inc(labels, value);
    } else {
      const gauge = new Gauge({ name, help, labelNames, registers });
      for (const { labels, value } of samples) gauge.set(labels, value);
    }
  };
  show('gauge', 'ilion_info', 'Which node this is; always 1.', [{ labels: info, value: 1 }]);
  for (const { kind, name, help, samples } of [...FAMILIES, ...CLUSTER_FAMILIES]) {
    show(kind, name, help, samples(facts));
  }
  return [await registry.metrics(), ...histograms(facts).map(histogramLines)].join('\n');
}

function ringFacts(node: Node): RingFacts | null {
  const { state, alive } = node.cluster();
  if (state.topologyEpoch === 0) return null;
  const members = [...state.nodes.values()].filter((one) => one.state !== 'left');
  const up = members.filter(({ hostId }) => alive.has(hostId)).length;
  return {
    up,
    down: members.length - up,
    operations: state.operations.length,
    topologyEpoch: state.topologyEpoch,
    movements: node.movements(),
  };
}

/** @returns how to get the text; who asks while it is being gathered gets the same */
export function createExposition(
  settings: Settings,
  node: Node,
  loop: LoopMonitor,
): { readonly contentType: string; text(): Promise<string> } {
  const engine = createNativeEngine(processOptions(settings));
  const stalls = countStalls(node.stores);
  const info = {
    version: VERSION,
    cluster: settings.clusterName,
    data_center: settings.datacenter,
    rack: settings.rack,
    host_id: node.hostId,
  };
  const gather = async (): Promise<string> => {
    const workers = await within(node.status(), GATHER_TIMEOUT_MS);
    const loops = workers.map((worker, index) => ({ thread: String(index), loop: worker.loop }));
    const facts: Facts = {
      workers,
      loops: [{ thread: 'main', loop: loop.status() }, ...loops],
      shards: node.stores.map(shardFacts),
      statistics: node.stores.map((store) => store.statistics()),
      memory: engine.memoryUsage(),
      stalls: stalls(),
      ring: ringFacts(node),
    };
    return render(facts, info);
  };
  let running: Promise<string> | null = null;
  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    text: () => {
      running ??= gather().finally(() => {
        running = null;
      });
      return running;
    },
  };
}
