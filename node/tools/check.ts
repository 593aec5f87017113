/** What a machine can check of the code without running it: layers, format and lint, types. Prints what is wrong; exit 1 if anything is. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const SOURCE = join(ROOT, 'node/src');

/** Which rooms of node/src a room may import. A room that is not named here is not allowed to exist. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  common: [],
  config: ['common'],
  types: ['common'],
  cql: ['common', 'types'],
  schema: ['common', 'types', 'cql'],
  storage: ['common', 'types', 'schema'],
  query: ['common', 'types', 'cql', 'schema', 'storage'],
  internode: ['common'],
  cluster: ['common', 'types', 'schema', 'storage', 'internode'],
  coordinator: ['common', 'types', 'schema', 'storage', 'query', 'internode', 'cluster'],
  streaming: ['common', 'schema', 'storage', 'internode', 'cluster'],
  transport: ['common', 'types'],
  server: [
    'common',
    'types',
    'schema',
    'storage',
    'query',
    'transport',
    'internode',
    'cluster',
    'coordinator',
  ],
  admin: ['common', 'config', 'schema', 'storage'],
  adapters: [
    'common',
    'config',
    'storage',
    'query',
    'transport',
    'internode',
    'cluster',
    'streaming',
  ],
  cli: ['common', 'config', 'admin', 'adapters'],
  main: [
    'common',
    'config',
    'types',
    'cql',
    'schema',
    'storage',
    'query',
    'transport',
    'internode',
    'cluster',
    'coordinator',
    'streaming',
    'server',
    'admin',
    'adapters',
    'cli',
  ],
  simulation: [
    'common',
    'types',
    'cql',
    'schema',
    'storage',
    'query',
    'transport',
    'internode',
    'cluster',
    'coordinator',
    'streaming',
    'server',
  ],
};

/** Rooms that may touch the real world. */
const IMPURE: ReadonlySet<string> = new Set(['adapters', 'main', 'cli', 'admin', 'config']);
/** Pure functions of Node that inner rooms may use. */
const PURE_MODULES: ReadonlySet<string> = new Set([
  'node:buffer',
  'node:crypto',
  'node:util',
  'node:zlib',
]);

function* sourceFiles(directory: string): Generator<string> {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) yield* sourceFiles(path);
    else if (name.endsWith('.ts')) yield path;
  }
}

function isForTests(path: string): boolean {
  return /\.(test|fuzz|bench)\.ts$/.test(path) || path.includes('/testing/');
}

function checkLayers(): string[] {
  const problems: string[] = [];
  for (const path of sourceFiles(SOURCE)) {
    const [room] = relative(SOURCE, path).split('/');
    const allowed = LAYERS[room];
    const shown = relative(ROOT, path);
    if (allowed === undefined) {
      problems.push(`${shown}: the room ${room} is not in the layers of node/tools/check.ts`);
      continue;
    }
    if (isForTests(path)) continue;
    const text = readFileSync(path, 'utf8');
    for (const [, target] of text.matchAll(/^(?:import|export)\b[^'"]*?from '([^']+)'/gms)) {
      if (target.startsWith('.')) {
        const [other] = relative(SOURCE, resolve(dirname(path), target)).split('/');
        const outside = other === '..';
        if (outside ? room !== 'main' : other !== room && !allowed.includes(other)) {
          problems.push(`${shown}: ${room} may not import ${target}`);
        }
      } else if (!IMPURE.has(room) && !PURE_MODULES.has(target) && !isCompression(path, target)) {
        problems.push(`${shown}: only adapters, admin, config, cli and main may import ${target}`);
      }
    }
    if (!IMPURE.has(room)) {
      const impure =
        /\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now)\(/.exec(
          text,
        );
      if (impure !== null) problems.push(`${shown}: ${impure[1]} is for adapters and main only`);
    }
  }
  return problems;
}

/** Codecs of the protocol, pure functions of bytes. */
function isCompression(path: string, target: string): boolean {
  return (
    path.endsWith('transport/compression.ts') && (target === 'lz4-napi' || target === 'snappy')
  );
}

function run(name: string, command: string, args: readonly string[]): boolean {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) console.error(`${name}:\n${stdout}${stderr}`);
  return status === 0;
}

const problems = checkLayers();
for (const problem of problems) console.error(problem);
const tool = (path: string) => join(ROOT, 'node_modules', path);
const results = [
  problems.length === 0,
  run('biome', tool('@biomejs/cli-linux-x64/biome'), ['check', '--error-on-warnings', '.']),
  run('tsc', process.execPath, [tool('typescript/bin/tsc'), '-p', '.']),
];
const failed = results.filter((ok) => !ok).length;
console.log(
  failed === 0 ? 'check: layers, biome and tsc are fine' : `check: ${failed} of 3 failed`,
);
process.exit(failed === 0 ? 0 : 1);
