/** What `ilion status` and the like print for people. */
import type { AdminStatus, SettingChange, SettingInfo, SnapshotInfo } from './admin-messages.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `1536` as `1.5 KiB`. */
export function showBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `3723` as `1h 2m 3s`. */
export function showDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return (first === -1 ? parts.slice(-1) : parts.slice(first))
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

/** Columns as wide as their widest cell; no spaces at the ends of lines. */
export function showTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function showStatus(status: AdminStatus): string {
  const sum = (pick: (worker: AdminStatus['workers'][number]) => number) =>
    status.workers.reduce((total, worker) => total + pick(worker), 0);
  const stopped = status.shards.filter((shard) => shard.writesStopped).length;
  const pending = status.shards.reduce((total, shard) => total + shard.pendingCompactionBytes, 0);
  const own = showTable([
    ['Cluster', status.clusterName],
    ['Datacenter', status.datacenter],
    ['Rack', status.rack],
    ['Host id', status.hostId],
    ['Address', status.cqlAddress],
    [
      'State',
      stopped === 0
        ? status.state
        : `${status.state}, writes stopped on ${stopped} of ${status.shards.length} shards`,
    ],
    ['Version', status.version],
    ['Uptime', showDuration(status.uptimeSeconds)],
    [
      'Load',
      `${showBytes(status.loadBytes)} on disk, ${showBytes(status.memtableBytes)} in memtables, ${showBytes(pending)} to compact`,
    ],
    [
      'Memory',
      `${showBytes(status.residentBytes)} resident, block cache ${showBytes(status.cacheBytes)} of it`,
    ],
    ['Durability', status.durability],
    ['Tables', `${status.tables} in ${status.keyspaces} keyspaces`],
    ['Workers', String(status.workers.length)],
    ['Shards', String(status.shards.length)],
    ['Connections', String(sum((worker) => worker.connections))],
    [
      'Requests',
      `${sum((worker) => worker.requests)} since the start, ${sum((worker) => worker.inFlightRequests)} in flight`,
    ],
  ]);
  return status.nodes.length < 2 ? own : `${own}\n\n${showNodes(status.nodes)}`;
}

/** U or D: up or down. */
function showNodes(nodes: AdminStatus['nodes']): string {
  const line = (node: AdminStatus['nodes'][number]) => [
    node.alive ? 'U' : 'D',
    node.state,
    node.address,
    String(node.tokens),
    node.hostId,
    node.datacenter,
    node.rack,
  ];
  return showTable([
    ['', 'State', 'Address', 'Tokens', 'Host id', 'Datacenter', 'Rack'],
    ...nodes.map(line),
  ]);
}

export function showSettings(settings: readonly SettingInfo[]): string {
  const rows = settings.map(({ name, value, origin, change }) => [
    name,
    value === '' ? "''" : value,
    origin,
    change,
  ]);
  return showTable([['Setting', 'Value', 'From', 'Change'], ...rows]);
}

export function showChanges(changes: readonly SettingChange[]): string {
  if (changes.length === 0) return 'Nothing has changed.';
  return changes.map(({ name, before, after }) => `${name}: ${before} -> ${after}`).join('\n');
}

export function showSnapshots(snapshots: readonly SnapshotInfo[]): string {
  if (snapshots.length === 0) return 'There are no snapshots.';
  const rows = snapshots.map(({ name, createdAtMs, bytes, directory }) => [
    name,
    new Date(createdAtMs).toISOString(),
    showBytes(bytes),
    directory,
  ]);
  return showTable([['Name', 'Made', 'Size', 'Directory'], ...rows]);
}
