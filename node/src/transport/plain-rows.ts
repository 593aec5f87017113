/** Rows answers as clients without a driver read them. */
import { Reader } from '../common/bytes.ts';
import type { Answer } from './client-codec.ts';

/** A rows answer whose columns are of plain types, its values as texts. */
export interface PlainRows {
  readonly table: string;
  readonly rows: readonly (readonly (Buffer | null)[])[];
  readonly pagingState: Buffer | null;
}

/** Decodes a rows answer. */
export function readRows({ body }: Answer): PlainRows {
  const reader = new Reader(body);
  reader.i32();
  const flags = reader.i32();
  const columnCount = reader.i32();
  const pagingState = (flags & 2) === 0 ? null : reader.bytes();
  let table = '';
  if ((flags & 4) === 0) {
    table = `${reader.string()}.${reader.string()}`;
    for (let i = 0; i < columnCount; i++) {
      reader.string();
      reader.u16();
    }
  }
  const rows = Array.from({ length: reader.i32() }, () =>
    Array.from({ length: columnCount }, () => reader.bytes()),
  );
  return { table, rows, pagingState };
}
