/** What people are told while a cluster runs on their machine: each thing once, when it is so. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import type { Clock } from '../ports/clock.ts';

/** Conditions that say what is in the way. */
const TROUBLES: ReadonlySet<string> = new Set([
  'ScalingUp',
  'ScalingDown',
  'Updating',
  'StorageReady',
  'CertificatesReady',
]);
const WORDS: Readonly<Record<string, string>> = {
  Pending: 'is to come',
  Starting: 'starts',
  Joining: 'joins',
  Ready: 'serves',
  NotReady: 'does not serve',
  Leaving: 'leaves',
  Left: 'has left',
  Stopped: 'is stopped',
};

export interface Report {
  /** What was before this process: not told again. */
  known(nodes: readonly DatabaseNode[]): void;
  cluster(cluster: DatacenterCluster): void;
  node(node: DatabaseNode): void;
  gone(node: DatabaseNode): void;
}

interface ReportDeps {
  readonly clock: Clock;
  tell(line: string): void;
  /** All nodes serve. @returns how to look at them */
  ready(): string;
  /** Where nodes are that serve. */
  addresses(): readonly string[];
  /** Where the data of a node is that is gone; null: gone, too. */
  keptAt(name: string): string | null;
}

/** What is in the way for less than this is nobody's concern. */
const TROUBLE_MILLIS = 5_000;
/** Progress is told when it has changed by so many percent. */
const STEP_PERCENT = 10;

function percentOf(text: string): number {
  const [, percent = '0'] = /(\d+) %/.exec(text) ?? [];
  return Number(percent);
}

export function createReport({ clock, tell, addresses, keptAt, ready }: ReportDeps): Report {
  const nodes = new Map<string, { phase: string; percent: number }>();
  let state = '';
  const troubles = new Map<string, string>();
  const tellState = ({ metadata, status }: DatacenterCluster) => {
    const next = `${status?.state} ${status?.ready}/${status?.desired}`;
    if (next === state) return;
    state = next;
    if (status?.state !== 'Ready') return;
    const where = addresses();
    tell(
      `${metadata.name} is ready: ${status.ready} of ${status.desired} nodes serve at ${where.join(', ')}, port 9042: cqlsh ${where[0] ?? ''}; ${ready()}`,
    );
  };
  return {
    known: (all) => {
      for (const { metadata, status } of all) {
        nodes.set(metadata.uid, { phase: status?.phase ?? '', percent: 0 });
      }
    },
    cluster: (cluster) => {
      for (const { type, status, reason, message } of cluster.status?.conditions ?? []) {
        if (!TROUBLES.has(type)) continue;
        const trouble = status === 'False' && reason !== 'Done' ? `${reason}: ${message}` : '';
        if (troubles.get(type) === trouble) continue;
        troubles.set(type, trouble);
        if (trouble === '') continue;
        clock.after(TROUBLE_MILLIS, () => {
          if (troubles.get(type) === trouble) tell(trouble);
        });
      }
      tellState(cluster);
    },
    node: ({ metadata, status }) => {
      const { phase, address, progress = '' } = status ?? {};
      const known = nodes.get(metadata.uid) ?? { phase: '', percent: 0 };
      // Who has just started is not seen by its peers yet.
      if (phase === undefined || (phase === 'NotReady' && known.phase !== 'Ready')) return;
      const percent = percentOf(progress);
      const isNews = phase !== known.phase || percent >= known.percent + STEP_PERCENT;
      if (!isNews) return;
      nodes.set(metadata.uid, { phase, percent });
      const where = address === undefined ? '' : ` at ${address}`;
      const amount = progress === '' ? '' : `: ${progress}`;
      tell(`${metadata.name} ${WORDS[phase] ?? phase}${where}${amount}`);
    },
    gone: ({ metadata }) => {
      if (!nodes.delete(metadata.uid)) return;
      const kept = keptAt(metadata.name);
      const data = kept === null ? 'and its data' : `(its data is kept: ${kept})`;
      tell(`${metadata.name} is gone ${data}`);
    },
  };
}
