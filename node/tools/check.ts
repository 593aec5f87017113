/** What a machine can check of the code without running it: layers, format and lint, types. Prints what is wrong; exit 1 if anything is. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Which rooms of the same tree a room may import. A room that is not named here is not allowed to exist. */
type Layers = Readonly<Record<string, readonly string[]>>;

const NODE_LAYERS: Layers = {
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

const OPERATOR_LAYERS: Layers = {
  api: [],
  ports: ['api'],
  resources: ['api', 'ports'],
  observe: ['api', 'ports', 'resources'],
  decide: ['api', 'ports', 'resources', 'observe'],
  act: ['api', 'ports', 'resources', 'observe', 'decide'],
  runtime: ['api', 'ports', 'resources', 'observe', 'decide', 'act'],
  adapters: ['api', 'ports', 'resources'],
  memory: ['api', 'ports', 'resources'],
  testing: ['api', 'ports', 'resources', 'observe', 'decide', 'act', 'runtime', 'memory'],
  main: ['api', 'ports', 'resources', 'observe', 'decide', 'act', 'runtime', 'adapters'],
  dev: ['api', 'ports', 'resources', 'observe', 'runtime', 'adapters', 'memory'],
};

interface Tree {
  readonly source: string;
  readonly layers: Layers;
  /** Rooms that may touch the real world. */
  readonly impure: ReadonlySet<string>;
  /** Modules that rooms may use that may not: they only compute. */
  readonly pure: ReadonlySet<string>;
  /** What rooms may have of other trees. */
  readonly outside: Readonly<Record<string, RegExp>>;
}

/** Pure functions of Node that inner rooms may use. */
const PURE_MODULES: ReadonlySet<string> = new Set([
  'node:buffer',
  'node:crypto',
  'node:util',
  'node:zlib',
]);

const TREES: readonly Tree[] = [
  {
    source: join(ROOT, 'node/src'),
    layers: NODE_LAYERS,
    impure: new Set(['adapters', 'main', 'cli', 'admin', 'config']),
    pure: PURE_MODULES,
    outside: { main: /./ },
  },
  {
    source: join(ROOT, 'operator/src'),
    layers: OPERATOR_LAYERS,
    impure: new Set(['adapters', 'main', 'testing', 'dev']),
    pure: new Set([...PURE_MODULES, 'typebox', 'yaml']),
    outside: {
      api: /node\/src\/config\/options\.ts$/,
      ports: /node\/src\/main\/admin-messages\.ts$/,
      adapters: /node\/src\/main\/admin-(client|messages)\.ts$/,
      main: /./,
      dev: /node\/src\/(adapters\/logger|main\/version)\.ts$/,
    },
  },
];

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

function checkLayers({ source, layers, impure, pure, outside }: Tree): string[] {
  const problems: string[] = [];
  for (const path of sourceFiles(source)) {
    // A file of its own beside the rooms is a room.
    const room = relative(source, path).split('/')[0].replace(/\.ts$/, '');
    const allowed = layers[room];
    const shown = relative(ROOT, path);
    if (allowed === undefined) {
      problems.push(`${shown}: the room ${room} is not in the layers of node/tools/check.ts`);
      continue;
    }
    if (isForTests(path)) continue;
    const text = readFileSync(path, 'utf8');
    for (const [, target] of text.matchAll(/^(?:import|export)\b[^'"]*?from '([^']+)'/gms)) {
      if (target.startsWith('.')) {
        const [other] = relative(source, resolve(dirname(path), target)).split('/');
        const isAllowed =
          other === '..'
            ? outside[room]?.test(target) === true
            : other === room || allowed.includes(other);
        if (!isAllowed) problems.push(`${shown}: ${room} may not import ${target}`);
      } else if (!impure.has(room) && !pure.has(target) && !isCompression(path, target)) {
        problems.push(`${shown}: only ${[...impure].join(', ')} may import ${target}`);
      }
    }
    if (!impure.has(room)) {
      const found =
        /\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now)\(/.exec(
          text,
        );
      if (found !== null) problems.push(`${shown}: ${found[1]} is for ${[...impure].join(', ')}`);
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

const problems = TREES.flatMap(checkLayers);
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
