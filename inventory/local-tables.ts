// Events, the latest samples and log lines: kept on this controller only, in their own database, each table bounded.
// Writers never wait and never see an error: rows queue up in memory (bounded), and what could not be kept is counted
// and told by an event once the disk takes rows again. synchronous=NORMAL: a power cut may cost the last second.
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type Event, LogLine, type LogPage, Sample } from '../protocol/api.ts';
import type { Mac } from '../protocol/mac.ts';
import { Connection } from './connection.ts';
import { StorageError } from './store.ts';

const schemaVersion = 1;
const schema = `
  CREATE TABLE events (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, message TEXT NOT NULL);
  CREATE INDEX events_subject ON events (subject, id);
  CREATE TABLE samples (mac TEXT PRIMARY KEY, at INTEGER NOT NULL, sample TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE logs (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, customer TEXT NOT NULL, workload TEXT NOT NULL,
    instance TEXT NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL);
  CREATE INDEX logs_workload ON logs (customer, workload, id);
  CREATE INDEX logs_instance ON logs (instance, id);
`;
const eventRows = 100_000;
const logRows = 200_000;
/** So that one chatty instance does not push everybody else's lines out. */
const logRowsPerInstance = 1_000;
const queueRows = 20_000;
const messageCharacters = 2_000;
/** How often samples go to disk, and how long a failed write waits for the next attempt. */
const pauseMs = 1_000;
/** A row more or less does not matter: pruning goes by this many. */
const pruneEvery = 500;

/** What one answer holds of lines and events: more would keep permits waiting while it is made. */
const answerBytes = 2 ** 20;
/** What a line costs beside its text. */
const lineBytes = 120;

export type InstanceLogLine = LogLine & { customer: string; workload: string };

export interface WantedLogs {
  customer: string;
  workload?: string;
  instance?: string;
  /** At most so many lines. */
  tail: number;
  /** Only lines older than this, which an earlier answer gave as its `before`. */
  before?: number;
}

export interface LocalTables extends AsyncDisposable {
  addEvent(event: Omit<Event, 'id'>): void;
  events(wanted: { after?: number; limit: number; subject?: string }): Promise<Event[]>;
  addSamples(samples: ReadonlyMap<Mac, Sample>, at: number): void;
  latestSample(mac: Mac): Sample | undefined;
  forgetSample(mac: Mac): void;
  addLogs(lines: InstanceLogLine[]): void;
  logs(wanted: WantedLogs): Promise<LogPage>;
}

/** `onEvent` is told after the event is on disk. Throws StorageError. */
export async function openLocalTables(file: string, onEvent: (event: Event) => void): Promise<LocalTables> {
  const connection = await Connection.open(file, { synchronous: 'NORMAL', version: schemaVersion, schema });
  const [last] = await connection.all<{ event: number | null; log: number | null }>(
    'SELECT (SELECT max(id) FROM events) AS event, (SELECT max(id) FROM logs) AS log',
  );
  const rows = await connection.all<{ mac: string; sample: string }>('SELECT mac, sample FROM samples');
  const samples = new Map(
    rows.flatMap(({ mac, sample }) => {
      const parsed: unknown = JSON.parse(sample);
      return sampleSchema.Check(parsed) ? [[mac, parsed] as const] : [];
    }),
  );
  return new Tables(connection, { onEvent, samples, lastEvent: last?.event ?? 0, lastLog: last?.log ?? 0 });
}

const sampleSchema = Compile(Sample);
const streamSchema = Compile(Type.Index(LogLine, ['stream']));

class Tables implements LocalTables {
  readonly #connection: Connection;
  readonly #onEvent: (event: Event) => void;
  readonly #samples: Map<Mac, Sample>;
  #changedSamples = new Map<Mac, { at: number; sample: Sample | undefined }>();
  #events: Event[] = [];
  #logs: (InstanceLogLine & { id: number })[] = [];
  #lastEvent: number;
  #lastLog: number;
  #unprunedEvents = pruneEvery;
  #unprunedLogs = pruneEvery;
  #unprunedByInstance = new Map<string, number>();
  #dropped = 0;
  #turn: Promise<void> = Promise.resolve();
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    connection: Connection,
    state: { onEvent: (event: Event) => void; samples: Map<Mac, Sample>; lastEvent: number; lastLog: number },
  ) {
    this.#connection = connection;
    this.#onEvent = state.onEvent;
    this.#samples = state.samples;
    this.#lastEvent = state.lastEvent;
    this.#lastLog = state.lastLog;
  }

  addEvent({ at, kind, subject, message }: Omit<Event, 'id'>): void {
    if (this.#events.length >= queueRows) {
      this.#events.shift();
      this.#dropped++;
    }
    this.#events.push({ id: ++this.#lastEvent, at, kind, subject, message: message.slice(0, messageCharacters) });
    this.#schedule();
  }

  async events({ after, limit, subject }: { after?: number; limit: number; subject?: string }): Promise<Event[]> {
    await this.#flushed();
    const where = subject === undefined ? '' : 'AND subject = ?';
    const parameters = subject === undefined ? [after ?? 0, limit] : [after ?? 0, subject, limit];
    const order = `ORDER BY id ${after === undefined ? 'DESC' : ''}`;
    const rows = await this.#connection.all<Event>(
      `SELECT id, at, kind, subject, message FROM (
         SELECT *, sum(length(message) + ${lineBytes}) OVER (${order}) AS bytes FROM events WHERE id > ? ${where} ${order} LIMIT ?)
       WHERE bytes - length(message) - ${lineBytes} < ${answerBytes} ${order}`,
      ...parameters,
    );
    return after === undefined ? rows.toReversed() : rows;
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
    for (const line of lines) this.#logs.push({ ...line, id: ++this.#lastLog });
    const over = this.#logs.length - queueRows;
    if (over > 0) {
      this.#logs.splice(0, over);
      this.#dropped += over;
    }
    this.#schedule();
  }

  async logs({ customer, workload, instance, tail, before }: WantedLogs): Promise<LogPage> {
    await this.#flushed();
    type Row = { id: number; at: number; instance: string; stream: string; text: string; bytes: number };
    const rows = await this.#connection.all<Row>(
      `SELECT * FROM (
         SELECT id, at, instance, stream, text, sum(length(text) + ${lineBytes}) OVER (ORDER BY id DESC) AS bytes FROM logs
         WHERE customer = ? ${workload === undefined ? '' : 'AND workload = ?'}
         ${instance === undefined ? '' : 'AND instance = ?'} ${before === undefined ? '' : 'AND id < ?'}
         ORDER BY id DESC LIMIT ?)
       WHERE bytes - length(text) - ${lineBytes} < ${answerBytes} ORDER BY id DESC`,
      customer,
      ...(workload === undefined ? [] : [workload]),
      ...(instance === undefined ? [] : [instance]),
      ...(before === undefined ? [] : [before]),
      tail,
    );
    const oldest = rows.at(-1);
    return {
      lines: rows
        .toReversed()
        .map(({ at, instance: of, stream, text }) => ({ at, instance: of, stream: streamSchema.Parse(stream), text })),
      before: oldest !== undefined && oldest.bytes >= answerBytes && rows.length < tail ? oldest.id : null,
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
    this.#events = [];
    this.#logs = [];
    this.#changedSamples = new Map();
    try {
      await this.#connection.transaction(() => this.#write(events, logs, samples));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#keep(events, logs, samples);
      return;
    }
    for (const event of events) this.#onEvent(event);
    if (this.#dropped === 0) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.addEvent({
      at: events.at(-1)?.at ?? logs.at(-1)?.at ?? 0,
      kind: 'controller',
      subject: this.#connection.file,
      message: `${dropped} events and log lines were lost while the disk took none`,
    });
  }

  async #write(
    events: Event[],
    logs: (InstanceLogLine & { id: number })[],
    samples: Map<Mac, { at: number; sample: Sample | undefined }>,
  ): Promise<void> {
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
      await this.#connection.run('DELETE FROM events WHERE id <= ?', this.#lastEvent - eventRows);
    }
    this.#unprunedLogs += logs.length;
    for (const { instance } of logs)
      this.#unprunedByInstance.set(instance, (this.#unprunedByInstance.get(instance) ?? 0) + 1);
    if (this.#unprunedLogs < pruneEvery) return;
    this.#unprunedLogs = 0;
    await this.#connection.run('DELETE FROM logs WHERE id <= ?', this.#lastLog - logRows);
    for (const instance of this.#unprunedByInstance.keys())
      await this.#connection.run(
        `DELETE FROM logs WHERE instance = ?1
         AND id <= (SELECT id FROM logs WHERE instance = ?1 ORDER BY id DESC LIMIT 1 OFFSET ${logRowsPerInstance})`,
        instance,
      );
    this.#unprunedByInstance.clear();
  }

  /** After a failed write: back in front of what came since, as much as there is room for. */
  #keep(
    events: Event[],
    logs: (InstanceLogLine & { id: number })[],
    samples: Map<Mac, { at: number; sample: Sample | undefined }>,
  ): void {
    this.#events = [...events, ...this.#events];
    this.#logs = [...logs, ...this.#logs];
    this.#dropped += Math.max(0, this.#events.length - queueRows) + Math.max(0, this.#logs.length - queueRows);
    this.#events = this.#events.slice(-queueRows);
    this.#logs = this.#logs.slice(-queueRows);
    this.#changedSamples = new Map([...samples, ...this.#changedSamples]);
    this.#schedule(pauseMs);
  }
}
