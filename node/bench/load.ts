/**
 * The load generator: a process of its own that takes a `LoadPlan` as its argument and prints a `LoadResult`. It costs 1
 * to 2 us of CPU a request, so that the server is what is measured: frames are made once and copied, answers are only
 * counted, and what one read of a socket brings is answered with one write.
 */
import { writeFileSync } from 'node:fs';
import { Client } from './client.ts';
import { type ExecuteFrame, executeFrame, pageFacts, pageFrame } from './frames.ts';
import { Histogram } from './histogram.ts';
import { LoadConnection } from './load-connection.ts';
import type { LoadPlan, LoadResult } from './load-plan.ts';
import { cpuOf, cpuSecondsOf, residentMib } from './process-facts.ts';

const POOL_BYTES = 1 << 22;
const NAP_MILLIS = 0.03;
const END_MILLIS = 5000;

const plan = JSON.parse(process.argv[2]) as LoadPlan;
const histogram = new Histogram();
let isMeasuring = false;
let isStopped = false;
let answered = 0;
let errors = 0;
let overloaded = 0;
let emptyReads = 0;
let firstError: string | null = null;
let maxMillis = 0;
let filled = 0;

/** xorshift32: the same keys in every run. */
let state = 0x9e3779b9;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

// Bytes that do not compress, any part of which is a value.
const pool = Buffer.alloc(POOL_BYTES);
for (let at = 0; at < POOL_BYTES; at += 4) pool.writeUInt32LE(random(0xffffffff), at);

let insert: ExecuteFrame;
let select: ExecuteFrame;

/** Copies the next request to `at`. @returns its end */
function write(target: Buffer, at: number, stream: number): number {
  const isRead = plan.mode === 'read' || (plan.mode === 'mixed' && (random(2) & 1) === 0);
  const { bytes, keyAt, valueAt } = isRead ? select : insert;
  const key = plan.mode === 'fill' ? filled++ : random(plan.rows);
  target.set(bytes, at);
  target[at + 2] = stream >> 8;
  target[at + 3] = stream & 255;
  target.writeUInt32BE(key, at + keyAt + 4);
  if (!isRead) {
    const from = random(POOL_BYTES - plan.valueBytes);
    pool.copy(target, at + valueAt, from, from + plan.valueBytes);
  }
  return at + bytes.length;
}

function onAnswer(sentMillis: number, nowMillis: number, bodyBytes: number): void {
  answered++;
  // A result of rows is at least this long, one that says that a write is done is 4 bytes.
  if (plan.mode === 'read' && bodyBytes < plan.valueBytes) emptyReads++;
  if (!isMeasuring) return;
  const millis = Math.max(0, nowMillis - sentMillis);
  histogram.add(millis);
  if (millis > maxMillis) maxMillis = millis;
}

function onError(text: string): void {
  errors++;
  if (text.startsWith('0x1001')) overloaded++;
  firstError ??= text;
}

function mayIssue(): boolean {
  return !isStopped && !(plan.mode === 'fill' && filled >= plan.rows);
}

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/** Sends what is due, naps, lets the sockets be read, and so on. */
function pace(connections: readonly LoadConnection[]): Promise<void> {
  // Naps end 50 us late otherwise.
  writeFileSync('/proc/self/timerslack_ns', '1000');
  const began = performance.now();
  let sent = 0;
  return new Promise((resolve) => {
    const step = () => {
      if (isStopped) return resolve();
      const due = Math.floor(((performance.now() - began) / 1000) * plan.rate);
      for (; sent < due; sent++) {
        const connection = connections[sent % connections.length];
        if (!connection.issue(began + (sent / plan.rate) * 1000)) break;
      }
      for (const connection of connections) connection.flush();
      Atomics.wait(sleepCell, 0, 0, NAP_MILLIS);
      setImmediate(step);
    };
    step();
  });
}

interface Mark {
  readonly answered: number;
  readonly millis: number;
  readonly server: { readonly user: number; readonly system: number };
  readonly client: number;
}

function mark(): Mark {
  return {
    answered,
    millis: performance.now(),
    server: plan.pid === 0 ? { user: 0, system: 0 } : cpuOf(plan.pid),
    client: cpuSecondsOf(process.pid),
  };
}

function resultOf(from: Mark, to: Mark): LoadResult {
  const seconds = (to.millis - from.millis) / 1000;
  const operations = to.answered - from.answered;
  const system = to.server.system - from.server.system;
  const server = to.server.user - from.server.user + system;
  const resident = plan.pid === 0 ? { now: 0, peak: 0 } : residentMib(plan.pid);
  const rounded = (value: number) => Math.round(value * 1000) / 1000;
  return {
    mode: plan.mode,
    operations,
    seconds: rounded(seconds),
    perSecond: Math.round(operations / seconds),
    p50Millis: histogram.quantileMillis(0.5),
    p99Millis: histogram.quantileMillis(0.99),
    p999Millis: histogram.quantileMillis(0.999),
    maxMillis: rounded(maxMillis),
    errors,
    overloaded,
    firstError,
    emptyReads,
    serverCpuSeconds: rounded(server),
    serverSystemSeconds: rounded(system),
    clientCpuSeconds: rounded(to.client - from.client),
    perCpuSecond: server > 0 ? Math.round(operations / server) : 0,
    residentMib: resident.now,
    residentPeakMib: resident.peak,
  };
}

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function runRequests(client: Client): Promise<LoadResult> {
  const insertId = await client.prepare(plan.insert);
  const selectId = await client.prepare(plan.select);
  insert = executeFrame(insertId, plan.consistency, plan.valueBytes);
  select = executeFrame(selectId, plan.consistency, null);
  const streams = Math.max(1, Math.floor(plan.inFlight / plan.connections));
  const requestBytesMax = Math.max(insert.bytes.length, select.bytes.length);
  const connections: LoadConnection[] = [];
  for (let i = 0; i < plan.connections; i++) {
    const events = { write, onAnswer, onError, mayIssue };
    const shape = { streams, requestBytesMax, isPaced: plan.rate > 0 };
    connections.push(await LoadConnection.connect(plan, shape, events));
  }
  let from = mark();
  if (plan.rate > 0) void pace(connections);
  else for (const connection of connections) connection.issueAll();
  if (plan.mode === 'fill') {
    isMeasuring = true;
    while (answered < plan.rows) await sleep(0.02);
  } else {
    await sleep(plan.warmSeconds);
    isMeasuring = true;
    from = mark();
    await sleep(plan.seconds);
  }
  const result = resultOf(from, mark());
  isMeasuring = false;
  isStopped = true;
  const end = performance.now() + END_MILLIS;
  while (connections.some((one) => one.inFlight > 0) && performance.now() < end) await sleep(0.01);
  for (const connection of connections) connection.close();
  return result;
}

async function runScan(client: Client): Promise<LoadResult> {
  const id = await client.prepare(plan.select);
  isMeasuring = true;
  const from = mark();
  let page: Buffer | null = null;
  do {
    const sent = performance.now();
    const facts = pageFacts(await client.request(pageFrame(id, plan.pageRows, page)));
    histogram.add(performance.now() - sent);
    answered += facts.rows;
    page = facts.state;
  } while (page !== null);
  return resultOf(from, mark());
}

const client = await Client.connect(plan);
const result = await (plan.mode === 'scan' ? runScan(client) : runRequests(client));
client.close();
console.log(JSON.stringify(result));
