// How far the store had come, beside it in a file of its own: `<revision> <revision of the last change of orders>`. It is
// written after a transaction is on disk, without a flush and without waiting: what it says was there once, so a store that
// is behind it has lost something. SQLite itself cannot tell: a damaged write-ahead log just ends sooner.
import { open, readFile, type FileHandle } from 'node:fs/promises';

export interface Mark {
  revision: number;
  orders: number;
}

export interface RevisionMark extends AsyncDisposable {
  /** As the process before left it. */
  readonly found: Mark | undefined;
  note(revision: number, isOfOrders: boolean): void;
}

/** The same size always: to overwrite it takes no room. */
const widthBytes = 40;

export async function openRevisionMark(file: string): Promise<RevisionMark> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const [, revision, orders] = /^([0-9]+) ([0-9]+) *\n$/.exec(text) ?? [];
  const found = revision === undefined ? undefined : { revision: Number(revision), orders: Number(orders) };
  // Without it the audit log is the only witness; that is no reason not to start.
  const handle = await open(file, 'r+', 0o600)
    .catch(() => open(file, 'w+', 0o600))
    .catch(() => undefined);
  return new MarkFile(handle, found);
}

class MarkFile implements RevisionMark {
  readonly found: Mark | undefined;
  readonly #handle: FileHandle | undefined;
  #mark: Mark;
  #written = 0;
  #writing: Promise<void> | undefined;

  constructor(handle: FileHandle | undefined, found: Mark | undefined) {
    this.#handle = handle;
    this.found = found;
    this.#mark = found ?? { revision: 0, orders: 0 };
  }

  note(revision: number, isOfOrders: boolean): void {
    this.#mark = { revision, orders: isOfOrders ? revision : this.#mark.orders };
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#handle?.close();
  }

  async #write(): Promise<void> {
    // Yields first, so that `note` has kept the promise; what comes while a write is under way shares the next one.
    await Promise.resolve();
    while (this.#written !== this.#mark.revision) {
      const { revision, orders } = this.#mark;
      this.#written = revision;
      const line = `${`${revision} ${orders}`.padEnd(widthBytes - 1)}\n`;
      // A disk that fails here fails the store's own writes as well, and those are told.
      await this.#handle?.write(line, 0).catch(() => undefined);
    }
  }
}
