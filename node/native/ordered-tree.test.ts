/** The memtable's tree, by a program of its own: against a model, and beside readers, with and without ThreadSanitizer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SOURCE = join(dirname(fileURLToPath(import.meta.url)), 'src/checks/ordered-tree.cc');
const ROUNDS = Number(process.env['ROUNDS'] ?? 60);
const SEED = process.env['SEED'] ?? '1';

/** @returns what the program said; throws if it could not be made */
function check(flags: readonly string[], rounds: number): string {
  const directory = mkdtempSync(join(tmpdir(), 'ilion-tree-'));
  // Not the sanitizer of this process, if it runs under one.
  const { LD_PRELOAD: _, ...env } = process.env;
  const run = (program: string, args: readonly string[]) => {
    const { status, stderr, error } = spawnSync(program, args, { env, encoding: 'utf8' });
    return status === 0
      ? ''
      : `${program}: ${error?.message ?? ''}${stderr || `ended with ${status}`}`;
  };
  try {
    const program = join(directory, 'check');
    const made = run('g++', ['-std=c++20', '-Wall', '-pthread', ...flags, SOURCE, '-o', program]);
    assert.equal(made, '');
    // Without randomized addresses: ThreadSanitizer cannot cope with all that kernels make of them.
    return run('setarch', ['-R', program, SEED, String(rounds)]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('a tree has what was inserted, in order, for readers beside the one who inserts, too', () => {
  assert.equal(check(['-O2'], ROUNDS), '');
});

test('readers of a tree and the one who inserts share nothing unguarded', () => {
  assert.equal(check(['-O1', '-g', '-fsanitize=thread'], Math.ceil(ROUNDS / 20)), '');
});
