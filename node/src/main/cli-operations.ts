/** What `ilion operations` prints for people. */
import type { OperationGainer, OperationInfo, OperationList } from './admin-messages.ts';
import { showBytes, showDuration, showTable } from './cli-report.ts';

const BAR_CELLS = 20;

/** In [0, 1]. */
function shareOf({
  done,
  bytesDone,
  bytesTotal,
  rangesDone,
  rangesTotal,
}: OperationGainer): number {
  if (done) return 1;
  const bytes = bytesTotal === 0 ? 0 : bytesDone / bytesTotal;
  const ranges = rangesTotal === 0 ? 0 : rangesDone / rangesTotal;
  return Math.min(bytesTotal === 0 ? ranges : bytes, 0.999);
}

function bar(share: number): string {
  const cells = Math.floor(share * BAR_CELLS);
  return `[${'#'.repeat(cells)}${'.'.repeat(BAR_CELLS - cells)}] ${Math.floor(share * 100)} %`;
}

function gainerLine(gainer: OperationGainer): string[] {
  const { address, bytesDone, bytesTotal, filesDone, filesTotal, seconds, done, problem } = gainer;
  const rate = seconds > 0 ? bytesDone / seconds : 0;
  const left = rate > 0 ? (bytesTotal - bytesDone) / rate : 0;
  const state = problem !== '' ? `waits: ${problem}` : `ETA ${showDuration(left)}`;
  return [
    `  ${address}`,
    bar(shareOf(gainer)),
    `${showBytes(bytesDone)} of ${showBytes(bytesTotal)}`,
    `${filesDone}/${filesTotal} files`,
    `${gainer.rangesDone}/${gainer.rangesTotal} ranges`,
    `${(rate / 2 ** 20).toFixed(1)} MiB/s`,
    done ? 'done' : state,
  ];
}

function showOperation(operation: OperationInfo): string {
  const { id, kind, hostId, address, replaces, phase, gainers, waits } = operation;
  const place = replaces === '' ? '' : ` in place of ${replaces}`;
  const head = `${kind} of ${hostId} (${address})${place}: ${phase}, operation ${id}`;
  const table = gainers.length === 0 ? [] : [showTable(gainers.map(gainerLine))];
  return [head, ...(waits === '' ? [] : [`  waits: ${waits}`]), ...table].join('\n');
}

export function showOperations({ operations }: OperationList): string {
  if (operations.length === 0) return 'Nothing moves in the ring.';
  return operations.map(showOperation).join('\n');
}
