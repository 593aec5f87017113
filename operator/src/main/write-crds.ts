/** `npm run crds`: writes crds/ from the types. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { customResourceDefinitions } from '../api/crds.ts';

const DIRECTORY = fileURLToPath(new URL('../../../crds/', import.meta.url));
for (const [name, text] of customResourceDefinitions()) {
  writeFileSync(`${DIRECTORY}${name}`, text);
}
