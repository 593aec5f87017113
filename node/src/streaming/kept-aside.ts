/** The families of what was kept aside, and who still needs them: gains of different operations have the same ones. */
import { asideName } from '../storage/families.ts';
import { type StreamClock, type StreamStores, sleep } from './ports.ts';

const RETRY_MILLIS = 1_000;

/** Who has workers write, or reads, what is kept aside. */
export interface Keeper {
  /** Makes the families that it needs. @throws KvError */
  prepare(): Promise<void>;
  /** Their names. */
  asideFamilies(): readonly string[];
}

export interface KeptAsideDeps {
  readonly stores: StreamStores;
  readonly clock: StreamClock;
  readonly logger: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
}

export class KeptAside {
  private readonly deps: KeptAsideDeps;
  private readonly keepers = new Set<Keeper>();
  private ordered: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(deps: KeptAsideDeps) {
    this.deps = deps;
  }

  /** Its families are there until it is released. @throws KvError: nothing is kept for it */
  async prepare(keeper: Keeper): Promise<void> {
    await this.inOrder(async () => {
      await keeper.prepare();
      this.keepers.add(keeper);
    });
  }

  /** Nothing is written for it any more, and what it had is where it was to go, or is for nobody. */
  async release(keeper: Keeper): Promise<void> {
    this.keepers.delete(keeper);
    await this.drop();
  }

  /** Drops what nobody needs, as soon as the disk lets it; what an earlier process has left there, too. */
  async drop(): Promise<void> {
    const { clock, logger } = this.deps;
    while (!this.isStopped) {
      try {
        await this.inOrder(() => this.dropUnneeded());
        return;
      } catch (error) {
        logger.warn('what was kept aside cannot be dropped yet', { error });
        await sleep(clock, RETRY_MILLIS);
      }
    }
  }

  stop(): void {
    this.isStopped = true;
  }

  private async dropUnneeded(): Promise<void> {
    const { stores } = this.deps;
    const needed = new Set([...this.keepers].flatMap((keeper) => keeper.asideFamilies()));
    for (let shard = 0; shard < stores.count; shard++) {
      const store = stores.store(shard);
      for (const name of store.families().keys()) {
        if (name.startsWith(asideName('')) && !needed.has(name)) await store.dropFamily(name);
      }
    }
  }

  /** Families are made and dropped one after another. */
  private inOrder(work: () => Promise<void>): Promise<void> {
    const run = this.ordered.then(work);
    this.ordered = run.catch(() => {});
    return run;
  }
}
