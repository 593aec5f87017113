/**
 * Runs every test of the repository and ends with one line `N passed, N failed, N skipped`.
 * Arguments choose test files by a part of their path.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const chosen = process.argv.slice(2);
const files = globSync(['node/**/*.test.ts', 'operator/**/*.test.ts', 'e2e/**/*.test.ts'], {
  cwd: ROOT,
  exclude: (name) => name.includes('node_modules'),
})
  .filter((file) => chosen.length === 0 || chosen.some((part) => file.includes(part)))
  .sort();

const counts = { passed: 0, failed: 0, skipped: 0 };

function note(ok: boolean, title: string, detail = ''): void {
  counts[ok ? 'passed' : 'failed']++;
  if (!ok) console.error(`FAILED ${title}\n${detail}`);
}

/** Tests of processes one after another: they share two cores and some have a port of their own. */
async function runFiles(group: readonly string[], concurrency: number): Promise<void> {
  if (group.length === 0) return;
  const stream = run({
    files: group.map((file) => join(ROOT, file)),
    concurrency,
    timeout: 10 * 60_000,
  });
  const started = new Set<string>();
  for await (const event of stream) {
    if (event.type === 'test:start' && event.data.nesting === 0 && event.data.file !== undefined) {
      if (!started.has(event.data.file)) console.log(`… ${event.data.file.slice(ROOT.length + 1)}`);
      started.add(event.data.file);
    }
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    if (event.data.details.type === 'suite') continue;
    if (event.data.skip !== undefined && event.data.skip !== false) {
      counts.skipped++;
      console.log(`SKIPPED ${event.data.name}: ${String(event.data.skip)}`);
      continue;
    }
    const failure = event.type === 'test:fail' ? event.data.details.error : null;
    const cause =
      failure?.cause instanceof Error ? failure.cause.stack : String(failure?.cause ?? failure);
    note(event.type === 'test:pass', `${event.data.file ?? ''} ${event.data.name}`, cause ?? '');
  }
}

if (chosen.length === 0) {
  const check = spawnSync(process.execPath, [join(ROOT, 'node/tools/check.ts')], {
    encoding: 'utf8',
  });
  note(check.status === 0, 'layers, lint and types', check.stdout + check.stderr);
}
await runFiles(
  files.filter((file) => !file.startsWith('e2e/')),
  2,
);
await runFiles(
  files.filter((file) => file.startsWith('e2e/')),
  1,
);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
