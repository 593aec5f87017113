/** What can go wrong with the metadata log. */

export type MetadataErrorCode =
  | 'NO_MAJORITY' // no leader was found: nothing was changed as far as this node knows
  | 'TIMEOUT' // a leader took it, but it is not known whether it was agreed
  | 'OVERLOADED' // too many changes wait: not done
  | 'TOO_LARGE' // more than an entry may have: not done
  | 'STOPPED' // this node is stopping
  | 'NOT_JOINED'; // this node is not a member of a cluster yet

export class MetadataError extends Error {
  readonly code: MetadataErrorCode;
  constructor(code: MetadataErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MetadataError';
    this.code = code;
  }
}

/** The cluster does not take this node, and will not at another try; the message says why and what to do. */
export class JoinRefusedError extends Error {
  readonly code = 'JOIN_REFUSED';
  constructor(reason: string) {
    super(`this node cannot join the cluster: ${reason}`);
    this.name = 'JoinRefusedError';
  }
}

/** The cluster does not take what this member says of itself: it must not go on. */
export class AnnounceRefusedError extends Error {
  readonly code = 'ANNOUNCE_REFUSED';
  constructor(reason: string) {
    super(`the cluster does not take what this node says of itself: ${reason}`);
    this.name = 'AnnounceRefusedError';
  }
}

/** What this node's log says cannot be: its disk must be looked at. */
export class MetadataDamagedError extends Error {
  readonly code = 'METADATA_DAMAGED';
  constructor(what: string) {
    super(`the metadata log of this node cannot be used: ${what}`);
    this.name = 'MetadataDamagedError';
  }
}
