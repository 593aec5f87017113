/** What a load generator is told, and what it tells: one JSON text each. */
import type { Endpoint } from './client.ts';

export type LoadMode = 'write' | 'read' | 'mixed' | 'fill' | 'scan';

export interface LoadPlan extends Endpoint {
  /** fill: each key once, not timed. scan: all rows, page by page. The others: random keys. */
  readonly mode: LoadMode;
  /** Takes a key of 8 bytes and a value. */
  readonly insert: string;
  /** Takes a key; of a scan: takes nothing. */
  readonly select: string;
  /** Requests, over all connections; of a fixed rate: the most there may be. */
  readonly inFlight: number;
  readonly connections: number;
  readonly warmSeconds: number;
  readonly seconds: number;
  /** Keys are from 0 up to this. */
  readonly rows: number;
  readonly valueBytes: number;
  /** Requests a second; 0: as many as are answered. */
  readonly rate: number;
  /** Process of the server, for its CPU time; 0: not known. */
  readonly pid: number;
  readonly pageRows: number;
  /** By its number in the protocol. */
  readonly consistency: number;
}

export interface LoadResult {
  readonly mode: LoadMode;
  /** Requests in the measured time; of a scan: rows. */
  readonly operations: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Millis: number;
  readonly p99Millis: number;
  readonly p999Millis: number;
  readonly maxMillis: number;
  readonly errors: number;
  /** Of the errors. */
  readonly overloaded: number;
  readonly firstError: string | null;
  /** Reads that found no row. */
  readonly emptyReads: number;
  readonly serverCpuSeconds: number;
  readonly serverSystemSeconds: number;
  readonly clientCpuSeconds: number;
  /** Operations per server-CPU-second. */
  readonly perCpuSecond: number;
  readonly residentMib: number;
  readonly residentPeakMib: number;
}
