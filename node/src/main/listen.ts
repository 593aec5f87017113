/** Listening on the ports of the settings, with errors that name the option to change. */
import { createServer, type Server } from 'node:net';
import type { Settings } from '../config/settings.ts';

export interface ListenPlace {
  readonly address: string;
  readonly port: number;
  /** The options that gave them, such as `metrics_address` and `metrics_port`. */
  readonly addressOption: string;
  readonly portOption: string;
}

export function cqlPlace(settings: Settings): ListenPlace {
  return {
    address: settings.rpcAddress,
    port: settings.nativeTransportPort,
    addressOption: 'rpc_address',
    portOption: 'native_transport_port',
  };
}

export function metricsPlace(settings: Settings): ListenPlace {
  return {
    address: settings.metricsAddress,
    port: settings.metricsPort,
    addressOption: 'metrics_address',
    portOption: 'metrics_port',
  };
}

export function adminPlace(settings: Settings): ListenPlace {
  return {
    address: settings.adminAddress,
    port: settings.adminPort,
    addressOption: 'admin_address',
    portOption: 'admin_port',
  };
}

/** A port cannot be listened on; the message names the option. */
export class ListenError extends Error {
  readonly code = 'LISTEN';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenError';
  }
}

function explain(error: NodeJS.ErrnoException, place: ListenPlace): string {
  const { address, port, addressOption, portOption } = place;
  const flag = (option: string) => `--${option.replaceAll('_', '-')}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `${portOption} ${port} on ${address} is in use: stop the process that listens there, or choose another with ${flag(portOption)}`;
    case 'EADDRNOTAVAIL':
      return `${addressOption} ${address} is not an address of this machine: choose one that is with ${flag(addressOption)}`;
    case 'EACCES':
      return `${portOption} ${port} needs more rights than this user has: choose another with ${flag(portOption)}`;
    default:
      return `cannot listen on ${address}:${port} (${portOption}): ${error.message}`;
  }
}

/** @throws ListenError */
export async function listen(server: Server, place: ListenPlace): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: place.address, port: place.port }, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
  } catch (error) {
    throw new ListenError(explain(error as NodeJS.ErrnoException, place), { cause: error });
  }
}

/**
 * Refuses a port that somebody listens on, before anything is opened. Workers share a port by SO_REUSEPORT, by which a second node of the same
 * user would otherwise take a part of the first one's clients.
 * @throws ListenError
 */
export async function requireFree(place: ListenPlace): Promise<void> {
  const probe = createServer();
  await listen(probe, place);
  await new Promise((resolve) => probe.close(resolve));
}
