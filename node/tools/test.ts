/**
 * Runs every test of the repository and ends with one line `N passed, N failed, N skipped`.
 * Arguments choose test files by a part of their path. Tests on Kubernetes come last, after it was built, which takes
 * many minutes the first time.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const chosen = process.argv.slice(2);
const MINUTE = 60_000;
const find = (...patterns: readonly string[]) =>
  globSync(patterns, { cwd: ROOT, exclude: (name) => name.includes('node_modules') })
    .filter((file) => chosen.length === 0 || chosen.some((part) => file.includes(part)))
    .sort();

const counts = { passed: 0, failed: 0, skipped: 0 };

function note(ok: boolean, title: string, detail = ''): void {
  counts[ok ? 'passed' : 'failed']++;
  if (!ok) console.error(`FAILED ${title}\n${detail}`);
}

/** How many tests were skipped for a reason, and one of them. */
const skips = new Map<string, { count: number; readonly name: string }>();

function noteSkip(name: string, reason: string): void {
  counts.skipped++;
  const one = skips.get(reason) ?? { count: 0, name };
  one.count++;
  skips.set(reason, one);
}

interface Way {
  readonly concurrency: number;
  /** Of one file, milliseconds. */
  readonly timeout: number;
  /** What the tests print, such as what they have measured, is shown. */
  readonly isShown?: boolean;
}

/** Of what a file has printed, shown if it fails. */
const PRINTED_MAX = 30_000;

async function runFiles(group: readonly string[], way: Way): Promise<void> {
  const { concurrency, timeout, isShown = false } = way;
  if (group.length === 0) return;
  const stream = run({
    files: group.map((file) => join(ROOT, file)),
    concurrency,
    timeout,
  });
  const started = new Set<string>();
  const printed = new Map<string, string>();
  for await (const event of stream) {
    if (event.type === 'test:start' && event.data.nesting === 0 && event.data.file !== undefined) {
      if (!started.has(event.data.file)) console.log(`… ${event.data.file.slice(ROOT.length + 1)}`);
      started.add(event.data.file);
    }
    if (event.type === 'test:stdout') {
      const { file = '', message } = event.data;
      if (isShown) process.stdout.write(message);
      else printed.set(file, ((printed.get(file) ?? '') + message).slice(-PRINTED_MAX));
    }
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    if (event.data.details.type === 'suite') continue;
    if (event.data.skip !== undefined && event.data.skip !== false) {
      noteSkip(event.data.name, String(event.data.skip));
      continue;
    }
    const failure = event.type === 'test:fail' ? event.data.details.error : null;
    const cause =
      failure?.cause instanceof Error ? failure.cause.stack : inspect(failure?.cause ?? failure);
    const { file = '', name } = event.data;
    note(
      event.type === 'test:pass',
      `${file} ${name}`,
      `${cause ?? ''}\n${printed.get(file) ?? ''}`,
    );
  }
}

/** Builds Kubernetes where it can be run: no test's time is spent on it. @returns whether its tests can go on */
function prepareKubernetes(): boolean {
  const script = (name: string) => join(ROOT, 'e2e/kubernetes/cluster', `${name}.sh`);
  const reasonNot = (extent: string) =>
    spawnSync(script('probe'), [extent], { encoding: 'utf8' }).stdout.trim();
  const extent = ['all', 'programs'].find((one) => reasonNot(one) === '');
  // The tests will say why they are skipped.
  if (extent === undefined) return true;
  const { status } = spawnSync(script('build'), [extent], { stdio: ['ignore', 2, 2] });
  if (status !== 0) note(false, 'building Kubernetes', 'see above');
  return status === 0;
}

if (chosen.length === 0) {
  const check = spawnSync(process.execPath, [join(ROOT, 'node/tools/check.ts')], {
    encoding: 'utf8',
  });
  note(check.status === 0, 'layers, lint and types', check.stdout + check.stderr);
}
await runFiles(find('node/**/*.test.ts', 'operator/**/*.test.ts'), {
  concurrency: 2,
  timeout: 10 * MINUTE,
});
// One after another: they share two cores and some have a port of their own.
await runFiles(find('e2e/**/*.test.ts'), { concurrency: 1, timeout: 10 * MINUTE });
const onKubernetes = find('e2e/kubernetes/*.kube-test.ts');
if (onKubernetes.length > 0 && prepareKubernetes()) {
  // Each has a cluster of its own, and mostly waits.
  await runFiles(onKubernetes, { concurrency: 2, timeout: 20 * MINUTE, isShown: true });
}
for (const [reason, { count, name }] of skips) {
  console.log(`SKIPPED ${count === 1 ? name : `${count} tests, such as "${name}"`}: ${reason}`);
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
