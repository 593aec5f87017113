/** How often what ended how. */
export class Tallies {
  private readonly counts = new Map<string, Map<string, number>>();

  add(kind: string, outcome: string, count = 1): void {
    const outcomes = this.counts.get(kind) ?? new Map<string, number>();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
    this.counts.set(kind, outcomes);
  }

  addAll(other: Tallies): void {
    for (const [kind, outcomes] of other.counts) {
      for (const [outcome, count] of outcomes) this.add(kind, outcome, count);
    }
  }

  /** One line for each kind, in order of their names; the share of what went well, in percent. */
  lines(): string[] {
    return [...this.counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([kind, outcomes]) => {
        const total = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
        const well = outcomes.get('ok');
        const share = well === undefined ? '' : ` ${Math.round((100 * well) / total)} %:`;
        const texts = [...outcomes]
          .sort(([, a], [, b]) => b - a)
          .map(([name, n]) => `${name} ${n}`);
        return `${kind}:${share} ${texts.join(', ')}`;
      });
  }
}
