/** What is done to a cluster under load, step by step, and how long each took. */
import assert from 'node:assert/strict';
import type { LoadPod } from './load-pod.ts';
import type { OperatorKills } from './operator.ts';

interface StepRow {
  readonly name: string;
  readonly seconds: number;
  readonly kills: number;
  readonly requests: number;
  readonly p99: number;
}

export class Steps {
  private readonly rows: StepRow[] = [];
  private readonly title: string;
  private load: LoadPod | null = null;
  private kills: OperatorKills | null = null;

  constructor(title: string) {
    this.title = title;
  }

  /** From now on no request of the load may fail, whatever is done and whenever the operator is killed. */
  under(load: LoadPod, kills: OperatorKills): void {
    this.load = load;
    this.kills = kills;
  }

  /** The load has ended. */
  alone(): void {
    this.load = null;
    this.kills = null;
  }

  note(name: string, seconds: number): void {
    this.rows.push({ name, seconds, kills: 0, requests: 0, p99: 0 });
  }

  async step(name: string, run: () => Promise<unknown>): Promise<void> {
    const began = performance.now();
    const before = this.kills?.kills ?? 0;
    await run();
    const seconds = (performance.now() - began) / 1000;
    const kills = (this.kills?.kills ?? 0) - before;
    const phase = await this.load?.phase();
    const { requests = 0, p99 = 0, failures = [] } = phase ?? {};
    this.rows.push({ name, seconds, kills, requests, p99 });
    assert.deepEqual(failures, [], `${phase?.failureCount} requests failed: ${name}`);
    if (this.load !== null) assert.ok(requests > 0, `no requests: ${name}`);
  }

  /** As a table of Markdown, if there is something to tell. */
  print(): void {
    if (this.rows.length === 0) return;
    const lines = this.rows.map(
      ({ name, seconds, kills, requests, p99 }) =>
        `| ${name} | ${seconds.toFixed(1)} | ${kills} | ${requests} | ${p99.toFixed(0)} |`,
    );
    const head = [
      `| ${this.title} | s | operator killed | requests | p99 ms |`,
      '|---|---:|---:|---:|---:|',
    ];
    console.log([...head, ...lines].join('\n'));
  }
}
