// One SQLite connection with promises. It is opened so that no second process can open the same file.
import { createRequire } from 'node:module';
import type { Database } from 'sqlite3';
import { StorageError } from './store.ts';

// The package is CommonJS without named exports that Node can see.
const sqlite: typeof import('sqlite3') = createRequire(import.meta.url)('sqlite3');

const logByteLimit = 8 * 2 ** 20;
/** SQLite's default. */
const pageBytes = 4_096;

type Parameter = string | number | null;

interface Form {
  synchronous: 'FULL' | 'NORMAL';
  /** Of the schema: 0 means an empty file. */
  version: number;
  schema: string;
}

export class Connection implements AsyncDisposable {
  readonly file: string;
  readonly #database: Database;

  private constructor(file: string, database: Database) {
    this.file = file;
    this.#database = database;
  }

  /** `mostBytes`: of the file. Throws StorageError. */
  static async open(file: string, { mostBytes, ...form }: Form & { mostBytes?: number }): Promise<Connection> {
    const database = await new Promise<Database>((resolve, reject) => {
      const opening: Database = new sqlite.Database(file, (error) =>
        error === null ? resolve(opening) : reject(storageError(`open ${file}`, error)),
      );
    });
    const connection = new Connection(file, database);
    try {
      database.configure('busyTimeout', 2_000);
      await connection.#prepare(form);
      if (mostBytes !== undefined) await connection.exec(`PRAGMA max_page_count = ${Math.ceil(mostBytes / pageBytes)}`);
      return connection;
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #prepare({ synchronous, version, schema }: Form): Promise<void> {
    // An exclusive lock keeps a second controller out, and needs no shared-memory file.
    await this.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = ON;');
    // Looked at before anything is written, so that a newer Muster's file is left exactly as it is.
    const found = await this.#version();
    if (found > version)
      throw new StorageError(
        `cannot open ${this.file}: its schema is version ${found}, want at most ${version}; a newer Muster wrote it`,
      );
    // What a large transaction needed of the log is given back.
    await this.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA journal_size_limit = ${logByteLimit};`,
    );
    await this.exec('BEGIN IMMEDIATE');
    if (found === 0) await this.exec(`${schema}; PRAGMA user_version = ${version};`);
    await this.exec('COMMIT');
  }

  async #version(): Promise<number> {
    const [row] = await this.all<{ user_version: number }>('PRAGMA user_version');
    return row?.user_version ?? 0;
  }

  exec(sql: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#database.exec(sql, (error) => (error === null ? resolve() : reject(this.#failure(error))));
    });
  }

  run(sql: string, ...parameters: Parameter[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#database.run(sql, parameters, (error: Error | null) =>
        error === null ? resolve() : reject(this.#failure(error)),
      );
    });
  }

  /** The row's type is the caller's knowledge of its own schema. */
  all<Row>(sql: string, ...parameters: Parameter[]): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.#database.all<Row>(sql, parameters, (error: Error | null, rows: Row[]) =>
        error === null ? resolve(rows) : reject(this.#failure(error)),
      );
    });
  }

  /** All or nothing. Callers see to it that there is one at a time. */
  async transaction(work: () => Promise<void>): Promise<void> {
    await this.exec('BEGIN IMMEDIATE');
    try {
      await work();
      await this.exec('COMMIT');
    } catch (error) {
      // SQLite ends the transaction by itself after some failures (a full disk); then there is nothing to roll back.
      await this.exec('ROLLBACK').catch((rollback: unknown) => {
        if (!String(rollback).includes('no transaction is active')) throw rollback;
      });
      throw error;
    }
  }

  /** A whole copy as of now, while the file is in use; the name must not be there. Statements wait for it. */
  copyTo(file: string): Promise<void> {
    return this.run('VACUUM INTO ?', file);
  }

  #failure(error: Error): StorageError {
    return storageError(`use ${this.file}`, error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#database.close((error) => (error === null ? resolve() : reject(this.#failure(error))));
    });
  }
}

const sentences: Record<string, string> = {
  SQLITE_FULL: 'the disk is full; nothing was changed, make room and try again',
  SQLITE_BUSY: 'another process has it open; one controller at a time may use a state directory',
  SQLITE_LOCKED: 'another process has it open; one controller at a time may use a state directory',
  SQLITE_CANTOPEN: 'it cannot be opened or made; look at the directory and its permissions',
  SQLITE_READONLY: 'it is read-only',
  SQLITE_NOTADB: 'it is no SQLite database',
  SQLITE_CORRUPT: 'it is damaged; restore it from a backup',
  SQLITE_IOERR: 'the disk failed',
};

const kinds: Record<string, StorageError['kind']> = {
  SQLITE_FULL: 'full',
  SQLITE_NOTADB: 'damaged',
  SQLITE_CORRUPT: 'damaged',
};

function storageError(action: string, error: Error): StorageError {
  const code = 'code' in error ? String(error.code) : '';
  return new StorageError(`cannot ${action}: ${sentences[code] ?? error.message}`, {
    cause: error,
    kind: kinds[code] ?? 'other',
  });
}
