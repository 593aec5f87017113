/** What Linux says of a process. */
import { readFileSync } from 'node:fs';

// USER_HZ, which is 100 on every architecture that Node runs on.
const TICKS_PER_SECOND = 100;

export interface CpuSeconds {
  readonly user: number;
  readonly system: number;
}

/** CPU time of all threads of a process since its start, in steps of 10 ms. */
export function cpuOf(pid: number): CpuSeconds {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    user: Number(fields[11]) / TICKS_PER_SECOND,
    system: Number(fields[12]) / TICKS_PER_SECOND,
  };
}

export function cpuSecondsOf(pid: number): number {
  const { user, system } = cpuOf(pid);
  return user + system;
}

/** Resident memory of a process: `now`, and the most it ever was. */
export function residentMib(pid: number): { readonly now: number; readonly peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { now: Math.round(read('VmRSS')), peak: Math.round(read('VmHWM')) };
}
