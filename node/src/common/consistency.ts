/** What requests ask for, and errors speak of. Source: native protocol v5, section 3, `[consistency]`. */

/** Consistency levels by their number. */
export const CONSISTENCY_NAMES: readonly string[] = [
  'ANY',
  'ONE',
  'TWO',
  'THREE',
  'QUORUM',
  'ALL',
  'LOCAL_QUORUM',
  'EACH_QUORUM',
  'SERIAL',
  'LOCAL_SERIAL',
  'LOCAL_ONE',
];
