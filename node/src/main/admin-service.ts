/** The admin service's definition, from node/proto/admin.proto, for its server and its client. */
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../../proto/admin.proto', import.meta.url));
const SERVICE = 'ilion.admin.v1.Admin';

/** 64-bit integers are numbers: sizes and times stay below 2^53. */
export function loadAdminService(): ServiceDefinition {
  const definition = loadSync(PROTO, { longs: Number, defaults: true, arrays: true })[SERVICE];
  if (definition === undefined || 'format' in definition) {
    throw new TypeError(`${PROTO} does not define the service ${SERVICE}`);
  }
  return definition;
}
