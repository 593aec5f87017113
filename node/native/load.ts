/** Loads the native binding; how its calls fail. */
import { createRequire } from 'node:module';
import { KvError } from '../src/storage/kv.ts';
import type { Addon } from './addon.ts';

function loadAddon(): Addon {
  // Another build of the same addon, such as the one under AddressSanitizer.
  const file = process.env['ILION_NATIVE'] ?? './build/ilion.node';
  const addon: Addon = createRequire(import.meta.url)(file);
  const { headers, library } = addon.version();
  if (headers !== library) {
    throw new KvError(
      'BAD_ARGUMENT',
      `the native binding was compiled for RocksDB ${headers}, but the library is ${library}: run npm run setup`,
    );
  }
  return addon;
}

/** The functions of the native binding. @throws KvError if it does not fit its library */
export const addon = loadAddon();

/** What fails at once, such as a call on a closed handle, also comes as a rejection. */
export function attempt<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call();
  } catch (error) {
    return Promise.reject(error);
  }
}

/** For calls that belong to no store: without an engine the addon does not know the thread. */
export function onEngine<T>(call: () => Promise<T> | undefined): Promise<T> {
  return attempt(
    () =>
      call() ?? Promise.reject(new KvError('CLOSED', 'this thread has no engine: make one first')),
  );
}

/** Of names with bits those that are true in `chosen`. */
export function sumFlags<Name extends string>(
  flags: Record<Name, number>,
  chosen: { readonly [name in NoInfer<Name>]?: unknown },
): number {
  let sum = 0;
  for (const name in flags) if (chosen[name] === true) sum |= flags[name];
  return sum;
}
