/** Which Ilion this is. */
import { readFileSync } from 'node:fs';

/** As in node/package.json. */
export const VERSION: string = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version;
