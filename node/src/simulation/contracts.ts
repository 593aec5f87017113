/** At which levels clients write and read a key, and what must hold of it then. */
import { Level } from '../coordinator/levels.ts';

/** Of a register with client timestamps. */
export interface RegisterContract {
  /** Nobody scans `sim.a` while clients write: what a replica lacks there nothing makes good. */
  readonly table: 'sim.r' | 'sim.a' | 'single.h' | 'single.r';
  readonly write: number;
  readonly read: number;
  /** Clients ask nodes of this datacenter only; null: of any. */
  readonly datacenter: string | null;
  /** What one read saw no later one misses, whether it was acknowledged or not. */
  readonly isMonotonic: boolean;
  /** Acknowledged is what will be there, not what is: it is read when all has come to rest. */
  readonly isReadLate: boolean;
  /** Each replica has it: in the end it is read at every node. */
  readonly isEverywhere: boolean;
}

/** What may happen to the nodes, and to what only one of them has. */
export interface Fates {
  /** Nodes join, and some leave with hints that only they have. */
  readonly isRing: boolean;
  /** Some die for good. */
  readonly kills: boolean;
}

/** Of a register that is changed by conditions only: linearizable at all of these levels. */
export interface CasContract {
  readonly table: 'sim.l' | 'single.l';
  readonly serial: number;
  readonly commit: number;
  readonly reads: readonly number[];
  readonly datacenter: string | null;
}

const PLAIN: RegisterContract = {
  table: 'sim.r',
  write: Level.QUORUM,
  read: Level.QUORUM,
  datacenter: null,
  isMonotonic: true,
  isReadLate: false,
  isEverywhere: false,
};

/** Of a keyspace of one replica, which moves and is not down for good. */
const ONLY_REPLICA: readonly RegisterContract[] = [
  { ...PLAIN, table: 'single.r' },
  // What the next owner has not taken of a write that failed, the one before may have shown.
  { ...PLAIN, table: 'single.r', write: Level.ONE, read: Level.ONE, isMonotonic: false },
];

/**
 * The first is that of plain quorums.
 * @param datacenters those that have replicas of the keyspace
 */
export function registerContracts(
  datacenters: readonly string[],
  { isRing, kills }: Fates,
): readonly RegisterContract[] {
  const local = datacenters.map((datacenter) => ({
    ...PLAIN,
    write: Level.LOCAL_QUORUM,
    read: Level.LOCAL_QUORUM,
    datacenter,
  }));
  // What one datacenter has seen of a write that failed, the other may not have.
  const each = { ...PLAIN, write: Level.EACH_QUORUM, read: Level.LOCAL_QUORUM, isMonotonic: false };
  const one = { ...PLAIN, write: Level.ONE, read: Level.ALL };
  const any = { ...PLAIN, write: Level.ANY, read: Level.ALL, isReadLate: true };
  // One replica, that is down as often as not: what is acknowledged is a hint.
  const single = { ...any, table: 'single.h' as const };
  const all = {
    ...{ ...PLAIN, table: 'sim.a' as const, write: Level.ALL, read: Level.ONE },
    ...{ isMonotonic: false, isEverywhere: true },
  };
  return [
    PLAIN,
    ...(kills ? [] : [one]),
    all,
    ...local,
    ...(datacenters.length > 1 ? [each] : []),
    ...(kills ? [] : [any, single]),
    ...(isRing && !kills ? ONLY_REPLICA : []),
  ];
}

/**
 * Quorum reads are linearizable, too, if the commit was at a quorum: what is decided is written to a quorum before anyone
 * is told, and what a read finds on fewer it repairs.
 */
export function casContracts(
  datacenters: readonly string[],
  { isRing, kills }: Fates,
): readonly CasContract[] {
  const quorums = {
    table: 'sim.l' as const,
    serial: Level.SERIAL,
    commit: Level.QUORUM,
    reads: [Level.SERIAL, Level.QUORUM],
    datacenter: null,
  };
  const any = { ...quorums, commit: Level.ANY, reads: [Level.SERIAL] };
  const single = [quorums, any].map((one) => ({ ...one, table: 'single.l' as const }));
  return [
    quorums,
    any,
    ...datacenters.map((datacenter) => ({
      table: 'sim.l' as const,
      serial: Level.LOCAL_SERIAL,
      commit: Level.LOCAL_QUORUM,
      reads: [Level.LOCAL_SERIAL, Level.LOCAL_QUORUM],
      datacenter,
    })),
    ...(isRing && !kills ? single : []),
  ];
}

const LEVEL_NAMES = Object.keys(Level);

/** As in CQL. */
export function levelName(level: number): string {
  return LEVEL_NAMES[level] ?? String(level);
}
