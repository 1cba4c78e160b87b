// The contract of a store: JSON documents at keys, each with the revision of the transaction that wrote it last.
// Revisions are one sequence for the whole store and only grow. `store-contract.ts` proves a driver.

export interface StoredDocument {
  key: string;
  value: unknown;
  revision: number;
}

/** A put, or with `value: undefined` a delete. */
export interface Write {
  key: string;
  value: unknown;
  /** The revision that the document must have now, 0 for "must not be there". Left out: whatever is there. */
  expected?: number;
}

/** One transaction's changes to the keys that are watched; `value` is undefined where the document was deleted. */
export interface StoredChange {
  key: string;
  value: unknown;
  revision: number;
}

export interface Store extends AsyncDisposable {
  get(key: string): Promise<StoredDocument | undefined>;
  /** In order of key. `revision` is the store's: watch from there to miss nothing. */
  list(prefix: string): Promise<{ documents: StoredDocument[]; revision: number }>;
  /**
   * All writes or none. Resolves with its revision when they are on disk and every watcher was told. Writes of several
   * callers may share one disk flush, but each caller's conflict is its own.
   * Throws ConflictError (a document has another revision), StorageError (it could not be stored: nothing changed).
   */
  transact(writes: Write[]): Promise<number>;
  /** A copy in a new file, whole and as of one moment; transactions wait for it. Throws StorageError. */
  copyTo(file: string): Promise<void>;
  /** The next transaction's revision is beyond this one, as if those up to it had been given. */
  skipTo(revision: number): void;
  /**
   * Tells what changed after `fromRevision`, first what is known of the past (the last version of each key), then each
   * transaction in order. Throws CompactedError where the past is forgotten: list again. Returns what ends it.
   */
  watch(watch: {
    prefix: string;
    fromRevision: number;
    onChanges: (changes: StoredChange[]) => void;
  }): Promise<() => void>;
}

export class ConflictError extends Error {
  override name = 'ConflictError';
}

/** What the operator reads when the disk is full or broken. The cause is the driver's own error. */
export class StorageError extends Error {
  override name = 'StorageError';
  /** What can be done about it differs: room is made, a damaged file is replaced. */
  readonly kind: 'full' | 'damaged' | 'other';
  constructor(message: string, { kind = 'other', ...options }: ErrorOptions & { kind?: StorageError['kind'] } = {}) {
    super(message, options);
    this.kind = kind;
  }
}

export class CompactedError extends Error {
  override name = 'CompactedError';
}
