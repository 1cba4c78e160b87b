// The store's embedded driver: one SQLite file, WAL, synchronous=FULL.
//
// Group commit: transactions that are handed in while one is being written go into the next flush together. A killed
// process or a power cut loses nothing that `transact` resolved for, and shows no half of anything else.
import { Connection } from './connection.ts';
import {
  CompactedError,
  ConflictError,
  type Store,
  type StoredChange,
  type StoredDocument,
  StorageError,
  type Write,
} from './store.ts';
import { Mutex } from './mutex.ts';

const schemaVersion = 1;
// Deleted documents stay as rows without a value, so that a watch can tell of them later.
const schema = `
  CREATE TABLE documents (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT) WITHOUT ROWID;
  CREATE INDEX documents_revision ON documents (revision);
  CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO facts VALUES ('revision', 0), ('compacted', 0);
`;
/** More waiting transactions than this are refused: their callers outrun the disk. */
const queueLimit = 20_000;
const batchLimit = 1_000;
/** How many deletions a watch can still be told of. */
const tombstoneLimit = 10_000;

interface Waiting {
  writes: (Write & { json: string | null })[];
  resolve: (revision: number) => void;
  reject: (error: Error) => void;
}

interface Watcher {
  prefix: string;
  onChanges: (changes: StoredChange[]) => void;
}

interface Row {
  key: string;
  revision: number;
  value: string | null;
}

/** Throws StorageError: in use, newer schema, not a database, no room. */
export async function openSqliteStore(file: string): Promise<Store> {
  const connection = await Connection.open(file, { synchronous: 'FULL', version: schemaVersion, schema });
  const facts = await connection.all<{ name: string; value: number }>('SELECT name, value FROM facts');
  const fact = (name: string) => facts.find((row) => row.name === name)?.value ?? 0;
  const [rows] = await connection.all<{ live: string; tombstones: number }>(
    `SELECT json_group_array(json_array(key, revision)) FILTER (WHERE value NOT NULL) AS live,
            count(*) FILTER (WHERE value IS NULL) AS tombstones FROM documents`,
  );
  const live: [key: string, revision: number][] = JSON.parse(rows?.live ?? '[]');
  return new SqliteStore(connection, {
    revision: fact('revision'),
    compacted: fact('compacted'),
    revisions: new Map(live),
    tombstones: rows?.tombstones ?? 0,
  });
}

class SqliteStore implements Store {
  readonly #connection: Connection;
  readonly #watchers = new Set<Watcher>();
  /** Of every document that is there. */
  readonly #revisions: Map<string, number>;
  #revision: number;
  #compacted: number;
  #tombstones: number;
  #queue: Waiting[] = [];
  readonly #mutex = new Mutex();
  #flushing = false;
  #closed = false;

  constructor(
    connection: Connection,
    state: { revision: number; compacted: number; revisions: Map<string, number>; tombstones: number },
  ) {
    this.#connection = connection;
    this.#revisions = state.revisions;
    this.#revision = state.revision;
    this.#compacted = state.compacted;
    this.#tombstones = state.tombstones;
  }

  get(key: string): Promise<StoredDocument | undefined> {
    return this.#mutex.run(async () => {
      const [row] = await this.#connection.all<Row>('SELECT * FROM documents WHERE key = ? AND value NOT NULL', key);
      return row === undefined ? undefined : document(row);
    });
  }

  list(prefix: string): Promise<{ documents: StoredDocument[]; revision: number }> {
    return this.#mutex.run(async () => {
      // One text instead of a row each: the package takes longest over rows, and this is what a start waits for.
      const [row] = await this.#connection.all<{ all: string }>(
        `SELECT json_group_array(json_array(key, revision, json(value))) AS "all" FROM
         (SELECT * FROM documents WHERE key >= ? AND key < ? AND value NOT NULL ORDER BY key)`,
        prefix,
        end(prefix),
      );
      const all: [key: string, revision: number, value: unknown][] = JSON.parse(row?.all ?? '[]');
      return { documents: all.map(([key, revision, value]) => ({ key, value, revision })), revision: this.#revision };
    });
  }

  transact(writes: Write[]): Promise<number> {
    if (this.#closed) return Promise.reject(new StorageError(`cannot store: ${this.#connection.file} is closed`));
    if (this.#queue.length >= queueLimit)
      return Promise.reject(new StorageError(`cannot store: ${queueLimit} writes are waiting for the disk already`));
    const prepared = writes.map((write) => ({
      ...write,
      json: write.value === undefined ? null : JSON.stringify(write.value),
    }));
    const done = new Promise<number>((resolve, reject) => this.#queue.push({ writes: prepared, resolve, reject }));
    if (!this.#flushing) {
      this.#flushing = true;
      // A watcher that throws is a fault of ours: it ends the process instead of the flush.
      this.#mutex
        .run(() => this.#flush())
        .catch((fault: unknown) => {
          setImmediate(() => {
            throw fault;
          });
        });
    }
    return done;
  }

  copyTo(file: string): Promise<void> {
    return this.#mutex.run(() => this.#connection.copyTo(file));
  }

  skipTo(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  watch({ prefix, fromRevision, onChanges }: Watcher & { fromRevision: number }): Promise<() => void> {
    return this.#mutex.run(async () => {
      if (fromRevision < this.#compacted)
        throw new CompactedError(
          `cannot watch from revision ${fromRevision}: want at least ${this.#compacted}, list again`,
        );
      const rows = await this.#connection.all<Row>(
        'SELECT * FROM documents WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision, key',
        fromRevision,
        prefix,
        end(prefix),
      );
      if (rows.length > 0) onChanges(rows.map(document));
      const watcher = { prefix, onChanges };
      this.#watchers.add(watcher);
      return () => void this.#watchers.delete(watcher);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#mutex.run(async () => {});
    this.#watchers.clear();
    await this.#connection[Symbol.asyncDispose]();
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0, batchLimit));
    this.#flushing = false;
  }

  async #commit(batch: Waiting[]): Promise<void> {
    const accepted: { waiting: Waiting; revision: number }[] = [];
    const changed = new Map<string, { revision: number; json: string | null }>();
    const revisionOf = (key: string) => {
      const change = changed.get(key);
      return change === undefined ? (this.#revisions.get(key) ?? 0) : change.json === null ? 0 : change.revision;
    };
    for (const waiting of batch) {
      const conflict = waiting.writes.find(
        ({ key, expected }) => expected !== undefined && revisionOf(key) !== expected,
      );
      if (conflict !== undefined) {
        const { key, expected } = conflict;
        waiting.reject(new ConflictError(`cannot store ${key}: revision ${revisionOf(key)}, want ${expected}`));
        continue;
      }
      const revision = this.#revision + accepted.length + 1;
      for (const { key, json } of waiting.writes) changed.set(key, { revision, json });
      accepted.push({ waiting, revision });
    }
    const last = accepted.at(-1);
    if (last === undefined) return;
    try {
      await this.#connection.transaction(async () => {
        await this.#connection.run(
          `INSERT INTO documents (key, revision, value)
           SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
           ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value`,
          JSON.stringify([...changed].map(([key, { revision, json }]) => [key, revision, json])),
        );
        await this.#connection.run(`UPDATE facts SET value = ? WHERE name = 'revision'`, last.revision);
      });
    } catch (error) {
      const failure = error instanceof Error ? error : new StorageError(String(error));
      for (const { waiting } of accepted) waiting.reject(failure);
      return;
    }
    this.#revision = last.revision;
    for (const [key, { revision, json }] of changed) {
      if (json !== null) this.#revisions.set(key, revision);
      else if (this.#revisions.delete(key)) this.#tombstones++;
    }
    for (const { waiting, revision } of accepted) {
      this.#tell(waiting.writes.map(({ key, value }) => ({ key, value, revision })));
      waiting.resolve(revision);
    }
    if (this.#tombstones > 2 * tombstoneLimit) await this.#compact();
  }

  #tell(changes: StoredChange[]): void {
    for (const { prefix, onChanges } of this.#watchers) {
      const mine = changes.filter(({ key }) => key.startsWith(prefix));
      if (mine.length > 0) onChanges(mine);
    }
  }

  async #compact(): Promise<void> {
    const [row] = await this.#connection.all<{ revision: number }>(
      'SELECT revision FROM documents WHERE value IS NULL ORDER BY revision DESC LIMIT 1 OFFSET ?',
      tombstoneLimit,
    );
    if (row === undefined) return;
    try {
      await this.#connection.transaction(async () => {
        await this.#connection.run('DELETE FROM documents WHERE value IS NULL AND revision <= ?', row.revision);
        await this.#connection.run(`UPDATE facts SET value = ? WHERE name = 'compacted'`, row.revision);
      });
      this.#compacted = row.revision;
      this.#tombstones = tombstoneLimit;
    } catch (error) {
      // Forgetting can wait: on a full disk the next deletion tries again. Anything else is a broken database.
      if (!(error instanceof StorageError)) throw error;
    }
  }
}

function document({ key, revision, value }: Row): StoredDocument {
  const parsed: unknown = value === null ? undefined : JSON.parse(value);
  return { key, value: parsed, revision };
}

/** The first key after all that begin with the prefix. */
function end(prefix: string): string {
  return `${prefix}\u{10ffff}`;
}
