/** Addresses of the loopback network, one for each node. */
import { createServer } from 'node:net';

export const DEFAULT_ADDRESS = '127.0.0.1';
/** Of the last byte. */
const LAST_MAX = 254;

/** @returns null: it is no address of 127.0.0.0/8 that others can follow */
export function followersOf(first: string): readonly string[] | null {
  const [, network, last] = /^(127\.\d{1,3}\.\d{1,3})\.(\d{1,3})$/.exec(first) ?? [];
  if (network === undefined || Number(last) < 1 || Number(last) > LAST_MAX) return null;
  const count = LAST_MAX - Number(last) + 1;
  return Array.from({ length: count }, (_, i) => `${network}.${Number(last) + i}`);
}

/** Whether nobody listens there. */
function isPortFree(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  return promise;
}

export async function isFree(host: string, ports: readonly number[]): Promise<boolean> {
  for (const port of ports) if (!(await isPortFree(host, port))) return false;
  return true;
}
