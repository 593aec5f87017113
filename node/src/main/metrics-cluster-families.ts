/** Metrics of a node as one of a cluster. A node that is alone has none of them. */
import type { CoordinatorMetrics } from '../coordinator/context.ts';
import type { LinkCounters } from '../internode/context.ts';
import type { MovementProgress } from '../streaming/movement-progress.ts';
import type { Facts, Family, RingFacts, Sample } from './metrics-server-families.ts';

type Count<Source> = readonly [field: keyof Source & string, name: string, help: string];

const COORDINATOR: readonly Count<CoordinatorMetrics>[] = [
  ['hintsStored', 'hints_stored', 'Writes kept for nodes that were down.'],
  ['hintsReplayed', 'hints_replayed', 'Of them, those that the node has got.'],
  [
    'hintsRefused',
    'hints_refused',
    'Writes not kept: too many, or the node was down for too long.',
  ],
  ['hintsDropped', 'hints_dropped', 'Hints too old, or of a table that is gone.'],
  ['readRepairs', 'read_repairs', 'Reads that brought replicas to the same state.'],
  ['digestMismatches', 'digest_mismatches', 'Reads whose replicas differed.'],
  [
    'speculativeRetries',
    'speculative_retries',
    'Reads that asked one more replica: the first was slow.',
  ],
  ['unavailables', 'unavailable', 'Requests refused: too few replicas were up.'],
  ['writeTimeouts', 'write_timeouts', 'Writes that too few replicas answered in time.'],
  ['readTimeouts', 'read_timeouts', 'Reads that too few replicas answered in time.'],
  ['writeFailures', 'write_failures', 'Writes that failed on replicas.'],
  ['readFailures', 'read_failures', 'Reads that failed on replicas.'],
  ['replicaMutations', 'replica_mutations', 'Writes done for other coordinators.'],
  ['replicaReads', 'replica_reads', 'Reads by key done for other coordinators.'],
  ['replicaPages', 'replica_pages', 'Pages of scans read for other coordinators.'],
  ['replicaShed', 'replica_shed', "Peers' requests refused for too much being in flight."],
];

const LINKS: readonly Count<LinkCounters>[] = [
  ['calls', 'internode_calls', 'Requests to peers.'],
  ['timeouts', 'internode_timeouts', 'Requests that a peer did not answer in time.'],
  [
    'unreachable',
    'internode_unreachable',
    'Requests that did not reach a peer, or whose link broke.',
  ],
  ['overloaded', 'internode_overloaded', 'Requests refused since too many waited for the peer.'],
  ['expired', 'internode_expired', "Peers' requests dropped: their time was over."],
  ['malformed', 'internode_malformed', 'Streams closed for what came on them.'],
  ['bytesSent', 'internode_sent_bytes', 'Bytes sent to peers.'],
  ['bytesReceived', 'internode_received_bytes', 'Bytes received from peers.'],
];

function counters<Source>(
  counts: readonly Count<Source>[],
  pick: (cluster: NonNullable<Facts['workers'][number]['cluster']>) => Source,
): readonly Family[] {
  return counts.map(([field, name, help]) => ({
    kind: 'counter',
    name: `ilion_${name}_total`,
    help,
    samples: ({ workers }) =>
      workers.flatMap(({ cluster }, index): Sample[] =>
        cluster === null
          ? []
          : [{ labels: { worker: String(index) }, value: Number(pick(cluster)[field]) }],
      ),
  }));
}

type RingGauge = readonly [name: string, help: string, pick: (ring: RingFacts) => number];

function ringGauges(gauges: readonly RingGauge[]): readonly Family[] {
  return gauges.map(([name, help, pick]) => ({
    kind: 'gauge',
    name,
    help,
    samples: ({ ring }) => (ring === null ? [] : [{ labels: {}, value: pick(ring) }]),
  }));
}

/** How much of what this node gets by changes of the ring has come, and of how much, as far as is known. */
function progressGauges(
  what: string,
  noun: string,
  pick: (progress: MovementProgress) => readonly [done: number, total: number],
): readonly Family[] {
  const gauge = (name: string, help: string, at: 0 | 1): Family => ({
    kind: 'gauge',
    name: `ilion_stream_${what}_${name}`,
    help: `${noun} ${help}`,
    samples: ({ ring }) =>
      (ring?.movements ?? []).map((progress) => ({
        labels: { operation: progress.operation },
        value: pick(progress)[at],
      })),
  });
  return [
    gauge('done', 'that have come by a change of the ring.', 0),
    gauge('total', 'that are to come by a change of the ring.', 1),
  ];
}

export const CLUSTER_FAMILIES: readonly Family[] = [
  ...counters(COORDINATOR, ({ coordinator }) => coordinator),
  ...counters(LINKS, ({ links }) => links),
  {
    kind: 'gauge',
    name: 'ilion_hints_pending_bytes',
    help: 'Bytes of hints that wait for their nodes.',
    samples: ({ workers }) =>
      workers.flatMap(({ cluster }, index) =>
        cluster === null
          ? []
          : [{ labels: { worker: String(index) }, value: cluster.coordinator.hintBytes }],
      ),
  },
  ...ringGauges([
    ['ilion_cluster_members_up', 'Members of the cluster that are up.', ({ up }) => up],
    ['ilion_cluster_members_down', 'Members of the cluster that are down.', ({ down }) => down],
    ['ilion_topology_operations', 'Changes of the ring in progress.', (ring) => ring.operations],
    ['ilion_topology_epoch', 'Of the last change of the ring.', (ring) => ring.topologyEpoch],
  ]),
  ...progressGauges('bytes', 'Bytes of files', (one) => [one.bytesDone, one.bytesTotal]),
  ...progressGauges('files', 'Files', (one) => [one.filesDone, one.filesTotal]),
  ...progressGauges('ranges', 'Ranges', (one) => [one.rangesDone, one.rangesTotal]),
];
