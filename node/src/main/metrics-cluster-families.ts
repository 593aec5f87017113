/** Metrics of a node as one of a cluster. A node that is alone has none of them. */
import type { CoordinatorMetrics } from '../coordinator/context.ts';
import type { LinkCounters } from '../internode/context.ts';
import type { Facts, Family, Sample } from './metrics-server-families.ts';

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
];
