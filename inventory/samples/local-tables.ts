// Events, the latest samples and log lines: kept on this controller only, in their own database, bounded in rows and bytes.
// Writers never wait and never see an error: rows queue up in memory (bounded), and what could not be kept is counted
// and told by an event once the disk takes rows again. synchronous=NORMAL: a power cut may cost the last second.
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Event } from '../../protocol/api/events.ts';
import { LogLine, type LogPage } from '../../protocol/api/logs.ts';
import { Sample } from '../../protocol/api/samples.ts';
import type { Mac } from '../../protocol/mac.ts';
import { inSlices, mapped } from '../slices.ts';
import { Connection } from '../store/connection.ts';
import { type PagedRows, pageStatement, readInPages } from '../store/paged-read.ts';
import { moveAside } from '../store/state-files.ts';
import { StorageError } from '../store/store.ts';
import { logQuery, type WantedLogs } from './log-query.ts';
import { schema, schemaVersion } from './schema.ts';

const eventRowLimit = 100_000;
const logRowLimit = 200_000;
/** So that one chatty instance does not push everybody else's lines out, nor one customer with many. */
const instanceLogRowLimit = 1_000;
const customerLogByteLimit = 4 * 2 ** 20;
const queueRowLimit = 20_000;
const queueByteLimit = 4 * 2 ** 20;
/** Of the whole database; on a small disk a sixteenth of it, since orders and receipts need room there as well. */
const databaseByteLimit = 64 * 2 ** 20;
const diskShare = 1 / 16;
/** Beyond this share of it the oldest rows go, these many at a time. */
const fullShare = 0.75;
const pruneRows = 2_000;
const messageCharacterLimit = 2_000;
/** How often samples go to disk, and how long a failed write waits for the next attempt. */
const pauseMs = 1_000;
/** A row more or less does not matter: pruning goes by this many. */
const pruneEvery = 500;
const pruneEveryBytes = 2 ** 20;
/** What a row costs beside its text. */
const rowBytes = 120;

const answerByteLimit = 2 ** 20;
export type InstanceLogLine = LogLine & { customer: string; workload: string };

export interface LocalTables extends AsyncDisposable {
  addEvent(event: Omit<Event, 'id'>): void;
  events(wanted: { after?: number; limit: number; subject?: string }): Promise<Event[]>;
  addSamples(samples: ReadonlyMap<Mac, Sample>, at: number): void;
  latestSample(mac: Mac): Sample | undefined;
  forgetSample(mac: Mac): void;
  addLogs(lines: InstanceLogLine[]): void;
  logs(wanted: WantedLogs): Promise<LogPage>;
}

export interface TablesSay {
  /** For an operator to read. */
  log?: (message: string) => void;
  /** Of events that the tables add by themselves. */
  eventLog?: ((event: Omit<Event, 'id'>) => void) | undefined;
}

interface TablesOpening extends TablesSay {
  onEvent: (event: Event) => void;
  now?: () => number;
  /** What comes meanwhile waits in memory: the room is others'. */
  isPaused?: () => boolean;
}

/**
 * `onEvent` is told after the event is on disk. A damaged file is moved aside, which is said: nothing that must survive is in
 * it. Throws StorageError.
 */
export async function openLocalTables(
  file: string,
  { onEvent, log, eventLog, now = Date.now, isPaused = () => false }: TablesOpening,
): Promise<LocalTables> {
  const { bsize, blocks } = statfsSync(dirname(file));
  const mostBytes = Math.min(databaseByteLimit, Math.max(2 ** 20, bsize * blocks * diskShare));
  const open = async () => {
    const bounds = { synchronous: 'NORMAL', version: schemaVersion, schema, mostBytes } as const;
    const connection = await Connection.open(file, bounds);
    try {
      return { connection, ...(await contents(connection)) };
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
  };
  const replace = async () => {
    const aside = await moveAside(file, now());
    log?.(`${file} was damaged: events, samples and log lines begin anew, the old ones are in ${aside}`);
    return open();
  };
  const opened = await open().catch((error: unknown) => {
    if (!isDamage(error)) throw error;
    return replace();
  });
  return new Tables(opened, {
    onEvent,
    eventLog,
    mostBytes,
    isPaused,
    reopen: async () => (await replace()).connection,
  });
}

async function contents(connection: Connection) {
  const [last] = await connection.all<{ event: number | null; log: number | null }>(
    'SELECT (SELECT max(id) FROM events) AS event, (SELECT max(id) FROM logs) AS log',
  );
  const rows = await connection.all<{ mac: string; sample: string }>(
    'SELECT mac, sample FROM samples WHERE json_valid(sample)',
  );
  const samples = new Map(
    rows.flatMap(({ mac, sample }) => {
      const parsed: unknown = JSON.parse(sample);
      return sampleSchema.Check(parsed) ? [[mac, parsed] as const] : [];
    }),
  );
  return { samples, lastEvent: last?.event ?? 0, lastLog: last?.log ?? 0 };
}

function isDamage(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'damaged';
}

const sampleSchema = Compile(Sample);
const streamSchema = Compile(Type.Index(LogLine, ['stream']));

type LogRow = Omit<LogLine, 'stream'> & { id: number; stream: string };
/** Its last two parameters, of rows and bytes, are still to come. */
type Statement = [sql: string, ...parameters: (string | number)[]];

function lineOf({ at, instance, stream, text }: LogRow): LogLine {
  return { at, instance, stream: streamSchema.Parse(stream), text };
}

function sizeOf(line: InstanceLogLine | undefined): number {
  return line === undefined ? 0 : Buffer.byteLength(line.text) + rowBytes;
}

interface TablesOptions {
  onEvent: (event: Event) => void;
  eventLog: TablesSay['eventLog'];
  mostBytes: number;
  isPaused: () => boolean;
  reopen: () => Promise<Connection>;
}

/** On their way to the disk. */
interface Rows {
  events: Event[];
  logs: (InstanceLogLine & { id: number })[];
  samples: Map<Mac, { at: number; sample: Sample | undefined }>;
}

class Tables implements LocalTables {
  #connection: Connection;
  readonly #options: TablesOptions;
  readonly #samples: Map<Mac, Sample>;
  #changedSamples = new Map<Mac, { at: number; sample: Sample | undefined }>();
  #events: Event[] = [];
  #logs: (InstanceLogLine & { id: number })[] = [];
  /** Of what is in `#logs`. */
  #logBytes = 0;
  #lastEvent: number;
  #lastLog: number;
  #unprunedEvents = pruneEvery;
  #unprunedLogs = pruneEvery;
  #unprunedBytes = 0;
  readonly #unprunedInstances = new Set<string>();
  readonly #unprunedCustomers = new Set<string>();
  #dropped = 0;
  #turn: Promise<void> = Promise.resolve();
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    opened: { connection: Connection; samples: Map<Mac, Sample>; lastEvent: number; lastLog: number },
    options: TablesOptions,
  ) {
    this.#connection = opened.connection;
    this.#options = options;
    this.#samples = opened.samples;
    this.#lastEvent = opened.lastEvent;
    this.#lastLog = opened.lastLog;
  }

  addEvent({ at, kind, subject, message }: Omit<Event, 'id'>): void {
    if (this.#events.length >= queueRowLimit) {
      this.#events.shift();
      this.#dropped++;
    }
    this.#events.push({ id: ++this.#lastEvent, at, kind, subject, message: message.slice(0, messageCharacterLimit) });
    this.#schedule();
  }

  async events({ after, limit, subject }: { after?: number; limit: number; subject?: string }): Promise<Event[]> {
    const [from, order] = after === undefined ? ['<', 'ORDER BY id DESC'] : ['>', 'ORDER BY id'];
    const where = `id ${from} ? ${subject === undefined ? '' : 'AND subject = ?'}`;
    const sql = pageStatement({ table: 'events', where, order, size: `length(message) + ${rowBytes}` });
    const { rows } = await this.#read<Event>(limit, (last) => [
      sql,
      last?.id ?? after ?? Number.MAX_SAFE_INTEGER,
      ...(subject === undefined ? [] : [subject]),
    ]);
    const events = rows.map(({ id, at, kind, subject: of, message }) => ({ id, at, kind, subject: of, message }));
    return after === undefined ? events.toReversed() : events;
  }

  addSamples(samples: ReadonlyMap<Mac, Sample>, at: number): void {
    for (const [mac, sample] of samples) {
      this.#samples.set(mac, sample);
      this.#changedSamples.set(mac, { at, sample });
    }
    this.#schedule(pauseMs);
  }

  latestSample(mac: Mac): Sample | undefined {
    return this.#samples.get(mac);
  }

  forgetSample(mac: Mac): void {
    this.#samples.delete(mac);
    this.#changedSamples.set(mac, { at: 0, sample: undefined });
    this.#schedule(pauseMs);
  }

  addLogs(lines: InstanceLogLine[]): void {
    for (const line of lines) {
      this.#logs.push({ ...line, id: ++this.#lastLog });
      this.#logBytes += sizeOf(line);
    }
    let over = 0;
    while (this.#logs.length - over > queueRowLimit || this.#logBytes > queueByteLimit)
      this.#logBytes -= sizeOf(this.#logs[over++]);
    this.#logs.splice(0, over);
    this.#dropped += over;
    this.#schedule();
  }

  async logs({ after = 0, ...wanted }: WantedLogs): Promise<LogPage> {
    // Whoever saw more than there is saw what a crash took: the numbers go on from what is there.
    const known = this.#lastLog;
    const { sql, parameters } = logQuery(
      { ...wanted, after: Math.min(after, known) },
      { size: `length(text) + ${rowBytes}` },
    );
    const oldest = wanted.before ?? Number.MAX_SAFE_INTEGER;
    const { rows, bytes } = await this.#read<LogRow>(wanted.tail, (last) => [sql, ...parameters, last?.id ?? oldest]);
    const isCut = bytes >= answerByteLimit && rows.length < wanted.tail;
    return {
      lines: await inSlices(mapped(rows.toReversed(), lineOf)),
      before: isCut ? (rows.at(-1)?.id ?? null) : null,
      last: Math.max(known, rows[0]?.id ?? 0),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await this.#flushed();
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#connection[Symbol.asyncDispose]();
  }

  #schedule(delayMs = 0): void {
    if (this.#closed || this.#scheduled) return;
    if (delayMs > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#schedule();
      }, delayMs).unref();
      return;
    }
    this.#scheduled = true;
    setImmediate(() => void this.#flushed());
  }

  /** Writes what is queued; resolves when that was tried. */
  #flushed(): Promise<void> {
    this.#scheduled = false;
    this.#turn = this.#turn.then(() => (this.#closed ? undefined : this.#flush()));
    return this.#turn;
  }

  async #flush(): Promise<void> {
    const events = this.#events;
    const logs = this.#logs;
    const samples = this.#changedSamples;
    if (events.length + logs.length + samples.size === 0) return;
    if (this.#options.isPaused()) return this.#schedule(pauseMs);
    this.#events = [];
    this.#logs = [];
    this.#logBytes = 0;
    this.#changedSamples = new Map();
    try {
      await this.#connection.transaction(() => this.#write({ events, logs, samples }));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#keep({ events, logs, samples });
      if (error.kind === 'damaged') await this.#rebuild();
      // Its own bound may be what is reached.
      if (error.kind === 'full') await this.#makeRoom().catch(() => undefined);
      return;
    }
    for (const event of events) this.#options.onEvent(event);
    if (this.#dropped === 0) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    const at = events.at(-1)?.at ?? logs.at(-1)?.at ?? 0;
    const message = `${dropped} events and log lines were lost while the disk took none`;
    const loss = { at, kind: 'controller', subject: this.#connection.file, message } as const;
    this.#options.eventLog?.(loss);
    this.addEvent(loss);
  }

  /** In turn with the writes. A file that turns out to be damaged is replaced, and had nothing to tell. */
  #read<Row>(most: number, statement: (last: Row | undefined) => Statement): Promise<PagedRows<Row>> {
    void this.#flushed();
    const read = this.#turn.then(async () => {
      try {
        return await readInPages<Row>({ rows: most, bytes: answerByteLimit }, ({ last, rows, bytes }) =>
          this.#connection.all(...statement(last), rows, bytes),
        );
      } catch (error) {
        if (!isDamage(error) || this.#closed) throw error;
        await this.#rebuild();
        return { rows: [], bytes: 0 };
      }
    });
    const done = () => undefined;
    this.#turn = read.then(done, done);
    return read;
  }

  async #rebuild(): Promise<void> {
    // What is wrong with the damaged one, its end need not tell again.
    await this.#connection[Symbol.asyncDispose]().catch(() => undefined);
    this.#connection = await this.#options.reopen();
  }

  async #write({ events, logs, samples }: Rows): Promise<void> {
    if (events.length > 0)
      await this.#connection.run(
        `INSERT INTO events SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)`,
        JSON.stringify(events.map(({ id, at, kind, subject, message }) => [id, at, kind, subject, message])),
      );
    if (logs.length > 0)
      await this.#connection.run(
        `INSERT INTO logs SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
         FROM json_each(?)`,
        JSON.stringify(
          logs.map(({ id, at, customer, workload, instance, stream, text }) => [
            id,
            at,
            customer,
            workload,
            instance,
            stream,
            text,
          ]),
        ),
      );
    if (samples.size > 0)
      await this.#connection.run(
        `INSERT OR REPLACE INTO samples SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)`,
        JSON.stringify(
          [...samples].flatMap(([mac, { at, sample }]) =>
            sample === undefined ? [] : [[mac, at, JSON.stringify(sample)]],
          ),
        ),
      );
    for (const [mac, { sample }] of samples)
      if (sample === undefined) await this.#connection.run('DELETE FROM samples WHERE mac = ?', mac);
    await this.#prune(events, logs);
  }

  async #prune(events: Event[], logs: InstanceLogLine[]): Promise<void> {
    this.#unprunedEvents += events.length;
    if (this.#unprunedEvents >= pruneEvery) {
      this.#unprunedEvents = 0;
      await this.#connection.run('DELETE FROM events WHERE id <= ?', this.#lastEvent - eventRowLimit);
    }
    this.#unprunedLogs += logs.length;
    for (const line of logs) {
      this.#unprunedInstances.add(line.instance);
      this.#unprunedCustomers.add(line.customer);
      this.#unprunedBytes += sizeOf(line);
    }
    if (this.#unprunedLogs < pruneEvery && this.#unprunedBytes < pruneEveryBytes) return;
    this.#unprunedLogs = 0;
    this.#unprunedBytes = 0;
    await this.#connection.run('DELETE FROM logs WHERE id <= ?', this.#lastLog - logRowLimit);
    for (const instance of this.#unprunedInstances)
      await this.#connection.run(
        `DELETE FROM logs WHERE instance = ?1
         AND id <= (SELECT id FROM logs WHERE instance = ?1 ORDER BY id DESC LIMIT 1 OFFSET ${instanceLogRowLimit})`,
        instance,
      );
    this.#unprunedInstances.clear();
    for (const customer of this.#unprunedCustomers)
      await this.#connection.run(
        `DELETE FROM logs WHERE customer = ?1 AND id <= (SELECT id FROM (SELECT id,
           sum(octet_length(text) + ${rowBytes}) OVER (ORDER BY id DESC) AS bytes FROM logs WHERE customer = ?1)
         WHERE bytes > ${customerLogByteLimit} ORDER BY id DESC LIMIT 1)`,
        customer,
      );
    this.#unprunedCustomers.clear();
    await this.#makeRoom();
  }

  /** The file keeps its size; what is free in it is used again. */
  async #makeRoom(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      const [used] = await this.#connection.all<{ bytes: number }>(
        `SELECT (p.page_count - f.freelist_count) * s.page_size AS bytes
         FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`,
      );
      if ((used?.bytes ?? 0) < fullShare * this.#options.mostBytes) return;
      await this.#connection.run(`DELETE FROM logs WHERE id IN (SELECT id FROM logs ORDER BY id LIMIT ${pruneRows})`);
      await this.#connection.run(
        `DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ${pruneRows / 10})`,
      );
    }
  }

  /** After a failed write: back in front of what came since, as much as there is room for. */
  #keep({ events, logs, samples }: Rows): void {
    this.#events = [...events, ...this.#events];
    this.#logs = [...logs, ...this.#logs];
    this.#dropped += Math.max(0, this.#events.length - queueRowLimit) + Math.max(0, this.#logs.length - queueRowLimit);
    this.#events = this.#events.slice(-queueRowLimit);
    this.#logs = this.#logs.slice(-queueRowLimit);
    this.#logBytes = this.#logs.reduce((sum, line) => sum + sizeOf(line), 0);
    this.#changedSamples = new Map([...samples, ...this.#changedSamples]);
    this.#schedule(pauseMs);
  }
}
