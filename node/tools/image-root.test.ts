import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packagesOf } from './image-root.ts';

test('packages are found as Node finds them, nearest first, each once', () => {
  const packages = {
    app: { dependencies: { a: '1', absent: '1' } },
    'node_modules/a': { dependencies: { b: '1', '@s/c': '1' }, optionalDependencies: { d: '1' } },
    'node_modules/a/node_modules/b': { dependencies: { '@s/c': '1' } },
    'node_modules/b': {},
    'node_modules/@s/c': { dependencies: { a: '1', e: '1' } },
    'node_modules/@s/c/node_modules/e': { dependencies: { b: '1' } },
    'node_modules/d': {},
    'node_modules/unused': {},
    'app/node_modules/a': {},
  };
  assert.deepEqual(packagesOf(packages, 'node'), []);
  assert.deepEqual(packagesOf(packages, 'app'), ['app/node_modules/a']);
  const { 'app/node_modules/a': _, ...hoisted } = packages;
  assert.deepEqual(packagesOf(hoisted, 'app'), [
    'node_modules/@s/c',
    'node_modules/@s/c/node_modules/e',
    'node_modules/a',
    'node_modules/a/node_modules/b',
    'node_modules/b',
    'node_modules/d',
  ]);
});

test('what only compilers read is not among them', () => {
  const packages = {
    app: { dependencies: { '@types/x': '1', 'node-api-headers': '1', 'undici-types': '1' } },
    'node_modules/@types/x': {},
    'node_modules/node-api-headers': {},
    'node_modules/undici-types': {},
  };
  assert.deepEqual(packagesOf(packages, 'app'), []);
});
