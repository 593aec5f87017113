/** Bugs of moving ranges by name, and where they are looked for. What they do: `ring-sabotage.ts`. */
import type { PlantedBug } from './planted-bugs.ts';
import {
  acceptStale,
  askNobody,
  askOneSource,
  clearAsOfBefore,
  doneAtOnce,
  doneForAll,
  exportUnfenced,
  forgetPending,
  loseAside,
  settleNothing,
  tellSchemaFirst,
} from './ring-sabotage.ts';
import type { SimulationOptions } from './run.ts';
import { LEARNS_SWITCH } from './watched-links.ts';

/** Nobody dies for good, so that there are keys of one replica: nothing hides what it lacks. */
const RING: Partial<SimulationOptions> = {
  ring: true,
  kills: false,
  ringMillis: 1_000,
  faultMillis: 20_000,
};

/** Dead nodes are replaced. */
const DEATHS: Partial<SimulationOptions> = { ...RING, kills: true };

/** What is written takes long to be seen, and much of it is on its way. */
const SLOW: Partial<SimulationOptions> = { ...RING, clients: 16, faults: ['slow-disk'] };

/** Workers take requests of the topology before for a while. */
const BEHIND: Partial<SimulationOptions> = {
  ...RING,
  faults: ['late-mail'],
  pace: { intervalMillis: 500, lengthMillis: 1_000 },
};

/** Some hear late that others own what they go on to serve. */
const LATE: Partial<SimulationOptions> = {
  ...RING,
  clients: 10,
  faults: ['aimed-late'],
  moments: [LEARNS_SWITCH],
  pace: { intervalMillis: 1_000, lengthMillis: 6_000 },
};

/** Of what is decided only one node knows. */
const CUT: Partial<SimulationOptions> = {
  ...RING,
  datacenters: { dc1: 5 },
  clients: 8,
  quiet: 20,
  ringMillis: 500,
  faults: ['aimed-cut'],
  moments: ['asks PaxosCommit'],
  pace: { intervalMillis: 2_000, lengthMillis: 5_000 },
};

export const RING_BUGS: Readonly<Record<string, PlantedBug>> = {
  'export-without-fence': {
    breaks: 'sources give a range while requests of the topology before are under way',
    seeds: 20,
    cluster: BEHIND,
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
    from: 3,
    cluster: RING,
    moving: clearAsOfBefore,
  },
  'aside-lost': {
    breaks: 'what was kept aside is not taken back',
    seeds: 50,
    from: 2,
    cluster: SLOW,
    moving: loseAside,
  },
  'pending-not-counted': {
    breaks: 'levels do not wait for those that are about to own a range',
    seeds: 50,
    from: 3,
    cluster: RING,
    after: forgetPending,
  },
  'one-source': {
    breaks: 'the data of a dead node is taken from one of the others',
    seeds: 50,
    from: 130,
    cluster: DEATHS,
    moving: askOneSource,
  },
  'stale-accepted': {
    breaks: 'replicas take requests of a topology from before',
    seeds: 50,
    from: 8,
    cluster: BEHIND,
    after: acceptStale,
  },
  'switch-not-awaited': {
    breaks: 'the owners before are given up before all know of the switch',
    seeds: 50,
    from: 30,
    cluster: LATE,
    after: askNobody,
  },
  'flipped-file-taken': {
    breaks: 'files are taken whatever their checksum',
    seeds: 50,
    from: 4,
    cluster: RING,
    disk: ({ planted }) => {
      planted.checksumsLie = true;
    },
  },
  'done-before-durable': {
    breaks: 'a node says that it has a range that is not on its disk yet',
    seeds: 50,
    from: 4,
    cluster: { ...RING, faults: ['crash', 'aimed', 'blackout'] },
    disk: ({ planted }) => {
      planted.ingestLies = true;
    },
  },
  'decisions-not-moved': {
    breaks: 'what conditional writes have accepted is not settled before a range is given',
    seeds: 50,
    from: 25,
    cluster: CUT,
    after: settleNothing,
  },
  'schema-told-first': {
    breaks: 'workers hear of a table before they hear of what began to move before it was made',
    seeds: 50,
    from: 8,
    cluster: { ...BEHIND, tables: true },
    moving: tellSchemaFirst,
  },
};
