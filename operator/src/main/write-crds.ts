/** `npm run crds`: writes crds/, and what the charts in helm/ hold of the same types. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { customResourceDefinitions } from '../api/crds.ts';
import { chartFiles } from './chart-files.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

for (const [name, text] of customResourceDefinitions()) write(`${ROOT}crds/${name}`, text);
for (const [name, text] of chartFiles()) write(`${ROOT}helm/${name}`, text);
