/** Bugs of moving ranges by name, and where they are looked for. What they do: `ring-sabotage.ts`. */
import type { PlantedBug } from './planted-bugs.ts';
import {
  acceptStale,
  askOneSource,
  clearAsOfBefore,
  doneAtOnce,
  doneForAll,
  exportUnfenced,
  forgetPending,
  knowAlways,
  loseAside,
  settleNothing,
} from './ring-sabotage.ts';
import type { SimulationOptions } from './run.ts';

const RING: Partial<SimulationOptions> = { ring: true, faultMillis: 20_000 };

/** Long enough to be taken for dead, while others go on. */
const AWAY: Partial<SimulationOptions> = {
  ...RING,
  faults: ['partition', 'partition', 'one-way'],
  faultMillis: 40_000,
  pace: { intervalMillis: 3_000, lengthMillis: 5_000 },
};

/** Ranges take long to come, and of what was written meanwhile not all replicas have everything. */
const SLOW: Partial<SimulationOptions> = {
  ...RING,
  clients: 16,
  faults: ['slow-disk', 'slow-disk', 'crash', 'one-way'],
};

export const RING_BUGS: Readonly<Record<string, PlantedBug>> = {
  'export-without-fence': {
    breaks: 'sources give a range while requests of the topology before are under way',
    seeds: 50,
    cluster: SLOW,
    moving: exportUnfenced,
  },
  'reads-switched-early': {
    breaks: 'a gaining node says that it has everything when it begins',
    seeds: 20,
    cluster: RING,
    moving: doneAtOnce,
  },
  'switched-without-all': {
    breaks: 'the first gaining node that is done says so for all',
    seeds: 50,
    cluster: RING,
    moving: doneForAll,
  },
  'cleared-though-own': {
    breaks: 'what a node had given up is cleared, though it is its own again',
    seeds: 20,
    cluster: RING,
    moving: clearAsOfBefore,
  },
  'aside-lost': {
    breaks: 'what was kept aside is not taken back',
    seeds: 50,
    cluster: SLOW,
    moving: loseAside,
  },
  'pending-not-counted': {
    breaks: 'levels do not wait for those that are about to own a range',
    seeds: 50,
    cluster: RING,
    after: forgetPending,
  },
  'one-source': {
    breaks: 'the data of a dead node is taken from one of the others',
    seeds: 50,
    cluster: RING,
    moving: askOneSource,
  },
  'stale-accepted': {
    breaks: 'replicas take requests of a topology from before',
    seeds: 50,
    cluster: AWAY,
    after: acceptStale,
  },
  'switch-not-awaited': {
    breaks: 'the owners before are given up before all know of the switch',
    seeds: 50,
    cluster: AWAY,
    before: knowAlways,
  },
  'flipped-file-taken': {
    breaks: 'files are taken whatever their checksum',
    seeds: 50,
    cluster: RING,
    disk: ({ planted }) => {
      planted.checksumsLie = true;
    },
  },
  'done-before-durable': {
    breaks: 'a node says that it has a range that is not on its disk yet',
    seeds: 50,
    cluster: { ...RING, faults: ['crash', 'aimed', 'blackout'] },
    disk: ({ planted }) => {
      planted.ingestLies = true;
    },
  },
  'decisions-not-moved': {
    breaks: 'what conditional writes have accepted is not settled before a range is given',
    seeds: 50,
    cluster: RING,
    after: settleNothing,
  },
};
