/** At which levels clients write and read a key, and what must hold of it then. */
import { Level } from '../coordinator/levels.ts';

/** Of a register with client timestamps. */
export interface RegisterContract {
  readonly table: 'sim.r' | 'single.h';
  readonly write: number;
  readonly read: number;
  /** Clients ask nodes of this datacenter only; null: of any. */
  readonly datacenter: string | null;
  /** What one read saw no later one misses, whether it was acknowledged or not. */
  readonly isMonotonic: boolean;
  /** Acknowledged is what will be there, not what is: it is read when all has come to rest. */
  readonly isReadLate: boolean;
}

/** Of a register that is changed by conditions only: linearizable at all of these levels. */
export interface CasContract {
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
};

/**
 * The first is that of plain quorums.
 * @param datacenters those that have replicas of the keyspace
 * @param keepsNodes none dies for good, or leaves with hints that only it has
 */
export function registerContracts(
  datacenters: readonly string[],
  keepsNodes: boolean,
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
  return [
    PLAIN,
    ...(keepsNodes ? [one] : []),
    { ...PLAIN, write: Level.ALL, read: Level.ONE, isMonotonic: false },
    ...local,
    ...(datacenters.length > 1 ? [each] : []),
    ...(keepsNodes ? [any, single] : []),
  ];
}

/**
 * Quorum reads are linearizable, too, if the commit was at a quorum: what is decided is written to a quorum before anyone
 * is told, and what a read finds on fewer it repairs.
 */
export function casContracts(datacenters: readonly string[]): readonly CasContract[] {
  return [
    {
      serial: Level.SERIAL,
      commit: Level.QUORUM,
      reads: [Level.SERIAL, Level.QUORUM],
      datacenter: null,
    },
    { serial: Level.SERIAL, commit: Level.ANY, reads: [Level.SERIAL], datacenter: null },
    ...datacenters.map((datacenter) => ({
      serial: Level.LOCAL_SERIAL,
      commit: Level.LOCAL_QUORUM,
      reads: [Level.LOCAL_SERIAL, Level.LOCAL_QUORUM],
      datacenter,
    })),
  ];
}

const LEVEL_NAMES = Object.keys(Level);

/** As in CQL. */
export function levelName(level: number): string {
  return LEVEL_NAMES[level] ?? String(level);
}
