/** How far operations of the ring are, for people. */
import type { OperationInfo } from '../ports/nodes.ts';
import type { Facts } from './facts.ts';

const MIB = 2 ** 20;
const PROBLEMS_SHOWN = 3;

/** @returns such as `62 % 210 MiB/s`; empty: nothing is known */
export function amountOf({ gainers, phase }: OperationInfo): string {
  if (phase !== 'streaming') return 'nearly done';
  const sum = (of: (gainer: OperationInfo['gainers'][number]) => number) =>
    gainers.reduce((all, gainer) => all + of(gainer), 0);
  const total = sum(({ bytesTotal }) => bytesTotal);
  if (total === 0) return '';
  const percent = Math.floor((sum(({ bytesDone }) => bytesDone) / total) * 100);
  const rate = sum(({ bytesDone, seconds, done }) =>
    done || seconds <= 0 ? 0 : bytesDone / seconds,
  );
  return `${percent} % ${Math.round(rate / MIB)} MiB/s`;
}

/** Such as `join demo-dc1-rack1-x7k2p 62 % 210 MiB/s`. */
export function showOperation(operation: OperationInfo, { byHostId }: Facts): string {
  const { kind, hostId } = operation;
  const name = byHostId.get(hostId)?.name ?? hostId;
  const amount = amountOf(operation);
  return amount === '' ? `${kind} ${name}` : `${kind} ${name} ${amount}`;
}

/** What nodes that get data say that they wait for; empty: nothing. */
export function showProblems({ ring, byHostId }: Facts): string {
  if (!ring.known) return '';
  const said = ring.operations.flatMap(({ kind, gainers }) =>
    gainers
      .filter(({ done, problem }) => !done && problem !== '')
      .map(
        ({ hostId, problem }) => ` ${kind}, ${byHostId.get(hostId)?.name ?? hostId}: ${problem}.`,
      ),
  );
  return said.slice(0, PROBLEMS_SHOWN).join('');
}
