/** Bugs of moving ranges, put into running nodes: see `sabotage.ts`. */
import type { ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { gainersOf } from '../cluster/operations.ts';
import type { SchemaAuthority } from '../query/schema-authority.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { MovingWorker } from './node-movements.ts';
import { part, patch } from './sabotage.ts';

/** On average, between what should be one message. */
const APART_MILLIS = 1_000;

type Fence = (epoch: number) => Promise<void>;
type Done = (id: string) => Promise<void>;
type Group = { readonly sources: readonly object[] };
type Plan = () => { readonly groups: readonly Group[]; readonly waiting: string | null };

function movementsOf({ movements }: ClusterNode): object {
  if (movements === null) throw new TypeError('nothing moves here');
  return movements.movements;
}

/** Changes each gain of a node before it runs. */
const inGains = (change: (gain: object) => void) => (node: ClusterNode) => {
  const gains = part(movementsOf(node), 'gains');
  patch<(id: string, gain: object) => unknown>(gains, 'set', (set) => (id, gain) => {
    change(gain);
    return set(id, gain);
  });
};

/** Sources export at once what they have. */
export function exportUnfenced(node: ClusterNode): void {
  patch<Fence>(part(movementsOf(node), 'deps'), 'fence', () => async () => {});
}

export const loseAside = inGains((gain) => {
  patch<() => Promise<void>>(gain, 'takeBack', () => async () => {});
});

export const askOneSource = inGains((gain) => {
  patch<Plan>(gain, 'plan', (plan) => () => {
    const { groups, waiting } = plan();
    const one = groups.map((group) => ({ ...group, sources: group.sources.slice(0, 1) }));
    return { groups: one, waiting };
  });
});

/** Says that it has everything when it begins. */
export const doneAtOnce = inGains((gain) => {
  patch<() => Promise<void>>(gain, 'run', (run) => async () => {
    void run().catch(() => {});
  });
});

/** The first that has all of its own says so for all others. */
export function doneForAll(node: ClusterNode): void {
  const { control } = node;
  patch<Done>(part(movementsOf(node), 'deps'), 'done', () => async (id) => {
    const state = control.log.current();
    const operation = state.operations.find((one) => one.id === id);
    if (operation === undefined) return;
    for (const hostId of gainersOf(state, operation)) {
      await control.log.propose({ kind: 'operation-done', id, hostId }, 10_000);
    }
  });
}

/** Clears what is not its own by the ring as it was when nothing moved, and not by that of now. */
export function clearAsOfBefore(node: ClusterNode): void {
  const movements = movementsOf(node);
  let calm: ClusterState | null = null;
  patch<(state: ClusterState) => void>(movements, 'after', (after) => (state) => {
    if (state.operations.length === 0) calm = state;
    after(state);
  });
  type NotOwned = (state: ClusterState, replication: object) => readonly object[];
  patch<NotOwned>(
    part(movements, 'givenUp'),
    'notOwned',
    (notOwned) => (state, replication) => notOwned(calm ?? state, replication),
  );
}

/** What a level waits for does not grow with those that are only written to. */
export function forgetPending({ coordinator }: ClusterNode): void {
  const { topology } = coordinator;
  patch<(replication: object) => object>(topology, 'replicated', (replicated) => (replication) => {
    const one = replicated(replication);
    if (!Object.hasOwn(one, 'blockFor')) {
      patch<(level: number) => number>(one, 'blockFor', (blockFor) => (level) => blockFor(level));
    }
    return one;
  });
}

/** A replica takes requests of any topology. */
export function acceptStale({ coordinator }: ClusterNode): void {
  const { topology } = coordinator;
  patch<() => boolean>(topology, 'hasMoved', () => () => false);
  patch<() => boolean>(topology, 'hasRunMoved', () => () => false);
}

/** The leader takes it that all know of a switch whom it can reach. */
export function askNobody({ control }: ClusterNode): void {
  type Ask = (up: readonly NodeInfo[], operation: object, reached: Set<string>) => Promise<void>;
  patch<Ask>(part(control, 'moving', 'driver'), 'ask', () => async (up, _operation, reached) => {
    for (const { hostId } of up) reached.add(hostId);
  });
}

/** What conditional writes have decided stays where it was decided. */
export function settleNothing({ coordinator }: ClusterNode): void {
  patch<() => Promise<number>>(coordinator, 'settleMoving', () => async () => 0);
}

/** The schema goes to workers by itself; what began to move before they hear of in a while. */
export function tellSchemaFirst({ movements, facts }: ClusterNode): void {
  if (movements === null) throw new TypeError('nothing moves here');
  const { clock, random } = facts;
  const wait = () =>
    new Promise<void>((resolve) => clock.after(random.between(0, 2 * APART_MILLIS), resolve));
  patch<SchemaAuthority['follow']>(
    movements.authority,
    'follow',
    (follow) => (schema, tell) =>
      follow(schema, async (step) => {
        const post: unknown = Reflect.get(movements, 'post');
        if (step === null || typeof post !== 'function') return tell(step);
        await post.call(movements, ({ setSchema }: MovingWorker) => setSchema(step.schema));
        await wait();
        return tell(step);
      }),
  );
}
