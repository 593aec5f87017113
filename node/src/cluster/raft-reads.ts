/** Reads by index that a leader has been asked for: which of them may be answered. */

/** Asked for and not answered; more are turned away. */
const READS_MAX = 10_000;

interface PendingRead {
  readonly context: number;
  /** Null: the leader has not committed anything of its term yet. */
  index: number | null;
  /** Of heartbeats: it is a leader still if most answer this one. */
  round: number;
}

export class PendingReads {
  private pending: PendingRead[] = [];
  /** Of the newest heartbeats. */
  round = 0;

  /** @returns false: too many wait */
  add(context: number): boolean {
    if (this.pending.length >= READS_MAX) return false;
    this.pending.push({ context, index: null, round: 0 });
    return true;
  }

  /** @param commit known to have all that was committed before @returns whether heartbeats have to be sent */
  start(commit: number): boolean {
    const waiting = this.pending.filter(({ index }) => index === null);
    if (waiting.length === 0) return false;
    this.round++;
    for (const read of waiting) {
      read.index = commit;
      read.round = this.round;
    }
    return true;
  }

  /** @param isConfirmed whether most have answered a round */
  finish(
    isConfirmed: (round: number) => boolean,
  ): { readonly context: number; readonly index: number }[] {
    const done: { context: number; index: number }[] = [];
    const rest: PendingRead[] = [];
    for (const read of this.pending) {
      if (read.index === null || !isConfirmed(read.round)) rest.push(read);
      else done.push({ context: read.context, index: read.index });
    }
    this.pending = rest;
    return done;
  }

  /** @returns the contexts of all */
  clear(): readonly number[] {
    const contexts = this.pending.map(({ context }) => context);
    this.pending = [];
    return contexts;
  }
}
