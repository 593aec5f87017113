import { Worker } from 'node:worker_threads';
import type { ToMain, ToWorker, WorkerInput } from './messages.ts';

/** A worker thread as the main thread talks to it. */
export class WorkerHandle {
  readonly index: number;
  /** Resolves, with the number of logged batches that were replayed, when clients can be served. */
  readonly ready: Promise<number>;
  private readonly worker: Worker;
  private readonly waiting = new Map<number, (value: unknown) => void>();
  private nextCall = 1;

  constructor(
    input: WorkerInput,
    onMessage: (message: ToMain, from: WorkerHandle) => void,
    onExit: (error: Error) => void,
  ) {
    this.index = input.index;
    this.worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: input });
    this.ready = new Promise((resolve, reject) => {
      this.worker.on('message', (message: ToMain) => {
        if (message.kind === 'ready') resolve(message.replayed);
        else if (message.kind === 'acknowledged') {
          this.waiting.get(message.call)?.(message.value);
          this.waiting.delete(message.call);
        } else onMessage(message, this);
      });
      this.worker.on('error', (error: unknown) => {
        const failure = error instanceof Error ? error : new TypeError(String(error));
        reject(failure);
        onExit(failure);
      });
    });
  }

  post(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  call(make: (call: number) => ToWorker): Promise<unknown> {
    const call = this.nextCall++;
    return new Promise((resolve) => {
      this.waiting.set(call, resolve);
      this.post(make(call));
    });
  }

  async terminate(): Promise<void> {
    await this.worker.terminate();
  }
}
