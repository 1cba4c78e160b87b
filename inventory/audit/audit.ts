// The audit log: append-only, in a file of its own, each entry with the hash of the one before.
//
// It never delays anything: entries queue up in memory and share a flush some milliseconds later. What stands in
// documents (orders, lifts, receipts, escalations, drills, fences) cannot be lost: the log remembers up to which revision of
// the store it tells everything, and what a crash or a full disk kept from it is written late, and says so. A log that
// cannot be opened or written stops nobody: entries wait, it is said once, and tried again every second.
import type { AuditEntry } from '../../protocol/api/audit.ts';
import { auditHash, chainStart } from '../../protocol/records/audit.ts';
import type { Mac } from '../../protocol/mac.ts';
import { fenceEntries, keyOf, type NewEntry, orderOf, receiptOf } from './entries.ts';
import { Connection } from '../store/connection.ts';
import type { DiskReserve } from '../store/disk-reserve.ts';
import type { NodeDocument, OrderDocument, ReceiptDocument } from '../store/documents.ts';
import { pageStatement, type PageWanted, readInPages, type Sized } from '../store/paged-read.ts';
import { StorageError } from '../store/store.ts';
import { Mutex } from '../store/mutex.ts';

const schemaVersion = 1;
// The triggers stop slips of ours and of an operator's `sqlite3`, not a person who wants to forge: that is what the
// hashes are for.
const schema = `
  CREATE TABLE entries (sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
  CREATE INDEX entries_subject ON entries (kind, subject);
  CREATE TABLE keys (session TEXT PRIMARY KEY, mac TEXT NOT NULL, key TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO facts VALUES ('revision', 0);
  CREATE TRIGGER entries_follow BEFORE INSERT ON entries
    WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM entries)
      OR NEW.previous <> coalesce((SELECT hash FROM entries ORDER BY sequence DESC LIMIT 1), '${chainStart}')
    BEGIN SELECT raise(ABORT, 'an entry must follow the last one'); END;
  CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER keys_stay BEFORE UPDATE ON keys BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER keys_remain BEFORE DELETE ON keys BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
`;
const queueLimit = 20_000;
const batchLimit = 1_000;
/** Receipts of a whole rack come within some tenths of a second: they share a few flushes, behind the inventory's own. */
const gatherMs = 50;
const retryMs = 1_000;
/** One answer holds a whole megabyte at most, and one entry at least. */
const answerByteLimit = 2 ** 20;
/** What a row costs beside its body. */
const rowBytes = 300;

/** The node's own words: its signed heartbeat, and the key of its session as it is needed to check it again. */
export interface ReceiptProof {
  session: string;
  datagram: Buffer;
  key: Buffer;
}

/** What the documents say, for what the log does not say yet. */
export interface AuditSource {
  /** Of the store. */
  revision(): number;
  entriesSince(revision: number): NewEntry[];
  nodesSince(revision: number): NodeDocument[];
}

export interface AuditOptions {
  file: string;
  /** Milliseconds since 1970. */
  now: () => number;
  source: AuditSource;
  /** Left out, a full disk takes no entries until somebody makes room. */
  reserve?: DiskReserve | undefined;
  /** Told once when it cannot be written, and once when it can again. */
  log: (message: string) => void;
}

export interface AuditTold {
  /** The log tells everything up to this revision of the store. */
  bookmark: number;
  /** Of the last order that it tells of, 0 where there is none. */
  lastNumber: number;
  /** Given and not lifted. */
  standing: OrderDocument[];
  /** Entries of such orders that make no sense. */
  unreadable: number;
  /** For those orders. */
  receipts: ReceiptDocument[];
  fenced: Mac[];
}

interface Waiting {
  entry: NewEntry;
  at: number;
  /** The store's, when the entry came: the log tells everything up to the one before. */
  revision: number;
  key?: { session: string; mac: Mac; key: string };
}

export interface StoredKey {
  session: string;
  mac: Mac;
  /** Hex. */
  key: string;
}

export class AuditLog implements AsyncDisposable {
  readonly #options: AuditOptions;
  #connection: Connection | undefined;
  #head = { sequence: 0, hash: chainStart };
  /** The log tells everything that the store held at this revision. */
  #bookmark = 0;
  /** Where an entry found no room: the bookmark stays below until the documents were looked through again. */
  #bookmarkLimit = Infinity;
  #incomplete = true;
  #queue: Waiting[] = [];
  #lost = 0;
  #trouble: StorageError | undefined;
  readonly #mutex = new Mutex();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#schedule(gatherMs);
  }

  /** Never waits and never throws. `revision`: of the change that it tells of, where a document keeps it as well. */
  append(entry: NewEntry, { revision, proof }: { revision?: number; proof?: ReceiptProof | undefined } = {}): void {
    if (this.#queue.length >= queueLimit) {
      if (revision === undefined) this.#lost++;
      else {
        this.#incomplete = true;
        this.#bookmarkLimit = Math.min(this.#bookmarkLimit, revision - 1);
      }
      return;
    }
    this.#queue.push({
      entry: proof === undefined ? entry : { ...entry, body: { ...entry.body, ...spoken(proof) } },
      at: Math.round(this.#options.now()),
      revision: revision ?? this.#options.source.revision(),
      ...(proof === undefined ? {} : { key: keyRow(entry, proof) }),
    });
    this.#schedule(gatherMs);
  }

  /** Keys of what waits in memory. */
  waiting(): Set<string> {
    return new Set(this.#queue.map(({ entry }) => keyOf(entry)));
  }

  /** The last attempt to write failed. */
  get troubled(): boolean {
    return this.#trouble !== undefined;
  }

  get problem(): string | undefined {
    return this.#trouble === undefined ? undefined : `the audit log cannot be written: ${this.#trouble.message}`;
  }

  /** Of the last entry on disk. */
  get head(): Readonly<{ sequence: number; hash: string }> {
    return this.#head;
  }

  /** Oldest first. With `after`: those that followed it; without: the newest. Throws StorageError. */
  entries({ after, limit }: { after?: number; limit: number }): Promise<AuditEntry[]> {
    return this.#read(async (connection) => {
      const [from, order] = after === undefined ? ['<', 'ORDER BY sequence DESC'] : ['>', 'ORDER BY sequence'];
      const size = `length(body) + ${rowBytes}`;
      const sql = pageStatement({ table: 'entries', where: `sequence ${from} ?`, order, size });
      const page = ({ last, rows, bytes }: PageWanted<AuditEntry>) =>
        connection.all<Sized<AuditEntry>>(sql, last?.sequence ?? after ?? Number.MAX_SAFE_INTEGER, rows, bytes);
      const { rows } = await readInPages<AuditEntry>({ rows: limit, bytes: answerByteLimit }, page);
      const entries = rows.map(({ bytes: _bytes, ...entry }) => entry);
      return after === undefined ? entries.toReversed() : entries;
    });
  }

  /** Throws StorageError. */
  keys(sessions: readonly string[]): Promise<StoredKey[]> {
    return this.#read((connection) =>
      connection.all<StoredKey>(
        'SELECT session, mac, key FROM keys WHERE session IN (SELECT value FROM json_each(?))',
        JSON.stringify(sessions),
      ),
    );
  }

  /** What a start compares the inventory with, before anything is written. A sentence where it cannot be read. */
  told(): Promise<AuditTold | string> {
    return this.#mutex.run(async () => {
      try {
        return await readTold(await this.#opened());
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        return error.message;
      }
    });
  }

  /** A copy in a new file. Throws StorageError. */
  copyTo(file: string): Promise<void> {
    return this.#read((connection) => connection.copyTo(file));
  }

  /** Resolves when it was tried to write what waits. */
  async flushed(): Promise<void> {
    await this.#mutex.run(() => this.#flush());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.flushed();
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#queue.length > 0)
      this.#options.log(
        `${this.#queue.length} entries of the audit log were not written; the next start writes those that documents keep`,
      );
    await this.#connection?.[Symbol.asyncDispose]();
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flushed();
    }, delayMs).unref();
  }

  #read<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      await this.#flush();
      if (this.#connection === undefined)
        throw new StorageError(`cannot read ${this.#options.file}`, { cause: this.#trouble });
      return work(this.#connection);
    });
  }

  async #flush(): Promise<void> {
    if (this.#closed) return;
    try {
      const { reserve } = this.#options;
      await (reserve === undefined ? this.#writeAll() : reserve.lend(() => this.#writeAll()));
      if (this.#queue.length > 0) this.#schedule(gatherMs);
      if (this.#lost > 0) {
        const lost = this.#lost;
        this.#lost = 0;
        this.append({ kind: 'gap', subject: 'audit', body: { lost, why: 'the disk took none for too long' } });
      }
      if (this.#trouble !== undefined) this.#options.log('the audit log is written again, nothing waits any more');
      this.#trouble = undefined;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (this.#trouble === undefined)
        this.#options.log(
          `the audit log cannot be written, ${this.#queue.length} entries wait in memory: ${error.message}`,
        );
      this.#trouble = error;
      this.#schedule(retryMs);
    }
  }

  async #writeAll(): Promise<void> {
    const connection = await this.#opened();
    if (this.#incomplete) await this.#complete(connection);
    // What comes meanwhile gathers for the next flush: the disk is the inventory's first.
    for (let left = this.#queue.length; left > 0; left -= batchLimit) await this.#write(connection);
  }

  async #opened(): Promise<Connection> {
    if (this.#connection !== undefined) return this.#connection;
    const connection = await Connection.open(this.#options.file, {
      synchronous: 'FULL',
      version: schemaVersion,
      schema,
    });
    try {
      this.#head = await lastOf(connection);
      const [fact] = await connection.all<{ value: number }>(`SELECT value FROM facts WHERE name = 'revision'`);
      this.#bookmark = fact?.value ?? 0;
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
    this.#connection = connection;
    return connection;
  }

  /** Puts what the documents tell and the log does not in front of what waits. */
  async #complete(connection: Connection): Promise<void> {
    const { source, now } = this.#options;
    // An inventory that came back from an older backup counts revisions again that the log has seen.
    if (this.#bookmark > source.revision()) this.#bookmark = 0;
    const waiting = this.waiting();
    const candidates = source.entriesSince(this.#bookmark).filter((entry) => !waiting.has(keyOf(entry)));
    const nodes = source.nodesSince(this.#bookmark).filter(({ mac }) => !waiting.has(`fence ${mac}`));
    this.#bookmarkLimit = Infinity;
    this.#incomplete = false;
    try {
      const missing: NewEntry[] = [];
      for (const [subject, entries] of Map.groupBy(candidates, (entry) => entry.subject)) {
        const there = await keysOn(connection, subject);
        missing.push(...entries.filter((entry) => !there.has(keyOf(entry))));
      }
      if (nodes.length > 0) {
        const fenced = await fencedIn(connection);
        for (const node of nodes) missing.push(...fenceEntries(node.mac, { was: fenced.has(node.mac), node }));
      }
      const late = missing.map(({ body, ...entry }) => ({
        entry: { ...entry, body: { ...body, late: true } },
        at: Math.round(now()),
        revision: this.#bookmark + 1,
      }));
      this.#queue.unshift(...late);
    } catch (error) {
      this.#incomplete = true;
      throw error;
    }
  }

  async #write(connection: Connection): Promise<void> {
    const batch = this.#queue.slice(0, batchLimit);
    const next = this.#queue[batch.length];
    const told = Math.min(
      this.#bookmarkLimit,
      next === undefined ? this.#options.source.revision() : next.revision - 1,
    );
    const bookmark = Math.max(this.#bookmark, told);
    const entries = chained(this.#head, batch);
    const keys = batch.flatMap(({ key }) => (key === undefined ? [] : [[key.session, key.mac, key.key]]));
    try {
      await connection.transaction(async () => {
        await connection.run(
          `INSERT INTO entries SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
           FROM json_each(?)`,
          JSON.stringify(entries.map((entry) => Object.values(entry))),
        );
        if (keys.length > 0)
          await connection.run(
            `INSERT OR IGNORE INTO keys SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)`,
            JSON.stringify(keys),
          );
        await connection.run(`UPDATE facts SET value = ? WHERE name = 'revision'`, bookmark);
      });
    } catch (error) {
      // Whatever the disk made of it: go on from what is really there.
      const { sequence } = this.#head;
      this.#head = await lastOf(connection);
      this.#queue.splice(0, this.#head.sequence - sequence);
      throw error;
    }
    this.#queue.splice(0, batch.length);
    this.#bookmark = bookmark;
    this.#head = entries.at(-1) ?? this.#head;
  }
}

async function readTold(connection: Connection): Promise<AuditTold> {
  const [facts] = await connection.all<{ bookmark: number; last: number | null }>(
    `SELECT (SELECT value FROM facts WHERE name = 'revision') AS bookmark,
            (SELECT max(CAST(subject AS INTEGER)) FROM entries WHERE kind = 'order') AS last`,
  );
  const rows = await connection.all<{ subject: string; body: string }>(
    `SELECT subject, body FROM entries AS given WHERE kind = 'order'
     AND NOT EXISTS (SELECT 1 FROM entries WHERE kind = 'lift' AND subject = given.subject)`,
  );
  const standing = rows.flatMap(({ subject, body }) => orderOf(subject, parsedBody(body)) ?? []);
  const receipts = await connection.all<{ subject: string; body: string }>(
    `SELECT subject, body FROM entries WHERE kind = 'receipt' AND subject IN (SELECT value FROM json_each(?))`,
    JSON.stringify(standing.map(({ number }) => String(number))),
  );
  return {
    bookmark: facts?.bookmark ?? 0,
    lastNumber: facts?.last ?? 0,
    standing,
    unreadable: rows.length - standing.length,
    receipts: receipts.flatMap(({ subject, body }) => receiptOf(subject, parsedBody(body)) ?? []),
    fenced: [...(await fencedIn(connection))],
  };
}

function parsedBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function spoken({ session, datagram }: ReceiptProof): { session: string; datagram: string } {
  return { session, datagram: datagram.toString('base64') };
}

function keyRow({ body }: NewEntry, { session, key }: ReceiptProof): StoredKey {
  return { session, mac: String(body['node']), key: key.toString('hex') };
}

function chained(head: { sequence: number; hash: string }, batch: readonly Waiting[]): AuditEntry[] {
  let { sequence, hash: previous } = head;
  return batch.map(({ entry: { kind, subject, body }, at }) => {
    const entry = {
      sequence: ++sequence,
      at,
      kind,
      subject: subject.toWellFormed(),
      body: JSON.stringify(body),
      previous,
    };
    const hash = auditHash(entry);
    previous = hash;
    return { ...entry, hash };
  });
}

async function lastOf(connection: Connection): Promise<{ sequence: number; hash: string }> {
  const [last] = await connection.all<{ sequence: number; hash: string }>(
    'SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1',
  );
  return last ?? { sequence: 0, hash: chainStart };
}

/** Keys of the entries on a subject; one that somebody made unreadable counts as not there. */
async function keysOn(connection: Connection, subject: string): Promise<Set<string>> {
  const rows = await connection.all<{ kind: AuditEntry['kind']; facts: string | null }>(
    `SELECT kind, CASE WHEN json_valid(body) THEN json_object('node', body -> '$.node', 'afterMs', body -> '$.afterMs',
       'by', body -> '$.by', 'outcome', body -> '$.outcome') END AS facts
     FROM entries WHERE kind IN ('order', 'lift', 'receipt', 'escalation', 'drill') AND subject = ?`,
    subject,
  );
  return new Set(rows.map(({ kind, facts }) => keyOf({ kind, subject, body: record(facts) })));
}

/** MACs of the nodes that are fenced by what the log says. */
async function fencedIn(connection: Connection): Promise<Set<Mac>> {
  const rows = await connection.all<{ subject: string }>(
    `SELECT subject FROM entries WHERE sequence IN (SELECT max(sequence) FROM entries WHERE kind = 'fence' GROUP BY subject)
     AND json_valid(body) AND body ->> '$.fenced'`,
  );
  return new Set(rows.map(({ subject }) => subject));
}

function record(json: string | null): Record<string, unknown> {
  const value: unknown = JSON.parse(json ?? '{}');
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
