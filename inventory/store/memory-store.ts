// A store that lives in this process, for racks that exist on paper only: the same contract, no disk. What outlives a
// closed store is the `MemoryDisk` that it was opened on.
import {
  CompactedError,
  ConflictError,
  type Store,
  type StoredChange,
  type StoredDocument,
  StorageError,
  type Write,
} from './store.ts';

/** How many deletions a watch can still be told of. */
const tombstoneLimit = 10_000;

interface Row {
  revision: number;
  /** null: deleted, kept so that a watch can tell of it. */
  json: string | null;
}

export class MemoryDisk {
  readonly rows = new Map<string, Row>();
  revision = 0;
  /** Watches from before this revision are refused. */
  compacted = 0;
}

interface Watcher {
  prefix: string;
  onChanges: (changes: StoredChange[]) => void;
}

/** One store at a time on one disk; a second one would not see what the first one's watchers are told. */
export function openMemoryStore(disk: MemoryDisk): Store {
  return new MemoryStore(disk);
}

class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  readonly #watchers = new Set<Watcher>();
  #closed = false;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  get(key: string): Promise<StoredDocument | undefined> {
    const row = this.#disk.rows.get(key);
    return Promise.resolve(row === undefined || row.json === null ? undefined : read(key, row));
  }

  list(prefix: string): Promise<{ documents: StoredDocument[]; revision: number }> {
    const documents = [...this.#disk.rows]
      .filter(([key, { json }]) => json !== null && key.startsWith(prefix))
      .map(([key, row]) => read(key, row))
      .toSorted(byKey);
    return Promise.resolve({ documents, revision: this.#disk.revision });
  }

  transact(writes: Write[]): Promise<number> {
    if (this.#closed) return Promise.reject(new StorageError('cannot store: the store in memory is closed'));
    for (const { key, expected } of writes) {
      const row = this.#disk.rows.get(key);
      const found = row === undefined || row.json === null ? 0 : row.revision;
      if (expected !== undefined && found !== expected)
        return Promise.reject(new ConflictError(`cannot store ${key}: revision ${found}, want ${expected}`));
    }
    const revision = ++this.#disk.revision;
    for (const { key, value } of writes) {
      // The order of rows is that of their last write.
      this.#disk.rows.delete(key);
      this.#disk.rows.set(key, { revision, json: value === undefined ? null : JSON.stringify(value) });
    }
    this.#compact();
    for (const { prefix, onChanges } of this.#watchers) {
      const mine = writes.filter(({ key }) => key.startsWith(prefix));
      if (mine.length > 0) onChanges(mine.map(({ key, value }) => ({ key, value, revision })));
    }
    return Promise.resolve(revision);
  }

  copyTo(): Promise<void> {
    return Promise.reject(new StorageError('cannot copy: this store is in memory'));
  }

  skipTo(revision: number): void {
    this.#disk.revision = Math.max(this.#disk.revision, revision);
  }

  watch({ prefix, fromRevision, onChanges }: Watcher & { fromRevision: number }): Promise<() => void> {
    if (fromRevision < this.#disk.compacted)
      return Promise.reject(
        new CompactedError(
          `cannot watch from revision ${fromRevision}: want at least ${this.#disk.compacted}, list again`,
        ),
      );
    const past = [...this.#disk.rows]
      .filter(([key, { revision }]) => revision > fromRevision && key.startsWith(prefix))
      .map(([key, row]) => read(key, row))
      .toSorted((a, b) => a.revision - b.revision || byKey(a, b));
    if (past.length > 0) onChanges(past);
    const watcher = { prefix, onChanges };
    this.#watchers.add(watcher);
    return Promise.resolve(() => void this.#watchers.delete(watcher));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
    return Promise.resolve();
  }

  #compact(): void {
    let live = 0;
    if (this.#disk.rows.size <= 2 * tombstoneLimit) return;
    for (const { json } of this.#disk.rows.values()) if (json !== null) live++;
    let over = this.#disk.rows.size - live - tombstoneLimit;
    if (over <= tombstoneLimit) return;
    for (const [key, { json, revision }] of this.#disk.rows) {
      if (over === 0) break;
      if (json !== null) continue;
      this.#disk.rows.delete(key);
      this.#disk.compacted = revision;
      over--;
    }
  }
}

function read(key: string, { revision, json }: Row): StoredDocument {
  const value: unknown = json === null ? undefined : JSON.parse(json);
  return { key, value, revision };
}

function byKey(a: { key: string }, b: { key: string }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
