/** `MetadataDisk` on a virtual disk, in one life of its process. A crash in the middle leaves what real files may be left as. */
import type { MetadataDisk, MetadataFiles } from '../cluster/ports.ts';
import type { HardState, RaftEntry } from '../cluster/raft-types.ts';
import { KvError } from '../storage/kv.ts';
import type { CrashKind, VirtualDisk } from './virtual-disk.ts';

/** For so long a system may hold back what was not synced. */
const WRITE_BACK_MILLIS = 5000;

/** What `files` are after the first `count` of `entries`; the hard state goes with the last one. */
function appended(
  files: MetadataFiles,
  entries: readonly RaftEntry[],
  count: number,
  hardState: HardState | null,
): MetadataFiles {
  const [first] = entries;
  if (first === undefined) return { ...files, hardState: hardState ?? files.hardState };
  // Entries are without gaps.
  const kept = files.entries.slice(
    0,
    Math.max(0, first.index - (files.entries[0]?.index ?? first.index)),
  );
  const whole = count === entries.length;
  return {
    snapshot: files.snapshot,
    entries: count === 0 ? files.entries : [...kept, ...entries.slice(0, count)],
    hardState: whole && hardState !== null ? hardState : files.hardState,
  };
}

export class MemoryMetadataDisk implements MetadataDisk {
  private readonly disk: VirtualDisk;
  private dead = false;
  /** Writes whose fsync was a lie. */
  private recent: { readonly time: number; readonly before: MetadataFiles | null }[] = [];
  /** What is left of the write that is under way, if the process dies now. */
  private torn: ((kind: CrashKind) => void) | null = null;

  constructor(disk: VirtualDisk) {
    this.disk = disk;
    const forget = disk.atCrash((kind) => {
      this.dead = true;
      this.torn?.(kind);
      forget();
    });
  }

  load(): Promise<MetadataFiles | null> {
    const { faults } = this.disk;
    return this.later(faults.readMillis, () => {
      if (faults.readFailure !== null) throw new KvError(faults.readFailure, 'the disk fails');
      return this.disk.metadata;
    });
  }

  append(entries: readonly RaftEntry[], hardState: HardState | null): Promise<void> {
    const copied = [...entries];
    return this.write((whole) => {
      const { metadata, random } = this.disk;
      if (metadata === null) throw new KvError('BAD_ARGUMENT', 'there is no log to append to');
      const count = whole ? copied.length : random.below(copied.length + 1);
      return appended(metadata, copied, count, whole ? hardState : null);
    });
  }

  replace(files: MetadataFiles): Promise<void> {
    return this.write((whole) =>
      whole || this.disk.random.chance(0.5) ? files : this.disk.metadata,
    );
  }

  /** @param change what is on the disk afterwards, if the write came to its end or was cut off */
  private write(change: (whole: boolean) => MetadataFiles | null): Promise<void> {
    const { disk } = this;
    const before = disk.metadata;
    this.torn = () => {
      disk.metadata = change(false);
    };
    return this.later(disk.faults.syncMillis, () => {
      this.torn = null;
      const { writeFailure } = disk.faults;
      if (writeFailure !== null) throw new KvError(writeFailure, 'the disk fails');
      disk.metadata = change(true);
      if (disk.planted.syncLies) this.remember(before);
    });
  }

  /** The planted bug: the loss of power brings back what was some time before. */
  private remember(before: MetadataFiles | null): void {
    const { scheduler, random } = this.disk;
    this.recent.push({ time: scheduler.now, before });
    this.recent = this.recent.filter(({ time }) => time > scheduler.now - WRITE_BACK_MILLIS);
    this.torn = (kind) => {
      if (kind === 'power') this.disk.metadata = random.pick(this.recent).before;
    };
  }

  private later<T>(millis: number, run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.disk.scheduler.after(this.disk.delay(millis), () => {
        if (this.dead) return;
        try {
          resolve(run());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
